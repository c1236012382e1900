/** Figures of KVM's roads: the same guest loop, answered in different places. All of one run, so that they can be compared. */

import { strict as assert } from 'node:assert';
import * as uapi from '../../src/linux/uapi/kvm.ts';
import { KVM_EXIT_HLT } from '../../src/linux/uapi/kvm-run.ts';
import { Guest } from '../linux/kvm/guest.ts';
import { type Figure, median } from './measure.ts';

const COUNT = 200_000;
const PORT = 0x1000;
/** RAM of the test guest that nothing else uses. */
const PAGES = 4000;

/** Run to the end, whatever user space is asked on the way. */
function finish(guest: Guest): void {
  while (guest.resume() === 0) if (guest.exitReason === KVM_EXIT_HLT) return;
  assert.fail('the guest of the benchmark did not end in HLT');
}

const writes = (count: number) =>
  new Guest(`mov edx, ${PORT}\n mov ecx, ${count}\n.w: out dx, al\n dec ecx\n jnz .w\n hlt\n`, 'none', {
    irqchip: false,
  });

/** Milliseconds until the guest that `make` gives has ended: the median of some, without the making. */
function runTime(make: () => Guest): number {
  const times = Array.from({ length: 7 }, () => {
    const guest = make();
    const start = performance.now();
    finish(guest);
    return performance.now() - start;
  });
  return median(times);
}

/** Microseconds of one port write; `prepare` decides who answers. */
function portWrite(prepare: (guest: Guest) => void): number {
  const elapsed = runTime(() => {
    const guest = writes(COUNT);
    prepare(guest);
    return guest;
  });
  return (elapsed * 1000) / COUNT;
}

/** An ioeventfd on the port, for any byte. */
function ioeventfd(guest: Guest): void {
  const fd = guest.qemu.user.syscalls.eventfd(0, 0);
  const args = { addr: BigInt(PORT), len: 1, fd, flags: uapi.KVM_IOEVENTFD_FLAG_PIO };
  assert.equal(guest.qemu.pass(guest.vmFd, uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, args), 0);
}

/** First touch of pages: EPT violation, page of the process, entry, and back. */
function violation(): number {
  const touch = `mov ebx, 0x20000\n mov ecx, ${PAGES}\n.t: mov byte [rbx], 1\n add ebx, 4096\n dec ecx\n jnz .t\n hlt\n`;
  const make = () => {
    const guest = new Guest(touch, 'none', { irqchip: false });
    // The modeled host's RAM is brought in first: the figure is the model's, not that of this machine's page faults.
    const { bytes } = guest.kernel.memory;
    for (let at = 0; at < bytes.length; at += 4096) bytes[at] = bytes[at]!;
    return guest;
  };
  return (runTime(make) * 1000) / PAGES;
}

/** The rows for the table. */
export function kvmFigures(): readonly Figure[] {
  const user = portWrite(() => {});
  const figure = (name: string, value: number): Figure => ({
    name,
    value: `${value.toFixed(3)} µs, ${(value / user).toFixed(2)} ×`,
    limit: 'at most 0.5 × user space',
  });
  return [
    { name: 'port write, KVM to user space and back', value: `${user.toFixed(3)} µs`, limit: 'at most 0.7 µs' },
    figure(
      'port write, device in the kernel',
      portWrite((guest) => guest.qemu.ioctl(guest.vmFd, uapi.KVM_CREATE_XCHE)),
    ),
    figure('port write, ioeventfd', portWrite(ioeventfd)),
    { name: 'EPT violation, first touch of RAM', value: `${violation().toFixed(3)} µs`, limit: 'at most 2 µs' },
  ];
}

/** Figures of KVM's roads: the same guest loop, answered in different places. All of one run, so that they can be compared. */

import { strict as assert } from 'node:assert';
import { eagernessOf } from '../../src/cli/tier.ts';
import * as uapi from '../../src/linux/uapi/kvm.ts';
import { KVM_EXIT_HLT } from '../../src/linux/uapi/kvm-run.ts';
import type { BenchOptions } from '../linux/kvm/bench.ts';
import { Guest } from '../linux/kvm/guest.ts';
import { lowerQuartile, WINDOW, WINDOWS } from './measure.ts';

const eagerness = eagernessOf();
const PORT = 0x1000;
/** Where the guest has no RAM. */
const MMIO = 0xd000_0000;
/** A port that nobody answers in the kernel: user space reads the clock there. */
const CLOCK = 0x2000;
/** Pages that one guest touches, RAM that nothing else uses, and how many lie between two looks at the clock. */
const PAGES = 4000;
const TOUCHES = 50;
const GUESTS = 40;

/** As `gvm run` has its guests, but for the interrupt controllers. */
const AS_RUN: BenchOptions = { irqchip: false, ...(eagerness && { eagerness }) };

/** Enter the guest again, whatever it left for; false when it has ended. */
const goesOn = (guest: Guest): boolean => {
  assert.equal(guest.resume(), 0);
  return guest.exitReason !== KVM_EXIT_HLT;
};

/** Milliseconds between two exits to the clock's port, over the guest's life. */
function windows(guest: Guest): number[] {
  const times: number[] = [];
  let before = performance.now();
  while (goesOn(guest)) {
    const now = performance.now();
    times.push(now - before);
    before = now;
  }
  return times;
}

/** Nanoseconds of one port write that the kernel answers; `prepare` decides who. */
function portWrite(prepare: (guest: Guest) => void): number {
  const guest = new Guest(
    `mov ebx, ${WINDOWS}\n.next: mov edx, ${PORT}\n mov ecx, ${WINDOW}\n.w: out dx, al\n dec ecx\n jnz .w\n mov edx, ${CLOCK}\n out dx, al\n dec ebx\n jnz .next\n hlt\n`,
    'none',
    AS_RUN,
  );
  prepare(guest);
  return (lowerQuartile(windows(guest)) * 1e6) / WINDOW;
}

/** Nanoseconds of one `access` that user space is woken for, and does nothing. */
function toUserSpace(access: string): number {
  const text = `mov edx, ${PORT}\n mov ebx, ${MMIO}\n mov ecx, ${WINDOW * WINDOWS}\n.w: ${access}\n dec ecx\n jnz .w\n hlt\n`;
  const guest = new Guest(text, 'none', AS_RUN);
  const times = Array.from({ length: WINDOWS }, () => {
    const start = performance.now();
    for (let i = 0; i < WINDOW; i++) goesOn(guest);
    return performance.now() - start;
  });
  return (lowerQuartile(times) * 1e6) / WINDOW;
}

/** An ioeventfd on the port, for any byte. */
function ioeventfd(guest: Guest): void {
  const fd = guest.qemu.user.syscalls.eventfd(0, 0);
  const args = { addr: BigInt(PORT), len: 1, fd, flags: uapi.KVM_IOEVENTFD_FLAG_PIO };
  assert.equal(guest.qemu.pass(guest.vmFd, uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, args), 0);
}

/** Nanoseconds of a first touch: EPT violation, page of the process, entry, and back. */
function violation(): number {
  const times = Array.from({ length: GUESTS }, () => {
    const guest = new Guest(
      `mov ebx, 0x20000\n mov ecx, ${PAGES / TOUCHES}\n mov edx, ${CLOCK}\n.next: mov eax, ${TOUCHES}\n.t: mov byte [rbx], 1\n add ebx, 4096\n dec eax\n jnz .t\n out dx, al\n dec ecx\n jnz .next\n hlt\n`,
      'none',
      AS_RUN,
    );
    // The modeled host's RAM is brought in first: the figure is the model's, not that of this machine's page faults.
    const { bytes } = guest.kernel.memory;
    for (let at = 0; at < bytes.length; at += 4096) bytes[at] = bytes[at]!;
    return windows(guest);
  });
  return (lowerQuartile(times.slice(GUESTS / 4).flat()) * 1e6) / TOUCHES;
}

/** Nanoseconds of an access, by the road that it takes. */
export const kvmRoads = {
  user: () => toUserSpace('out dx, al'),
  mmio: () => toUserSpace('mov [rbx], al'),
  kernel: () => portWrite((guest) => guest.qemu.ioctl(guest.vmFd, uapi.KVM_CREATE_XCHE)),
  ioeventfd: () => portWrite(ioeventfd),
  violation,
} as const;

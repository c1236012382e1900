/** Coalesced PIO and MMIO: registration, the ring that user space sees, and when an access leaves the kernel after all. */

import { describe, expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import type { IoDevice } from '../../../src/linux/kvm/io-bus.ts';
import { EINVAL, ENOSPC } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { MAP_SHARED } from '../../../src/linux/uapi/syscalls.ts';
import { Bench } from './bench.ts';
import { memoryAccess, portAccess, store } from './scripted-cpu.ts';

const MMIO = 0xfebc0000;

function set(bench: Bench, addr: number, size: number, pio: number, ioctl = uapi.KVM_REGISTER_COALESCED_MMIO) {
  return bench.qemu.pass(bench.vmFd, ioctl, uapi.kvm_coalesced_mmio_zone, { addr: BigInt(addr), size, pio });
}
const remove = (bench: Bench, addr: number, size: number, pio: number) =>
  set(bench, addr, size, pio, uapi.KVM_UNREGISTER_COALESCED_MMIO);

/** The ring page as QEMU maps it. */
function ringOf(bench: Bench): DataView {
  const at = bench.qemu.user.syscalls.mmap(3 * 4096, 3, MAP_SHARED, bench.vcpuFd, 0) as Hva;
  const page = bench.qemu.user.memory.view((at + run.KVM_COALESCED_RING_OFFSET) as Hva, 4096);
  return new DataView(page.buffer, page.byteOffset, page.length);
}
const entryOf = (ring: DataView, index: number) =>
  run.kvm_coalesced_mmio.read(ring, run.kvm_coalesced_mmio_ring.size + index * run.kvm_coalesced_mmio.size);

test('pio is 0 or 1; removing what is not there is no error; the bus holds 1000 devices', () => {
  const bench = new Bench();
  expect(set(bench, 0xcf8, 4, 2)).toBe(-EINVAL);
  expect(remove(bench, 0xcf8, 4, 2)).toBe(-EINVAL);
  expect(remove(bench, 0xcf8, 4, 1)).toBe(0);
  for (let i = 0; i < 1000; i++) expect(set(bench, i, 1, 1)).toBe(0);
  expect(set(bench, 2000, 1, 1)).toBe(-ENOSPC);
});

describe('writes', () => {
  test('to a port and to memory stand in the ring, in order, and the guest goes on', () => {
    const bench = new Bench();
    set(bench, 0xcf8, 4, 1);
    set(bench, MMIO, 0x1000, 0);
    const ring = ringOf(bench);
    bench.cpu.setRegister(0, 0x8000_1234n);
    expect(bench.enter(portAccess(4, false, 0xcf8), memoryAccess(MMIO + 8, true, store(MMIO + 8, [1, 2])))).toBe(0);
    expect(bench.exitReason).toBe(run.KVM_EXIT_HLT);
    expect(run.kvm_coalesced_mmio_ring.read(ring)).toEqual({ first: 0, last: 2 });
    expect(entryOf(ring, 0)).toMatchObject({ phys_addr: 0xcf8n, len: 4, pio: 1 });
    expect([...entryOf(ring, 0).data.subarray(0, 4)]).toEqual([0x34, 0x12, 0, 0x80]);
    expect(entryOf(ring, 1)).toMatchObject({ phys_addr: BigInt(MMIO + 8), len: 2, pio: 0 });
  });

  test('that stick out of the zone, reads, and a full ring go to user space', () => {
    const bench = new Bench();
    set(bench, 0xcf8, 2, 1);
    const ring = ringOf(bench);
    bench.enter(portAccess(4, false, 0xcf8));
    expect(bench.exitReason).toBe(run.KVM_EXIT_IO);
    bench.enter(portAccess(1, true, 0xcf8));
    expect(bench.exitReason).toBe(run.KVM_EXIT_IO);
    ring.setUint32(0, 85, true);
    ring.setUint32(4, 85, true);
    bench.enter(...Array.from({ length: 170 }, () => portAccess(1, false, 0xcf8)));
    expect(bench.exitReason).toBe(run.KVM_EXIT_IO);
    expect(run.kvm_coalesced_mmio_ring.read(ring)).toEqual({ first: 85, last: 84 });
    ring.setUint32(0, 90, true);
    bench.enter(portAccess(1, false, 0xcf8));
    expect(bench.exitReason).toBe(run.KVM_EXIT_HLT);
    expect(run.kvm_coalesced_mmio_ring.read(ring)).toEqual({ first: 90, last: 85 });
  });

  test('a ring whose first entry is in its lower half is full with 85', () => {
    // coalesced_mmio.c: coalesced_mmio_has_room, as far as Linux 6.12
    const bench = new Bench();
    set(bench, 0xcf8, 2, 1);
    const ring = ringOf(bench);
    for (const first of [0, 84]) {
      ring.setUint32(0, first, true);
      ring.setUint32(4, first, true);
      bench.enter(...Array.from({ length: 170 }, () => portAccess(1, false, 0xcf8)));
      expect(bench.exitReason).toBe(run.KVM_EXIT_IO);
      expect(run.kvm_coalesced_mmio_ring.read(ring)).toEqual({ first, last: first + 85 });
    }
  });

  test('an index that user space has broken is no way out of the page', () => {
    const bench = new Bench();
    set(bench, 0xcf8, 4, 1);
    const ring = ringOf(bench);
    ring.setUint32(4, 0xffff_fff0, true);
    bench.enter(portAccess(1, false, 0xcf8));
    expect(bench.exitReason).toBe(run.KVM_EXIT_IO);
  });

  test('unregistering removes every zone that holds the range', () => {
    const bench = new Bench();
    set(bench, 0x100, 16, 1);
    set(bench, 0x100, 8, 1);
    set(bench, 0x108, 8, 1);
    remove(bench, 0x100, 8, 1);
    expect(bench.vm.pioBus.deviceCount).toBe(1);
    const device: IoDevice = { write: () => 0 };
    expect(bench.vm.pioBus.register(0x100, 1, device)).toBe(0);
  });
});

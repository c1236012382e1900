/** The dirty ring of a vCPU: what goes into it, how user space takes it, and what happens when it does not (virt/kvm/dirty_ring.c). */

import { expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { EINVAL } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import { KVM_EXIT_DIRTY_RING_FULL, KVM_EXIT_IO, RUN_EXIT_REASON } from '../../../src/linux/uapi/kvm-run.ts';
import { MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE } from '../../../src/linux/uapi/syscalls.ts';
import { Bench } from './bench.ts';
import { Guest } from './guest.ts';

const PAGES = 4096;
const RING_BYTES = 16384;
const ENTRIES = RING_BYTES / uapi.kvm_dirty_gfn.size;
const LOGGED = 0x4000000;
const READ_WRITE = PROT_READ | PROT_WRITE;
const AT = uapi.KVM_DIRTY_LOG_PAGE_OFFSET * 4096;

/** With the modification log the CPU's 512 entries are in reserve as well. */
test('a ring has room above its reserve', () => {
  const features = { accessedDirty: true, modificationLog: true };
  const enable =
    (bytes: number) =>
    ({ qemu, vmFd }: Bench) =>
      qemu.pass(vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, { cap: KVM_CAP.DIRTY_LOG_RING, arg0: BigInt(bytes) });
  new Bench({ features, prepare: (bench) => expect(enable(8192)(bench)).toBe(-EINVAL) });
  new Bench({ features, prepare: (bench) => expect(enable(16384)(bench)).toBe(0) });
  // kvm_vm_ioctl_enable_cap_generic asks for no flags here, and takes 32 bits of the size.
  const args = { cap: KVM_CAP.DIRTY_LOG_RING_ACQ_REL, flags: 1, arg0: (7n << 32n) + 16384n };
  const prepare = ({ qemu, vmFd }: Bench) =>
    expect(qemu.pass(vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, args)).toBe(0);
  new Bench({ features, prepare });
});

/** A guest with dirty rings whose slot 3, at LOGGED, logs; `code` runs with rbx there. */
function ringed(code: string, modificationLog = false) {
  const rings = { cap: KVM_CAP.DIRTY_LOG_RING, arg0: BigInt(RING_BYTES) };
  const guest = new Guest(`mov ebx, ${LOGGED}\n${code}`, 'none', {
    irqchip: false,
    features: { accessedDirty: true, modificationLog },
    prepare: ({ qemu, vmFd }) => expect(qemu.pass(vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, rings)).toBe(0),
  });
  const { syscalls, memory } = guest.qemu.user;
  const hva = guest.qemu.map(PAGES * 4096);
  expect(guest.setSlot(3, LOGGED, PAGES * 4096, hva, uapi.KVM_MEM_LOG_DIRTY_PAGES)).toBe(0);
  const ring = syscalls.mmap(RING_BYTES, READ_WRITE, MAP_SHARED, guest.vcpuFd, AT) as Hva;
  expect(ring).toBeGreaterThan(0);
  const entry = (index: number) => (ring + (index % ENTRIES) * uapi.kvm_dirty_gfn.size) as Hva;
  let next = 0;
  /** Takes what is there: the pages, by their number in slot 3. */
  const harvest = (): number[] => {
    const taken: number[] = [];
    for (; ; next++) {
      const bytes = memory.read(entry(next), uapi.kvm_dirty_gfn.size);
      const { flags, slot, offset } = uapi.kvm_dirty_gfn.read(new DataView(bytes.buffer));
      if (flags !== uapi.KVM_DIRTY_GFN_F_DIRTY) return taken;
      expect(slot).toBe(3);
      taken.push(Number(offset));
      memory.write(entry(next), Uint8Array.of(uapi.KVM_DIRTY_GFN_F_RESET));
    }
  };
  const reset = () => guest.qemu.ioctl(guest.vmFd, uapi.KVM_RESET_DIRTY_RINGS);
  return { guest, harvest, reset, syscalls };
}

test.each([
  ['write protection', false],
  ['the modification log', true],
])('by %s: pages in the order of their first writes; again when their entries were given back', (_, log) => {
  const write = (page: number) => `mov byte [rbx + ${page * 4096}], 1\n`;
  const { guest, harvest, reset } = ringed(
    `.again: ${write(5)}${write(2)}mov al, [rbx + 4096]\n${write(5)}out 0x80, al\n jmp .again`,
    log,
  );
  guest.listen('kvm_dirty_ring_*');
  expect(guest.resume()).toBe(0);
  // The first touch of page 1 only reads, but maps it writable: make_spte counts that as dirty.
  expect(harvest()).toEqual([5, 2, 1]);
  expect(guest.resume()).toBe(0);
  expect(harvest()).toEqual([]);
  expect([reset(), reset()]).toEqual([3, 0]);
  expect(guest.resume()).toBe(0);
  // vmx_flush_pml_buffer goes through the CPU's log from its newest entry on.
  expect(harvest()).toEqual(log ? [2, 5] : [5, 2]);
  expect(guest.events.slice(0, 4)).toEqual([
    'kvm_dirty_ring_push: ring 0: dirty 0x1 reset 0x0 slot 3 offset 0x5 (used 1)',
    'kvm_dirty_ring_push: ring 0: dirty 0x2 reset 0x0 slot 3 offset 0x2 (used 2)',
    'kvm_dirty_ring_push: ring 0: dirty 0x3 reset 0x0 slot 3 offset 0x1 (used 3)',
    'kvm_dirty_ring_reset: ring 0: dirty 0x3 reset 0x3 (used 0)',
  ]);
});

test('a ring that is nearly full keeps the vCPU out of the guest until user space has emptied it; nothing is lost', () => {
  const { guest, harvest, reset } = ringed(
    `mov ecx, ${PAGES}\n.again: mov byte [rbx], 1\n add rbx, 4096\n dec ecx\n jnz .again\n out 0x80, al`,
  );
  const seen: number[] = [];
  let full = 0;
  while (guest.resume() === 0 && guest.run.getUint32(RUN_EXIT_REASON, true) === KVM_EXIT_DIRTY_RING_FULL) {
    full++;
    expect(guest.resume()).toBe(0);
    expect(guest.exitReason).toBe(KVM_EXIT_DIRTY_RING_FULL);
    seen.push(...harvest());
    expect(reset()).toBeGreaterThan(0);
  }
  expect(guest.exitReason).toBe(KVM_EXIT_IO);
  seen.push(...harvest());
  expect(full).toBe(Math.floor(PAGES / (ENTRIES - 64)));
  // The page whose fault filled the ring is protected again before the write is made.
  expect(seen.length).toBe(PAGES + full);
  expect([...new Set(seen)]).toEqual(Array.from({ length: PAGES }, (_, page) => page));
});

test('entries are given back in their order, only marked ones; nonsense in them hurts nobody', () => {
  const { guest, harvest, reset, syscalls } = ringed('mov byte [rbx], 1\n mov byte [rbx + 4096], 1\n out 0x80, al\n');
  guest.resume();
  const ring = syscalls.mmap(RING_BYTES, READ_WRITE, MAP_SHARED, guest.vcpuFd, AT) as Hva;
  const { memory } = guest.qemu.user;
  const size = uapi.kvm_dirty_gfn.size;
  memory.write((ring + size) as Hva, Uint8Array.of(uapi.KVM_DIRTY_GFN_F_RESET));
  expect(reset()).toBe(0);
  const wild = { flags: uapi.KVM_DIRTY_GFN_F_RESET, slot: 0xffff_ffff, offset: 2n ** 63n };
  memory.write(ring, uapi.kvm_dirty_gfn.encode(wild));
  expect(reset()).toBe(2);
  expect(harvest()).toEqual([]);
});

test('it is mapped shared', () => {
  const { guest, syscalls } = ringed('hlt');
  expect(syscalls.mmap(RING_BYTES, READ_WRITE, MAP_PRIVATE, guest.vcpuFd, AT)).toBe(-EINVAL);
  expect(syscalls.mmap(RING_BYTES, READ_WRITE | PROT_EXEC, MAP_SHARED, guest.vcpuFd, AT)).toBe(-EINVAL);
});

test('a VM that ends gives the pages of its rings back', () => {
  const { guest } = ringed('mov byte [rbx], 1\n out 0x80, al\n');
  guest.resume();
  guest.qemu.process.exit();
  expect(guest.kernel.pages.used).toBe(0);
});

/**
 * Guest code that somebody beside the guest writes: user space with its own stores and by system calls, a driver with the kvm
 * pointer, another process, another vCPU. The guest that has run it runs the new code next, by either tier.
 */

import { describe, expect, test } from 'vitest';
import { gpa, type Hva } from '../../../src/address.ts';
import type { Vcpu } from '../../../src/hardware/vcpu/vcpu.ts';
import { accessRemoteVm } from '../../../src/linux/core/access-remote-vm.ts';
import { kvm_write_guest } from '../../../src/linux/kvm/guest-memory.ts';
import { KVM_EXIT_HLT } from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from './guest.ts';

const FUNCTION = 0x20000;
const TIERS = { interpreted: undefined, translated: { threshold: 2, eager: true } } as const;
/** `mov eax, value`, `ret`, and two bytes of nothing. */
const returns = (value: number): Uint8Array => Uint8Array.of(0xb8, value, 0, 0, 0, 0xc3, 0x90, 0x90);

/** Taken once, before the guest runs. */
const VIEWS = new WeakMap<Guest, Uint8Array>();
const WRITERS: Readonly<Record<string, (guest: Guest, bytes: Uint8Array) => void>> = {
  'a store of user space': ({ qemu, ram }, bytes) => qemu.user.memory.write((ram + FUNCTION) as Hva, bytes),
  'a live view of user space': (guest, bytes) => {
    const view = VIEWS.get(guest) ?? guest.qemu.user.memory.view((guest.ram + FUNCTION) as Hva, 8);
    VIEWS.set(guest, view);
    view.set(bytes);
  },
  'read(2) into guest memory': ({ qemu, ram }, bytes) => {
    const { syscalls, memory } = qemu.user;
    const fd = syscalls.eventfd(0, 0);
    memory.write(qemu.scratch, bytes);
    expect(syscalls.write(fd, qemu.scratch, 8)).toBe(8);
    expect(syscalls.read(fd, (ram + FUNCTION) as Hva, 8)).toBe(8);
  },
  kvm_write_guest: ({ kernel, vm, qemu }, bytes) => {
    kernel.current = qemu.process;
    expect(kvm_write_guest(vm, gpa(FUNCTION), bytes, 8)).toBe(0);
  },
  'another process': ({ kernel, vm, ram }, bytes) =>
    expect(accessRemoteVm(kernel, vm.mm, ram + FUNCTION, bytes, true)).toBe(8),
};

describe.each(Object.entries(TIERS))('%s', (_, eagerness) => {
  test.each(Object.entries(WRITERS))('%s', (_, write) => {
    const guest = new Guest(
      `again: mov ecx, 50\n.n: mov edx, ${FUNCTION}\n call rdx\n dec ecx\n jnz .n\n hlt\n jmp again`,
      'none',
      { irqchip: false },
    );
    const cpu = guest.vm.vcpus[0]!.cpu as unknown as Vcpu;
    if (eagerness !== undefined) cpu.translate(eagerness);
    for (const value of [1, 1, 1, 2, 3]) {
      write(guest, returns(value));
      expect([guest.resume(), guest.exitReason]).toEqual([0, KVM_EXIT_HLT]);
      expect(cpu.register(0)).toBe(BigInt(value));
    }
  });
});

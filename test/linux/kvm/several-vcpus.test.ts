/**
 * Several vCPUs of one VM on the real CPU, by system calls alone: user space lets each run in turn, as a process with one
 * thread does, with a timer's signal to end a turn. Interrupts between them, and changes of memory that all must see.
 */

import { expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import type { Vcpu } from '../../../src/hardware/vcpu/vcpu.ts';
import { EINTR } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from './guest.ts';

const TURN_NANOSECONDS = 2000;
const FLAG = 0x20000;
const STACK = 0x18000n;

/** `edi` is the vCPU's number; rbx the local APIC, switched on. */
const START = `mov ebx, 0xfee00000\n mov dword [rbx + 0xf0], 0x1ff\n cmp edi, 1\n je second\n ja third\n`;

/** A guest with more vCPUs, each in the state of the first, with its own number and stack. */
function machine(text: string, count: number): { readonly guest: Guest; readonly fds: readonly number[] } {
  const guest = new Guest(text);
  const { qemu, vmFd } = guest;
  const read = <T>(ioctl: typeof uapi.KVM_GET_REGS, struct: { readonly size: number }, answer: () => T): T => {
    expect(qemu.ioctl(guest.vcpuFd, ioctl, qemu.scratch), `${struct.size}`).toBe(0);
    return answer();
  };
  const sregs = read(uapi.KVM_GET_SREGS, uapi.kvm_sregs, () => qemu.answer(uapi.kvm_sregs));
  const regs = read(uapi.KVM_GET_REGS, uapi.kvm_regs, () => qemu.answer(uapi.kvm_regs));
  const fds = [guest.vcpuFd];
  for (let id = 1; id < count; id++) {
    const fd = qemu.ioctl(vmFd, uapi.KVM_CREATE_VCPU, id);
    expect(fd).toBeGreaterThan(0);
    expect(qemu.pass(fd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, { ...sregs, apic_base: 0xfee00800n })).toBe(0);
    const own = { ...regs, rdi: BigInt(id), rsp: STACK + BigInt(id) * 0x1000n };
    expect(qemu.pass(fd, uapi.KVM_SET_REGS, uapi.kvm_regs, own)).toBe(0);
    expect(qemu.pass(fd, uapi.KVM_SET_MP_STATE, uapi.kvm_mp_state, { mp_state: uapi.KVM_MP_STATE_RUNNABLE })).toBe(0);
    fds.push(fd);
  }
  return { guest, fds };
}

/** One turn of a vCPU: what KVM_RUN gave. */
function turn(guest: Guest, fd: number): number {
  const { syscalls } = guest.qemu.user;
  syscalls.timer_settime(guest.kernel.clock.now + TURN_NANOSECONDS);
  const result = guest.qemu.ioctl(fd, uapi.KVM_RUN);
  syscalls.timer_settime(Number.POSITIVE_INFINITY);
  syscalls.rt_sigtimedwait(false);
  return result;
}
const state = (guest: Guest, fd: number) => {
  guest.qemu.ioctl(fd, uapi.KVM_GET_MP_STATE, guest.qemu.scratch);
  return guest.qemu.answer(uapi.kvm_mp_state).mp_state;
};
const ipi = (destination: number, command: number) =>
  `mov dword [rbx + 0x310], ${destination << 24}\n mov dword [rbx + 0x300], ${command}\n`;

/** The first interrupts the halted second and spins until that one has answered in memory. */
const PING = `${START}${ipi(1, 0x4041)} mov edx, ${FLAG}
.wait: cmp dword [rdx], 0
 je .wait
 cli
 hlt
second: sti
 hlt
 cli
 mov edx, ${FLAG}
 mov dword [rdx], 1
 hlt
third: hlt`;

test('an IPI wakes a halted vCPU, whose answer ends the sender’s loop', () => {
  const { guest, fds } = machine(PING, 2);
  const [first, second] = fds as [number, number];
  guest.listen('kvm_apic_ipi,kvm_apic_accept_irq,kvm_inj_virq');
  expect([turn(guest, second), state(guest, second)]).toEqual([-EINTR, uapi.KVM_MP_STATE_HALTED]);
  expect([turn(guest, first), state(guest, first)]).toEqual([-EINTR, uapi.KVM_MP_STATE_RUNNABLE]);
  expect(guest.taken).toEqual([]);
  expect([turn(guest, second), state(guest, second)]).toEqual([-EINTR, uapi.KVM_MP_STATE_HALTED]);
  expect(guest.taken).toEqual([0x41]);
  expect([turn(guest, first), state(guest, first)]).toEqual([-EINTR, uapi.KVM_MP_STATE_HALTED]);
  expect(guest.events.filter((event) => !event.endsWith('[reinjected]'))).toEqual([
    'kvm_apic_ipi: dst 1 vec 65 (Fixed|physical|assert|edge|dst)',
    'kvm_apic_accept_irq: apicid 1 vec 65 (Fixed|edge)',
    'kvm_inj_virq: IRQ 0x41',
  ]);
});

test('turn by turn it is the same every time', () => {
  const record = () => {
    const { guest, fds } = machine(PING, 2);
    guest.listen('kvm_*');
    for (let n = 0; n < 6; n++) for (const fd of fds) turn(guest, fd);
    return [guest.events, guest.taken, guest.kernel.clock.now];
  };
  expect(record()).toEqual(record());
});

test('to all but itself: every other vCPU takes it, and each ends it at its own APIC', () => {
  const { guest, fds } = machine(`${START}${ipi(0, 0xc4045)} cli\n hlt\nsecond:\nthird: sti\n hlt\n cli\n hlt`, 3);
  const [first, second, third] = fds as [number, number, number];
  turn(guest, second);
  turn(guest, third);
  turn(guest, first);
  turn(guest, third);
  turn(guest, second);
  expect(guest.taken).toEqual([0x45, 0x45]);
  expect(fds.map((fd) => state(guest, fd))).toEqual([3, 3, 3]);
});

test('an MSI and an NMI for a halted vCPU', () => {
  const { guest, fds } = machine(`${START} hlt\nsecond: sti\n hlt\n hlt\n cli\n hlt\nthird: hlt`, 2);
  const [, second] = fds as [number, number];
  turn(guest, second);
  const msi = { address_lo: 0xfee01000, data: 0x51 };
  expect(guest.qemu.pass(guest.vmFd, uapi.KVM_SIGNAL_MSI, uapi.kvm_msi, msi)).toBe(1);
  turn(guest, second);
  guest.qemu.ioctl(second, uapi.KVM_NMI);
  turn(guest, second);
  expect(guest.taken).toEqual([0x51, 2]);
});

test('INIT and SIPI from another vCPU: it begins at the page that the message names', () => {
  const { guest } = machine(`${START}${ipi(1, 0x4500)}${ipi(1, 0x4609)} cli\n hlt\nsecond:\nthird: hlt`, 1);
  const fd = guest.qemu.ioctl(guest.vmFd, uapi.KVM_CREATE_VCPU, 1);
  expect(state(guest, fd)).toBe(uapi.KVM_MP_STATE_UNINITIALIZED);
  turn(guest, guest.vcpuFd);
  expect(state(guest, fd)).toBe(uapi.KVM_MP_STATE_RUNNABLE);
  guest.qemu.ioctl(fd, uapi.KVM_GET_SREGS, guest.qemu.scratch);
  expect(guest.qemu.answer(uapi.kvm_sregs).cs).toMatchObject({ selector: 0x900, base: 0x9000n });
});

test('their time-stamp counters are one clock: what one vCPU reads later is later', () => {
  const stamp = 'rdtsc\n shl rdx, 32\n or rax, rdx\n mov [rcx], rax\n add ecx, 8\n out 0x80, al\n';
  const { guest, fds } = machine(
    `${START} nop\nsecond:\nthird: mov ecx, ${FLAG}\n shl edi, 8\n add ecx, edi\n mov esi, 4\n.s: ${stamp} dec esi\n jnz .s\n hlt`,
    2,
  );
  const seen: bigint[] = [];
  for (let n = 0; n < 3; n++)
    for (const [id, fd] of fds.entries()) {
      expect(turn(guest, fd)).toBe(0);
      const at = FLAG + id * 256 + n * 8;
      seen.push(new DataView(Uint8Array.from(guest.bytes(at, 8)).buffer).getBigUint64(0, true));
    }
  expect(seen).toEqual(seen.toSorted((a, b) => Number(a - b)));
  expect(new Set(seen).size).toBe(seen.length);
});

test('a slot that goes is gone for every vCPU, whichever had touched it', () => {
  const { guest, fds } = machine(
    `${START}second:\nthird: mov edx, 0x2000000\n mov eax, [rdx]\n out 0x80, al\n mov eax, [rdx]\n hlt`,
    2,
  );
  expect(guest.setSlot(1, 0x2000000, 4096, guest.qemu.map(4096))).toBe(0);
  for (const fd of fds) expect(turn(guest, fd)).toBe(0);
  expect(guest.setSlot(1, 0, 0, 0)).toBe(0);
  guest.listen('kvm_userspace_exit,kvm_page_fault');
  for (const fd of fds) expect(turn(guest, fd)).toBe(0);
  const exits = guest.events.filter((event) => event.startsWith('kvm_userspace_exit'));
  expect(exits).toEqual(Array(2).fill(`kvm_userspace_exit: reason KVM_EXIT_MMIO (${run.KVM_EXIT_MMIO})`));
});

/** The first calls a function until it returns 2; the second makes it so. */
const PATCH = `${START} mov edx, ${FLAG}
.wait: call rdx
 cmp eax, 2
 jne .wait
 cli
 hlt
second: mov byte [${FLAG} + 1], 2
 cli
 hlt
third: hlt`;

test.each([
  ['interpreted', undefined],
  ['translated', { threshold: 2, eager: true }],
] as const)('one vCPU writes what another executes: %s', (_, eagerness) => {
  const { guest, fds } = machine(PATCH, 2);
  const [first, second] = fds as [number, number];
  guest.qemu.user.memory.write((guest.ram + FLAG) as Hva, Uint8Array.of(0xb8, 1, 0, 0, 0, 0xc3));
  if (eagerness !== undefined) for (const { cpu } of guest.vm.vcpus) (cpu as unknown as Vcpu).translate(eagerness);
  for (let turns = 0; turns < 3; turns++)
    expect([turn(guest, first), state(guest, first)]).toEqual([-EINTR, uapi.KVM_MP_STATE_RUNNABLE]);
  expect([turn(guest, second), state(guest, second)]).toEqual([-EINTR, uapi.KVM_MP_STATE_HALTED]);
  expect([turn(guest, first), state(guest, first)]).toEqual([-EINTR, uapi.KVM_MP_STATE_HALTED]);
});

test('an INIT to oneself is taken when the instruction that sends it is over', () => {
  const { guest } = machine(`${START} nop\nsecond:\nthird:${ipi(0, 0x4500)} hlt`, 0);
  guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_RUN);
  guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_SREGS, guest.qemu.scratch);
  expect(guest.qemu.answer(uapi.kvm_sregs)).toMatchObject({ cr0: 0x10n, efer: 0n, cs: { selector: 0xf000 } });
});

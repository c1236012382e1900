/** KVM_SET_GUEST_DEBUG on the real CPU: single steps, breakpoints in hardware and software, injection. */

import { expect, test } from 'vitest';
import type { KvmVcpu } from '../../../src/linux/kvm/vcpu.ts';
import { EBUSY } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as debug from '../../../src/linux/uapi/kvm-debug.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from './guest.ts';

const ENABLE = debug.KVM_GUESTDBG_ENABLE;
const STEP = ENABLE | debug.KVM_GUESTDBG_SINGLESTEP;
const HARDWARE = ENABLE | debug.KVM_GUESTDBG_USE_HW_BP;
/** DR7: breakpoint 0, on execution; on writes of 4 bytes. */
const ON_EXECUTE = 0x401n;
const ON_WRITE = 0xd0401n;

const guest = (text: string) => new Guest(text, 'none', { irqchip: false });

function setDebug(on: Guest, control: number, address = 0n, dr7 = 0n): number {
  const debugreg = new Uint8Array(BigUint64Array.of(address, 0n, 0n, 0n, 0n, 0n, 0n, dr7).buffer);
  return on.qemu.pass(on.vcpuFd, debug.KVM_SET_GUEST_DEBUG, debug.kvm_guest_debug, { control, debugreg });
}
const regs = (on: Guest) => {
  expect(on.qemu.ioctl(on.vcpuFd, uapi.KVM_GET_REGS, on.qemu.scratch)).toBe(0);
  return on.qemu.answer(uapi.kvm_regs);
};
const stop = (on: Guest) => debug.kvm_debug_exit_arch.read(on.run, run.KVM_RUN_UNION);
/** Run until the guest stops for the debugger. */
function toDebugger(on: Guest) {
  expect(on.resume()).toBe(0);
  expect(on.exitReason).toBe(run.KVM_EXIT_DEBUG);
  return stop(on);
}
/** Past the jump over the handlers, at the first instruction of the text. */
function begun(text: string): Guest {
  const made = guest(text);
  expect(setDebug(made, STEP)).toBe(0);
  toDebugger(made);
  return made;
}

test('single steps: one instruction each, and the guest never sees the trap flag', () => {
  const stepped = begun('mov eax, 1\n mov ebx, 2\n pushfq\n pop rcx\n out 0x80, al\n hlt');
  const start = regs(stepped).rip;
  const seen = [];
  for (let n = 0; n < 4; n++) {
    expect(toDebugger(stepped)).toMatchObject({ exception: 1, dr6: 0xffff4ff0n });
    seen.push(Number(regs(stepped).rip - start));
  }
  expect(seen).toEqual([5, 10, 11, 12]);
  expect(regs(stepped).rflags & 0x100n).toBe(0n);
  // OUT is user space's in between; the step is over once it is completed.
  expect([stepped.resume(), stepped.exitReason]).toEqual([0, run.KVM_EXIT_IO]);
  toDebugger(stepped);
  expect(Number(regs(stepped).rip - start)).toBe(14);
  expect(setDebug(stepped, 0)).toBe(0);
  expect([stepped.resume(), stepped.exitReason]).toEqual([0, run.KVM_EXIT_HLT]);
});

test('a breakpoint on an instruction: rip stands at it, DR6 says which', () => {
  const broken = begun('mov eax, 1\n mov ebx, 2\n hlt');
  const start = regs(broken).rip;
  expect(setDebug(broken, HARDWARE, start + 5n, ON_EXECUTE)).toBe(0);
  expect(toDebugger(broken)).toMatchObject({ exception: 1, pc: start + 5n, dr6: 0xffff0ff1n });
  expect(regs(broken).rbx).toBe(0n);
});

test('a watchpoint: rip is past the write that hit it', () => {
  const watched = begun('mov ebx, 0x20000\n mov dword [rbx], 7\n hlt');
  const start = regs(watched).rip;
  expect(setDebug(watched, HARDWARE, 0x20000n, ON_WRITE)).toBe(0);
  expect(toDebugger(watched)).toMatchObject({ exception: 1, pc: start + 11n, dr6: 0xffff0ff1n });
  expect(watched.bytes(0x20000, 1)).toEqual([7]);
});

test('the guest keeps its own debug registers meanwhile', () => {
  const own = begun('mov eax, 0x1234\n mov dr0, rax\n mov rbx, dr0\n mov rcx, dr7\n hlt');
  expect(setDebug(own, HARDWARE, 0x9999n, ON_EXECUTE)).toBe(0);
  expect([own.resume(), own.exitReason]).toEqual([0, run.KVM_EXIT_HLT]);
  expect(regs(own)).toMatchObject({ rbx: 0x1234n, rcx: 0x400n });
  expect(own.qemu.ioctl(own.vcpuFd, uapi.KVM_GET_DEBUGREGS, own.qemu.scratch)).toBe(0);
  const { db, dr6, dr7 } = own.qemu.answer(uapi.kvm_debugregs);
  expect([new DataView(db.buffer).getBigUint64(0, true), dr6, dr7]).toEqual([0x1234n, 0xffff0ff0n, 0x400n]);
});

test('KVM_SET_DEBUGREGS: what is set comes back, and the guest’s own watchpoint fires', () => {
  const set = guest('mov ebx, 0x20000\n mov dword [rbx], 7\n hlt');
  const db = new Uint8Array(BigUint64Array.of(0x20000n, 2n, 3n, 4n).buffer);
  const registers = { db, dr6: 0xffff0ff0n, dr7: ON_WRITE };
  expect(set.qemu.pass(set.vcpuFd, uapi.KVM_SET_DEBUGREGS, uapi.kvm_debugregs, registers)).toBe(0);
  set.qemu.ioctl(set.vcpuFd, uapi.KVM_GET_DEBUGREGS, set.qemu.scratch);
  expect(set.qemu.answer(uapi.kvm_debugregs)).toMatchObject(registers);
  expect([set.resume(), set.exitReason, set.taken]).toEqual([0, run.KVM_EXIT_HLT, [1]]);
  set.qemu.ioctl(set.vcpuFd, uapi.KVM_GET_DEBUGREGS, set.qemu.scratch);
  expect(set.qemu.answer(uapi.kvm_debugregs).dr6).toBe(0xffff0ff1n);
});

test('INT3 is the debugger’s if it asked for it, else the guest’s', () => {
  const own = guest('int3\n hlt');
  expect([own.resume(), own.exitReason, own.taken]).toEqual([0, run.KVM_EXIT_HLT, [3]]);
  const caught = begun('int3\n hlt');
  const start = regs(caught).rip;
  expect(setDebug(caught, ENABLE | debug.KVM_GUESTDBG_USE_SW_BP)).toBe(0);
  expect(toDebugger(caught)).toMatchObject({ exception: 3, pc: start });
  // `int 3` in two bytes is an interrupt, no exception.
  expect(caught.taken).toEqual([]);
});

test('injected: the guest’s handler gets #DB or #BP', () => {
  const given = guest('hlt');
  expect(setDebug(given, ENABLE | debug.KVM_GUESTDBG_INJECT_DB)).toBe(0);
  given.resume();
  expect(given.taken).toEqual([1]);
});

test('the exit names the exception, as the kernel’s event does', () => {
  const stepped = guest('nop\n hlt');
  setDebug(stepped, STEP);
  stepped.listen('kvm_exit');
  toDebugger(stepped);
  expect(stepped.events.at(-1)).toMatch(
    /^kvm_exit: vcpu 0 reason EXCEPTION_NMI rip 0x[0-9a-f]+ info1 0x0000000000004000 info2 0x0000000000000000 intr_info 0x80000301 error_code 0x00000000$/,
  );
});

test('an exception may be queued behind one that is being delivered, not behind one that is queued', () => {
  const on = guest('hlt');
  const events = { exception_injected: 1, exception_nr: 3 };
  expect(on.qemu.pass(on.vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, events)).toBe(0);
  expect([1, 2].map(() => setDebug(on, debug.KVM_GUESTDBG_INJECT_DB))).toEqual([0, -EBUSY]);
});

test('KVM_GUESTDBG_BLOCKIRQ keeps NMIs and interrupts out of the guest until it is off', () => {
  // x86.c: kvm_check_and_inject_events
  const on = guest('nop\n hlt\n hlt');
  expect(setDebug(on, ENABLE | debug.KVM_GUESTDBG_BLOCKIRQ)).toBe(0);
  expect(on.qemu.ioctl(on.vcpuFd, uapi.KVM_NMI)).toBe(0);
  expect([on.resume(), on.exitReason, on.taken]).toEqual([0, run.KVM_EXIT_HLT, []]);
  expect(setDebug(on, 0)).toBe(0);
  expect([on.resume(), on.taken]).toEqual([0, [2]]);
});

test('an exception on top of one that is not delivered: another one, #DF, or the end', () => {
  // x86.c: kvm_multiple_exception
  const DOUBLE_FAULT = 8;
  const inject = (first: number, second: number) => {
    const on = guest('hlt');
    const events = { exception_injected: 1, exception_nr: first };
    expect(on.qemu.pass(on.vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, events)).toBe(0);
    (on.vm.vcpus[0] as KvmVcpu).queueException(second, 0);
    on.resume();
    return on.taken[0] ?? on.exitReason;
  };
  expect(inject(14, 13)).toBe(DOUBLE_FAULT);
  expect(inject(13, 14)).toBe(14);
  expect(inject(13, 11)).toBe(DOUBLE_FAULT);
  expect(inject(1, 13)).toBe(13);
  expect(inject(DOUBLE_FAULT, 1)).toBe(run.KVM_EXIT_SHUTDOWN);
});

test('of a software exception user space hears nothing, and of NMIs only that there are some', () => {
  // x86.c: kvm_vcpu_ioctl_x86_get_vcpu_events
  const on = guest('hlt');
  const tell = () => {
    expect(on.qemu.ioctl(on.vcpuFd, uapi.KVM_GET_VCPU_EVENTS, on.qemu.scratch)).toBe(0);
    return on.qemu.answer(uapi.kvm_vcpu_events);
  };
  expect(setDebug(on, ENABLE | debug.KVM_GUESTDBG_INJECT_BP)).toBe(0);
  expect(tell().exception_injected).toBe(0);
  for (let nmi = 0; nmi < 3; nmi++) on.qemu.ioctl(on.vcpuFd, uapi.KVM_NMI);
  expect(tell().nmi_pending).toBe(1);
  // What had arrived before is part of what KVM_SET_VCPU_EVENTS replaces.
  on.qemu.ioctl(on.vcpuFd, uapi.KVM_NMI);
  const flags = uapi.KVM_VCPUEVENT_VALID_NMI_PENDING;
  expect(on.qemu.pass(on.vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, { flags })).toBe(0);
  expect(tell().nmi_pending).toBe(0);
});

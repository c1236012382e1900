/** Repeated string instructions whose memory or port user space serves: the state at each exit is that of KVM's emulator (compared with a real one in test/oracle/kvm). */

import { expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from './guest.ts';

/** Behind the guest's RAM. */
const HOLE = 16 << 20;
const ZF = 0x40n;
const CF = 1n;
const RF = 0x10000n;
const PORT = 0x3f0;

function regs({ qemu, vcpuFd }: Guest) {
  expect(qemu.ioctl(vcpuFd, uapi.KVM_GET_REGS, qemu.scratch)).toBe(0);
  return qemu.answer(uapi.kvm_regs);
}

/** The next exit for MMIO, and an answer if it is a read. */
function mmio(guest: Guest, answer: readonly number[] = []): string {
  expect(guest.resume()).toBe(0);
  expect(guest.exitReason).toBe(run.KVM_EXIT_MMIO);
  const { phys_addr, len, is_write, data } = run.kvm_run_mmio.read(guest.run, run.KVM_RUN_UNION);
  for (const [i, byte] of answer.entries()) guest.run.setUint8(run.RUN_MMIO_DATA + i, byte);
  const value = is_write ? ` ${[...data.subarray(0, len)].join(' ')}` : '';
  return `${is_write ? 'write' : 'read'} ${phys_addr.toString(16)} ${len}${value}`;
}

/** Exit qualifications of the accesses to ports. */
const portExits = ({ events }: Guest) =>
  events.flatMap((text) => /IO_INSTRUCTION .* info1 (\w+)/.exec(text)?.[1] ?? []);

const start = (text: string) => new Guest(text, 'none', { irqchip: false });

test('behind its last element a store is still not over: RIP stays, RF is set, and the guest finds that the count is zero', () => {
  const guest = start(`mov edi, ${HOLE}\nmov ecx, 2\nmov al, 7\nrep stosb\nhlt`);
  expect(mmio(guest)).toBe('write 1000000 1 7');
  const first = regs(guest);
  expect(mmio(guest)).toBe('write 1000001 1 7');
  const last = regs(guest);
  expect([first.rcx, last.rcx, last.rip - first.rip]).toEqual([1n, 0n, 0n]);
  expect([first.rflags & RF, last.rflags & RF]).toEqual([RF, RF]);
  expect(guest.resume()).toBe(0);
  expect(guest.exitReason).toBe(run.KVM_EXIT_HLT);
  expect(regs(guest)).toMatchObject({ rip: first.rip + 3n, rflags: 2n });
});

test('a compare that has found what it looks for is over', () => {
  const guest = start(`mov edi, ${HOLE}\nmov ecx, 5\nmov al, 7\nrepne scasb\nhlt`);
  mmio(guest, [1]);
  const before = regs(guest);
  mmio(guest, [7]);
  guest.resume();
  expect(guest.exitReason).toBe(run.KVM_EXIT_HLT);
  expect(regs(guest)).toMatchObject({ rip: before.rip + 3n, rcx: 3n });
  expect(regs(guest).rflags & (ZF | RF)).toBe(ZF);
});

test('while an element is asked for, registers tell of those before it, and RFLAGS do not', () => {
  const guest = start(`mov edi, ${HOLE}\nmov ecx, 5\nmov al, 7\ncmp al, al\nrepne scasb\nsetc bl\nhlt`);
  mmio(guest, [9]);
  mmio(guest, [9]);
  expect(regs(guest)).toMatchObject({ rcx: 4n, rdi: BigInt(HOLE + 1) });
  expect(regs(guest).rflags & (ZF | CF | RF)).toBe(ZF);
  for (let element = 2; element < 5; element++) mmio(guest, [9]);
  guest.resume();
  expect(regs(guest)).toMatchObject({ rbx: 1n, rcx: 0n });
});

test('REP INS stores what it has read ahead as one operand, in pieces of eight bytes', () => {
  const guest = start(`mov edi, ${HOLE}\nmov ecx, 5\nmov dx, ${PORT}\nrep insw\nhlt`);
  guest.listen('kvm_exit,kvm_mmio');
  guest.resume();
  expect(run.kvm_run_io.read(guest.run, run.KVM_RUN_UNION)).toMatchObject({ port: PORT, size: 2, count: 5 });
  guest.pioData.set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  expect(mmio(guest)).toBe('write 1000000 8 1 2 3 4 5 6 7 8');
  expect(regs(guest)).toMatchObject({ rcx: 0n, rdi: BigInt(HOLE + 10) });
  expect(mmio(guest)).toBe('write 1000008 2 9 10');
  guest.resume();
  expect(guest.exitReason).toBe(run.KVM_EXIT_HLT);
  // The port comes before the memory; a kvm_mmio has room for eight bytes.
  expect(portExits(guest)).toEqual(['0x0000000003f00039']);
  expect(guest.events).toContain('kvm_mmio: mmio write len 10 gpa 0x1000000 val 0x807060504030201');
});

test('backwards it stores element by element, and reads ahead anew when one has left for user space', () => {
  const guest = start(`mov edi, ${HOLE + 2}\nmov ecx, 2\nmov dx, ${PORT}\nstd\nrep insw\nhlt`);
  guest.resume();
  expect(run.kvm_run_io.read(guest.run, run.KVM_RUN_UNION)).toMatchObject({ count: 2 });
  guest.pioData.set([1, 2, 3, 4]);
  expect(mmio(guest)).toBe('write 1000002 2 1 2');
  guest.resume();
  expect(run.kvm_run_io.read(guest.run, run.KVM_RUN_UNION)).toMatchObject({ count: 1 });
});

test('the guest is entered again between two batches of REP INS', () => {
  const guest = start(`mov edi, 0x100000\nmov ecx, 1500\nmov dx, ${PORT}\nrep insb\nhlt`);
  guest.resume();
  expect(run.kvm_run_io.read(guest.run, run.KVM_RUN_UNION)).toMatchObject({ count: 1024 });
  guest.listen('kvm_entry,kvm_exit');
  guest.resume();
  expect(run.kvm_run_io.read(guest.run, run.KVM_RUN_UNION)).toMatchObject({ count: 476 });
  expect(guest.events.map((line) => line.split(':')[0])).toEqual(['kvm_entry', 'kvm_exit']);
});

test('OUTS leaves for its port, whatever its memory is', () => {
  const guest = start(`mov esi, ${HOLE}\nmov dx, ${PORT}\noutsb\nhlt`);
  guest.listen('kvm_exit');
  expect(mmio(guest, [5])).toBe('read 1000000 1');
  expect(portExits(guest)).toEqual(['0x0000000003f00010']);
  guest.resume();
  expect(run.kvm_run_io.read(guest.run, run.KVM_RUN_UNION)).toMatchObject({ port: PORT, count: 1 });
  expect(guest.pioData[0]).toBe(5);
});

test('both parts of an operand are read at once: RAM that changes while user space serves the other is not read again', () => {
  const guest = start(`mov eax, [${HOLE - 2}]\nmov ebx, eax\nhlt`);
  const change = (bytes: readonly number[]) =>
    guest.qemu.user.memory.write((guest.ram + HOLE - 2) as Hva, Uint8Array.from(bytes));
  change([1, 2]);
  expect(mmio(guest, [3, 4])).toBe('read 1000000 2');
  change([9, 9]);
  guest.resume();
  expect(regs(guest).rbx).toBe(0x04030201n);
});

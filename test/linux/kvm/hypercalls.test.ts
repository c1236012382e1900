/** VMCALL (arch/x86/kvm/x86.c: kvm_emulate_hypercall): what KVM does for a guest that asks without having been told that it may. */

import { describe, expect, test } from 'vitest';
import { EINTR } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { Guest } from './guest.ts';

const STOP = 'out 0x80, al\n';
const APIC_ON = 'mov ebx, 0xfee00000\n mov dword [rbx + 0xf0], 0x1ff\n';
const call = (nr: number, ...values: number[]) =>
  `${['rbx', 'rcx', 'rdx', 'rsi']
    .slice(0, values.length)
    .map((name, i) => `mov ${name}, ${values[i]}\n`)
    .join('')}mov rax, ${nr}\n vmcall\n`;

function result(guest: Guest): bigint {
  guest.resume();
  guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch);
  return BigInt.asIntN(64, guest.qemu.answer(uapi.kvm_regs).rax);
}
const answer = (text: string, irqchip = true) => result(new Guest(`${text}${STOP}`, 'lapic', { irqchip }));

describe('what VMCALL answers', () => {
  test.each([
    ['VAPIC_POLL_IRQ', call(1), 0n],
    ['SCHED_YIELD', call(11, 0), 0n],
    ['KICK_CPU of a processor that is not there', call(5, 0, 7), 0n],
    ['CLOCK_PAIRING, without a wall clock', call(9, 0x7000, 0), -95n],
    ['one of another architecture', call(3), -1000n],
    ['none', call(-1), -1000n],
    ['SEND_IPI with a shorthand', call(10, 1, 0, 0, 0x40041), -22n],
    ['SEND_IPI with a logical destination', call(10, 1, 0, 0, 0x841), -22n],
    ['SEND_IPI to nobody', call(10, 2, 0, 0, 0x41), 0n],
    ['SEND_IPI to one beyond the first', call(10, 1, 0, 1, 0x41), 0n],
    ['SEND_IPI to an APIC that is off', call(10, 1, 0, 0, 0x41), 0n],
    ['SEND_IPI to one that is on', `${APIC_ON}${call(10, 1, 0, 0, 0x41)}`, 1n],
  ])('%s', (_name, text, value) => {
    expect(answer(text)).toBe(value);
  });

  test('without local APICs there is nobody to send to', () => {
    expect(answer(call(10, 1, 0, 0, 0x41), false)).toBe(-95n);
    expect(answer(call(5, 0, 0), false)).toBe(0n);
  });
});

test('SEND_IPI interrupts', () => {
  const guest = new Guest(`${APIC_ON}sti\n${call(10, 1, 0, 0, 0x41)}nop\n${STOP}`);
  guest.resume();
  expect(guest.taken).toEqual([0x41]);
});

test('KICK_CPU ends the next halt, interrupts off or not, and that one alone', () => {
  const guest = new Guest(`${APIC_ON}${call(5, 0, 0)}hlt\n${STOP}hlt\n${STOP}`);
  expect(guest.resume()).toBe(0);
  expect(guest.resume()).toBe(-EINTR);
});

/** The local APIC's registers and its timer, as arch/x86/kvm/lapic.c has them. */

import { describe, expect, test } from 'vitest';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { Guest } from './guest.ts';

const STOP = 'out 0x80, al\n';
const BASE = 'mov ebx, 0xfee00000\n';
const set = (register: number, value: number) => `mov dword [rbx + ${register}], ${value}\n`;
const ON = `${BASE}${set(0xf0, 0x1ff)}`;
/** Note EAX at 0x7200 and on. */
const NOTE = 'mov [rdi], eax\n add edi, 4\n';
const NOTES = 'mov edi, 0x7200\n';
const spin = (count: number) => `mov ecx, ${count}\n%%s: loop %%s\n`.replaceAll('%%s', `.s${unique++}`);
let unique = 0;

function run(text: string, end: 'lapic' | 'none' = 'lapic'): Guest {
  const guest = new Guest(`${NOTES}${text}${STOP}`, end);
  expect(guest.resume()).toBe(0);
  return guest;
}
const words = (guest: Guest, count: number) => [
  ...new Uint32Array(Uint8Array.from(guest.bytes(0x7200, 4 * count)).buffer),
];

describe('registers', () => {
  test('what passes a register’s end, and what is none, reads 0; bytes within one read it', () => {
    const guest = run(
      `${ON}${set(0xd0, 0x12000000)}${['[rbx + 0xd3]', '[rbx + 0xd2]', '[rbx + 0xd8]', '[rbx + 0xb0]']
        .map((at) => `xor eax, eax\n mov al, ${at}\n ${NOTE}`)
        .join('')}mov eax, [rbx + 0xd2]\n ${NOTE}mov eax, [rbx + 0xd8]\n ${NOTE}mov rax, [rbx + 0xd0]\n ${NOTE}`,
    );
    expect(words(guest, 7)).toEqual([0x12, 0, 0, 0, 0, 0, 0]);
  });

  test('an APIC that is off in its MSR reads all ones, and takes no writes', () => {
    const off = 'mov ecx, 0x1b\n mov eax, 0xfee00100\n xor edx, edx\n wrmsr\n';
    const on = 'mov eax, 0xfee00900\n wrmsr\n';
    const guest = run(
      `${ON}${off}mov eax, [rbx + 0x30]\n ${NOTE}${set(0x80, 0x50)}${on}mov eax, [rbx + 0x80]\n ${NOTE}`,
    );
    expect(words(guest, 2)).toEqual([0xffffffff, 0]);
  });

  test('a level de-assert of a fixed interrupt is none', () => {
    const guest = run(`${ON}sti\n${set(0x310, 0)}${set(0x300, 0x8051)}${set(0x300, 0xc052)}nop\n`);
    expect(guest.taken).toEqual([0x52]);
  });

  test('what was requested is delivered after the APIC is switched off by its spurious-vector register', () => {
    const guest = run(`${ON}${set(0x300, 0x44051)}${set(0xf0, 0xff)}sti\n nop\n cli\n`);
    expect(guest.taken).toEqual([0x51]);
  });
});

describe('the I/O APIC', () => {
  test('a level for an APIC that is not there leaves the remote IRR clear', () => {
    const entry = 'mov edx, 0xfec00000\n mov dword [rdx], 0x37\n mov dword [rdx + 0x10], 0x07000000\n';
    const low = 'mov dword [rdx], 0x36\n mov dword [rdx + 0x10], 0x8061\n';
    const guest = new Guest(`${NOTES}${ON}${entry}${low}${STOP}mov eax, [rdx + 0x10]\n ${NOTE}${STOP}`);
    guest.resume();
    guest.setLine(19, 1);
    guest.resume();
    expect(words(guest, 1)).toEqual([0x8061]);
  });
});

describe('the end of an edge', () => {
  const entry = 'mov edx, 0xfec00000\n mov dword [rdx], 0x36\n mov dword [rdx + 0x10], 0x61\n';
  const pulsed = () => {
    const guest = new Guest(`${ON}${entry}${STOP}sti\n nop\n cli\n${STOP}`);
    guest.resume();
    guest.listen('kvm_eoi,kvm_ack_irq');
    guest.setLine(19, 1);
    return guest;
  };

  test('is no matter of the I/O APIC’s unless somebody wants to know', () => {
    const guest = pulsed();
    guest.resume();
    expect([guest.taken, guest.events]).toEqual([[0x61], ['kvm_eoi: apicid 0 vector 97']]);
    const watched = pulsed();
    watched.vm.irqchip!.addNotifier({ gsi: 19, acknowledged: () => undefined });
    watched.resume();
    expect(watched.events).toEqual(['kvm_eoi: apicid 0 vector 97', 'kvm_ack_irq: irqchip IOAPIC pin 19']);
  });

  test('KVM_GET_IRQCHIP leaves out of IRR what the local APICs have', () => {
    const guest = pulsed();
    guest.setLine(20, 1);
    expect(guest.qemu.pass(guest.vmFd, uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, { chip_id: 2 })).toBe(0);
    const { chip } = guest.qemu.answer(uapi.kvm_irqchip);
    const state = uapi.kvm_ioapic_state.read(new DataView(chip.buffer, chip.byteOffset));
    expect(state.irr).toBe(1 << 20);
  });
});

describe('the timer', () => {
  const MASKED = 0x10000;
  const PERIODIC = 0x20000;

  test('fired behind its mask it comes when that goes', () => {
    const guest = run(
      `${ON}sti\n${set(0x3e0, 0xb)}${set(0x320, MASKED | 0x41)}${set(0x380, 100)}${spin(300)}${set(0x320, 0x41)}nop\n`,
    );
    expect(guest.taken).toEqual([0x41]);
  });

  test('… but not if it was started again since, or the APIC switched off', () => {
    const fired = () => `${set(0x3e0, 0xb)}${set(0x320, MASKED | 0x41)}${set(0x380, 100)}${spin(300)}`;
    const guest = run(
      `${ON}sti\n${fired()}${set(0x380, 0)}${set(0x320, 0x41)}nop\n${fired()}${set(0xf0, 0xff)}${set(0xf0, 0x1ff)}${set(0x320, 0x41)}nop\n`,
    );
    expect(guest.taken).toEqual([]);
  });

  test('a count under way outlives a change of mode: the first tick is not later for it', () => {
    const before = `${ON}sti\n${set(0x3e0, 0xb)}${set(0x320, 0x41)}${set(0x380, 250_000)}${spin(249_000)}`;
    const guest = new Guest(`${before}${set(0x320, PERIODIC | 0x41)}${spin(1500)}${STOP}${spin(251_000)}${STOP}`);
    guest.resume();
    expect(guest.taken).toEqual([0x41]);
    guest.resume();
    expect(guest.taken).toEqual([0x41, 0x41]);
  });

  test('the count is what whole cycles of the divider are left; 0 when it has fired', () => {
    const read = `mov eax, [rbx + 0x390]\n ${NOTE}`;
    const guest = run(
      `${ON}${set(0x3e0, 0x8)}${set(0x320, MASKED)}${set(0x380, 1000)}${read}${spin(32 * 1000)}${read}`,
    );
    expect(words(guest, 2)).toEqual([999, 0]);
  });

  test('a new divider stretches what is left', () => {
    const read = `mov eax, [rbx + 0x390]\n ${NOTE}`;
    const start = `${ON}${set(0x3e0, 0xb)}${set(0x320, MASKED)}${set(0x380, 10_000)}`;
    const guest = run(`${start}${spin(5000)}${set(0x3e0, 3)}${read}${spin(1600)}${read}`);
    const [first, second] = words(guest, 2) as [number, number];
    expect(first).toBeGreaterThan(4980);
    expect(first).toBeLessThan(5000);
    expect(first - second).toBeGreaterThanOrEqual(100);
    expect(first - second).toBeLessThanOrEqual(101);
  });

  test('of 5000 periods of 200 µs in a second none is shorter, and none is lost while the guest works', () => {
    const guest = new Guest(
      `${ON}sti\n${set(0x3e0, 0xb)}${set(0x320, PERIODIC | 0x41)}${set(0x380, 1)}${spin(1_100_000)}${STOP}`,
    );
    guest.resume();
    expect(guest.taken.length).toBe(5);
  });

  test('KVM_SET_LAPIC starts it where KVM_GET_LAPIC found it', () => {
    const guest = new Guest(
      `${ON}sti\n${set(0x3e0, 0xb)}${set(0x320, 0x41)}${set(0x380, 10_000)}${spin(6000)}${STOP}${spin(4100)}${STOP}`,
    );
    guest.resume();
    guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_LAPIC, guest.qemu.scratch);
    expect(guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_SET_LAPIC, guest.qemu.scratch)).toBe(0);
    guest.resume();
    expect(guest.taken).toEqual([0x41]);
  });
});

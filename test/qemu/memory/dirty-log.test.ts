/** Regions whose pages are logged, and RAM that becomes read-only: what KVM is told, and that the range itself stays. */

import { expect, test } from 'vitest';
import { matchingEvents } from '../../../src/event.ts';
import { KVM_GET_DIRTY_LOG, KVM_SET_USER_MEMORY_REGION } from '../../../src/linux/uapi/kvm.ts';
import { configWriteCommands, Unplugged } from '../pci/unplugged.ts';

const REGISTERS = 0xe000_0000;
const VRAM = 0xe040_0000;

/** The framebuffer with both BARs mapped, and the slot calls from then on. */
function placed(properties = '') {
  const machine = new Unplugged(['-device', `framebuffer,addr=4${properties}`], { firmware: true });
  machine.configWrite(0, 4 << 3, 0x10, 4, REGISTERS);
  machine.configWrite(0, 4 << 3, 0x14, 4, VRAM);
  machine.configWrite(0, 4 << 3, 4, 2, 2);
  const slots: string[] = [];
  machine.stream.subscribe(matchingEvents('kvm_set_user_memory'), ({ fields }) =>
    slots.push(`slot ${fields['slot']} flags ${fields['flags']} size 0x${Number(fields['size']).toString(16)}`),
  );
  const set = (register: number, value: bigint) => {
    slots.length = 0;
    machine.write(REGISTERS + register, 4, value);
    return [...slots];
  };
  return { machine, set };
}

test('a log is started and stopped by the flags of the slot that is there', () => {
  const { set } = placed();
  expect(set(0, 1n)).toEqual(['slot 1 flags 1 size 0x400000']);
  expect(set(0, 1n)).toEqual([]);
  expect(set(0, 0n)).toEqual(['slot 1 flags 0 size 0x400000']);
});

test('read-only memory is another slot, with the log kept on', () => {
  const { set } = placed();
  expect(set(4, 1n)).toEqual(['slot 1 flags 0 size 0x0', 'slot 1 flags 2 size 0x400000']);
  expect(set(0, 1n)).toEqual(['slot 1 flags 3 size 0x400000']);
  expect(set(4, 0n)).toEqual(['slot 1 flags 0 size 0x0', 'slot 1 flags 1 size 0x400000']);
});

test('QEMU’s own writes to read-only memory are refused, and a reset undoes both', () => {
  const { machine, set } = placed();
  machine.write(VRAM, 4, 0x1234n);
  set(4, 1n);
  set(0, 1n);
  machine.write(VRAM, 4, 0x5678n);
  expect(machine.read(VRAM, 4)).toBe(0x1234n);
  expect(machine.read(REGISTERS, 8)).toBe(0x1_0000_0001n);
  machine.machine.reset();
  machine.configWrite(0, 4 << 3, 0x10, 4, REGISTERS);
  machine.configWrite(0, 4 << 3, 4, 2, 2);
  expect(machine.read(REGISTERS, 8)).toBe(0n);
});

test('a snapshot without a log has no pages, and the registers say so', () => {
  const { machine, set } = placed();
  set(8, 1n);
  expect(machine.read(REGISTERS + 8, 4)).toBe(0n);
  expect(machine.read(REGISTERS + 0x10, 4)).toBe(0xffff_ffffn);
  expect(machine.read(REGISTERS + 0x50, 4)).toBe(0n);
});

test('what was written before the slot went is told afterwards, and what a device has written as well', () => {
  const { machine, set } = placed();
  set(0, 1n);
  machine.write(VRAM + 0x3fff, 2, 0x1234n);
  const calls = machine.trace(configWriteCommands(0, 4 << 3, 4, 2, 0), 'kvm_vm_ioctl');
  const types = [KVM_GET_DIRTY_LOG, KVM_SET_USER_MEMORY_REGION].map(({ number }) => `0x${number.toString(16)}`);
  expect(calls.map((call) => /type (\w+)/.exec(call)?.[1])).toEqual(types);
  machine.configWrite(0, 4 << 3, 4, 2, 2);
  set(8, 1n);
  expect([8, 0x10, 0x14, 0x18].map((register) => machine.read(REGISTERS + register, 4))).toEqual([
    2n,
    3n,
    4n,
    0xffff_ffffn,
  ]);
  set(8, 1n);
  expect(machine.read(REGISTERS + 8, 4)).toBe(0n);
});

test('sizes that no BAR can have are refused', () => {
  for (const vram of ['2K', '3M', '128M', '0']) {
    expect(() => placed(`,vram=${vram}`), vram).toThrow('takes a power of two from 4K to 64M');
  }
});

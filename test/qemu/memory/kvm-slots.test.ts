/** Which ranges of guest memory become KVM slots (kvm_set_phys_mem), by the trace of the real ioctls. */

import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { GiB, hva, MiB } from '../../../src/address.ts';
import { matchingEvents } from '../../../src/event.ts';
import { sizes } from '../../../src/qemu/memory/region.ts';
import { Host } from '../bench.ts';
import { configWriteCommands, Unplugged } from '../pci/unplugged.ts';
import { qemuVersion, qtestTrace } from '../qtest.ts';
import { Recorder } from './io-space.ts';

/** The events of `change` on a machine of 64 MiB; `ua` is left out. */
function slotCalls(change: (board: Unplugged) => void): string[] {
  const board = new Unplugged([], { firmware: true });
  const trace: string[] = [];
  board.stream.subscribe(matchingEvents('kvm_set_user_memory'), ({ event, fields }) =>
    trace.push(event.text(fields as never).replace(/ ua=\S+/, '')),
  );
  change(board);
  return trace;
}
const HOST = hva(0x1000_0000);

test('RAM gets the lowest free slot, and gives it back by size 0', () => {
  const calls = slotCalls(({ machine }) => {
    const one = machine.topology.ram('one', MiB(1), HOST);
    machine.memory.root.addSubregion(GiB(1), one);
    machine.memory.root.addSubregion(GiB(2), machine.topology.ram('two', MiB(1), HOST));
    machine.memory.root.deleteSubregion(one);
    machine.memory.root.addSubregion(GiB(3), machine.topology.ram('three', MiB(1), HOST));
  });
  expect(calls).toEqual([
    'Slot#1 flags=0x0 gpa=0x40000000 size=0x100000 ret=0',
    'Slot#2 flags=0x0 gpa=0x80000000 size=0x100000 ret=0',
    'Slot#1 flags=0x0 gpa=0x40000000 size=0x0 ret=0',
    'Slot#1 flags=0x0 gpa=0xc0000000 size=0x100000 ret=0',
  ]);
});

test('readonly RAM is a READONLY slot', () => {
  const calls = slotCalls(({ machine }) =>
    machine.memory.root.addSubregion(0xfffc_0000, machine.topology.rom('bios', 0x4_0000, HOST)),
  );
  expect(calls).toEqual(['Slot#1 flags=0x2 gpa=0xfffc0000 size=0x40000 ret=0']);
});

test('RAM of which only an alias is read-only stays writable for the guest', () => {
  const calls = slotCalls(({ machine }) => {
    const window = machine.topology.alias('window', machine.topology.ram('ram', MiB(1), HOST), 0, MiB(1));
    window.setReadonly(true);
    machine.memory.root.addSubregion(GiB(1), window);
  });
  expect(calls).toEqual(['Slot#1 flags=0x0 gpa=0x40000000 size=0x100000 ret=0']);
});

/** Asks Debian's QEMU with the host's own KVM. */
const withKvm = qemuVersion() === undefined || !existsSync('/dev/kvm') ? test.skip : test;

withKvm('the slots below 1 MiB by PAM are those of QEMU', () => {
  const at = (register: number, value: number) => configWriteCommands(0, 0, register, 1, value);
  const registers = [0x59, 0x5a, 0x5b, 0x5c, 0x5d, 0x5e, 0x5f];
  const ram = registers.flatMap((register) => at(register, 0x33));
  const steps = registers.flatMap((register) => [0x13, 0x31, 0x11, 0x12, 0x33].flatMap((value) => at(register, value)));
  const events = 'kvm_set_user_memory';
  const plain = (lines: readonly string[]) => lines.map((line) => / flags=.* size=\S+/.exec(line)?.[0]);
  const theirs = plain(qtestTrace(['-accel', 'kvm', '-m', '64'], [...ram, ...steps], events));
  const ours = new Unplugged(['-m', '64'], { firmware: true }).trace(steps, events);
  // Before, their firmware's ROMs make way for RAM in one piece.
  const whole = ' flags=0x0 gpa=0x0 size=0x4000000';
  const made = theirs.indexOf(whole, theirs.indexOf(whole) + 1);
  expect(ours.length).toBeGreaterThan(steps.length);
  expect(plain(ours)).toEqual(theirs.slice(made + 1).filter((line) => line !== undefined));
});

test('device registers get none; over RAM they split it in two', () => {
  const calls = slotCalls(({ machine }) => {
    const ops = new Recorder().ops('dev', sizes(1, 4), sizes(1, 4));
    machine.memory.root.addSubregion(MiB(1), machine.topology.io('dev', 0x1000, ops), 1);
  });
  expect(calls).toEqual([
    'Slot#0 flags=0x0 gpa=0x0 size=0x0 ret=0',
    'Slot#0 flags=0x0 gpa=0x0 size=0x100000 ret=0',
    'Slot#1 flags=0x0 gpa=0x101000 size=0x3eff000 ret=0',
  ]);
});

test('part pages at the edges stay without a slot', () => {
  const calls = slotCalls(({ machine }) => {
    machine.memory.root.addSubregion(GiB(1) + 0x800, machine.topology.ram('odd', 0x3000, hva(HOST + 0x800)));
    machine.memory.root.addSubregion(GiB(2) + 0x800, machine.topology.ram('small', 0x800, hva(HOST + 0x800)));
  });
  expect(calls).toEqual(['Slot#1 flags=0x0 gpa=0x40001000 size=0x2000 ret=0']);
});

test('more than 3.5 GiB is split around the hole below 4 GiB, and e820 says so', () => {
  const guest = `mov rax, [rsi + 0x2d0 + 20]\nshr rax, 32\nadd al, [rsi + 0x1e8]\nmovzx eax, al\nmov dx, 0x501\nout dx, eax`;
  const { end, trace } = new Host().qemu(['-m', '4G', '-device', 'isa-debug-exit'], guest, 'kvm_set_user_memory');
  expect(trace.map((line) => line.replace(/ ua=\S+/, ''))).toEqual([
    'kvm_set_user_memory Slot#0 flags=0x0 gpa=0x0 size=0xe0000000 ret=0',
    'kvm_set_user_memory Slot#1 flags=0x0 gpa=0x100000000 size=0x20000000 ret=0',
  ]);
  // The second entry starts at 4 GiB (1 in the upper half), and there are 2.
  expect(end?.code).toBe((1 + 2) * 2 + 1);
});

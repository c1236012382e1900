/** xche in QEMU: registers by the low five bits of the port, wherever the guest has put the BAR. */

import { expect, test } from 'vitest';
import { Unplugged } from '../pci/unplugged.ts';

const DEVFN = 4 << 3;

test('registers keep their values when the BAR moves; the old ports are nobody’s', () => {
  const board = new Unplugged(['-device', 'xche,addr=4']);
  const move = (port: number) => board.configWrite(0, DEVFN, 0x10, 4, port);
  move(0xc000);
  board.configWrite(0, DEVFN, 4, 2, 1);
  board.out(0xc01f, 1, 0x77);
  move(0xd000);
  expect([board.in(0xc01f, 1), board.in(0xd01f, 1)]).toEqual([0xff, 0x77]);
});

test('its BAR is 32 ports', () => {
  const board = new Unplugged(['-device', 'xche,addr=4']);
  board.configWrite(0, DEVFN, 0x10, 4, 0xffff_ffff);
  expect(board.configRead(0, DEVFN, 0x10)).toBe(0xffff_ffe1);
});

test('the debug console prints bytes and reads 0xe9', () => {
  const board = new Unplugged(['-device', 'isa-debugcon,chardev=null']);
  board.out(0xe9, 1, 0x41);
  expect(board.in(0xe9, 1)).toBe(0xe9);
});

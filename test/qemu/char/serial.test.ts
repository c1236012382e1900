/** The receiving side of the UART, which qtest cannot feed: FIFO, overrun, bytes from stdin (PC16550D data sheet). */

import { expect, test } from 'vitest';
import { EventStream } from '../../../src/event.ts';
import type { UserProcess } from '../../../src/linux/uapi/syscalls.ts';
import { Serial } from '../../../src/qemu/hw/char/serial.ts';
import { type CharBackend, StdioBackend } from '../../../src/qemu/hw/char/stdio.ts';
import { System } from '../../../src/qemu/system.ts';
import { read, topologyOf, write } from '../memory/io-space.ts';

const FCR = 2;
const LSR = 5;

function uart(input: string) {
  const topology = topologyOf();
  const root = topology.container('io', 0x1_0000);
  const space = topology.addressSpace('I/O', root);
  let waiting = [...new TextEncoder().encode(input)];
  const sent: number[] = [];
  const backend: CharBackend = {
    write: (byte) => sent.push(byte),
    read: (room) => {
      const taken = waiting.slice(0, room);
      waiting = waiting.slice(room);
      return new Uint8Array(taken);
    },
  };
  const serial = new Serial(topology, root, 0x3f8, backend);
  const inb = (register: number) => Number(read(space, 0x3f8 + register, 1));
  const outb = (register: number, value: number) => write(space, 0x3f8 + register, 1, BigInt(value));
  return { serial, inb, outb, sent, left: () => waiting.length };
}

test('without FIFO one byte waits in RBR, and the next comes when it was read', () => {
  const { inb, left } = uart('ab');
  expect([inb(LSR), left()]).toEqual([0x61, 1]);
  expect([inb(0), inb(LSR), inb(0), inb(LSR), inb(0)]).toEqual([0x61, 0x61, 0x62, 0x60, 0]);
});

test('the FIFO takes 16 bytes and leaves the rest where they are; switching it on drops what RBR held', () => {
  const { inb, outb, left } = uart('!abcdefghijklmnopqrstuvwxyz');
  outb(FCR, 0x07);
  expect(left()).toBe(26 - 16);
  expect(String.fromCharCode(...Array.from({ length: 26 }, () => inb(0)))).toBe('abcdefghijklmnopqrstuvwxyz');
  expect(inb(LSR)).toBe(0x60);
});

test('a byte too many overruns: the FIFO keeps its 16, LSR tells it once', () => {
  const { serial, inb, outb } = uart('');
  outb(FCR, 0x07);
  for (let i = 0; i < 17; i++) serial.receive(0x30 + i);
  expect([inb(LSR), inb(LSR)]).toEqual([0x63, 0x61]);
  expect(Array.from({ length: 17 }, () => inb(0))).toEqual([...Array.from({ length: 16 }, (_, i) => 0x30 + i), 0]);
});

test('without FIFO an overrun replaces the byte', () => {
  const { serial, inb } = uart('');
  serial.receive(1);
  serial.receive(2);
  expect([inb(LSR), inb(0)]).toEqual([0x63, 2]);
});

test('IIR names the enabled cause with the highest priority', () => {
  const { serial, inb, outb } = uart('');
  outb(1, 0x07);
  expect([inb(FCR), inb(FCR)]).toEqual([0x02, 0x01]);
  serial.receive(1);
  expect(inb(FCR)).toBe(0x04);
  serial.receive(2);
  expect(inb(FCR)).toBe(0x06);
});

test('stdin is asked only while it may have more', () => {
  const calls: string[] = [];
  const bytes = new Uint8Array(0x2_0000);
  let input = 'hi';
  const memory = {
    view: (at: number, length: number) => bytes.subarray(at, at + length),
    read: (at: number, length: number) => bytes.slice(at, at + length),
    write: (at: number, from: Uint8Array) => bytes.set(from, at),
  };
  const syscalls = {
    mmap: () => 0x1000,
    poll: (fd: number) => {
      calls.push(`poll ${fd}`);
      return 1;
    },
    read: (fd: number, at: number, count: number) => {
      calls.push(`read ${fd} ${count}`);
      const taken = input.slice(0, count);
      input = input.slice(count);
      bytes.set(new TextEncoder().encode(taken), at);
      return taken.length;
    },
    write: (fd: number, at: number, count: number) => {
      calls.push(`write ${fd} ${String.fromCharCode(...bytes.subarray(at, at + count))}`);
      return count;
    },
  };
  const process = { pid: 1, name: 'qemu', syscalls, memory } as unknown as UserProcess;
  const stdio = new StdioBackend(new System(process, new EventStream(() => 0n)));
  stdio.write(0x41);
  expect([stdio.read(16), stdio.read(16), stdio.read(16)].map((got) => got.length)).toEqual([2, 0, 0]);
  expect(calls).toEqual(['write 1 A', 'poll 0', 'read 0 16', 'poll 0', 'read 0 16']);
});

/** The receiving side of the UART, which qtest cannot feed: FIFO, overrun, bytes from stdin (PC16550D data sheet). */

import { describe, expect, test } from 'vitest';
import { EventStream } from '../../../src/event.ts';
import type { VmmProcess } from '../../../src/linux/uapi/syscalls.ts';
import { Serial } from '../../../src/qemu/hw/char/serial.ts';
import { type CharBackend, StdioBackend } from '../../../src/qemu/hw/char/stdio.ts';
import { System } from '../../../src/qemu/system.ts';
import { TimerList } from '../../../src/qemu/timer.ts';
import { read, topologyOf, write } from '../memory/io-space.ts';

const FCR = 2;
const IER = 1;
const LCR = 3;
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
  const time = { now: 0, deadline: Number.POSITIVE_INFINITY };
  const syscalls = {
    clock_gettime: () => time.now,
    timer_settime: (deadline: number) => {
      time.deadline = deadline;
      return 0;
    },
  };
  const timers = new TimerList({ syscalls } as unknown as System);
  const levels: boolean[] = [];
  const serial = new Serial(topology, root, 0x3f8, backend, {
    timers,
    stream: new EventStream(() => 0n),
    setIrq: (level) => levels.push(level),
  });
  /** Until its timer is due. */
  const wait = () => {
    time.now = time.deadline;
    timers.run();
    return time.now;
  };
  const inb = (register: number) => Number(read(space, 0x3f8 + register, 1));
  const outb = (register: number, value: number) => write(space, 0x3f8 + register, 1, BigInt(value));
  /** The changes of its interrupt line since this was last asked. */
  const irq = () => levels.splice(0).map((level) => (level ? 'up' : 'down'));
  return { serial, inb, outb, sent, irq, wait, left: () => waiting.length };
}

test('without FIFO one byte waits in RBR, and the next comes when it was read', () => {
  const { inb, left } = uart('ab');
  expect([inb(LSR), left()]).toEqual([0x61, 1]);
  expect([inb(0), inb(LSR), inb(0), inb(LSR), inb(0)]).toEqual([0x61, 0x61, 0x62, 0x60, 0x62]);
});

test('the FIFO asks for as many as raise an interrupt and leaves the rest; switching it on drops what RBR held', () => {
  const { inb, outb, left } = uart('!abcdefghijklmnopqrstuvwxyz');
  outb(FCR, 0xc7);
  expect(left()).toBe(26 - 14);
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

describe('the interrupt line', () => {
  test('without FIFO it is up while RBR has a byte', () => {
    const { serial, inb, outb, irq } = uart('');
    outb(IER, 1);
    serial.receive(0x41);
    expect([irq(), inb(FCR), inb(0), irq(), inb(FCR)]).toEqual([['up'], 0x04, 0x41, ['down'], 0x01]);
  });

  test.each([
    [0x07, 1],
    [0x47, 4],
    [0x87, 8],
    [0xc7, 14],
  ])('with FCR %i it goes up at %i bytes', (control, level) => {
    const { serial, inb, outb, irq } = uart('');
    outb(FCR, control);
    outb(IER, 1);
    for (let i = 1; i < level; i++) serial.receive(i);
    expect(irq()).toEqual([]);
    serial.receive(level);
    expect([irq(), inb(FCR), inb(0), irq()]).toEqual([['up'], 0xc4, 1, ['down']]);
  });

  test('bytes below the trigger level are told of after the time of four characters: 8 bits, no parity, 115200 baud', () => {
    const { serial, inb, outb, irq, wait } = uart('');
    outb(LCR, 0x83);
    outb(0, 1);
    outb(LCR, 0x03);
    outb(FCR, 0xc7);
    outb(IER, 1);
    serial.receive(0x41);
    serial.receive(0x42);
    expect(wait()).toBe(4 * Math.floor((1e9 / 115200) * 10));
    expect([irq(), inb(FCR), inb(0), irq(), inb(FCR)]).toEqual([['up'], 0xcc, 0x41, ['down'], 0xc1]);
    wait();
    expect([irq(), inb(0), irq()]).toEqual([['up'], 0x42, ['down']]);
    wait();
    expect(irq()).toEqual([]);
  });

  test('with two stop bits, parity and five bits a character is nine bits; a divisor of 0 is 3500 baud', () => {
    const { serial, outb, wait } = uart('');
    outb(LCR, 0x8c);
    outb(0, 0);
    outb(LCR, 0x0c);
    outb(FCR, 0xc7);
    serial.receive(0x41);
    expect(wait()).toBe(4 * Math.floor((1e9 / 3500) * 9));
  });

  test('an empty transmitter raises it when it is enabled, and again with each byte; IIR takes it down', () => {
    const { inb, outb, irq, sent } = uart('');
    outb(IER, 2);
    expect([irq(), inb(FCR), irq()]).toEqual([['up'], 0x02, ['down']]);
    outb(0, 0x41);
    expect([irq(), inb(FCR), irq(), inb(FCR), sent]).toEqual([['up'], 0x02, ['down'], 0x01, [0x41]]);
    outb(0, 0x42);
    outb(0, 0x43);
    expect(irq()).toEqual(['up', 'down', 'up']);
    outb(IER, 0);
    expect(irq()).toEqual(['down']);
  });

  test('an overrun is first of all, and ends when LSR is read', () => {
    const { serial, inb, outb, irq } = uart('');
    outb(IER, 0x05);
    serial.receive(1);
    serial.receive(2);
    expect([irq(), inb(FCR), inb(LSR), inb(FCR), inb(0), irq()]).toEqual([['up'], 0x06, 0x63, 0x04, 2, ['down']]);
  });

  test('emptying the FIFO takes it down', () => {
    const { serial, outb, irq, wait } = uart('');
    outb(FCR, 0x47);
    outb(IER, 1);
    serial.receive(1);
    wait();
    outb(FCR, 0x43);
    expect(irq()).toEqual(['up', 'down']);
  });
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
  const process = { pid: 1, name: 'qemu', syscalls, memory } as unknown as VmmProcess;
  const stdio = new StdioBackend(new System(process, new EventStream(() => 0n)));
  stdio.write(0x41);
  expect([stdio.read(16), stdio.read(16), stdio.read(16)].map((got) => got.length)).toEqual([2, 0, 0]);
  expect(calls).toEqual(['write 1 A', 'poll 0', 'read 0 16', 'poll 0', 'read 0 16']);
});

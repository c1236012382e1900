/** The pair of 8259As by their registers, as arch/x86/kvm/i8259.c has them: polls, rotation, automatic ends, when the output changes. */

import { describe, expect, test } from 'vitest';
import { EventStream } from '../../../src/event.ts';
import { PicPair } from '../../../src/linux/kvm/pic.ts';

/** The pair alone. `heard`: a processor takes its interrupts. */
class Pair {
  readonly ends: string[] = [];
  readonly masks: string[] = [];
  readonly pic: PicPair;

  constructor(heard = true) {
    this.pic = new PicPair(new EventStream(() => 0n), {
      acknowledged: (chip, input) => this.ends.push(`${chip}.${input}`),
      masked: (chip, input, masked) => this.masks.push(`${chip}.${input} ${masked}`),
      raised: () => undefined,
      heard: () => heard,
    });
    // Vectors 0x20 and 0x28, all inputs open.
    for (const [port, values] of [
      [0x20, [0x11, 0x20, 4, 1, 0]],
      [0xa0, [0x11, 0x28, 2, 1, 0]],
    ] as const)
      for (const [i, value] of values.entries()) this.out(i === 0 ? port : port + 1, value);
  }

  out(port: number, value: number): void {
    this.pic.ports(port >= 0xa0 ? 1 : 0).write!(port, Uint8Array.of(value));
  }
  in(port: number): number {
    const data = new Uint8Array(1);
    this.pic.ports(port >= 0xa0 ? 1 : 0).read!(port, data);
    return data[0]!;
  }
  /** An edge on each of `pins`. */
  pulse(...pins: number[]): void {
    for (const pin of pins) {
      this.pic.setIrq(pin, 0, true);
      this.pic.setIrq(pin, 0, false);
    }
  }
  /** IRR and ISR of a chip. */
  registers(port: number): number[] {
    return [0x0a, 0x0b].map((command) => {
      this.out(port, command);
      return this.in(port);
    });
  }
}

describe('poll', () => {
  test('of the master: the input, served at once, without a trace in ISR', () => {
    const pair = new Pair();
    pair.pulse(3, 5);
    pair.out(0x20, 0x0c);
    expect([pair.in(0x20), pair.ends, pair.registers(0x20), pair.pic.output]).toEqual([3, ['0.3'], [0x20, 0], true]);
    pair.out(0x20, 0x0c);
    // By the data port too.
    expect([pair.in(0x21), pair.in(0x21), pair.pic.output]).toEqual([5, 0, false]);
    pair.out(0x20, 0x0c);
    expect(pair.in(0x20)).toBe(7);
  });

  test('of the slave: the master forgets its input 2', () => {
    const pair = new Pair();
    pair.pulse(12);
    expect(pair.registers(0x20)).toEqual([4, 0]);
    pair.out(0xa0, 0x0c);
    expect([pair.in(0xa0), pair.ends, pair.registers(0x20), pair.pic.output]).toEqual([4, ['1.4'], [0, 0], false]);
  });

  test('a level that is still high is asked for again only with its next rise', () => {
    const pair = new Pair();
    pair.pic.levelPorts().write!(0x4d0, Uint8Array.of(0xff));
    pair.pic.setIrq(5, 0, true);
    pair.out(0x20, 0x0c);
    expect([pair.in(0x20), pair.registers(0x20), pair.pic.output]).toEqual([5, [0, 0], false]);
  });
});

describe('the output', () => {
  test('stays over ICW1, OCW3, reads and ELCR until something is masked, served or raised: then a spurious 7', () => {
    const pair = new Pair();
    pair.pulse(3);
    pair.out(0x20, 0x11);
    expect([pair.pic.output, pair.ends]).toEqual([true, ['0.3']]);
    for (const value of [0x20, 4, 1]) pair.out(0x21, value);
    pair.in(0x20);
    pair.out(0x20, 0x0b);
    expect(pair.pic.output).toBe(true);
    expect([pair.pic.acknowledge(), pair.pic.output, pair.registers(0x20)]).toEqual([0x27, false, [0, 0]]);
  });

  test('behind a slave whose request went away: its spurious 7', () => {
    const pair = new Pair();
    pair.pulse(12);
    pair.out(0xa1, 0xff);
    expect([pair.pic.acknowledge(), pair.registers(0x20), pair.registers(0xa0)]).toEqual([0x2f, [0, 4], [0x10, 0]]);
  });

  test('ICW1 tells nobody of what it drops when no processor listens', () => {
    const pair = new Pair(false);
    pair.pulse(3);
    pair.out(0x20, 0x11);
    expect([pair.ends, pair.registers(0x20)]).toEqual([[], [0, 0]]);
  });

  test('what OCW1 changes is told', () => {
    const pair = new Pair();
    pair.out(0x21, 0x05);
    pair.out(0xa1, 0x80);
    pair.out(0x21, 0x04);
    expect(pair.masks).toEqual(['0.0 true', '0.2 true', '1.7 true', '0.0 false']);
  });
});

describe('priorities', () => {
  test('rotation by EOI and by command', () => {
    const pair = new Pair();
    pair.pulse(1, 3);
    expect(pair.pic.acknowledge()).toBe(0x21);
    pair.out(0x20, 0xa0);
    pair.pulse(0, 1);
    // 1 is last now, 2 first.
    expect(pair.pic.acknowledge()).toBe(0x23);
    pair.out(0x20, 0x20);
    pair.out(0x20, 0xc0);
    expect(pair.pic.acknowledge()).toBe(0x21);
    pair.out(0x20, 0xe1);
    expect(pair.pic.acknowledge()).toBe(0x20);
  });

  test('automatic ends rotate if they are told to', () => {
    const pair = new Pair();
    for (const [port, value] of [
      [0x20, 0x11],
      [0x21, 0x20],
      [0x21, 4],
      [0x21, 3],
      [0x21, 0],
      [0x20, 0x80],
    ] as const)
      pair.out(port, value);
    pair.pulse(4, 5);
    expect([pair.pic.acknowledge(), pair.registers(0x20)]).toEqual([0x24, [0x20, 0]]);
    pair.pulse(4);
    expect([pair.pic.acknowledge(), pair.pic.acknowledge(), pair.ends]).toEqual([0x25, 0x24, ['0.4', '0.5', '0.4']]);
  });
});

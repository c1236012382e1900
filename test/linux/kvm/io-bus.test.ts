import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IoBus, type IoDevice } from '../../../src/linux/kvm/io-bus.ts';
import { ENOMEM, ENOSPC, EOPNOTSUPP } from '../../../src/linux/uapi/errno.ts';

const device = (answers: boolean, log: string[], name: string): IoDevice => ({
  write: () => {
    log.push(name);
    return answers ? 0 : -EOPNOTSUPP;
  },
  read: (_address, data) => {
    log.push(name);
    data.fill(0x5a);
    return answers ? 0 : -EOPNOTSUPP;
  },
});

/** Has memory until `left` tables were made. */
const hostWith = (left: number, log: string[] = []) => ({
  kmalloc: () => left-- > 0,
  refuse: (errno: number) => -errno,
  printk: (text: string) => void log.push(text),
});
const host = hostWith(Number.POSITIVE_INFINITY);

describe('matching (kvm_io_bus_cmp)', () => {
  // [range address, range length, access address, access length, matches]
  test.each([
    [0x20, 2, 0x20, 1, true],
    [0x20, 2, 0x21, 1, true],
    [0x20, 2, 0x20, 2, true],
    [0x20, 2, 0x21, 2, false],
    [0x20, 2, 0x1f, 2, false],
    [0x20, 2, 0x22, 1, false],
    [0x40, 4, 0x42, 4, false],
    [0x100, 0, 0x100, 1, true],
    [0x100, 0, 0x100, 8, true],
    [0x100, 0, 0x101, 1, false],
    [0x100, 0, 0xff, 2, false],
  ])('range %i+%i, access %i+%i: %s', (address, length, at, bytes, matches) => {
    const bus = new IoBus(host);
    const log: string[] = [];
    bus.register(address, length, device(true, log, 'd'));
    expect(bus.write(at, new Uint8Array(bytes))).toBe(matches ? 0 : -EOPNOTSUPP);
    expect(log).toEqual(matches ? ['d'] : []);
  });
});

test('a device that is not concerned passes the access on; equal ranges are asked in the order of registration', () => {
  const bus = new IoBus(host);
  const log: string[] = [];
  bus.register(0x10, 4, device(false, log, 'first'));
  bus.register(0x10, 4, device(true, log, 'second'));
  bus.register(0x10, 4, device(true, log, 'third'));
  expect(bus.write(0x10, new Uint8Array(4))).toBe(0);
  expect(log).toEqual(['first', 'second']);
});

test('a device without the method is not concerned', () => {
  const bus = new IoBus(host);
  bus.register(0x10, 1, {});
  expect(bus.read(0x10, new Uint8Array(1))).toBe(-EOPNOTSUPP);
  expect(bus.write(0x10, new Uint8Array(1))).toBe(-EOPNOTSUPP);
});

test('exactly 1000 devices fit; ioeventfds are not counted', () => {
  const bus = new IoBus(host);
  for (let i = 0; i < 50; i++) expect(bus.register(i, 1, {}, true)).toBe(0);
  for (let i = 0; i < 1000; i++) expect(bus.register(i, 1, {})).toBe(0);
  expect(bus.register(0, 1, {})).toBe(-ENOSPC);
  // The limit stops ioeventfds too once the others fill the bus.
  expect(bus.register(0, 1, {}, true)).toBe(-ENOSPC);
});

test('unregistering takes one device away and forgives an unknown one', () => {
  const bus = new IoBus(host);
  const log: string[] = [];
  const gone = device(true, log, 'gone');
  bus.register(0x10, 1, gone);
  bus.register(0x10, 1, device(true, log, 'stays'));
  expect(bus.unregister(gone)).toBe(0);
  expect(bus.unregister(gone)).toBe(0);
  bus.write(0x10, new Uint8Array(1));
  expect(log).toEqual(['stays']);
});

test('without memory for a longer bus nothing changes; without it for a shorter one the bus goes whole', () => {
  const log: string[] = [];
  const bus = new IoBus(hostWith(2, log));
  const [first, second] = [device(true, log, 'first'), device(true, log, 'second')];
  bus.register(0x10, 1, first);
  bus.register(0x20, 1, { ...second, lost: () => void log.push('second is lost') });
  expect(bus.register(0x30, 1, {})).toBe(-ENOMEM);
  expect(bus.write(0x20, new Uint8Array(1))).toBe(0);
  expect(bus.unregister(first)).toBe(-ENOMEM);
  expect(log).toEqual(['second', 'kvm: failed to shrink bus, removing it completely', 'second is lost']);
  expect(bus.write(0x20, new Uint8Array(1))).toBe(-EOPNOTSUPP);
  expect(bus.register(0x30, 1, {})).toBe(-ENOMEM);
});

test('on disjoint ranges the search finds what a naive scan finds', () => {
  const ranges = fc.uniqueArray(fc.nat({ max: 59 }), { maxLength: 20 });
  const lengths = fc.array(fc.integer({ min: 1, max: 8 }), { minLength: 60, maxLength: 60 });
  fc.assert(
    fc.property(ranges, lengths, fc.nat({ max: 500 }), fc.constantFrom(1, 2, 4, 8), (slots, sizes, at, bytes) => {
      const bus = new IoBus(host);
      const log: string[] = [];
      for (const slot of slots) bus.register(slot * 8, sizes[slot]!, device(true, log, String(slot)));
      const expected = slots.filter((slot) => at >= slot * 8 && at + bytes <= slot * 8 + sizes[slot]!);
      expect(bus.write(at, new Uint8Array(bytes))).toBe(expected.length > 0 ? 0 : -EOPNOTSUPP);
      expect(log).toEqual(expected.map(String));
    }),
  );
});

test('a bus that has been asked before answers as one that has not', () => {
  const range = fc.record({
    kind: fc.constant('register' as const),
    address: fc.nat(20),
    length: fc.nat(4),
    takes: fc.boolean(),
  });
  const gone = fc.record({ kind: fc.constant('unregister' as const), index: fc.nat(5) });
  const access = fc.record({
    kind: fc.constant('write' as const),
    address: fc.nat(24),
    length: fc.constantFrom(1, 2, 4),
  });
  fc.assert(
    fc.property(fc.array(fc.oneof(range, gone, access), { minLength: 5, maxLength: 50 }), (steps) => {
      const asked = new IoBus(host);
      const log: string[] = [];
      // Every range ever registered, in order; those that have gone are undefined.
      const made: ({ address: number; length: number; device: IoDevice } | undefined)[] = [];
      for (const step of steps) {
        if (step.kind === 'register') {
          const added = { ...step, device: device(step.takes, log, `d${made.length}`) };
          made.push(added);
          asked.register(added.address, added.length, added.device);
        } else if (step.kind === 'unregister') {
          const going = made[step.index];
          if (going !== undefined) asked.unregister(going.device);
          made[step.index] = undefined;
        } else {
          const fresh = new IoBus(host);
          for (const one of made) if (one !== undefined) fresh.register(one.address, one.length, one.device);
          const answers = [asked, fresh].map((bus) => {
            log.length = 0;
            return [bus.write(step.address, new Uint8Array(step.length)), [...log]];
          });
          expect(answers[0]).toEqual(answers[1]);
        }
      }
    }),
  );
});

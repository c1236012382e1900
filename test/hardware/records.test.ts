/** Decoded instructions in their records: whatever numbers a form takes come back as they were, and there is no end of code. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MiB } from '../../src/address.ts';
import { layoutOf, pack, unpacking } from '../../src/hardware/vcpu/interpreter/record-layout.ts';
import { Records } from '../../src/hardware/vcpu/interpreter/records.ts';
import type { Parameter } from '../../src/hardware/vcpu/interpreter/step.ts';
import { CODE, FlatMachine } from './flat-machine.ts';

const slot = fc.integer({ min: 0, max: 255 });
const word = fc.oneof(fc.integer(), fc.constantFrom(-(2 ** 31), 2 ** 31 - 1));
const quad = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const short = word.map(BigInt);
const distance = fc.integer({ min: -(2 ** 31), max: 2 ** 31 + 4110 });

/** Parameters as instructions have them together, with numbers for them. */
const sets: readonly Readonly<Record<string, fc.Arbitrary<Parameter>>>[] = [
  {},
  { r0: slot, r1: slot },
  { r1: slot, b0: slot, x0: slot, d0: word },
  { r0: slot, B1: slot, X1: slot, D1: quad },
  { r0: slot, I1: quad },
  { b0: slot, x0: slot, d0: word, I1: short },
  { r0: slot, b1: slot, x1: slot, d1: word, I2: short },
  // imul r64, [rip + …], imm32: the longest.
  { r0: slot, f1: distance, I2: short },
  { r1: slot, f0: distance, i2_8: word },
  { T0: distance.map(BigInt), next: fc.integer({ min: 1, max: 4111 }).map(BigInt) },
  { f0: distance, next: fc.integer({ min: 1, max: 4111 }).map(BigInt) },
  { r0: slot, again: fc.integer({ min: 1, max: 4096 }) },
  { i0_16: word, i1_8: word },
];

test('a record holds the numbers of its form', () => {
  const records = new Records();
  const { words, quads, doubles } = records;
  for (const set of sets) {
    const names = Object.keys(set);
    const layout = layoutOf(names);
    const read = new Function('W', 'Q', 'F', 'at', `${unpacking(names, layout)}return [${names}];`);
    fc.assert(
      fc.property(fc.tuple(...Object.values(set)), fc.integer({ min: 0, max: 1000 }), (values, at) => {
        pack(layout, values, at * 16, records);
        expect(read(words, quads, doubles, at)).toEqual(values);
      }),
      { seed: 7, numRuns: 200 },
    );
  }
});

test('numbers that no record holds are no form’s', () => {
  expect(() => layoutOf(['f0', 'D1', 'I2'])).toThrow('no record holds f0, D1, I2');
});

test('code beyond what is kept is decoded anew', () => {
  const count = 4_500_000;
  const machine = new FlatMachine(new Uint8Array(0), MiB(16));
  const { cpu, memory } = machine;
  const addOne = [0x83, 0xc0, 0x01];
  for (let each = 0; each < count; each++) memory.bytes.set(addOne, CODE + 3 * each);
  const back = new DataView(new ArrayBuffer(5));
  back.setUint8(0, 0xe9);
  back.setInt32(1, -(3 * count + 5), true);
  memory.bytes.set(new Uint8Array(back.buffer), CODE + 3 * count);
  cpu.run(2 * (count + 1));
  expect(cpu.register(0)).toBe(BigInt(2 * count));
  expect(cpu.rip).toBe(BigInt(CODE));
});

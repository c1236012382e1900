/** Sums over GF(2) of translated code: what one has less than another. */

import { expect, test } from 'vitest';
import { constant, type Term, type WasmValue } from '../../src/hardware/vcpu/translator/wasm-value.ts';
import { missingFrom, sumOfShiftRight, sumOfXor } from '../../src/hardware/vcpu/translator/xor-sum.ts';

const value = (local: number): WasmValue => ({ width: 32, local });
const term = (local: number): Term => ({ bit: { value: value(local), mask: 1n }, constant: 0x80n });
const [first, second, third] = [term(10), term(11), term(12)];
const whole = { base: value(1), shift: 2, terms: [first, second, third] };

test('what is missing from a sum is the terms that it has not', () => {
  expect(missingFrom({ ...whole, base: value(1), terms: [first] }, whole)).toEqual([second, third]);
  expect(missingFrom(whole, whole)).toEqual([]);
});

test.each([
  ['another base', { ...whole, base: value(2) }],
  ['no base', { ...whole, base: undefined }],
  ['a constant for a base', { ...whole, base: constant(32, 5n) }],
  ['a base that is moved further', { ...whole, shift: 3 }],
  ['a term more', { ...whole, terms: [first, second, third, term(13)] }],
])('a sum with %s is no part', (_name, sum) => {
  expect(missingFrom(sum, whole)).toBeUndefined();
});

test('a constant is another base than none', () => {
  const none = { ...whole, base: undefined };
  expect(missingFrom({ ...none, base: constant(32, 5n) }, none)).toBeUndefined();
});

test('moving a sum down moves its constants, and leaves out those of which nothing is left', () => {
  const terms = [first, { ...second, constant: 1n }];
  expect(sumOfShiftRight({ ...value(3), sum: { ...whole, terms } }, 4)).toEqual({
    base: value(1),
    shift: 6,
    terms: [{ ...first, constant: 8n }],
  });
  expect(sumOfShiftRight({ ...value(3), sum: whole }, 30)).toBeUndefined();
});

test('two values with bases make no sum', () => {
  expect(sumOfXor(value(1), value(2))).toBeUndefined();
  const terms = { ...value(3), sum: { base: undefined, shift: 0, terms: [first] } };
  expect(sumOfXor(value(1), terms)).toEqual({ base: value(1), shift: 0, terms: [first] });
  expect(sumOfXor(terms, value(1))).toEqual({ base: value(1), shift: 0, terms: [first] });
});

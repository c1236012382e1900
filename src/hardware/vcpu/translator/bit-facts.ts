/**
 * What is known of single bits of a value: which are 0, and which are those of earlier values, moved. Each turn of a checksum
 * takes a bit of what the turn before has made; where that bit is known to come from further back, it can be taken from there,
 * and the turns need not wait for each other.
 */

import type { BitFacts, Origin, WasmValue } from './wasm-value.ts';

/** Values that are followed back from one: each stays in its local for that long. */
const MAX_ORIGINS = 4;

/** How many of the low 32 bits are 1. */
function onesOf(bits: number): number {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count++;
  return count;
}
const ones = (bits: bigint): number =>
  onesOf(Number(BigInt.asIntN(32, bits))) + onesOf(Number(BigInt.asIntN(32, bits >> 32n)));
const allBits = (width: number): bigint => (1n << BigInt(width)) - 1n;

function zerosOf({ width, known, bits }: WasmValue): bigint {
  if (known !== undefined) return ~known & allBits(width);
  return bits?.zeros ?? 0n;
}

/** Origins of `value` where its bits are moved down by `shift` and those outside `mask` lost. */
function movedOrigins(value: WasmValue, shift: number, mask: bigint): Origin[] {
  if (value.known !== undefined || mask === 0n) return [];
  const earlier = (value.bits?.origins ?? [])
    .map((origin) => ({
      value: origin.value,
      shift: origin.shift + shift,
      bits: (origin.bits >> BigInt(shift)) & mask,
    }))
    .filter(({ bits }) => bits !== 0n);
  if (!earlier.some(({ bits }) => bits === mask)) earlier.push({ value, shift, bits: mask });
  return earlier.slice(-MAX_ORIGINS);
}

function facts(zeros: bigint, origins: readonly Origin[]): BitFacts | undefined {
  return zeros === 0n && origins.length === 0 ? undefined : { zeros, origins };
}

export const bitsOfAnd = (a: WasmValue, b: WasmValue): BitFacts | undefined => facts(zerosOf(a) | zerosOf(b), []);

/** Of a ∨ b as well as of a ⊕ b: where one of them is 0, it is the other; of the two, that of which more is left is noted. */
export function bitsOfOr(a: WasmValue, b: WasmValue): BitFacts | undefined {
  const [zerosOfA, zerosOfB] = [zerosOf(a), zerosOf(b)];
  if (zerosOfA === 0n && zerosOfB === 0n) return undefined;
  const origins = ones(zerosOfA) > ones(zerosOfB) ? movedOrigins(b, 0, zerosOfA) : movedOrigins(a, 0, zerosOfB);
  return facts(zerosOfA & zerosOfB, origins);
}

/** Of 0 - `a`: all bits alike, if `a` is 0 or 1. */
export const bitsOfNegation = (a: WasmValue): BitFacts | undefined =>
  a.known === undefined && zerosOf(a) === allBits(a.width) - 1n ? { zeros: 0n, origins: [], spread: a } : undefined;

/** Of `a`, its bits moved down by `count` and zeros put in above. */
export function bitsOfShiftRight(a: WasmValue, count: number): BitFacts | undefined {
  const kept = allBits(a.width) >> BigInt(count);
  return facts((zerosOf(a) >> BigInt(count)) | (allBits(a.width) & ~kept), movedOrigins(a, count, kept));
}

/** The earliest value that has the bits `mask` of `value`, and by how much they have to be moved down. */
export function earliest(value: WasmValue, mask: bigint): { readonly value: WasmValue; readonly shift: number } {
  const wanted = mask & allBits(value.width);
  return value.bits?.origins.find(({ bits }) => (bits & wanted) === wanted) ?? { value, shift: 0 };
}

/** Filling one field of a section whose address is known (psABI §4.4.1). */

import { RELOCATIONS, type RelocationRule, writeField } from './elf64.ts';

/** Why a field cannot hold its value. */
export interface Overflow {
  readonly rule: RelocationRule;
  readonly value: bigint;
}

/**
 * Stores S + A (− P) into `data`. `symbol` is S; `place` the address of the field, P. Returns what does not fit, if anything.
 * The type must be one that {@link RELOCATIONS} has.
 */
export function applyRelocation(
  data: DataView,
  offset: number,
  type: number,
  symbol: bigint,
  addend: bigint,
  place: bigint,
): Overflow | undefined {
  const rule = RELOCATIONS.get(type);
  if (rule === undefined) throw new Error(`relocation type ${type} passed the reader`);
  const value = BigInt.asIntN(64, symbol + addend - (rule.relative ? place : 0n));
  writeField(data, offset, rule.bytes, value);
  return fits(value, rule) ? undefined : { rule, value };
}

function fits(value: bigint, { bytes, range }: RelocationRule): boolean {
  const bits = bytes * 8;
  switch (range) {
    case 'none':
      return true;
    case 'signed':
      return BigInt.asIntN(bits, value) === value;
    case 'unsigned':
      return BigInt.asUintN(bits, value) === BigInt.asUintN(64, value);
    case 'either':
      return BigInt.asIntN(bits, value) === value || BigInt.asUintN(bits, value) === value;
  }
}

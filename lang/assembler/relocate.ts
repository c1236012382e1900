/** Fields whose value is not a plain number: written at once where the distance is known, else left to the linker as a relocation. */

import * as elf from '../object/elf64.ts';
import type { Expression } from '../syntax/ast.ts';
import type { Assembly } from './assembly.ts';
import { type Base, isConstant, soleBase, type Value } from './value.ts';

export interface Field {
  /** Offset in the section. */
  readonly at: number;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly signed: boolean;
  /** For a relative field: offset in the section that distances count from. */
  readonly from: number | undefined;
}

const ABSOLUTE = { 1: elf.R_X86_64_8, 2: elf.R_X86_64_16, 4: elf.R_X86_64_32, 8: elf.R_X86_64_64 };
const RELATIVE = { 1: elf.R_X86_64_PC8, 2: elf.R_X86_64_PC16, 4: elf.R_X86_64_PC32, 8: elf.R_X86_64_PC64 };

/**
 * The number to store in the field now; where the linker must fill it, adds the relocation and gives 0. Undefined means a fault was
 * reported.
 */
export function resolveField(value: Value, field: Field, at: Expression, assembly: Assembly): bigint | undefined {
  if (!value.known) {
    assembly.error(at, 'this value cannot be computed');
    return undefined;
  }
  const { section } = assembly;
  if (field.from === undefined && isConstant(value)) return value.constant;
  const [base, fromHere] = splitHere(value, section);
  if (base === undefined) {
    assembly.error(at, 'this value cannot be relocated: it is no label plus a number, nor a distance from here');
    return undefined;
  }
  if (fromHere && field.from !== undefined) {
    assembly.error(at, 'a distance cannot be a branch target');
    return undefined;
  }
  if (field.from !== undefined && base === section) return value.constant - BigInt(field.from);
  const relative = fromHere || field.from !== undefined;
  const addend = value.constant - BigInt(fromHere ? 0 : (field.from ?? 0)) + (relative ? BigInt(field.at) : 0n);
  const type = relocationType(value, field, relative, at, assembly);
  section.relocations.push({ offset: field.at, type, base: base === 'none' ? undefined : base, addend });
  return 0n;
}

/** `symbol - $` is a symbol and the section of `$` taken away: a relative field. */
function splitHere(value: Value, section: Base): [Base | 'none' | undefined, boolean] {
  const sole = soleBase(value);
  if (sole !== undefined) return [sole, false];
  const minus = value.terms.find((term) => term.of === section && term.factor === -1n);
  if (minus === undefined) return [undefined, false];
  return [soleBase({ ...value, terms: value.terms.filter((term) => term !== minus) }), true];
}

function relocationType(value: Value, field: Field, relative: boolean, at: Expression, assembly: Assembly): number {
  if (value.wrt !== undefined) {
    if (value.wrt.toLowerCase() === '..plt' && relative && field.bytes === 4) return elf.R_X86_64_PLT32;
    if (value.wrt.toLowerCase() === '..sym') return relative ? RELATIVE[field.bytes] : ABSOLUTE[field.bytes];
    assembly.error(at, `\`wrt ${value.wrt}\` is not supported here`);
  }
  if (relative) return RELATIVE[field.bytes];
  return field.bytes === 4 && field.signed ? elf.R_X86_64_32S : ABSOLUTE[field.bytes];
}

/** Stores the low bytes of a number. */
export function storeNumber(into: Uint8Array, at: number, bytes: number, value: bigint): void {
  if (value >= -0x80000000n && value <= 0xffffffffn && bytes <= 4) {
    let low = Number(value);
    for (let i = 0; i < bytes; i++) {
      into[at + i] = low & 0xff;
      low >>= 8;
    }
    return;
  }
  let rest = BigInt.asUintN(bytes * 8, value);
  for (let i = 0; i < bytes; i++) {
    into[at + i] = Number(rest & 0xffn);
    rest >>= 8n;
  }
}

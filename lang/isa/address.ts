/**
 * A memory operand as ModRM, SIB and displacement, by the choices NASM 2.16 makes: shortest displacement, `[rax*2]` as
 * `[rax+rax]`, the stack pointer moved out of the index, absolute addresses through a SIB byte without base or index.
 * Encodings: SDM vol. 2 §2.1.5 and §2.2.1.
 */

import type { SourceOperand } from './instruction.ts';
import type { Register } from './registers.ts';

/** A memory operand of the source. */
export type SourceMemory = Extract<SourceOperand, { kind: 'memory' }>;

/** ModRM without its reg field, what follows it, and the REX bits and prefix it asks for. */
export interface Address {
  readonly mod: number;
  readonly rm: number;
  readonly sib: number | undefined;
  readonly displacementBytes: 0 | 1 | 4;
  /** Undefined: a fixup fills it. */
  readonly displacement: bigint | undefined;
  readonly relative: boolean;
  readonly rexX: boolean;
  readonly rexB: boolean;
  readonly width: 32 | 64;
  /** NASM's warning where the displacement does not fit. */
  readonly warning: string | undefined;
}

/** Address size the operand asks for: its registers', else what is written, else 64; or a sentence why it is none. */
export function addressWidthOf(memory: SourceMemory): 32 | 64 | string {
  const { base, index } = memory;
  if (base === undefined && index === undefined) return memory.addressWidth ?? 64;
  // Nearly every address: 64-bit registers and no size of its own.
  const is64 = (register: Register | undefined) =>
    register === undefined || (register.class === 'general' && register.width === 64);
  if (memory.addressWidth === undefined && is64(base) && is64(index)) return 64;
  let width = memory.addressWidth;
  for (const register of [base, index]) {
    if (!register) continue;
    if (register.class === 'pointer') return `\`${register.name}\` cannot be written in an address: use [rel label]`;
    if (register.class !== 'general' || (register.width !== 32 && register.width !== 64)) {
      return `\`${register.name}\` cannot be part of a 64-bit address`;
    }
    if (width !== undefined && width !== register.width) {
      return base && index && base.width !== index.width
        ? `\`${base.name}\` and \`${index.name}\` differ in size: an address uses registers of one size`
        : `\`${register.name}\` does not fit an address size of ${width} bits`;
    }
    width = register.width as 32 | 64;
  }
  return width ?? 64;
}

const isStackPointer = (register: Register | undefined) => register?.number === 4;

/** Base, index and scale after NASM's rearrangements. */
function rearrange(memory: SourceMemory): { base: Register | undefined; index: Register | undefined; scale: number } {
  let { base, index } = memory;
  let scale: number = memory.scale ?? 1;
  if (index && !base) {
    // NASM keeps [nosplit reg*1] an index except for the registers that need a SIB byte as a base.
    if (scale === 1 && (!memory.nosplit || (index.number & 7) === 4)) {
      base = index;
      index = undefined;
    } else if (scale === 2 && !memory.nosplit && !isStackPointer(index)) {
      base = index;
      scale = 1;
    }
  }
  if (index && scale === 1 && isStackPointer(index)) [base, index] = [index, base];
  if (!index) scale = 1;
  return { base, index, scale };
}

/** Encodes a memory operand; a string is the reason why it cannot be. */
export function encodeAddress(memory: SourceMemory): Address | string {
  const width = addressWidthOf(memory);
  if (typeof width === 'string') return width;
  const { base, index, scale } = rearrange(memory);
  if (isStackPointer(index)) return `\`${index!.name}\` cannot be an index`;
  if (memory.displacementWidth === 64 && (base || index)) return 'a 64-bit displacement cannot stand beside registers';
  const displacement = memory.displacement;
  if (!base && !index) {
    const relative = memory.relative === true;
    return {
      mod: 0,
      rm: relative ? 5 : 4,
      sib: relative ? undefined : 0x25,
      displacementBytes: 4,
      displacement,
      relative,
      rexX: false,
      rexB: false,
      width,
      warning: relative ? undefined : overflow(displacement, 4, width),
    };
  }
  // NASM computes with the low 32 bits of a displacement.
  const low = displacement === undefined ? undefined : BigInt.asIntN(32, displacement);
  const needsSib = index !== undefined || (base!.number & 7) === 4;
  const bytes = base === undefined ? 4 : displacementBytes(memory, base, low);
  const sib = needsSib
    ? ((31 - Math.clz32(scale)) << 6) | ((index ? index.number & 7 : 4) << 3) | (base ? base.number & 7 : 5)
    : undefined;
  return {
    mod: base === undefined || bytes === 0 ? 0 : bytes === 1 ? 1 : 2,
    rm: needsSib ? 4 : base!.number & 7,
    sib,
    displacementBytes: bytes,
    displacement: low,
    relative: false,
    rexX: index !== undefined && index.number >= 8,
    rexB: base !== undefined && base.number >= 8,
    width,
    warning: overflow(displacement, bytes, width),
  };
}

function displacementBytes(memory: SourceMemory, base: Register, low: bigint | undefined): 0 | 1 | 4 {
  if (memory.displacementWidth === 8) return 1;
  if (memory.displacementWidth !== undefined || low === undefined) return 4;
  if (low === 0n && (base.number & 7) !== 5) return 0;
  return low >= -128n && low <= 127n ? 1 : 4;
}

/** NASM judges the displacement by the field it chose, not by the 32 bits it computed with. */
function overflow(displacement: bigint | undefined, bytes: 0 | 1 | 4, width: 32 | 64): string | undefined {
  if (displacement === undefined || bytes === 0) return undefined;
  if (displacement >= -128n && displacement <= 127n) return undefined;
  const signed = BigInt.asIntN(64, displacement);
  if (BigInt.asIntN(bytes * 8, signed) === signed) return undefined;
  if (bytes === 1) return 'byte data exceeds bounds';
  return width === 32 && BigInt.asUintN(64, displacement) < 1n << 32n ? undefined : 'dword data exceeds bounds';
}

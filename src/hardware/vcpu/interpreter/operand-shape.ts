/**
 * What the generated code of an instruction depends on, apart from plain numbers: kinds and widths of its operands, the
 * make-up of its addresses, whether a branch stays in its page. Instructions of equal shape share their code.
 */

import type { Instruction, MemoryReference, Operand, Width } from '../../../../lang/isa/instruction.ts';

export type OperandShape =
  | { readonly kind: 'register'; readonly width: Width }
  /** Segment, control and debug registers: their number is part of the shape. */
  | { readonly kind: 'special'; readonly width: Width; readonly number: number }
  | {
      readonly kind: 'memory';
      readonly width: Width;
      readonly base: boolean;
      readonly index: boolean;
      readonly scale: number;
      readonly ripRelative: boolean;
      readonly segment?: number;
      readonly addressWidth: 32 | 64;
      /** Based on rsp or rbp, so in the stack segment: a non-canonical address is #SS. */
      readonly stack: boolean;
    }
  | { readonly kind: 'immediate'; readonly width: Width }
  | { readonly kind: 'relative'; readonly width: Width; readonly inPage: boolean };

const FS = 4;
const RSP = 4;
const RBP = 5;

/** xlatb's index is al: its definition adds it. */
const hasIndex = ({ index }: MemoryReference): boolean => index !== undefined && index.width !== 8;

/** Addresses based on rsp or rbp lie in the stack segment, unless fs or gs is named. */
const inStackSegment = ({ base, segment }: MemoryReference): boolean =>
  base?.class === 'general' &&
  (base.number === RSP || base.number === RBP) &&
  (segment === undefined || segment.number < FS);

function shapeOf(operand: Operand, instruction: Instruction, next: number): OperandShape {
  switch (operand.kind) {
    case 'register': {
      const { register } = operand;
      return register.class === 'general' || register.class === 'high-byte'
        ? { kind: 'register', width: register.width as Width }
        : { kind: 'special', width: register.width as Width, number: register.number };
    }
    case 'memory': {
      const { base, scale, segment } = operand.memory;
      const shape = {
        kind: 'memory',
        width: (operand.width === 0 || operand.width > 64 ? 64 : operand.width) as Width,
        base: base !== undefined && base.class === 'general',
        index: hasIndex(operand.memory),
        scale: hasIndex(operand.memory) ? scale : 1,
        ripRelative: base !== undefined && base.class !== 'general',
        addressWidth: instruction.addressWidth,
        stack: inStackSegment(operand.memory),
      } as const;
      // In long mode es, cs, ss and ds have base 0, and overriding with them does nothing.
      return segment !== undefined && segment.number >= FS ? { ...shape, segment: segment.number } : shape;
    }
    case 'immediate':
      return { kind: 'immediate', width: operand.width };
    case 'relative': {
      const target = next + Number(operand.displacement);
      return { kind: 'relative', width: operand.width, inPage: target >= 0 && target < 4096 };
    }
  }
}

/** Shapes of all operands. `next` is the offset of the following instruction in the page. */
export const shapesOf = (instruction: Instruction, next: number): readonly OperandShape[] =>
  instruction.operands.map((operand) => shapeOf(operand, instruction, next));

const WIDTHS: readonly number[] = [8, 16, 32, 64];
const SCALES: readonly number[] = [1, 2, 4, 8];
/** Room for one operand's code in a key. */
const CODES = 512;

/** A number below CODES that is equal for operands of equal shape. */
function operandCode(operand: Operand, next: number): number {
  switch (operand.kind) {
    case 'register': {
      const { register } = operand;
      const width = WIDTHS.indexOf(register.width);
      const general = register.class === 'general' || register.class === 'high-byte';
      return general ? 1 + width : 16 + register.number * 4 + width;
    }
    case 'immediate':
      return 96 + WIDTHS.indexOf(operand.width);
    case 'relative': {
      const target = next + Number(operand.displacement);
      return target >= 0 && target < 4096 ? 100 : 101;
    }
    case 'memory': {
      const { base, scale, segment } = operand.memory;
      const width = operand.width === 0 || operand.width > 64 ? 3 : WIDTHS.indexOf(operand.width);
      const indexed = hasIndex(operand.memory) ? 1 + SCALES.indexOf(scale) : 0;
      const general = inStackSegment(operand.memory) ? 3 : 1;
      const based = base === undefined ? 0 : base.class === 'general' ? general : 2;
      const overridden = segment === undefined || segment.number < FS ? 0 : segment.number - FS + 1;
      return 128 + ((overridden * 5 + indexed) * 4 + based) * 4 + width;
    }
  }
}

/**
 * A number that, for one meaning, is equal for instructions whose generated code is equal. A number, because it is made
 * for every instruction decoded: a string took a tenth of a short run.
 */
export function formKey(instruction: Instruction, next: number): number {
  const { condition, width, addressWidth, repeat, operands } = instruction;
  let key = (condition ?? -1) + 1;
  key = key * 4 + WIDTHS.indexOf(width);
  key = key * 2 + (addressWidth === 64 ? 0 : 1);
  key = key * 3 + (repeat === 'none' ? 0 : repeat === 'rep' ? 1 : 2);
  for (const operand of operands) key = key * CODES + operandCode(operand, next);
  return key;
}

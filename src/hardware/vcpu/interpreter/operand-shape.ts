/**
 * What the generated code of an instruction depends on, apart from plain numbers: kinds and widths of its operands, the
 * make-up of its addresses, whether a branch stays in its page. Instructions of equal shape share their code.
 */

import type { Instruction, Operand, Width } from '../../../../lang/isa/instruction.ts';

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
    }
  | { readonly kind: 'immediate'; readonly width: Width }
  | { readonly kind: 'relative'; readonly width: Width; readonly inPage: boolean };

const FS = 4;

function shapeOf(operand: Operand, instruction: Instruction, next: number): OperandShape {
  switch (operand.kind) {
    case 'register': {
      const { register } = operand;
      return register.class === 'general' || register.class === 'high-byte'
        ? { kind: 'register', width: register.width as Width }
        : { kind: 'special', width: register.width as Width, number: register.number };
    }
    case 'memory': {
      const { base, index, scale, segment } = operand.memory;
      const shape = {
        kind: 'memory',
        width: (operand.width === 0 || operand.width > 64 ? 64 : operand.width) as Width,
        base: base !== undefined && base.class === 'general',
        index: index !== undefined,
        scale: index === undefined ? 1 : scale,
        ripRelative: base !== undefined && base.class !== 'general',
        addressWidth: instruction.addressWidth,
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

/** A string that is equal for instructions whose generated code is equal. */
export function formKey(instruction: Instruction, shapes: readonly OperandShape[]): string {
  let key = `${instruction.row.meaning}|${instruction.condition ?? ''}|${instruction.width}|${instruction.addressWidth}|${instruction.repeat}`;
  for (const shape of shapes) {
    switch (shape.kind) {
      case 'register':
        key += `|r${shape.width}`;
        break;
      case 'special':
        key += `|s${shape.width}#${shape.number}`;
        break;
      case 'immediate':
        key += `|i${shape.width}`;
        break;
      case 'relative':
        key += shape.inPage ? '|near' : '|far';
        break;
      case 'memory':
        key += `|m${shape.width}${shape.base ? 'b' : ''}${shape.index ? `x${shape.scale}` : ''}${shape.ripRelative ? 'p' : ''}${shape.segment ?? ''}`;
    }
  }
  return key;
}

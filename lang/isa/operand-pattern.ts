/** Operands in the notation of `table/row.ts`, parsed. */

import type { Width } from './instruction.ts';
import { type Register, registerNamed } from './registers.ts';

/** A width, or `row` for the width the operand-size prefixes choose. */
export type PatternWidth = Width | 0 | 128 | 'row';

/** One operand of a shape. */
export interface OperandPattern {
  readonly kind:
    | 'register'
    | 'rm'
    | 'memory'
    | 'far'
    | 'fixed'
    | 'accumulator'
    | 'segment'
    | 'control'
    | 'debug'
    | 'moffs'
    | 'immediate'
    | 'one'
    | 'relative'
    | 'implied-memory';
  /** Where the operand stands; `rm` also for a register that only ModRM.rm can hold. */
  readonly field: 'none' | 'reg' | 'rm' | 'opcode' | 'vex' | 'immediate';
  readonly width: PatternWidth;
  /** Written in the source; implied operands are not. */
  readonly written: boolean;
  /** The register of `fixed`, the base of `implied-memory`. */
  readonly register: Register | undefined;
  /** Memory whose size word may be left out; a branch distance that is this size without being told. */
  readonly sizeOptional: boolean;
  /** Memory may take its size from a register beside it. */
  readonly borrowsSize: boolean;
  /** Memory whose size does not matter at all. */
  readonly anySize: boolean;
  /** Immediates: how the bytes become an operand of the row's width. */
  readonly extension: 'none' | 'sign' | 'zero' | 'row' | 'full';
  /** Counts, ports and vectors: NASM warns of negative ones. */
  readonly unsigned: boolean;
  /** Immediates whose size may not be written. */
  readonly bare: boolean;
  /** Any register but the accumulator. */
  readonly notAccumulator: boolean;
}

/** The sizes a letter in place of a number stands for. */
export const LETTERS: Record<string, readonly Width[]> = { v: [16, 32, 64], y: [32, 64], s: [64, 16] };

const BLANK: OperandPattern = {
  kind: 'register',
  field: 'none',
  width: 0,
  written: true,
  register: undefined,
  sizeOptional: false,
  borrowsSize: true,
  anySize: false,
  extension: 'none',
  unsigned: false,
  bare: false,
  notAccumulator: false,
};

const IMMEDIATES: Record<string, Pick<OperandPattern, 'width' | 'extension'> & { bare?: boolean; unsigned?: boolean }> =
  {
    imm: { width: 'row', extension: 'row' },
    immv: { width: 'row', extension: 'full' },
    imm8: { width: 8, extension: 'none', unsigned: true },
    rotate8: { width: 8, extension: 'none' },
    imm16: { width: 16, extension: 'none' },
    bare8: { width: 8, extension: 'none', unsigned: true, bare: true },
    bare16: { width: 16, extension: 'none', bare: true },
    simm8: { width: 8, extension: 'sign' },
    simm32: { width: 32, extension: 'sign' },
    uimm32: { width: 32, extension: 'zero' },
  };

/** One operand of a row; throws where the table is wrong. */
export function parseOperand(text: string): OperandPattern {
  if (text.startsWith('{')) return { ...parseImplied(text.slice(1, -1)), written: false };
  const sizeOptional = text.endsWith('?');
  const borrowsSize = !text.endsWith('!');
  const name = text.replace(/[?!]$/, '');
  const immediate = IMMEDIATES[name];
  if (immediate) return { ...BLANK, kind: 'immediate', field: 'immediate', ...immediate };
  if (name === 'one') return { ...BLANK, kind: 'one', width: 8 };
  if (name === 'm' || name === 'mem') {
    return { ...BLANK, kind: 'memory', field: 'rm', sizeOptional: true, anySize: name === 'mem' };
  }
  if (name === 'sreg') return { ...BLANK, kind: 'segment', field: 'reg', width: 16 };
  if (name === 'creg') return { ...BLANK, kind: 'control', field: 'reg', width: 64 };
  if (name === 'dreg') return { ...BLANK, kind: 'debug', field: 'reg', width: 64 };
  const parts = /^(rmr|rm|r|vex|moffs|m|far|rel|a)(\d+|[vys])(na)?$/.exec(name);
  if (!parts) {
    const register = registerNamed(name);
    if (!register) throw new Error(`the instruction table names an operand that does not exist: ${text}`);
    return { ...BLANK, kind: 'fixed', register, width: register.width };
  }
  const width: PatternWidth = parts[2]! in LETTERS ? 'row' : (Number(parts[2]) as Width);
  switch (parts[1]) {
    case 'rm':
      return { ...BLANK, kind: 'rm', field: 'rm', width, sizeOptional, borrowsSize };
    case 'rmr':
      return { ...BLANK, field: 'rm', width };
    case 'vex':
      return { ...BLANK, field: 'vex', width };
    case 'm':
      return { ...BLANK, kind: 'memory', field: 'rm', width, sizeOptional };
    case 'far':
      return { ...BLANK, kind: 'far', field: 'rm', width, sizeOptional };
    case 'moffs':
      return { ...BLANK, kind: 'moffs', field: 'immediate', width, sizeOptional: true };
    case 'rel':
      return { ...BLANK, kind: 'relative', field: 'immediate', width, sizeOptional };
    case 'a':
      return { ...BLANK, kind: 'accumulator', width };
    default:
      return { ...BLANK, field: 'reg', width, notAccumulator: parts[3] !== undefined };
  }
}

function parseImplied(name: string): OperandPattern {
  const string = /^(di|si|bx|a)(\d+)$/.exec(name);
  if (!string) return { ...parseOperand(name) };
  const width = Number(string[2]) as Width;
  if (string[1] === 'a') return { ...BLANK, kind: 'accumulator', width };
  return { ...BLANK, kind: 'implied-memory', width, register: registerNamed(`r${string[1]}`) };
}

/** Width of an operand pattern in a row of that width. */
export function widthOf(pattern: OperandPattern, width: Width): Width | 0 | 128 {
  return pattern.width === 'row' ? width : pattern.width;
}

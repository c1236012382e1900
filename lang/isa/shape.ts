/** Rows of the table compiled: the notation of `table/row.ts` as numbers that encoder and decoder work with. */

import { type EncodingTail, encodingTail, type OpcodePlace, opcodePlace, operandSizes } from './encoding-notation.ts';
import type { Width } from './instruction.ts';
import { LETTERS, type OperandPattern, parseOperand } from './operand-pattern.ts';
import type { Row } from './table/row.ts';

/** A row, compiled. */
export interface Shape extends OpcodePlace, EncodingTail {
  readonly row: Row;
  readonly operands: readonly OperandPattern[];
  /** Operands that the source writes. */
  readonly written: readonly OperandPattern[];
  /** Operand sizes the row has; empty where the size prefixes do not matter to it. */
  readonly widths: readonly Width[];
  /** Width of the row where `widths` is empty, or undefined if the prefixes tell (ret, sysret). */
  readonly fixedWidth: Width | undefined;
  readonly default64: boolean;
  readonly registerInOpcode: boolean;
  readonly conditionInOpcode: boolean;
  /** What ModRM.mod may say. */
  readonly mod: 'any' | 'memory' | 'register';
  readonly addressWidth: 32 | 64 | undefined;
  readonly forceRexW: boolean;
  readonly noRexB: boolean;
  /** F3 and F2 must be absent, and 66 where it is no operand size. */
  readonly noPrefix: boolean;
}

/** Puts the register operand into the opcode where `+r` is, and lets memory borrow its size from a register beside it. */
function arrange(operands: readonly OperandPattern[], registerInOpcode: boolean): readonly OperandPattern[] {
  return operands.map((each) => {
    if (registerInOpcode && each.kind === 'register') return { ...each, field: 'opcode' };
    const borrows =
      (each.kind === 'rm' || each.kind === 'memory') &&
      each.borrowsSize &&
      operands.some(
        (other) =>
          other !== each &&
          other.width === each.width &&
          other.kind === 'register' &&
          (other.field === 'reg' || other.field === 'vex'),
      );
    return borrows ? { ...each, sizeOptional: true } : each;
  });
}

/** Whether an operand of a row without size prefixes tells the row's width: no immediate, target, port number or segment. */
function setsWidth(pattern: OperandPattern): boolean {
  if (pattern.kind === 'immediate' || pattern.kind === 'relative' || typeof pattern.width !== 'number') return false;
  return pattern.width !== 0 && pattern.register?.name !== 'dx' && pattern.register?.class !== 'segment';
}

function compile(row: Row): Shape {
  const tokens = row.encoding.split(' ');
  const place = opcodePlace(tokens);
  const names = row.operands === '' ? [] : row.operands.split(', ');
  const operands = arrange(names.map(patternOf), place.count === 8);
  const sizes = operandSizes(tokens);
  const letter = /(?:^|[ ,])(?:rmr|rm|r|vex|m|moffs|a)([vys])\b/.exec(row.operands)?.[1];
  const rm = operands.find((each) => each.field === 'rm');
  const fixed = tokens.includes('f64') ? 64 : operands.find(setsWidth)?.width;
  const { map, vex, mandatory, opcode, count, at } = place;
  const { modrm, digit, immediates } = encodingTail(tokens.slice(at + 1), row.operands.includes('rel'));
  // Named one by one: what follows a second spread V8 defines by a call of its runtime each, half of the time that this takes.
  return {
    map,
    vex,
    mandatory,
    opcode,
    count,
    at,
    modrm,
    digit,
    immediates,
    row,
    operands,
    written: operands.filter((each) => each.written),
    widths: sizes.length > 0 ? sizes : letter ? LETTERS[letter]! : [],
    fixedWidth: fixed === 8 || fixed === 16 || fixed === 32 || fixed === 64 ? fixed : undefined,
    default64: tokens.includes('d64'),
    registerInOpcode: place.count === 8,
    conditionInOpcode: place.count === 16,
    mod: rm === undefined || rm.kind === 'rm' ? 'any' : rm.kind === 'register' ? 'register' : 'memory',
    addressWidth: tokens.includes('a32') ? 32 : tokens.includes('a64') ? 64 : undefined,
    forceRexW: tokens.includes('w'),
    noRexB: tokens.includes('norexb'),
    noPrefix: tokens.includes('np'),
  };
}

const patterns = new Map<string, OperandPattern>();
/** parseOperand, once for each text: the table has hundreds of rows, and few kinds of operands. */
function patternOf(text: string): OperandPattern {
  let pattern = patterns.get(text);
  if (pattern === undefined) {
    pattern = parseOperand(text);
    patterns.set(text, pattern);
  }
  return pattern;
}

const shapes = new Map<Row, Shape>();

/** The shape of a row; compiled on first use. */
export function shapeOf(row: Row): Shape {
  let shape = shapes.get(row);
  if (!shape) {
    shape = compile(row);
    shapes.set(row, shape);
  }
  return shape;
}

/** Rows of the table compiled: the notation of `table/row.ts` as numbers that encoder and decoder work with. */

import type { Width } from './instruction.ts';
import { type Register, registerNamed } from './registers.ts';
import type { Row } from './table/row.ts';

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
  /** Immediates whose size may not be written. */
  readonly bare: boolean;
  /** Any register but the accumulator. */
  readonly notAccumulator: boolean;
}

/** Opcode map: 0 one-byte, 1 `0f`, 2 `0f38`, 3 `0f3a`. */
export type OpcodeMap = 0 | 1 | 2 | 3;

/** A row, compiled. */
export interface Shape {
  readonly row: Row;
  readonly operands: readonly OperandPattern[];
  /** Operands that the source writes. */
  readonly written: readonly OperandPattern[];
  /** Operand sizes the row has; empty where the size prefixes do not matter to it. */
  readonly widths: readonly Width[];
  /** Width of the row where `widths` is empty, or undefined if the prefixes tell (ret, sysret). */
  readonly fixedWidth: Width | undefined;
  readonly default64: boolean;
  readonly vex: boolean;
  readonly map: OpcodeMap;
  readonly mandatory: 0 | 0x66 | 0xf2 | 0xf3;
  readonly opcode: number;
  readonly registerInOpcode: boolean;
  readonly conditionInOpcode: boolean;
  /** ModRM: absent, a register or digit in reg, or one whole value. */
  readonly modrm: 'none' | 'register' | 'digit' | 'whole';
  readonly digit: number;
  /** What ModRM.mod may say. */
  readonly mod: 'any' | 'memory' | 'register';
  /** Tokens of the immediates, in order. */
  readonly immediates: readonly string[];
  readonly addressWidth: 32 | 64 | undefined;
  readonly forceRexW: boolean;
  readonly noRexB: boolean;
  /** F3 and F2 must be absent, and 66 where it is no operand size. */
  readonly noPrefix: boolean;
}

const LETTERS: Record<string, readonly Width[]> = { v: [16, 32, 64], y: [32, 64], s: [64, 16] };

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
  bare: false,
  notAccumulator: false,
};

const IMMEDIATES: Record<string, Pick<OperandPattern, 'width' | 'extension'> & { bare?: boolean }> = {
  imm: { width: 'row', extension: 'row' },
  immv: { width: 'row', extension: 'full' },
  imm8: { width: 8, extension: 'none' },
  imm16: { width: 16, extension: 'none' },
  bare8: { width: 8, extension: 'none', bare: true },
  bare16: { width: 16, extension: 'none', bare: true },
  simm8: { width: 8, extension: 'sign' },
  simm32: { width: 32, extension: 'sign' },
  uimm32: { width: 32, extension: 'zero' },
};

function parseOperand(text: string): OperandPattern {
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

/** Puts the register operand into the opcode where `+r` is, and lets memory borrow its size from a register beside it. */
function place(operands: readonly OperandPattern[], registerInOpcode: boolean): readonly OperandPattern[] {
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

const MAPS: Record<string, OpcodeMap> = { '0f': 1, '0f38': 2, '0f3a': 3 };

function compile(row: Row): Shape {
  const names = row.operands === '' ? [] : row.operands.split(', ');
  const tokens = row.encoding.split(' ');
  const branches = row.operands.includes('rel');
  const parsed = names.map(parseOperand);
  const registerInOpcode = row.encoding.includes('+r');
  const operands = place(parsed, registerInOpcode);
  let map: OpcodeMap = 0;
  let mandatory: Shape['mandatory'] = 0;
  let opcode: number | undefined;
  let modrm: Shape['modrm'] = 'none';
  let digit = 0;
  const immediates: string[] = [];
  const sizes: Width[] = [];
  for (const token of tokens) {
    if (/^o\d\d$/.test(token)) sizes.push(Number(token.slice(1)) as Width);
    else if (token === '/r') modrm = 'register';
    else if (token[0] === '/') {
      modrm = 'digit';
      digit = Number(token[1]);
    } else if (opcode !== undefined && (branches ? /^c[bd]$/ : /^(i[bwdqzv]|mo)$/).test(token)) immediates.push(token);
    else if (opcode === undefined && map === 0 && (token === 'f2' || token === 'f3' || token === '66')) {
      mandatory = Number.parseInt(token, 16) as Shape['mandatory'];
    } else if (opcode === undefined && map === 0 && token in MAPS) map = MAPS[token]!;
    else if (/^[0-9a-f]{2}(\+(r|cc))?$/.test(token)) {
      if (opcode === undefined) opcode = Number.parseInt(token.slice(0, 2), 16);
      else {
        modrm = 'whole';
        digit = Number.parseInt(token, 16);
      }
    }
  }
  if (opcode === undefined)
    throw new Error(`the instruction table has a row without an opcode: ${row.mnemonic} ${row.encoding}`);
  const letter = /(?:^|[ ,])(?:rmr|rm|r|vex|m|moffs|a)([vys])\b/.exec(row.operands)?.[1];
  const rm = operands.find((each) => each.field === 'rm');
  const fixed = tokens.includes('f64') ? 64 : operands.find(setsWidth)?.width;
  return {
    row,
    operands,
    written: operands.filter((each) => each.written),
    widths: sizes.length > 0 ? sizes : letter ? LETTERS[letter]! : [],
    fixedWidth: fixed === 8 || fixed === 16 || fixed === 32 || fixed === 64 ? fixed : undefined,
    default64: tokens.includes('d64'),
    vex: tokens.includes('vex'),
    map,
    mandatory,
    opcode,
    registerInOpcode,
    conditionInOpcode: row.encoding.includes('+cc'),
    modrm,
    digit,
    mod: rm === undefined || rm.kind === 'rm' ? 'any' : rm.kind === 'register' ? 'register' : 'memory',
    immediates,
    addressWidth: tokens.includes('a32') ? 32 : tokens.includes('a64') ? 64 : undefined,
    forceRexW: tokens.includes('w'),
    noRexB: tokens.includes('norexb'),
    noPrefix: tokens.includes('np'),
  };
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

/** Width of an operand pattern in a row of that width. */
export function widthOf(pattern: OperandPattern, width: Width): Width | 0 | 128 {
  return pattern.width === 'row' ? width : pattern.width;
}

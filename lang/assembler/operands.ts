/** Operands as written → operands as the encoder takes them, with the part of their value that only the linker knows. */

import type { SourceOperand, Width } from '../isa/instruction.ts';
import { type Register, registerNamed } from '../isa/registers.ts';
import type { Expression, Hints, OperandSyntax } from '../syntax/ast.ts';
import { isSummed } from './address-sums.ts';
import type { Assembly } from './assembly.ts';
import { isConstant, type Value } from './value.ts';

/** An operand ready for the encoder. */
export interface BuiltOperand {
  readonly source: SourceOperand;
  /** What a fixup of this operand is filled with; undefined for registers. */
  readonly value: Value | undefined;
  /** True where no symbol and no place took part in the value. */
  readonly isLiteral: boolean;
}

type Memory = Extract<SourceOperand, { kind: 'memory' }>;

/** Builds one operand at the present place; undefined where a fault was reported. */
export function buildOperand(operand: OperandSyntax, assembly: Assembly): BuiltOperand | undefined {
  const touchedBefore = assembly.touched;
  assembly.touched = false;
  const built = build(operand, assembly);
  const isLiteral = !assembly.touched;
  assembly.touched ||= touchedBefore;
  return built === undefined ? undefined : { source: built.source, value: built.value, isLiteral };
}

type Built = Omit<BuiltOperand, 'isLiteral'>;

function build(operand: OperandSyntax, assembly: Assembly): Built | undefined {
  const { expression, hints } = operand;
  if (operand.memory !== undefined) return buildMemory(operand, operand.memory, assembly);
  if (expression.kind === 'register') return buildRegister(expression.name, expression, hints, assembly);
  const value = assembly.value(expression);
  if (hasRegister(value)) {
    assembly.error(expression, 'registers can be added and scaled only inside [ ]');
    return undefined;
  }
  return {
    source: {
      kind: 'immediate',
      value: isConstant(value) ? value.constant : undefined,
      width: immediateWidth(hints),
      strict: hints.strict,
    },
    value,
  };
}

function hasRegister(value: Value): boolean {
  return value.terms.length > 0 && value.terms.some((term) => typeof term.of === 'string');
}

function buildRegister(name: string, at: Expression, hints: Hints, assembly: Assembly): Built | undefined {
  const register = registerNamed(name)!;
  if (hints.width !== undefined && hints.width !== register.width) {
    assembly.error(at, `${name} has ${register.width} bits, not ${hints.width}`);
    return undefined;
  }
  return { source: { kind: 'register', register }, value: undefined };
}

function immediateWidth(hints: Hints): Width | undefined {
  if (hints.short) return 8;
  if (hints.near && hints.width === undefined) return 32;
  return hints.width as Width | undefined;
}

function buildMemory(
  operand: OperandSyntax,
  written: NonNullable<OperandSyntax['memory']>,
  assembly: Assembly,
): Built | undefined {
  const { expression } = operand;
  const hints = written.hints;
  const value = assembly.value(expression);
  const nosplit = hints.nosplit === true && !isSummed(expression, assembly);
  const registers = addressRegisters(value, expression, nosplit, assembly);
  if (registers === undefined) return undefined;
  const offset: Value = registers.count === 0 ? value : withoutRegisters(value, registers.count);
  const segment = written.segment === undefined ? undefined : registerNamed(written.segment.image)!;
  if (segment !== undefined && segment.class !== 'segment') {
    assembly.diagnostics.error(assembly.item!.span, `${segment.name} is not a segment register`);
    return undefined;
  }
  const relative = registers.count === 0 && isRelative(hints, segment, offset, assembly);
  const { base, index, scale } = registers;
  const memory: Memory = {
    kind: 'memory',
    width: operand.hints.width as Memory['width'],
    base,
    index,
    scale,
    displacement: isConstant(offset) && !relative ? offset.constant : undefined,
    displacementWidth: hints.width as Memory['displacementWidth'],
    relative,
    segment,
    addressWidth: hints.addressWidth === 16 ? undefined : hints.addressWidth,
    nosplit,
  };
  return { source: memory, value: offset };
}

function withoutRegisters(value: Value, registers: number): Value {
  if (registers === value.terms.length && value.wrt === undefined) {
    return { constant: value.constant, terms: NO_TERMS, known: value.known };
  }
  return { ...value, terms: value.terms.filter((term) => typeof term.of !== 'string') };
}

const NO_TERMS: Value['terms'] = [];

/**
 * `rel`, or `default rel` where nothing speaks against it. A plain number is absolute whatever is said, and so is, in the first pass,
 * a symbol that has no value yet: NASM (process_ea) takes the longer absolute form there, which decides some jump sizes later.
 */
function isRelative(hints: Hints, segment: Register | undefined, offset: Value, assembly: Assembly): boolean {
  if (hints.absolute || !offset.known || isConstant(offset)) return false;
  if (hints.relative) return true;
  const threadSegment = segment?.name === 'fs' || segment?.name === 'gs';
  return assembly.defaultRelative && !threadSegment && hints.width !== 64;
}

interface AddressRegisters {
  readonly count: number;
  readonly base: Register | undefined;
  readonly index: Register | undefined;
  readonly scale: 1 | 2 | 4 | 8;
}

const NO_REGISTERS: AddressRegisters = { count: 0, base: undefined, index: undefined, scale: 1 };

/** Base, index and scale: the first register that is not multiplied is mostly the base; 3, 5 and 9 times one register uses both places. */
function addressRegisters(
  value: Value,
  at: Expression,
  nosplit: boolean,
  assembly: Assembly,
): AddressRegisters | undefined {
  if (!hasRegister(value)) return NO_REGISTERS;
  const terms = value.terms.filter((term) => typeof term.of === 'string');
  const fault = (message: string): undefined => {
    assembly.error(at, message);
    return undefined;
  };
  if (terms.length > 2) return fault('an address holds at most two registers');
  const [first, second] = terms.map((term) => ({
    register: registerNamed(term.of as string)!,
    scale: Number(term.factor),
  }));
  if (second === undefined) {
    // `[nosplit rcx*1]` means an index.
    const isIndex = nosplit && first!.scale === 1 && multiplied(at, first!.register.name);
    return isIndex ? { count: 1, base: undefined, index: first!.register, scale: 1 } : oneRegister(first!, fault);
  }
  let [base, index] = first!.scale === 1 ? [first!, second] : [second, first!];
  if (first!.scale === 1 && second.scale === 1) {
    const swapped = isSummed(at, assembly)
      ? second.register.name < first!.register.name
      : multiplied(at, first!.register.name);
    if (swapped) [base, index] = [second, first!];
  }
  if (base.scale !== 1) return fault('only one register of an address can be multiplied');
  if (!isScale(index.scale))
    return fault(`${index.register.name} is multiplied by ${index.scale}; only 1, 2, 4 and 8 exist`);
  return { count: 2, base: base.register, index: index.register, scale: index.scale };
}

function oneRegister(
  { register, scale }: { register: Register; scale: number },
  fault: (message: string) => undefined,
): AddressRegisters | undefined {
  if (scale === 1) return { count: 1, base: register, index: undefined, scale: 1 };
  if (isScale(scale)) return { count: 1, base: undefined, index: register, scale };
  if (isScale(scale - 1)) return { count: 1, base: register, index: register, scale: (scale - 1) as 2 | 4 | 8 };
  return fault(`${register.name} is multiplied by ${scale}; only 1, 2, 3, 4, 5, 8 and 9 can be encoded`);
}

function isScale(scale: number): scale is 1 | 2 | 4 | 8 {
  return scale === 1 || scale === 2 || scale === 4 || scale === 8;
}

/** `[rcx*1+rax]`: the first register, written with a factor, be it 1, wants to be the index. */
function multiplied(expression: Expression, name: string): boolean {
  if (expression.kind !== 'binary') return false;
  const { operator, left, right } = expression;
  if (operator !== '*') return multiplied(left, name) || multiplied(right, name);
  return [left, right].some((side) => side.kind === 'register' && side.name === name);
}

/**
 * Whether the operands of the source fit a row, by NASM's rules: sizes that are not written are borrowed from registers and
 * sized immediates, values that fit choose the short forms unless `strict` or a size word forbids it.
 */

import { addressWidthOf, type SourceMemory } from './address.ts';
import type { SourceOperand, Width } from './instruction.ts';
import { type OperandPattern, widthOf } from './operand-pattern.ts';
import type { Register } from './registers.ts';
import type { Shape } from './shape.ts';

/** How one operand met its pattern. `missing-size`: only the size word of the memory operand lacks. */
export type Fit = 'fits' | 'missing-size' | 'size' | 'kind';

/** How a whole row met the operands: the first operand that did not fit, and how. */
export interface Match {
  readonly fit: Fit;
  readonly operand: number;
}

const FITS: Match = { fit: 'fits', operand: -1 };
/** The answers there are, made once: most rows of a mnemonic are tried in vain, for every instruction of a source. */
const AT_OPERAND: readonly Readonly<Record<Fit, Match>>[] = Array.from({ length: 4 }, (_, operand) => ({
  fits: FITS,
  'missing-size': { fit: 'missing-size', operand },
  size: { fit: 'size', operand },
  kind: { fit: 'kind', operand },
}));

/** Matches every operand against a shape taken at one width. `assumed`: size of the memory operand that has none written. */
export function match(
  shape: Shape,
  width: Width,
  operands: readonly SourceOperand[],
  far: boolean,
  assumed: Width | 128 | undefined,
): Match {
  let missing: Match | undefined;
  let mismatch: Match | undefined;
  for (let i = 0; i < operands.length; i++) {
    const fit = matchOperand(shape.written[i]!, operands[i]!, width, far, assumed);
    if (fit === 'missing-size' && sizeFromImmediate(shape, operands, width)) continue;
    if (fit === 'missing-size') missing = AT_OPERAND[i]![fit];
    else if (fit === 'size' && shape.written[i]!.extension === 'row') mismatch = AT_OPERAND[i]![fit];
    else if (fit !== 'fits') return AT_OPERAND[i]![fit];
  }
  return missing ?? mismatch ?? FITS;
}

/** `mov [rax], dword 5`: the size word of the immediate is the memory's too, where the row takes an immediate of its width. */
function sizeFromImmediate(shape: Shape, operands: readonly SourceOperand[], width: Width): boolean {
  return shape.written.some((pattern, i) => {
    const operand = operands[i]!;
    if (pattern.kind !== 'immediate' || operand.kind !== 'immediate' || operand.width !== width) return false;
    if (width === 64) return false;
    return pattern.extension === 'row' || pattern.extension === 'sign';
  });
}

function matchOperand(
  pattern: OperandPattern,
  operand: SourceOperand,
  width: Width,
  far: boolean,
  assumed: Width | 128 | undefined,
): Fit {
  switch (operand.kind) {
    case 'register':
      return matchRegister(pattern, operand.register, width);
    case 'memory':
      return matchMemory(pattern, operand, width, far, assumed);
    default:
      return matchImmediate(pattern, operand, width);
  }
}

function matchRegister(pattern: OperandPattern, register: Register, width: Width): Fit {
  switch (pattern.kind) {
    case 'register':
    case 'rm': {
      if (register.class !== 'general' && register.class !== 'high-byte') return 'kind';
      if (pattern.notAccumulator && register.number === 0) return 'kind';
      return register.width === widthOf(pattern, width) ? 'fits' : 'size';
    }
    case 'fixed':
      return pattern.register === register ? 'fits' : 'kind';
    case 'accumulator':
      if (register.class !== 'general' || register.number !== 0) return 'kind';
      return register.width === widthOf(pattern, width) ? 'fits' : 'size';
    case 'segment':
    case 'control':
    case 'debug':
      return register.class === pattern.kind ? 'fits' : 'kind';
    default:
      return 'kind';
  }
}

function matchMemory(
  pattern: OperandPattern,
  memory: SourceMemory,
  width: Width,
  far: boolean,
  assumed: Width | 128 | undefined,
): Fit {
  if (pattern.kind === 'moffs') {
    if (!isOffset(memory)) return 'kind';
    return memory.width === undefined || memory.width === widthOf(pattern, width) ? 'fits' : 'size';
  }
  if (pattern.kind !== 'rm' && pattern.kind !== 'memory' && pattern.kind !== 'far') return 'kind';
  if (far !== (pattern.kind === 'far')) return 'kind';
  if (pattern.anySize) return 'fits';
  const wanted = widthOf(pattern, width);
  if (memory.width !== undefined) return memory.width === wanted ? 'fits' : 'size';
  if (pattern.sizeOptional) return 'fits';
  return assumed === undefined ? 'missing-size' : assumed === wanted ? 'fits' : 'size';
}

/** NASM takes the offset-only forms of mov for `[qword …]`, and for `[a32 …]`, where they are as long as the others. */
function isOffset(memory: SourceMemory): boolean {
  if (memory.base || memory.index || memory.relative) return false;
  return addressWidthOf(memory) === 32 ? memory.displacementWidth !== 64 : memory.displacementWidth === 64;
}

function matchImmediate(
  pattern: OperandPattern,
  operand: Extract<SourceOperand, { kind: 'immediate' }>,
  width: Width,
): Fit {
  const { value, width: written, strict } = operand;
  switch (pattern.kind) {
    case 'one':
      return value === 1n && written === undefined ? 'fits' : 'kind';
    case 'relative':
      if (written === undefined)
        return pattern.width === 8 && !pattern.sizeOptional && !fitsByte(value) ? 'size' : 'fits';
      return written === pattern.width || (written === 64 && pattern.width === 32) ? 'fits' : 'size';
    case 'immediate':
      break;
    default:
      return 'kind';
  }
  switch (pattern.extension) {
    case 'none':
      return written === undefined || (written === pattern.width && !pattern.bare) ? 'fits' : 'size';
    case 'row':
    case 'full':
      return written === undefined || written === width ? 'fits' : 'size';
    case 'zero':
      if (strict || value === undefined || (written !== undefined && written !== 64)) return 'size';
      return value >= 0n && value < 1n << 32n ? 'fits' : 'size';
    case 'sign':
      if (written === pattern.width) return 'fits';
      if (strict || value === undefined || (written !== undefined && written !== width)) return 'size';
      return fitsSigned(value, pattern.width as Width, width) ? 'fits' : 'size';
  }
}

function fitsByte(value: bigint | undefined): boolean {
  return value !== undefined && value >= -128n && value <= 127n;
}

/** NASM's test for the sign-extended forms: bytes are judged by the low 16 or 32 bits of the value alone. */
function fitsSigned(value: bigint, bits: Width, width: Width): boolean {
  if (value >= -128n && value <= 127n) return true;
  if (bits === 8) {
    const seen = width === 16 ? 16 : 32;
    return BigInt.asUintN(seen, value + 128n) <= 255n;
  }
  return BigInt.asUintN(64, value + (1n << 31n)) < 1n << 32n;
}

/** Instructions as NASM source: text that assembles to the same instruction. */

import type { Instruction, MemoryReference, Operand } from './instruction.ts';
import type { OperandPattern } from './operand-pattern.ts';
import { shapeOf } from './shape.ts';
import { candidates } from './table.ts';

const SIZE_WORDS: Record<number, string> = { 8: 'byte ', 16: 'word ', 32: 'dword ', 64: 'qword ', 128: 'oword ' };

/** Names to write in place of the numbers of an instruction. */
export interface FieldNames {
  /** Of a branch or a rip-relative address. */
  readonly target?: string;
  /** In an address that is not rip-relative. */
  readonly displacement?: string;
  readonly immediate?: string;
}

const NO_NAMES: FieldNames = {};

/**
 * One instruction in NASM syntax, lower case. `address` is where it stands: with it branch targets and rip-relative addresses are
 * numbers, without it they are written against `$`. Words that force a field's size are as its number needs them, names or not.
 */
export function format(instruction: Instruction, address?: bigint, names: FieldNames = NO_NAMES): string {
  const shape = shapeOf(instruction.row);
  const operands = instruction.operands.filter((_, i) => shape.operands[i]!.written);
  const prefixes = instructionPrefixes(instruction);
  if (operands.length === 0) return `${prefixes}${instruction.mnemonic}`;
  const texts = operands.map((each, i) => operand(instruction, shape.written[i]!, each, address, names));
  return `${prefixes}${instruction.mnemonic} ${texts.join(', ')}`;
}

function instructionPrefixes(instruction: Instruction): string {
  const shape = shapeOf(instruction.row);
  let text = '';
  if (instruction.lock) text += 'lock ';
  if (instruction.repeat === 'repne') text += 'repne ';
  else if (instruction.repeat === 'rep') text += instruction.row.repeat === 'repe' ? 'repe ' : 'rep ';
  const implied = instruction.operands.find(
    (each, i) => each.kind === 'memory' && shape.operands[i]!.kind === 'implied-memory',
  );
  if (implied) {
    if (instruction.addressWidth === 32) text += 'a32 ';
    for (const each of instruction.operands) {
      if (each.kind === 'memory' && each.memory.segment) text += `${each.memory.segment.name} `;
    }
  } else if (instruction.row.meaning.startsWith('loop') && instruction.addressWidth === 32) text += 'a32 ';
  const unsized = shape.widths.length === 0 && shape.fixedWidth === undefined;
  const usual = shape.default64 ? 64 : 32;
  if (unsized && instruction.width !== usual) text += `o${instruction.width} `;
  return text;
}

function operand(
  instruction: Instruction,
  pattern: OperandPattern,
  each: Operand,
  address: bigint | undefined,
  names: FieldNames,
): string {
  switch (each.kind) {
    case 'register':
      return each.register.name;
    case 'immediate':
      return (
        immediateHint(instruction, pattern, each) +
        (names.immediate ?? number(pattern.extension === 'none' ? each.value : signed(each)))
      );
    case 'relative': {
      const hasChoice = instruction.row.meaning === 'jmp' || instruction.row.meaning === 'jcc';
      return (
        (hasChoice ? (each.width === 8 ? 'short ' : 'near ') : '') +
        (names.target ?? target(instruction, each.displacement, address))
      );
    }
    case 'memory': {
      const size = pattern.sizeOptional && pattern.kind !== 'far' ? '' : SIZE_WORDS[each.width];
      const far = pattern.kind === 'far' ? 'far ' : '';
      return far + (size ?? '') + bracket(instruction, each.memory, pattern.kind === 'moffs', address, names);
    }
  }
}

type Immediate = Extract<Operand, { kind: 'immediate' }>;

/** Values the CPU sign-extends are written signed, and so are others that are small then. */
function signed({ value, width }: Immediate): bigint {
  const negative = BigInt.asIntN(width, value);
  return width === 64 || negative >= -128n ? negative : value;
}

/** The words that keep the assembler from a shorter form than the one this instruction has. */
function immediateHint(instruction: Instruction, pattern: OperandPattern, each: Immediate): string {
  const { row } = instruction;
  const value = BigInt.asIntN(each.width, each.value);
  const push = row.mnemonic === 'push' && each.width === 16 ? 'word ' : '';
  if (row.mnemonic === 'mov') {
    if (each.width !== 64) return '';
    const zeroExtends = value >= 0n && value < 1n << 32n;
    if (pattern.extension === 'row')
      return zeroExtends && instruction.operands[0]!.kind === 'register' ? 'strict dword ' : '';
    return zeroExtends || (value < 0n && value >= -(1n << 31n)) ? 'strict qword ' : '';
  }
  const shorter = (kind: (other: OperandPattern) => boolean) =>
    candidates(row.mnemonic)?.rows.some((other) => {
      const { written } = shapeOf(other);
      return written.length === instruction.operands.length && kind(written.at(-1)!);
    });
  if (pattern.extension === 'row' && each.width > 8 && value >= -128n && value <= 127n) {
    return shorter((other) => other.extension === 'sign') ? `strict ${SIZE_WORDS[each.width]}` : push;
  }
  if (pattern.kind === 'immediate' && pattern.extension === 'none' && each.value === 1n)
    return shorter((other) => other.kind === 'one') ? 'byte ' : push;
  return push;
}

/** A place counted from the end of the instruction, as a number or against `$`, its start. */
function target(instruction: Instruction, displacement: bigint, address: bigint | undefined): string {
  const distance = BigInt(instruction.length) + displacement;
  if (address !== undefined) return number(BigInt.asUintN(64, address + distance));
  return distance === 0n ? '$' : distance < 0n ? `$-${number(-distance)}` : `$+${number(distance)}`;
}

function bracket(
  instruction: Instruction,
  memory: MemoryReference,
  offsetOnly: boolean,
  address: bigint | undefined,
  names: FieldNames,
): string {
  const { base, index, scale, displacement } = memory;
  const segment = memory.segment ? `${memory.segment.name}:` : '';
  if (base?.class === 'pointer') {
    return `[${base.width === 32 ? 'a32 ' : ''}rel ${segment}${names.target ?? target(instruction, displacement, address)}]`;
  }
  const narrow = instruction.addressWidth === 32;
  if (!base && !index) {
    // Without `rel` or `abs` an address with fs or gs is absolute whatever `default` says.
    const absolute = memory.segment && memory.segment.number >= 4 ? '' : 'abs ';
    const words = offsetOnly ? (narrow ? 'a32 ' : 'qword ') : (narrow ? 'a32 qword ' : '') + absolute;
    const place = names.displacement ?? number(narrow ? BigInt.asUintN(32, displacement) : displacement);
    return `[${words}${segment}${place}]`;
  }
  const terms: string[] = [];
  if (base) terms.push(base.name);
  if (index) terms.push(base && scale === 1 ? index.name : `${index.name}*${scale}`);
  const size = displacementHint(memory);
  const split = !base && scale <= 2 ? 'nosplit ' : '';
  const tail =
    names.displacement !== undefined
      ? `+${names.displacement}`
      : displacement === 0n
        ? ''
        : displacement < 0n
          ? `-${number(-displacement)}`
          : `+${number(displacement)}`;
  return `[${size}${split}${segment}${terms.join('+')}${tail}]`;
}

/** A size word where the displacement is longer than the assembler would make it. */
function displacementHint({ base, displacement, displacementBytes }: MemoryReference): string {
  if (!base) return '';
  const short = displacement >= -128n && displacement <= 127n;
  if (displacementBytes === 4) return short ? 'dword ' : '';
  return displacementBytes === 1 && displacement === 0n && (base.number & 7) !== 5 ? 'byte ' : '';
}

function number(value: bigint): string {
  if (value < 0n) return `-${number(-value)}`;
  return value < 10n ? value.toString() : `0x${value.toString(16)}`;
}

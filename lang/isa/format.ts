/** Instructions as NASM source: text that assembles to the same instruction. */

import type { Instruction, MemoryReference, Operand } from './instruction.ts';
import { shapeOf } from './shape.ts';

const SIZE_WORDS: Record<number, string> = { 8: 'byte ', 16: 'word ', 32: 'dword ', 64: 'qword ', 128: 'oword ' };

/**
 * One instruction in NASM syntax, lower case. `address` is where it stands: with it branch targets and rip-relative addresses are
 * numbers, without it they are written against `$`.
 */
export function format(instruction: Instruction, address?: bigint): string {
  const shape = shapeOf(instruction.row);
  const operands = instruction.operands.filter((_, i) => shape.operands[i]!.written);
  const prefixes = instructionPrefixes(instruction);
  if (operands.length === 0) return `${prefixes}${instruction.mnemonic}`;
  const texts = operands.map((each, i) => {
    const pattern = shape.written[i]!;
    const far = pattern.kind === 'far' ? 'far ' : '';
    const offsetOnly = pattern.kind === 'moffs';
    // The one-byte form holds a value the assembler would rather put elsewhere only when told to.
    const word = pattern.extension === 'none' || each.kind !== 'immediate' ? '' : immediateWord(instruction, each);
    return word + far + operand(instruction, each, offsetOnly, address);
  });
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
  const unsized = shape.widths.length === 0 && shape.fixedWidth === undefined && shape.operands.length === 0;
  const usual = shape.default64 ? 64 : 32;
  if (unsized && instruction.width !== usual) text += `o${instruction.width} `;
  return text;
}

/** Immediates that the decoder extended are written as signed numbers, so that they fit the field they came from. */
function immediateWord(instruction: Instruction, operandOf: Operand): string {
  const push = instruction.row.mnemonic === 'push' && operandOf.kind === 'immediate' && operandOf.width === 16;
  return push ? 'word ' : '';
}

function operand(instruction: Instruction, each: Operand, offsetOnly: boolean, address: bigint | undefined): string {
  switch (each.kind) {
    case 'register':
      return each.register.name;
    case 'immediate':
      return number(
        each.width === 64 || isSignedSmall(each.value, each.width) ? BigInt.asIntN(each.width, each.value) : each.value,
      );
    case 'relative': {
      const distance = BigInt(instruction.length) + each.displacement;
      const target = address === undefined ? against(distance) : number(BigInt.asUintN(64, address + distance));
      const hasChoice = instruction.row.meaning === 'jmp' || instruction.row.meaning === 'jcc';
      return (hasChoice ? (each.width === 8 ? 'short ' : 'near ') : '') + target;
    }
    case 'memory':
      return (SIZE_WORDS[each.width] ?? '') + bracket(instruction, each.memory, offsetOnly, address);
  }
}

function isSignedSmall(value: bigint, width: number): boolean {
  return BigInt.asIntN(width, value) < 0n && BigInt.asIntN(width, value) >= -128n;
}

function bracket(
  instruction: Instruction,
  memory: MemoryReference,
  offsetOnly: boolean,
  address: bigint | undefined,
): string {
  const { base, index, scale, displacement } = memory;
  const segment = memory.segment ? `${memory.segment.name}:` : '';
  if (base?.class === 'pointer') {
    const distance = BigInt(instruction.length) + displacement;
    const target = address === undefined ? against(distance) : number(BigInt.asUintN(64, address + distance));
    return `[${segment}${base.width === 32 ? 'a32 ' : ''}rel ${target}]`;
  }
  const narrow = instruction.addressWidth === 32;
  if (!base && !index) {
    const words = offsetOnly ? (narrow ? 'a32 ' : 'qword ') : narrow ? 'a32 qword abs ' : 'abs ';
    return `[${words}${segment}${number(narrow ? BigInt.asUintN(32, displacement) : displacement)}]`;
  }
  const terms: string[] = [];
  if (base) terms.push(base.name);
  if (index) terms.push(base && scale === 1 ? index.name : `${index.name}*${scale}`);
  const split = !base && scale <= 2 ? 'nosplit ' : '';
  const tail = displacement === 0n ? '' : displacement < 0n ? `-${number(-displacement)}` : `+${number(displacement)}`;
  return `[${split}${segment}${terms.join('+')}${tail}]`;
}

/** A distance from the start of the instruction. */
function against(distance: bigint): string {
  return distance === 0n ? '$' : distance < 0n ? `$-${number(-distance)}` : `$+${number(distance)}`;
}

function number(value: bigint): string {
  if (value < 0n) return `-${number(-value)}`;
  return value < 10n ? value.toString() : `0x${value.toString(16)}`;
}

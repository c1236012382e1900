/** Bytes → one line of NASM source, with the places of its fields, so that a relocation or a label can name them. */

import { decode } from '../isa/decode.ts';
import { type FieldNames, format } from '../isa/format.ts';
import { immediateBytes } from '../isa/immediate.ts';
import type { Instruction } from '../isa/instruction.ts';
import { shapeOf } from '../isa/shape.ts';

/** An instruction at its place, or a byte that begins none. */
export interface DecodedLine {
  /** From the start of the bytes. */
  readonly offset: number;
  readonly length: number;
  /** Undefined where the bytes are no instruction that gvm has. */
  readonly instruction: Instruction | undefined;
}

/** Decodes `bytes` from `start` up to `end`, one after another; what does not decode is one byte. */
export function decodeLines(bytes: Uint8Array, start: number, end: number): DecodedLine[] {
  const lines: DecodedLine[] = [];
  for (let offset = start; offset < end; ) {
    const result = decode(bytes, offset, end, 'long');
    const instruction = 'failure' in result ? undefined : result;
    const length = instruction?.length ?? 1;
    lines.push({ offset, length, instruction });
    offset += length;
  }
  return lines;
}

/** Where the line's distance leads: the target of a branch, or the place of a rip-relative operand. Undefined if it has none. */
export function targetOffset({ offset, length, instruction }: DecodedLine): number | undefined {
  for (const operand of instruction?.operands ?? []) {
    if (operand.kind === 'relative') return offset + length + Number(operand.displacement);
    if (operand.kind === 'memory' && operand.memory.base?.class === 'pointer') {
      return offset + length + Number(operand.memory.displacement);
    }
  }
  return undefined;
}

/** Which field of an instruction begins `at` bytes into it, or undefined if none does. */
export function fieldAt(instruction: Instruction, at: number): keyof FieldNames | undefined {
  const { immediates } = shapeOf(instruction.row);
  const sizes = immediates.map((token) => immediateBytes(token, instruction.width, instruction.addressWidth));
  const behind = sizes.reduce<number>((sum, size) => sum + size, 0);
  for (const operand of instruction.operands) {
    if (operand.kind === 'relative' && at === instruction.length - operand.width / 8) return 'target';
    if (operand.kind !== 'memory') continue;
    const { base, displacementBytes } = operand.memory;
    const isOffset = displacementBytes === 8 || immediates.includes('mo');
    const start = instruction.length - (isOffset ? behind : behind + displacementBytes);
    if (displacementBytes > 0 && at === start) return base?.class === 'pointer' ? 'target' : 'displacement';
  }
  return behind > 0 && at === instruction.length - behind ? 'immediate' : undefined;
}

/** The line's text; without names, distances are written against `$`, so that the text means the same anywhere. */
export function lineOf(instruction: Instruction, names?: FieldNames): string {
  return format(instruction, undefined, names);
}

/** Bytes as data: `db 0x66, 0x90`. */
export function dataLine(bytes: Uint8Array): string {
  return `db ${[...bytes].map((byte) => `0x${byte.toString(16).padStart(2, '0')}`).join(', ')}`;
}

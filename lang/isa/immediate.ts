/** Immediates, branch displacements and offsets: how many bytes, what NASM warns of where the value does not fit. */

import type { Width } from './instruction.ts';
import type { OperandPattern } from './operand-pattern.ts';

/** Bytes of the field that a token of the encoding notation stands for. */
export function immediateBytes(token: string, width: Width, addressWidth: 32 | 64): 1 | 2 | 4 | 8 {
  switch (token) {
    case 'iw':
      return 2;
    case 'id':
    case 'cd':
      return 4;
    case 'iq':
      return 8;
    case 'iz':
      return width === 16 ? 2 : 4;
    case 'iv':
      return (width / 8) as 2 | 4 | 8;
    case 'mo':
      return (addressWidth / 8) as 4 | 8;
    default:
      return 1;
  }
}

/** Appends a value, little-endian. */
export function pushValue(bytes: number[], value: bigint, count: number): void {
  // Nearly every value: a number costs a tenth of a BigInt here.
  if (count <= 4 && value >= -0x8000_0000n && value <= 0xffff_ffffn) {
    let low = Number(value);
    for (let i = 0; i < count; i++) {
      bytes.push(low & 0xff);
      low >>= 8;
    }
    return;
  }
  let rest = BigInt.asUintN(64, value);
  for (let i = 0; i < count; i++) {
    bytes.push(Number(rest & 0xffn));
    rest >>= 8n;
  }
}

const SIZE_WORDS: Record<number, string> = { 8: 'byte', 16: 'word', 32: 'dword', 64: 'qword' };

/**
 * NASM's warning for a value that loses bits, or undefined. `written` is the size word before the value; the rules and the words are
 * those of NASM 2.16 (`ib,s` and `id,s` fields judge by the operand size, all others by the field).
 */
export function boundsWarning(
  pattern: OperandPattern,
  value: bigint,
  bytes: number,
  width: Width,
  written: Width | undefined,
): string | undefined {
  const bits = bytes * 8;
  if (bits === 64) return undefined;
  if (pattern.kind === 'relative') return fitsSigned(value, bits) ? undefined : 'branch target out of range';
  if (pattern.extension === 'sign' && bits === 8) {
    const seen = BigInt.asUintN(64, value);
    const end = BigInt.asUintN(64, 1n << BigInt(width));
    if (fitsSigned(BigInt.asIntN(64, value), 8)) return undefined;
    if (seen >= BigInt.asUintN(64, end - 128n) && seen <= BigInt.asUintN(64, end - 1n)) return undefined;
    const size = written === 8 ? 'signed byte' : width === 64 ? 'signed dword' : SIZE_WORDS[width];
    return `${size} value exceeds bounds`;
  }
  if (pattern.extension === 'sign' || (pattern.extension === 'row' && width === 64)) {
    return fitsSigned(BigInt.asIntN(64, value), bits)
      ? undefined
      : `signed ${SIZE_WORDS[bits]} immediate exceeds bounds`;
  }
  const end = 1n << BigInt(bits);
  const fits = value >= (pattern.unsigned ? 0n : -end) && value < end;
  return fits ? undefined : `${SIZE_WORDS[bits]} data exceeds bounds`;
}

function fitsSigned(value: bigint, bits: number): boolean {
  return BigInt.asIntN(bits, value) === value;
}

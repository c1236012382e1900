/**
 * Bytes to instructions, 64-bit mode (SDM vol. 2 §2.1–2.3 and appendix A). Prefixes, opcode and ModRM pick a row of the table
 * by way of `opcode-map.ts`; the row says what the operands are.
 */

import { readMemory, readOperand } from './decode-operand.ts';
import type { DecodeFailure, Instruction, MemoryReference, Mode, Operand, Width } from './instruction.ts';
import { Cursor, type Head, LONGEST, readHead } from './instruction-head.ts';
import { isLeftOut, slot } from './opcode-map.ts';
import type { Shape } from './shape.ts';
import { concreteMnemonic } from './table.ts';

/**
 * Decodes the instruction at `bytes[at]`, reading no byte at or after `limit`. `mode` must be `long`. Operands that the
 * instruction implies are listed only where they depend on prefixes or on the row: memory of string instructions and
 * xlatb, al/ax/eax/rax and dx beside them.
 */
export function decode(bytes: Uint8Array, at: number, limit: number, _mode: Mode): Instruction | DecodeFailure {
  const cursor = new Cursor(bytes, at, limit);
  const head = readHead(cursor);
  const failed = (failure: DecodeFailure['failure']): DecodeFailure => ({ failure, length: cursor.at - at });
  const overrun = () => failed(cursor.at - at >= LONGEST ? 'too-long' : 'truncated');
  if (cursor.overrun) return overrun();
  if (head === 'unsupported' || head === 'undefined') return failed(head);
  const shapes = slot(head.map, head.vex, head.opcode);
  const modrm = cursor.peek();
  let needed = false;
  for (const shape of shapes) {
    if (shape.modrm !== 'none' && modrm < 0) {
      needed = true;
      continue;
    }
    const width = selects(shape, head, modrm);
    if (width === undefined) continue;
    const instruction = build(shape, head, width, cursor);
    if (cursor.overrun) return overrun();
    return instruction ?? failed('undefined');
  }
  if (needed) return overrun();
  return failed(head.vex || isLeftOut(head.map, head.opcode) ? 'unsupported' : 'undefined');
}

/** The width at which a shape takes these bytes, or undefined if it does not. */
function selects(shape: Shape, head: Head, modrm: number): Width | undefined {
  if (shape.mandatory !== 0 && shape.mandatory !== head.mandatory) {
    if (shape.mandatory !== 0x66 || head.vex || head.prefixes.repeat || !head.prefixes.operandSize) return undefined;
  }
  if (shape.noPrefix && (head.prefixes.repeat || (head.mandatory && !shape.widths.includes(16)))) return undefined;
  if (head.vex && shape.mandatory !== head.mandatory) return undefined;
  if (shape.addressWidth && shape.addressWidth !== head.addressWidth) return undefined;
  if (shape.noRexB && head.rex & 1) return undefined;
  if (shape.modrm === 'whole' && modrm !== shape.digit) return undefined;
  if (shape.modrm === 'digit' && ((modrm >> 3) & 7) !== shape.digit) return undefined;
  if (shape.modrm === 'register' || shape.modrm === 'digit') {
    if (shape.mod === 'memory' && modrm >= 0xc0) return undefined;
    if (shape.mod === 'register' && modrm < 0xc0 && !isControlMove(shape)) return undefined;
  }
  const wide = (head.rex & 8) !== 0;
  const narrow = !head.vex && head.prefixes.operandSize && shape.mandatory !== 0x66;
  const { widths } = shape;
  if (widths.length === 0) return shape.fixedWidth ?? (wide ? 64 : narrow ? 16 : shape.default64 ? 64 : 32);
  const asked: Width = wide ? 64 : narrow ? 16 : shape.default64 ? 64 : 32;
  if (widths.includes(asked)) return asked;
  // Rows of 32 and 64 bits ignore a 66 prefix; rows for one size only are chosen by it.
  return widths.length > 1 && asked === 16 ? 32 : undefined;
}

/** mov to and from control and debug registers takes ModRM.mod as 3 whatever it says (SDM vol. 2, MOV CRn). */
function isControlMove(shape: Shape): boolean {
  return shape.map === 1 && shape.opcode >= 0x20 && shape.opcode <= 0x23;
}

function build(shape: Shape, head: Head, width: Width, cursor: Cursor): Instruction | undefined {
  const { prefixes } = head;
  let mod = 3;
  let reg = 0;
  let rm = 0;
  let memory: MemoryReference | undefined;
  if (shape.modrm !== 'none') {
    const modrm = cursor.byte();
    mod = isControlMove(shape) ? 3 : modrm >> 6;
    reg = ((modrm >> 3) & 7) | ((head.rex & 4) << 1);
    rm = modrm & 7;
    if (mod === 3 || shape.modrm === 'whole') rm |= (head.rex & 1) << 3;
    else memory = readMemory(cursor, head, mod, rm);
  }
  const operands: Operand[] = [];
  let immediates = 0;
  for (const pattern of shape.operands) {
    const token = pattern.field === 'immediate' ? shape.immediates[immediates++] : undefined;
    const operand = readOperand(pattern, token, shape, head, width, cursor, reg, rm, memory);
    if (!operand) return undefined;
    operands.push(operand);
  }
  const { row } = shape;
  if (prefixes.lock && !(row.lock && memory)) return undefined;
  const condition = shape.conditionInOpcode ? head.opcode & 15 : undefined;
  return {
    row,
    mnemonic: concreteMnemonic(row, condition),
    condition,
    length: cursor.at - cursor.start,
    width,
    addressWidth: head.addressWidth,
    lock: prefixes.lock,
    repeat: row.repeat === 'none' || !prefixes.repeat ? 'none' : prefixes.repeat === 0xf3 ? 'rep' : 'repne',
    operands,
  };
}

/**
 * Bytes to instructions, 64-bit mode (SDM vol. 2 §2.1–2.3 and appendix A). Prefixes, opcode and ModRM pick a row of the table
 * by way of `opcode-map.ts`; the row says what the operands are.
 */

import type { DecodeFailure, Instruction, MemoryReference, Mode, Operand, Width } from './instruction.ts';
import { isLeftOut, slot } from './opcode-map.ts';
import { byteRegister, CONTROLS, DEBUGS, EIP, generalRegisters, type Register, RIP, SEGMENTS } from './registers.ts';
import { type OpcodeMap, type OperandPattern, type Shape, widthOf } from './shape.ts';
import { concreteMnemonic } from './table.ts';

/** Longest instruction, in bytes. */
const LONGEST = 15;

/** Reads bytes of one instruction; `end` is where it must stop, be it the limit or the fifteenth byte. */
class Cursor {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  at: number;
  overrun = false;

  constructor(bytes: Uint8Array, start: number, limit: number) {
    this.bytes = bytes;
    this.start = start;
    this.at = start;
    this.end = Math.min(limit, bytes.length, start + LONGEST);
  }

  byte(): number {
    if (this.at >= this.end) {
      this.overrun = true;
      return 0;
    }
    return this.bytes[this.at++]!;
  }

  peek(): number {
    return this.at < this.end ? this.bytes[this.at]! : -1;
  }

  /** Little-endian, unsigned. */
  value(count: number): bigint {
    let value = 0n;
    for (let i = 0; i < count; i++) value |= BigInt(this.byte()) << BigInt(8 * i);
    return value;
  }
}

/** What the prefixes said. */
interface Prefixes {
  operandSize: boolean;
  addressSize: boolean;
  lock: boolean;
  repeat: 0 | 0xf2 | 0xf3;
  segment: Register | undefined;
  rex: number;
}

function readPrefixes(cursor: Cursor): Prefixes {
  const prefixes: Prefixes = {
    operandSize: false,
    addressSize: false,
    lock: false,
    repeat: 0,
    segment: undefined,
    rex: 0,
  };
  for (;;) {
    const next = cursor.peek();
    if ((next & 0xf0) === 0x40 && next > 0) {
      prefixes.rex = next;
      cursor.at++;
      continue;
    }
    if (next === 0x66) prefixes.operandSize = true;
    else if (next === 0x67) prefixes.addressSize = true;
    else if (next === 0xf0) prefixes.lock = true;
    else if (next === 0xf2 || next === 0xf3) prefixes.repeat = next;
    else if (next === 0x64 || next === 0x65) prefixes.segment = SEGMENTS[next - 0x60]!;
    else if (next === 0x26 || next === 0x2e || next === 0x36 || next === 0x3e) {
      // In 64-bit mode these select nothing, so they do not take the place of fs or gs (SDM vol. 1 §3.3.7.1).
      if (!prefixes.segment || prefixes.segment.number < 4) prefixes.segment = SEGMENTS[(next >> 3) & 3]!;
    } else break;
    // A REX prefix that is not the last one is ignored (SDM vol. 2 §2.2.1).
    prefixes.rex = 0;
    cursor.at++;
  }
  return prefixes;
}

/** The fields that a row is chosen and its operands are read by. */
interface Head {
  readonly prefixes: Prefixes;
  readonly map: OpcodeMap;
  readonly opcode: number;
  readonly vex: boolean;
  /** Mandatory prefixes present: those that a VEX prefix encodes, or 66, F2, F3 themselves. */
  readonly mandatory: 0 | 0x66 | 0xf2 | 0xf3;
  readonly rex: number;
  readonly vvvv: number;
  readonly addressWidth: 32 | 64;
}

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

function readHead(cursor: Cursor): Head | 'unsupported' | 'undefined' {
  const prefixes = readPrefixes(cursor);
  const { rex } = prefixes;
  const addressWidth = prefixes.addressSize ? 32 : 64;
  let opcode = cursor.byte();
  let map: OpcodeMap = 0;
  if (opcode === 0xc4 || opcode === 0xc5) return readVex(cursor, prefixes, opcode, addressWidth);
  if (opcode === 0x0f) {
    map = 1;
    opcode = cursor.byte();
    if (opcode === 0x38 || opcode === 0x3a) {
      map = opcode === 0x38 ? 2 : 3;
      opcode = cursor.byte();
    }
  }
  const mandatory = prefixes.repeat || (prefixes.operandSize ? 0x66 : 0);
  return { prefixes, map, opcode, vex: false, mandatory, rex, vvvv: 0, addressWidth };
}

function readVex(
  cursor: Cursor,
  prefixes: Prefixes,
  first: number,
  addressWidth: 32 | 64,
): Head | 'unsupported' | 'undefined' {
  // A VEX prefix after 66, F2, F3, F0 or REX is #UD (SDM vol. 2 §2.3.2).
  if (prefixes.rex || prefixes.lock || prefixes.repeat || prefixes.operandSize) return 'undefined';
  const p0 = cursor.byte();
  const p1 = first === 0xc4 ? cursor.byte() : p0 & 0x7f;
  const opcode = cursor.byte();
  const map = first === 0xc4 ? p0 & 0x1f : 1;
  if (map < 1 || map > 3) return 'undefined';
  if (p1 & 4) return 'unsupported';
  const inverted = ~p0 & 0xff;
  const rex = first === 0xc4 ? 0x40 | ((p1 & 0x80) >> 4) | (inverted >> 5) : 0x40 | ((inverted & 0x80) >> 5);
  const mandatory = ([0, 0x66, 0xf3, 0xf2] as const)[p1 & 3]!;
  return { prefixes, map: map as OpcodeMap, opcode, vex: true, mandatory, rex, vvvv: (~p1 >> 3) & 15, addressWidth };
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

function readMemory(cursor: Cursor, head: Head, mod: number, rm: number): MemoryReference {
  const registers = generalRegisters(head.addressWidth);
  const { segment } = head.prefixes;
  let base: Register | undefined;
  let index: Register | undefined;
  let scale: 1 | 2 | 4 | 8 = 1;
  let displacementBytes: 0 | 1 | 4 = mod === 1 ? 1 : mod === 2 ? 4 : 0;
  if (rm === 4) {
    const sib = cursor.byte();
    scale = (1 << (sib >> 6)) as 1 | 2 | 4 | 8;
    const indexNumber = ((sib >> 3) & 7) | ((head.rex & 2) << 2);
    if (indexNumber !== 4) index = registers[indexNumber];
    else scale = 1;
    if ((sib & 7) === 5 && mod === 0) displacementBytes = 4;
    else base = registers[(sib & 7) | ((head.rex & 1) << 3)];
  } else if (rm === 5 && mod === 0) {
    base = head.addressWidth === 64 ? RIP : EIP;
    displacementBytes = 4;
  } else base = registers[rm | ((head.rex & 1) << 3)];
  const displacement =
    displacementBytes === 0 ? 0n : BigInt.asIntN(displacementBytes * 8, cursor.value(displacementBytes));
  return { base, index, scale, displacement, segment, displacementBytes };
}

function registerOperand(register: Register | undefined): Operand | undefined {
  return register && { kind: 'register', register };
}

function general(number: number, width: Width, rex: number): Operand {
  return {
    kind: 'register',
    register: width === 8 ? byteRegister(number, rex !== 0) : generalRegisters(width)[number]!,
  };
}

function readOperand(
  pattern: OperandPattern,
  token: string | undefined,
  shape: Shape,
  head: Head,
  width: Width,
  cursor: Cursor,
  reg: number,
  rm: number,
  memory: MemoryReference | undefined,
): Operand | undefined {
  const size = widthOf(pattern, width);
  switch (pattern.kind) {
    case 'register': {
      const opcodeRegister = (head.opcode & 7) | ((head.rex & 1) << 3);
      const number =
        pattern.field === 'reg'
          ? reg
          : pattern.field === 'rm'
            ? rm
            : pattern.field === 'vex'
              ? head.vvvv
              : opcodeRegister;
      return general(number, size as Width, head.rex);
    }
    case 'rm':
      return memory ? { kind: 'memory', memory, width: size } : general(rm, size as Width, head.rex);
    case 'memory':
      return { kind: 'memory', memory: memory!, width: pattern.anySize ? 0 : size };
    case 'far':
      return { kind: 'memory', memory: memory!, width: size };
    case 'fixed':
      return registerOperand(pattern.register);
    case 'accumulator':
      return general(0, size as Width, head.rex);
    case 'segment':
      // cs cannot be loaded by mov, and there are six segment registers: #UD (SDM vol. 2, MOV).
      if ((reg & 7) > 5 || (shape.opcode === 0x8e && (reg & 7) === 1)) return undefined;
      return registerOperand(SEGMENTS[reg & 7]);
    case 'control':
      return [0, 2, 3, 4, 8].includes(reg) ? registerOperand(CONTROLS[reg]) : undefined;
    case 'debug':
      return reg < 8 ? registerOperand(DEBUGS[reg]) : undefined;
    case 'one':
      return { kind: 'immediate', value: 1n, width: 8 };
    case 'moffs': {
      const displacementBytes = head.addressWidth === 64 ? 8 : 4;
      const raw = cursor.value(displacementBytes);
      const displacement = displacementBytes === 8 ? BigInt.asIntN(64, raw) : raw;
      const { segment } = head.prefixes;
      return {
        kind: 'memory',
        memory: { base: undefined, index: undefined, scale: 1, displacement, segment, displacementBytes },
        width: size,
      };
    }
    case 'relative':
      return size === 8
        ? { kind: 'relative', displacement: BigInt.asIntN(8, cursor.value(1)), width: 8 }
        : { kind: 'relative', displacement: BigInt.asIntN(32, cursor.value(4)), width: 32 };
    case 'implied-memory':
      return { kind: 'memory', memory: impliedMemory(pattern, head), width: size };
    case 'immediate':
      return readImmediate(pattern, token!, width, cursor);
  }
}

/** rdi's segment is es and cannot be overridden; rsi's and rbx's can. xlatb adds al as an index. */
function impliedMemory(pattern: OperandPattern, head: Head): MemoryReference {
  const number = pattern.register!.number;
  return {
    base: generalRegisters(head.addressWidth)[number],
    index: number === 3 ? byteRegister(0, false) : undefined,
    scale: 1,
    displacement: 0n,
    displacementBytes: 0,
    segment: number === 7 ? undefined : head.prefixes.segment,
  };
}

function readImmediate(pattern: OperandPattern, token: string, width: Width, cursor: Cursor): Operand {
  const count = token === 'ib' ? 1 : token === 'iw' ? 2 : token === 'id' ? 4 : token === 'iq' ? 8 : 0;
  const bytes = count || (token === 'iz' ? Math.min(width / 8, 4) : width / 8);
  const raw = cursor.value(bytes);
  if (pattern.extension === 'none') return { kind: 'immediate', value: raw, width: (bytes * 8) as Width };
  const value = pattern.extension === 'zero' ? raw : BigInt.asUintN(width, BigInt.asIntN(bytes * 8, raw));
  return { kind: 'immediate', value, width };
}

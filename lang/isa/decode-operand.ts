/** Operands of a decoded instruction: ModRM and SIB, registers by number, immediates (SDM vol. 2 §2.1.5, §2.2.1). */

import type { MemoryReference, Operand, Width } from './instruction.ts';
import type { Cursor, Head } from './instruction-head.ts';
import { type OperandPattern, widthOf } from './operand-pattern.ts';
import { byteRegister, CONTROLS, DEBUGS, EIP, generalRegisters, type Register, RIP, SEGMENTS } from './registers.ts';
import type { Shape } from './shape.ts';

/** Reads SIB and displacement of an address whose ModRM was read; `rm` is without its REX bit. */
export function readMemory(cursor: Cursor, head: Head, mod: number, rm: number): MemoryReference {
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

/** The operand that a pattern stands for, or undefined if the bytes name a register that does not exist (#UD). */
export function readOperand(
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

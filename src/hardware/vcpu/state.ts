/**
 * Where one vCPU's state lives: a page frame of host RAM, at fixed offsets, so that interpreted and translated code and
 * the rest of the model read and write the same words without copies.
 */

import type { Hpa } from '../../address.ts';
import type { PhysicalMemory } from '../physical-memory.ts';

/** The general registers in encoding order: register n of {@link Vcpu.register} is the n-th name. */
export const GENERAL_REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;

/** Quad (8-byte) slots of the state page. 0–15 are rax … r15 in encoding order. */
export const SLOT = {
  RAX: 0,
  RSP: 4,
  /** Instruction pointer; exact whenever the vCPU is not inside {@link Vcpu.run}. */
  RIP: 16,
  /** Linear address of the page that the running code lies in. */
  PAGE_BASE: 17,
  /** Lazy flags: operands and result of the last flag-setting operation, sign-extended from its width (see flags.ts). */
  FLAG_A: 18,
  FLAG_B: 19,
  FLAG_RESULT: 20,
  /** A 64-bit value on its way between a bigint and two 32-bit halves. */
  SCRATCH: 21,
  /** Bases of es, cs, ss, ds, fs, gs. */
  SEGMENT_BASE: 24,
} as const;

/** 4-byte slots of the state page, behind the quads. */
export const WORD = {
  /** Which of flags.ts's rules gives the status flags. */
  FLAG_KIND: 64,
  /** Status flags that are not derived from the operands, at their RFLAGS positions. */
  FLAG_STATUS: 65,
  /** The other RFLAGS bits: TF IF DF IOPL NT RF AC ID. */
  FLAG_CONTROL: 66,
} as const;

/** Byte offset of the buffer through which an access goes that has no single place in RAM: MMIO, page crossing, code pages. */
export const BOUNCE_OFFSET = 0x800;

/** Typed views of one state page, as the interpreter's generated code uses them. */
export class CpuState {
  readonly at: Hpa;
  readonly quads: BigInt64Array;
  readonly words: Int32Array;
  readonly unsignedWords: Uint32Array;
  readonly halves: Int16Array;
  readonly bytes: Int8Array;
  /** Host offset of the bounce buffer. */
  readonly bounce: number;

  constructor(memory: PhysicalMemory, at: Hpa) {
    const { buffer } = memory.wasm;
    this.at = at;
    this.quads = new BigInt64Array(buffer, at, 512);
    this.words = new Int32Array(buffer, at, 1024);
    this.unsignedWords = new Uint32Array(buffer, at, 1024);
    this.halves = new Int16Array(buffer, at, 2048);
    this.bytes = new Int8Array(buffer, at, 4096);
    this.bounce = at + BOUNCE_OFFSET;
  }
}

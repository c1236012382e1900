/**
 * RFLAGS, with the six status flags computed only when somebody asks (SDM vol. 1 §3.4.3).
 *
 * An operation leaves its operands and result, sign-extended from its width to 64 bits. The sign-extension makes one set
 * of formulas right for every width: the carry out of the top bit is the sign of the 64-bit carry vector.
 */

import { type CpuState, SLOT, WORD } from './state.ts';

export const CF = 1 << 0;
export const PF = 1 << 2;
export const AF = 1 << 4;
export const ZF = 1 << 6;
export const SF = 1 << 7;
export const TF = 1 << 8;
export const IF = 1 << 9;
export const DF = 1 << 10;
export const OF = 1 << 11;
export const IOPL = 3 << 12;
export const NT = 1 << 14;
export const RF = 1 << 16;
export const VM = 1 << 17;
export const AC = 1 << 18;
export const ID = 1 << 21;
/** RFLAGS bit 1 always reads as one. */
export const RESERVED_ONE = 1 << 1;
export const STATUS_FLAGS = CF | PF | AF | ZF | SF | OF;
export const CONTROL_FLAGS = TF | IF | DF | IOPL | NT | RF | AC | ID;

/** Rules that give the status flags: the value of WORD.FLAG_KIND. */
export const FLAG_KIND = {
  /** All six stand in FLAG_STATUS. */
  EXPLICIT: 0,
  /** ZF, SF, PF from the result; CF, OF, AF stand in FLAG_STATUS. */
  RESULT: 1,
  ADD: 2,
  SUBTRACT: 3,
  /** As SUBTRACT, but a borrow went in, so a < b does not tell the carry. */
  SUBTRACT_WITH_BORROW: 4,
} as const;

/** CF and OF follow from the highest bits alone: the upper words hold them, and no bigint is made. */
const HIGH_A = SLOT.FLAG_A * 2 + 1;
const HIGH_B = SLOT.FLAG_B * 2 + 1;
const HIGH_RESULT = SLOT.FLAG_RESULT * 2 + 1;

/** Status flags of one vCPU. */
export class Flags {
  readonly #quads: BigInt64Array;
  readonly #words: Int32Array;

  constructor(state: CpuState) {
    this.#quads = state.quads;
    this.#words = state.words;
  }

  carry(): boolean {
    const kind = this.#words[WORD.FLAG_KIND]!;
    if (kind <= FLAG_KIND.RESULT) return (this.#words[WORD.FLAG_STATUS]! & CF) !== 0;
    const a = this.#words[HIGH_A]!;
    const b = this.#words[HIGH_B]!;
    const result = this.#words[HIGH_RESULT]!;
    if (kind === FLAG_KIND.ADD) return ((a & b) | ((a | b) & ~result)) < 0;
    return ((~a & b) | ((~a | b) & result)) < 0;
  }

  overflow(): boolean {
    const kind = this.#words[WORD.FLAG_KIND]!;
    if (kind <= FLAG_KIND.RESULT) return (this.#words[WORD.FLAG_STATUS]! & OF) !== 0;
    const a = this.#words[HIGH_A]!;
    const b = this.#words[HIGH_B]!;
    const result = this.#words[HIGH_RESULT]!;
    return kind === FLAG_KIND.ADD ? ((a ^ result) & (b ^ result)) < 0 : ((a ^ b) & (a ^ result)) < 0;
  }

  auxiliary(): boolean {
    if (this.#words[WORD.FLAG_KIND]! <= FLAG_KIND.RESULT) return (this.#words[WORD.FLAG_STATUS]! & AF) !== 0;
    return (
      ((this.#words[SLOT.FLAG_A * 2]! ^ this.#words[SLOT.FLAG_B * 2]! ^ this.#words[SLOT.FLAG_RESULT * 2]!) & AF) !== 0
    );
  }

  zero(): boolean {
    if (this.#words[WORD.FLAG_KIND] === FLAG_KIND.EXPLICIT) return (this.#words[WORD.FLAG_STATUS]! & ZF) !== 0;
    return (this.#words[SLOT.FLAG_RESULT * 2]! | this.#words[HIGH_RESULT]!) === 0;
  }

  sign(): boolean {
    if (this.#words[WORD.FLAG_KIND] === FLAG_KIND.EXPLICIT) return (this.#words[WORD.FLAG_STATUS]! & SF) !== 0;
    return this.#words[HIGH_RESULT]! < 0;
  }

  parity(): boolean {
    if (this.#words[WORD.FLAG_KIND] === FLAG_KIND.EXPLICIT) return (this.#words[WORD.FLAG_STATUS]! & PF) !== 0;
    let low = this.#words[SLOT.FLAG_RESULT * 2]! & 0xff;
    low ^= low >> 4;
    return ((0x9669 >> (low & 15)) & 1) !== 0;
  }

  /** Signed less-than, SF ≠ OF; the comparison itself where the last operation was one. */
  less(): boolean {
    if (this.#words[WORD.FLAG_KIND] === FLAG_KIND.SUBTRACT)
      return this.#quads[SLOT.FLAG_A]! < this.#quads[SLOT.FLAG_B]!;
    return this.sign() !== this.overflow();
  }

  /** The six status flags at their RFLAGS positions. */
  status(): number {
    if (this.#words[WORD.FLAG_KIND] === FLAG_KIND.EXPLICIT) return this.#words[WORD.FLAG_STATUS]!;
    return (
      (this.carry() ? CF : 0) |
      (this.parity() ? PF : 0) |
      (this.auxiliary() ? AF : 0) |
      (this.zero() ? ZF : 0) |
      (this.sign() ? SF : 0) |
      (this.overflow() ? OF : 0)
    );
  }

  /** Replace the status flags. */
  setStatus(status: number): void {
    this.#words[WORD.FLAG_STATUS] = status & STATUS_FLAGS;
    this.#words[WORD.FLAG_KIND] = FLAG_KIND.EXPLICIT;
  }

  /** Replace CF and OF (`bits` at their RFLAGS positions); the others stay lazy if they are. */
  setCarryOverflow(bits: number): void {
    const words = this.#words;
    if (words[WORD.FLAG_KIND]! <= FLAG_KIND.RESULT) {
      words[WORD.FLAG_STATUS] = (words[WORD.FLAG_STATUS]! & ~(CF | OF)) | bits;
      return;
    }
    // ZF, SF and PF follow from the result under every lazy rule.
    words[WORD.FLAG_STATUS] = (this.auxiliary() ? AF : 0) | bits;
    words[WORD.FLAG_KIND] = FLAG_KIND.RESULT;
  }

  /** Replace CF. */
  setCarry(carry: boolean): void {
    this.setCarryOverflow((carry ? CF : 0) | (this.overflow() ? OF : 0));
  }

  /** RFLAGS, whole. */
  read(): number {
    return this.status() | this.#words[WORD.FLAG_CONTROL]! | RESERVED_ONE;
  }

  /** Replace RFLAGS, whole; reserved bits are dropped. */
  write(value: number): void {
    this.setStatus(value);
    this.#words[WORD.FLAG_CONTROL] = value & CONTROL_FLAGS;
  }
}

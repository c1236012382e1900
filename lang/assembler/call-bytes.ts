/**
 * The bytes of one call of a macro, put together from those of its lines. Nothing in them depends on where the call stands: instructions and data without
 * symbols, labels of its own, and branches to those.
 */

import type { SymbolBranch } from './instruction-work.ts';

/** A branch to a label of the call that has been put. */
interface PutBranch {
  /** Offset behind it, and of its field. */
  readonly end: number;
  readonly field: number;
  readonly fieldBytes: number;
  readonly target: number;
  readonly isShort: boolean;
}

const NOWHERE = -1;

/** An instruction, or data, of a call. */
export interface Piece {
  /** Offset behind it in the call. */
  readonly end: number;
  readonly isData: boolean;
}

export class CallBytes {
  #bytes = new Uint8Array(4096);
  #length = 0;
  /** Offsets by the number of the label. */
  readonly #labels: number[] = [];
  readonly #branches: PutBranch[] = [];
  readonly #pieces: Piece[] = [];
  readonly #keepsPieces: boolean;
  /** By how much all would be longer with every branch in its long form. */
  #stretch = 0;

  /** `keepsPieces`: somebody asks for {@link pieces}. */
  constructor(keepsPieces: boolean) {
    this.#keepsPieces = keepsPieces;
  }

  /** Begins a call with so many labels. */
  begin(labels: number): void {
    this.#length = 0;
    this.#stretch = 0;
    this.#branches.length = 0;
    this.#pieces.length = 0;
    for (let i = 0; i < labels; i++) this.#labels[i] = NOWHERE;
  }

  /** Defines a label here; false where it is defined already. */
  label(number: number): boolean {
    if ((this.#labels[number] ?? NOWHERE) !== NOWHERE) return false;
    this.#labels[number] = this.#length;
    return true;
  }

  /** The bytes of the call, up to the next one. */
  get all(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What the call is made of, up to the next one. */
  get pieces(): readonly Piece[] {
    return this.#pieces;
  }

  put(bytes: Uint8Array, isData: boolean): void {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
    if (this.#keepsPieces) this.#pieces.push({ end: this.#length, isData });
  }

  /** Writes a number of at most 32 bits over the bytes that were put last, `from` bytes before their end. */
  patch(from: number, count: number, value: number): void {
    this.#store(this.#length - from, count, value);
  }

  #store(start: number, count: number, value: number): void {
    const bytes = this.#bytes;
    let rest = value;
    for (let i = 0; i < count; i++) {
      bytes[start + i] = rest;
      // The sign goes on for ever.
      rest = i < 3 ? rest >> 8 : value >> 31;
    }
  }

  /** Puts a branch, short where it has such a form. */
  branch({ short, near }: SymbolBranch, target: number): void {
    const encoding = (short ?? near)!;
    const field = encoding.fixups[0]!;
    const isShort = short !== undefined;
    const start = this.#length;
    this.put(encoding.bytes, false);
    this.#branches.push({ end: this.#length, field: start + field.offset, fieldBytes: field.bytes, target, isShort });
    if (isShort && near !== undefined) this.#stretch += near.bytes.length - short.bytes.length;
  }

  /** Lets the branches reach their labels; false where a label is missing, or where it is not certain that all short branches reach. */
  finish(): boolean {
    for (let i = 0; i < this.#branches.length; i++) {
      const { end, field, fieldBytes, target, isShort } = this.#branches[i]!;
      const at = this.#labels[target] ?? NOWHERE;
      if (at === NOWHERE) return false;
      const distance = at - end;
      // NASM begins with the short forms and makes one long that does not reach: none does where all reach even between long ones.
      if (isShort && (distance < 0 ? distance - this.#stretch < -128 : distance + this.#stretch > 127)) return false;
      this.#store(field, fieldBytes, distance);
    }
    return true;
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#length + more));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

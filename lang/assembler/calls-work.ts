/**
 * Calls of macros that stand one behind another, as one work: their bytes are the same at every place, and passes need not look at their lines.
 */

import type { SourceLine } from '../syntax/lexer.ts';
import type { Assembly, Work } from './assembly.ts';
import type { CallBytes, Piece } from './call-bytes.ts';
import { SeesIntoCalls } from './hidden-labels.ts';

/** Of what a line that called a macro has become. */
export interface CallPieces {
  readonly line: SourceLine;
  /** Offset of the call among the bytes. */
  readonly start: number;
  readonly pieces: readonly Piece[];
}

export class CallsWork implements Work {
  /** Calls whose pieces were kept. */
  readonly calls: CallPieces[] = [];
  #bytes = new Uint8Array(64);
  #length = 0;

  /** Adds one more, and places it. */
  add(line: SourceLine, { all: bytes, pieces }: CallBytes, assembly: Assembly): void {
    if (pieces.length > 0) this.calls.push({ line, start: this.#length, pieces: [...pieces] });
    const end = this.#length + bytes.length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(2 * end);
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = end;
    put(bytes, assembly);
  }

  place(assembly: Assembly): void {
    put(this.#bytes.subarray(0, this.#length), assembly);
  }

  fixedLength(): number {
    return this.#length;
  }
}

function put(bytes: Uint8Array, assembly: Assembly): void {
  // Each line would have something to say.
  if (!assembly.takes(bytes.length)) throw new SeesIntoCalls();
  assembly.bytes(bytes);
}

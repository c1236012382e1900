/**
 * Calls of macros that stand one behind another, as one work: their bytes are the same at every place, and passes need not look at their lines.
 */

import type { Assembly, Work } from './assembly.ts';
import { SeesIntoCalls } from './hidden-labels.ts';

export class CallsWork implements Work {
  #bytes = new Uint8Array(64);
  #length = 0;

  /** Adds the bytes of one more, and places them. */
  add(bytes: Uint8Array, assembly: Assembly): void {
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

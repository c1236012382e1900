/**
 * What REP INS stores outside RAM. KVM stores all elements that were read ahead as one operand (arch/x86/kvm/emulate.c: pio_in_emulated,
 * OP_MEM_STR), while the CPU of the model goes element by element: their bytes are gathered here.
 */

import { type Gpa, pageOffset } from '../../address.ts';

/** Bytes that lie together in a page. */
interface Run {
  readonly address: Gpa;
  readonly data: Uint8Array;
}

export class StringStore {
  readonly #bytes: Uint8Array;
  #used = 0;
  /** Where each run begins, in guest memory and in the bytes. */
  #starts: { readonly address: Gpa; readonly at: number }[] = [];
  #next = -1;

  /** Room for as many bytes as one instruction reads ahead. */
  constructor(bytes: number) {
    this.#bytes = new Uint8Array(bytes);
  }

  /** `data` goes to `address`, behind what has been added before. */
  add(address: Gpa, data: Uint8Array): void {
    if (address !== this.#next || pageOffset(address) === 0) this.#starts.push({ address, at: this.#used });
    this.#bytes.set(data, this.#used);
    this.#used += data.length;
    this.#next = address + data.length;
  }

  /** What has been added since the last time, good until the next addition. */
  take(): readonly Run[] {
    const runs = this.#starts.map(({ address, at }, index) => ({
      address,
      data: this.#bytes.subarray(at, this.#starts[index + 1]?.at ?? this.#used),
    }));
    this.clear();
    return runs;
  }

  clear(): void {
    this.#used = 0;
    this.#starts = [];
    this.#next = -1;
  }
}

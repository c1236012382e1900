/** What is at the other end of a serial port: this process's stdin and stdout (chardev/char-stdio.c), or nothing. */

import { type Hva, PAGE_SIZE } from '../../../address.ts';
import { POLLIN } from '../../../linux/uapi/syscalls.ts';
import type { System } from '../../system.ts';

const STDIN = 0;
const STDOUT = 1;

export interface CharBackend {
  write(byte: number): void;
  /** Up to `room` bytes that have arrived; empty if none. */
  read(room: number): Uint8Array;
}

/** `-serial stdio`: each byte goes out with a write(2) of its own, as QEMU does. */
export class StdioBackend implements CharBackend {
  readonly #system: System;
  readonly #at: Hva;
  readonly #out: DataView;
  #ended = false;

  constructor(system: System) {
    this.#system = system;
    const scratch = system.scratch(PAGE_SIZE);
    this.#at = scratch.at;
    this.#out = scratch.view;
  }

  write(byte: number): void {
    this.#out.setUint8(0, byte);
    this.#system.syscalls.write(STDOUT, this.#at, 1);
  }

  read(room: number): Uint8Array {
    if (this.#ended || (this.#system.syscalls.poll(STDIN, POLLIN) & POLLIN) === 0) return new Uint8Array(0);
    const got = this.#system.syscalls.read(STDIN, this.#at, room);
    // End of file, or an error: nothing more will come.
    this.#ended = got <= 0;
    return got > 0 ? this.#system.memory.read(this.#at, got) : new Uint8Array(0);
  }
}

/** `-serial null`: a line nobody listens to. */
export const nullBackend: CharBackend = { write() {}, read: () => new Uint8Array(0) };

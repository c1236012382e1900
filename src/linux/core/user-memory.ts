/** A program's own loads and stores: what its instructions would do through the process's page tables. */

import { strict as assert } from 'node:assert';
import { type Hva, PAGE_SIZE, pageOffset } from '../../address.ts';
import type { UserMemory } from '../uapi/syscalls.ts';
import type { Process } from './process.ts';

/** The memory of one process, seen from inside. */
export class ProcessMemory implements UserMemory {
  readonly #process: Process;

  constructor(process: Process) {
    this.#process = process;
  }

  view(address: Hva, length: number): Uint8Array {
    assert(
      pageOffset(address) + length <= PAGE_SIZE,
      `a view of ${length} bytes at 0x${address.toString(16)} crosses a page: its frames need not be neighbours`,
    );
    const at = this.#frame(address, false) + pageOffset(address);
    const { memory } = this.#process.mm;
    assert(at < memory.size, `0x${address.toString(16)} is a device's register: no view shows it`);
    memory.code.share(at);
    return memory.bytes.subarray(at, at + length);
  }

  // & keeps the low 12 bits of a 47-bit address right.
  read(address: Hva, length: number): Uint8Array {
    const into = new Uint8Array(length);
    const { bytes, devices } = this.#process.mm.memory;
    for (let done = 0; done < length; ) {
      const offset = (address + done) & (PAGE_SIZE - 1);
      const count = Math.min(length - done, PAGE_SIZE - offset);
      const at = this.#frame(address + done, false) + offset;
      if (at < bytes.length) into.set(bytes.subarray(at, at + count), done);
      else devices.readBytes(at, into.subarray(done, done + count));
      done += count;
    }
    return into;
  }

  write(address: Hva, from: Uint8Array): void {
    const { memory } = this.#process.mm;
    for (let done = 0; done < from.length; ) {
      const offset = (address + done) & (PAGE_SIZE - 1);
      const count = Math.min(from.length - done, PAGE_SIZE - offset);
      const at = this.#frame(address + done, true) + offset;
      if (at >= memory.size) memory.devices.writeBytes(at, from.subarray(done, done + count));
      else memory.write(at, from, done, count);
      done += count;
    }
  }

  #frame(address: number, write: boolean): number {
    const frame = this.#process.mm.frame(address, write);
    if (frame < 0) this.#fault(address, write);
    return frame;
  }

  #fault(address: number, write: boolean): never {
    assert.fail(
      `segmentation fault in process ${this.#process.name}: ${write ? 'write to' : 'read of'} 0x${address.toString(16)}`,
    );
  }
}

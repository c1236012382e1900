/**
 * Where QEMU keeps the structures it passes to the kernel: a small heap in its own memory.
 *
 * Allocation is a mark that moves up. What start-up allocates once (scratch pages, kvm's cpuid list) stays; what a single
 * call needs is given back by {@link UserHeap.scoped}.
 */

import { type Hva, hva, PAGE_SIZE } from '../address.ts';
import type { Members, Struct, StructValue } from '../linux/uapi/struct.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE, type UserProcess } from '../linux/uapi/syscalls.ts';
import { Abort } from './error.ts';

const HEAP_SIZE = 16 * PAGE_SIZE;

export class UserHeap {
  readonly #process: UserProcess;
  readonly #end: number;
  #mark: number;

  constructor(process: UserProcess) {
    this.#process = process;
    const start = process.syscalls.mmap(HEAP_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start < 0) throw new Abort('cannot allocate memory');
    this.#mark = start;
    this.#end = start + HEAP_SIZE;
  }

  /** `size` zeroed bytes, aligned to 8 bytes, or to a page if they need one or more. */
  allocate(size: number): Hva {
    const align = size >= PAGE_SIZE ? PAGE_SIZE : 8;
    const start = Math.ceil(this.#mark / align) * align;
    if (start + size > this.#end) throw new Abort('user heap exhausted');
    this.#mark = start + size;
    this.#process.memory.write(hva(start), new Uint8Array(size));
    return hva(start);
  }

  /** A structure with `value` in it, followed by `tail`. */
  put<M extends Members>(struct: Struct<M>, value: Partial<StructValue<M>>, tail?: Uint8Array): Hva {
    const at = this.allocate(struct.size + (tail?.length ?? 0));
    this.#process.memory.write(at, struct.encode(value));
    if (tail !== undefined) this.#process.memory.write(hva(at + struct.size), tail);
    return at;
  }

  /** A NUL-terminated string. */
  putString(text: string): Hva {
    const at = this.allocate(text.length + 1);
    this.#process.memory.write(at, new TextEncoder().encode(text));
    return at;
  }

  get<M extends Members>(struct: Struct<M>, at: Hva): StructValue<M> {
    const bytes = this.#process.memory.read(at, struct.size);
    return struct.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  /** Run `use`; what it allocated is free afterwards. */
  scoped<R>(use: () => R): R {
    const mark = this.#mark;
    try {
      return use();
    } finally {
      this.#mark = mark;
    }
  }
}

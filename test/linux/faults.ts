/** Systematic faults, as Documentation/fault-injection of Linux has them: `fail-nth` of the process is 1, 2, 3 … until nothing fails. */

import { expect } from 'vitest';
import { type Hva, hva } from '../../src/address.ts';
import { ENOMEM } from '../../src/linux/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_RDWR,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
  type UserProcess,
} from '../../src/linux/uapi/syscalls.ts';

export class Faults {
  readonly #user: UserProcess;
  readonly #page: Hva;
  readonly #failNth: number;

  /** Faults for this process: in its objects, and in pages of the kernel's if `pages`. */
  constructor(user: UserProcess, pages: boolean) {
    this.#user = user;
    this.#page = hva(user.syscalls.mmap(4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    this.#set('/sys/kernel/debug/failslab/ignore-gfp-wait', 'N');
    if (pages) {
      this.#set('/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait', 'N');
      this.#set('/sys/kernel/debug/fail_page_alloc/min-order', '0');
    }
    this.#failNth = user.syscalls.open('/proc/self/fail-nth', O_RDWR);
    expect(this.#failNth).toBeGreaterThan(0);
  }

  /** What `call` returns when its N-th allocation fails, and whether it had so many. */
  nth(n: number, call: () => number): { readonly result: number; readonly injected: boolean } {
    this.#write(this.#failNth, String(n));
    const result = call();
    const { syscalls, memory } = this.#user;
    const length = syscalls.pread(this.#failNth, this.#page, 16, 0);
    const left = Number(new TextDecoder().decode(memory.read(this.#page, length)));
    this.#write(this.#failNth, '0');
    return { result, injected: left === 0 };
  }

  #set(path: string, text: string): void {
    const fd = this.#user.syscalls.open(path, O_WRONLY);
    this.#write(fd, text);
    this.#user.syscalls.close(fd);
  }

  #write(fd: number, text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.#user.memory.write(this.#page, bytes);
    expect(this.#user.syscalls.write(fd, this.#page, bytes.length)).toBe(bytes.length);
  }
}

/**
 * Make a stage, and there a call, once for each of its allocations, which fails; it has to answer -ENOMEM and leave all as it was,
 * so that the same call succeeds then. Returns how many allocations there were.
 */
export function failEach(stage: () => { readonly faults: Faults; readonly call: () => number }): number {
  for (let n = 1; ; n++) {
    const { faults, call } = stage();
    const { result, injected } = faults.nth(n, call);
    if (!injected) {
      expect(result).toBeGreaterThanOrEqual(0);
      return n - 1;
    }
    expect({ n, result }).toEqual({ n, result: -ENOMEM });
    const again = call();
    expect({ n, succeeds: again >= 0, again }).toEqual({ n, succeeds: true, again });
  }
}

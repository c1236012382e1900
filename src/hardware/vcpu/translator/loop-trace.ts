/** One turn of a loop of one block, followed while its code is made: what becomes of each register, and what is accessed where. */

import type { AccessKind } from './access.ts';
import { type LinearForm, registerForm } from './linear-form.ts';

/** One access to memory, at a linear address if that is a sum of registers. */
export interface TracedAccess {
  readonly address: LinearForm | undefined;
  readonly bytes: number;
  readonly kind: AccessKind;
}

const GENERAL_REGISTERS = 16;

export class LoopTrace {
  readonly #registers: (LinearForm | undefined)[] = Array.from({ length: GENERAL_REGISTERS }, (_, number) =>
    registerForm(number),
  );
  readonly accesses: TracedAccess[] = [];
  #conditions = 0;

  /** What the register holds at this point of the turn; undefined if that is no sum. */
  register(number: number): LinearForm | undefined {
    return this.#registers[number];
  }

  set(number: number, value: LinearForm | undefined): void {
    this.#registers[number] = this.#conditions === 0 ? value : undefined;
  }

  access(access: TracedAccess): void {
    this.accesses.push(access);
  }

  /** What `body` traces happens in some turns and not in others. */
  sometimes(body: () => void): void {
    this.#conditions++;
    body();
    this.#conditions--;
  }
}

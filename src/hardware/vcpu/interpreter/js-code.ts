/**
 * A function body under construction: lines, locals and the parameters that stand for an instruction's own numbers.
 * Two instructions of the same form share one body and differ in their parameters only.
 */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { SLOT } from '../state.ts';

/**
 * A value in generated JavaScript. Up to 32 bits it is a number, sign-extended from its width; 64 bits are a signed
 * bigint, or two signed halves, or (addresses) a double that holds the signed value; width 1 is a boolean.
 */
export interface JsValue {
  readonly width: Width | 1;
  /** The expression: a number, bigint or boolean. Absent where only halves or an address are at hand. */
  readonly code?: string;
  readonly low?: string;
  readonly high?: string;
  readonly address?: string;
  /** As an address it lies in the stack segment. */
  readonly stack?: boolean;
  /** The value, if it is known at staging time. */
  readonly known?: bigint;
}

/** Code returned by an instruction instead of 0 = go on, or 1 + page offset = jump within the page. */
export const OUTCOME = {
  /** A VM exit; vcpu.exit tells. */
  EXIT: -1,
  /** A guest exception is pending. */
  FAULT: -2,
  /** The instruction is done and SLOT.RIP holds where to go. */
  JUMP: -3,
  /** The instruction is done, and what was decoded may no longer hold: look up the next one afresh. */
  STOP: -4,
  /** Emulation only: user space has to serve an access first; nothing has changed. */
  LATER: -5,
  /** Emulation only: an element of a repeated string instruction is done, and the instruction is not over. */
  PAUSED: -7,
  /** Of a translation only: no memory but a device answers at the address. */
  DEVICE: -6,
} as const;

const SCRATCH_LOW = SLOT.SCRATCH * 2;

/** Collects the body of one instruction form. */
export class JsCode {
  readonly #lines: string[] = [];
  readonly #parameters = new Set<string>();
  #locals = 0;
  /** Set once a store was emitted: its outcome then ends the instruction. */
  stores = false;

  line(text: string): void {
    this.#lines.push(text);
  }

  /** Bind `expression` to a new local. */
  local(expression: string): string {
    const name = `v${this.#locals++}`;
    this.#lines.push(`const ${name}=${expression};`);
    return name;
  }

  /** Use the instruction's number `name`; form.ts's parameterValue says what each is. */
  parameter(name: string): string {
    this.#parameters.add(name);
    return name;
  }

  get parameters(): readonly string[] {
    return [...this.#parameters];
  }

  get body(): string {
    return `${this.stores ? 'let end=0;' : ''}${this.#lines.join('')}return ${this.stores ? 'end' : '0'};`;
  }

  number(width: 8 | 16 | 32, expression: string): JsValue {
    return { width, code: this.local(expression) };
  }

  quad(expression: string): JsValue {
    return { width: 64, code: this.local(expression) };
  }

  boolean(expression: string): JsValue {
    return { width: 1, code: this.local(expression) };
  }

  /** The value as one expression: number, bigint or boolean. */
  whole(value: JsValue): string {
    if (value.code !== undefined) return value.code;
    if (value.low !== undefined) {
      this.line(`L[${SCRATCH_LOW}]=${value.low};L[${SCRATCH_LOW + 1}]=${value.high};`);
      return this.local(`R[${SLOT.SCRATCH}]`);
    }
    return this.local(`BigInt(${value.address})`);
  }

  /** Bits 31:0 as a signed number. */
  low(value: JsValue): string {
    if (value.known !== undefined) return String(Number(BigInt.asIntN(32, value.known)));
    if (value.width !== 64) return value.code!;
    if (value.low !== undefined) return value.low;
    if (value.address !== undefined) return `(${value.address}|0)`;
    this.line(`R[${SLOT.SCRATCH}]=${value.code};`);
    return this.local(`L[${SCRATCH_LOW}]`);
  }

  /** A 64-bit value as a signed double; exact if it is a canonical address, and non-canonical if it is none. */
  address(value: JsValue): string {
    if (value.address !== undefined) return value.address;
    if (value.low !== undefined) return this.local(`${value.high}*4294967296+(${value.low}>>>0)`);
    this.line(`R[${SLOT.SCRATCH}]=${value.code};`);
    return this.local(`L[${SCRATCH_LOW + 1}]*4294967296+(L[${SCRATCH_LOW}]>>>0)`);
  }

  /** Store a value, extended by its sign, into quad slot `slot` (an expression of a number, or a number). */
  storeSigned(slot: number, value: JsValue): void {
    if (value.width === 64 && value.low === undefined) this.line(`R[${slot}]=${this.whole(value)};`);
    else {
      const low = this.low(value);
      this.line(`L[${slot * 2}]=${low};L[${slot * 2 + 1}]=${value.high ?? `${low}>>31`};`);
    }
  }
}

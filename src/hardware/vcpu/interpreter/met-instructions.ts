/**
 * Instructions met before, known again by the bytes that say what they do: prefixes, opcode, ModRM and SIB (SDM vol. 2 §2.1). What
 * follows these, a displacement and an immediate, are numbers to be read; so most instructions of a program are decoded and planned
 * once. In a short run that is most of what decoding costs, since V8 runs none of it often enough to make it fast.
 */

import type { Instruction, Operand } from '../../../../lang/isa/instruction.ts';
import { shapeOf } from '../../../../lang/isa/shape.ts';
import type { Form, ParameterName, Plan } from './plan.ts';
import type { Parameter } from './step.ts';

/** An instruction planned. */
export interface Planned {
  readonly plan: Plan;
  readonly meaning: string;
  readonly length: number;
}

/** What a parameter's number is made of. */
const FIXED = 0;
const NEXT = 1;
const AGAIN = 2;
const DISPLACEMENT = 3;
const IMMEDIATE = 4;
const TARGET = 5;

/** Where one parameter's number comes from. */
interface Source {
  readonly kind: number;
  /** Of FIXED. */
  readonly value: Parameter;
  /** The form takes a bigint. */
  readonly big: boolean;
  /** Of IMMEDIATE: the bits that the form takes. Of DISPLACEMENT: 64 if it counts from the end of the instruction. */
  readonly width: number;
}

/** How an instruction is executed from where it lies. */
interface Way {
  readonly form: Form;
  readonly sources: readonly Source[];
}

interface Met {
  readonly meaning: string;
  readonly length: number;
  /** Bytes of the displacement and, behind it, of the immediate or a branch's distance. */
  readonly displacement: number;
  readonly immediate: number;
  /** The immediate is extended with zeros, or not at all. */
  readonly unsigned: boolean;
  readonly branches: boolean;
  /** The way of what is no branch, and of a branch whose target lies in its page. */
  inside: Way | undefined;
  outside: Way | undefined;
}

/** Of each byte: whether it is a prefix, legacy or REX. */
const PREFIX = new Uint8Array(256);
for (const byte of [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]) PREFIX[byte] = 1;
PREFIX.fill(1, 0x40, 0x50);

/** Prefixes, opcode, ModRM and SIB that a number holds exactly, with the one that it begins with. */
const LONGEST_KEY = 6;
/** No instruction's key. */
const NONE = 0;
/** Kept at most: a guest that executes random bytes has no end of them. */
const MOST = 20_000;

/** Whether an opcode has a ModRM byte: the instructions met have told. */
const WITHOUT = 1;
const WITH = 2;

export class MetInstructions {
  /** By the key that #scan gives. */
  readonly #met = new Map<number, Met>();
  /** WITH or WITHOUT by opcode: the one-byte map's, then 0f's. */
  readonly #modrm = new Uint8Array(512);
  /** Of the bytes scanned last: which opcode, how many bytes the key has, and how many the displacement behind them. */
  #opcode = 0;
  #head = 0;
  #displacement = 0;

  /** The instruction at `bytes[at]`, `offset` in its page, if it was met before and ends before `limit`. */
  recall(bytes: Uint8Array, at: number, limit: number, offset: number): Planned | undefined {
    const met = this.#met.get(this.#scan(bytes, at));
    if (met === undefined || at + met.length > limit) return undefined;
    const { length } = met;
    const next = offset + length;
    const behind = at + this.#head + met.displacement;
    const immediate = number(bytes, behind, met.immediate, met.unsigned);
    const target = next + immediate;
    const way = met.branches && (target < 0 || target >= 4096) ? met.outside : met.inside;
    if (way === undefined) return undefined;
    const displacement = number(bytes, at + this.#head, met.displacement, false);
    const values: Parameter[] = [];
    const { sources } = way;
    for (let index = 0; index < sources.length; index++) {
      const { kind, value, big, width } = sources[index]!;
      if (kind === FIXED) values.push(value);
      else if (kind === NEXT) values.push(BigInt(next));
      else if (kind === AGAIN) values.push(offset + 1);
      else {
        let source = immediate;
        if (kind === DISPLACEMENT) source = width === 64 ? displacement + next : displacement;
        else if (kind === TARGET) source = big ? target : target + 1;
        else if (width < 64) source = (immediate << (32 - width)) >> (32 - width);
        values.push(big ? BigInt(source) : source);
      }
    }
    return { plan: { form: way.form, values }, meaning: met.meaning, length };
  }

  /** Keep `instruction`, which lies at `bytes[at]`, `offset` in its page, and was planned as `plan`. */
  keep(instruction: Instruction, bytes: Uint8Array, at: number, offset: number, plan: Plan): void {
    const { row, operands, length } = instruction;
    const shape = shapeOf(row);
    this.#scan(bytes, at);
    if (this.#opcode < 0 || shape.vex) return;
    this.#modrm[this.#opcode] = shape.modrm === 'none' ? WITHOUT : WITH;
    const key = this.#scan(bytes, at);
    const displacement = this.#displacement;
    const immediate = length - this.#head - displacement;
    const fields = shape.operands.filter(({ kind }) => kind === 'immediate' || kind === 'relative' || kind === 'moffs');
    const field = fields[0];
    if (key === NONE || fields.length > 1 || field?.kind === 'moffs') return;
    if (field === undefined ? immediate !== 0 : ![1, 2, 4].includes(immediate)) return;
    const sources = plan.form.parameters.map((parameter, index) =>
      sourceOf(parameter, operands[parameter.operand], plan.values[index]!, immediate > 0),
    );
    const way = { form: plan.form, sources };
    let met = this.#met.get(key);
    if (met === undefined) {
      if (this.#met.size === MOST) this.#met.clear();
      const { meaning } = row;
      const unsigned = field?.kind === 'immediate' && (field.extension === 'zero' || field.extension === 'none');
      const branches = field?.kind === 'relative';
      met = { meaning, length, displacement, immediate, unsigned, branches, inside: undefined, outside: undefined };
      this.#met.set(key, met);
    }
    const target = met.branches ? offset + length + number(bytes, at + length - immediate, immediate, false) : 0;
    if (target < 0 || target >= 4096) met.outside = way;
    else met.inside = way;
  }

  /** The key of the bytes at `at`; NONE if they are of no kind that is kept, or their opcode was not met yet. */
  #scan(bytes: Uint8Array, at: number): number {
    let end = at;
    let key = 1;
    let byte = bytes[end++]!;
    while (PREFIX[byte] === 1 && end - at < LONGEST_KEY) {
      key = key * 256 + byte;
      byte = bytes[end++]!;
    }
    key = key * 256 + byte;
    let opcode = byte;
    if (byte === 0x0f) {
      byte = bytes[end++]!;
      key = key * 256 + byte;
      opcode = 256 + byte;
    }
    // VEX, the maps 0f38 and 0f3a.
    if (opcode === 0xc4 || opcode === 0xc5 || opcode === 0x138 || opcode === 0x13a) opcode = -1;
    this.#opcode = opcode;
    this.#displacement = 0;
    const modrm = opcode < 0 ? 0 : this.#modrm[opcode]!;
    if (modrm === WITH) {
      byte = bytes[end++]!;
      key = key * 256 + byte;
      const mod = byte >> 6;
      if (mod !== 3) {
        let base = byte & 7;
        if (base === 4) {
          byte = bytes[end++]!;
          key = key * 256 + byte;
          base = byte & 7;
        }
        this.#displacement = mod === 1 ? 1 : mod === 2 || base === 5 ? 4 : 0;
      }
    }
    this.#head = end - at;
    return modrm === 0 || this.#head > LONGEST_KEY ? NONE : key;
  }
}

/** Where the number of one parameter comes from. `encoded`: the instruction has an immediate of its own, and does not imply it. */
function sourceOf(
  { letter, width }: ParameterName,
  operand: Operand | undefined,
  value: Parameter,
  encoded: boolean,
): Source {
  const fixed: Source = { kind: FIXED, value, big: false, width: 0 };
  const big = typeof value === 'bigint';
  if (letter === 'next') return { ...fixed, kind: NEXT };
  if (letter === 'again') return { ...fixed, kind: AGAIN };
  switch (operand!.kind) {
    case 'register':
      return fixed;
    case 'immediate':
      return encoded ? { ...fixed, kind: IMMEDIATE, big, width: big ? 64 : width } : fixed;
    case 'relative':
      return { ...fixed, kind: TARGET, big };
    case 'memory': {
      if (letter !== 'd' && letter !== 'f' && letter !== 'D') return fixed;
      const fromPage = operand!.memory.base?.class === 'pointer';
      return { ...fixed, kind: DISPLACEMENT, big, width: fromPage ? 64 : 0 };
    }
  }
}

/** The little-endian number of `count` bytes, 4 at most. */
function number(bytes: Uint8Array, at: number, count: number, unsigned: boolean): number {
  if (count === 0) return 0;
  if (count === 1) return unsigned ? bytes[at]! : (bytes[at]! << 24) >> 24;
  const half = bytes[at]! | (bytes[at + 1]! << 8);
  if (count === 2) return unsigned ? half : (half << 16) >> 16;
  const whole = half | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
  return unsigned ? whole >>> 0 : whole;
}

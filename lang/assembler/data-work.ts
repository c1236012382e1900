/** Placing data: `db` … `dq`, `resb` …, `times`, `incbin`, `align`. */

import type { Body, DataItem, Expression } from '../syntax/ast.ts';
import { expressionSpan } from '../syntax/ast.ts';
import type { Assembly, Work } from './assembly.ts';
import { resolveField, storeNumber } from './relocate.ts';
import { MAX_SECTION } from './sections.ts';

/** Repetitions of what is another thing at every place: each has to be made by itself, in every pass. */
const MAX_PLACED = 1 << 22;

type DataBody = Extract<Body, { kind: 'data' }>;

export class DataWork implements Work {
  readonly #unit: number;
  readonly #items: readonly DataItem[];
  /** Bytes of data that depends on nothing. */
  #fixed: Uint8Array | undefined;

  constructor(body: DataBody) {
    this.#unit = body.unit;
    this.#items = body.items;
  }

  place(assembly: Assembly): void {
    if (this.#fixed !== undefined) {
      assembly.bytes(this.#fixed);
      return;
    }
    if (assembly.phase === 'estimate') this.#fixed = this.#plainBytes();
    if (this.#fixed !== undefined) {
      assembly.bytes(this.#fixed);
      return;
    }
    this.#placeItems(this.#items, this.#unit, assembly);
    if (assembly.rooms.length > 0) warnOfZeroing(assembly);
  }

  /** The bytes of data that depends on nothing; undefined of all other. */
  static anywhere(body: DataBody): Uint8Array | undefined {
    return new DataWork(body).#plainBytes();
  }

  /** Its bytes where they depend on nothing; to be asked for once it is placed. */
  get constant(): Uint8Array | undefined {
    return this.#fixed;
  }

  fixedLength(): number | undefined {
    if (this.#fixed !== undefined) return this.#fixed.length;
    let length = 0;
    for (const item of this.#items) {
      if (item.kind === 'repeat') return undefined;
      const text = item.kind === 'value' && item.expression.kind === 'string' ? item.expression.bytes.length : 1;
      length += roundUp(text, item.unit ?? this.#unit);
    }
    return length;
  }

  /** Strings and numbers alone, which most data is. */
  #plainBytes(): Uint8Array | undefined {
    const unit = this.#unit;
    let length = 0;
    for (const item of this.#items) {
      if (item.kind !== 'value' || item.unit !== undefined) return undefined;
      const { expression } = item;
      if (expression.kind === 'string') length += roundUp(expression.bytes.length, unit);
      else if (expression.kind === 'number' && unit <= 8) length += unit;
      else return undefined;
    }
    const bytes = new Uint8Array(length);
    let at = 0;
    for (const item of this.#items) {
      const { expression } = item as Extract<DataItem, { kind: 'value' }>;
      if (expression.kind === 'string') {
        bytes.set(expression.bytes, at);
        at += roundUp(expression.bytes.length, unit);
      } else if (expression.kind === 'number') {
        if (unit < 8 && expression.value >> BigInt(unit * 8) !== 0n) return undefined;
        storeNumber(bytes, at, unit, expression.value);
        at += unit;
      }
    }
    return bytes;
  }

  #placeItems(items: readonly DataItem[], outer: number, assembly: Assembly): void {
    for (const item of items) {
      const unit = item.unit ?? outer;
      switch (item.kind) {
        case 'unset':
          assembly.room(unit);
          break;
        case 'repeat':
          this.#placeRepeated(item, unit, assembly);
          break;
        case 'value':
          this.#placeValue(item.expression, unit, assembly);
          break;
      }
    }
  }

  #placeRepeated(item: Extract<DataItem, { kind: 'repeat' }>, unit: number, assembly: Assembly): void {
    const count = item.count === undefined ? 1 : repeatCount(item.count, '`dup`', assembly);
    const before = assembly.touched;
    const { section } = assembly;
    for (let left = count; left > 0; left--) {
      const start = section.offset;
      assembly.touched = false;
      this.#placeItems(item.items, unit, assembly);
      // Its length is the same every time; its bytes are unless they say where they stand.
      if (left > 1 && (assembly.phase !== 'write' || !assembly.touched)) {
        assembly.again(section.offset - start, left - 1);
        break;
      }
      if (left > MAX_PLACED) refuseSoMany('`dup`', count, assembly);
    }
    assembly.touched ||= before;
  }

  #placeValue(expression: Expression, unit: number, assembly: Assembly): void {
    if (expression.kind === 'string') {
      const bytes = new Uint8Array(roundUp(expression.bytes.length, unit));
      bytes.set(expression.bytes);
      assembly.bytes(bytes);
      return;
    }
    if (isFloat(expression)) {
      assembly.bytes(floatBytes(expression, unit, assembly));
      return;
    }
    if (assembly.phase !== 'write') {
      // Once, so that mistakes in data are reported with the others.
      if (assembly.pass === 2) assembly.value(expression);
      assembly.touched = true;
      assembly.fill(unit, 0);
      return;
    }
    const value = assembly.value(expression);
    const bytes = new Uint8Array(unit);
    if (unit > 8) {
      assembly.error(expression, 'a number has at most 64 bits; larger units hold strings');
      return;
    }
    if (value.terms.some((term) => typeof term.of === 'string')) {
      assembly.error(expression, 'a register is no data');
      return;
    }
    const size = unit as 1 | 2 | 4 | 8;
    const field = { at: assembly.section.offset, bytes: size, signed: false, from: undefined };
    const number = resolveField(value, field, expression, assembly);
    if (number === undefined) return;
    if (size < 8 && (number < -(1n << BigInt(size * 8)) || number >= 1n << BigInt(size * 8))) {
      const name = { 1: 'byte', 2: 'word', 4: 'dword' }[size as 1 | 2 | 4];
      const span = expressionSpan(expression, assembly.item!.origin);
      assembly.diagnostics.warning(span, `${name} data exceeds bounds`, 'number-overflow');
    }
    storeNumber(bytes, 0, unit, number);
    assembly.bytes(bytes);
  }
}

function isFloat(expression: Expression): boolean {
  return expression.kind === 'float' || (expression.kind === 'unary' && isFloat(expression.operand));
}

function floatBytes(expression: Expression, unit: number, assembly: Assembly): Uint8Array {
  const bytes = new Uint8Array(unit);
  const view = new DataView(bytes.buffer);
  if (unit === 8) view.setFloat64(0, floatValue(expression), true);
  else if (unit === 4) view.setFloat32(0, floatValue(expression), true);
  else assembly.error(expression, 'a floating-point number stands only in `dd` and `dq`');
  return bytes;
}

function floatValue(expression: Expression): number {
  if (expression.kind === 'float') return expression.value;
  if (expression.kind !== 'unary') throw new Error('only signed floating-point numbers come here');
  const value = floatValue(expression.operand);
  return expression.operator === '-' ? -value : value;
}

/** A count for `times`, `dup` and `resb`; reports a negative or absurd one and gives 0. */
function repeatCount(expression: Expression, what: string, assembly: Assembly, later = false): number {
  const count = assembly.number(expression, `the count of ${what}`, later);
  if (count === undefined) return 0;
  if (count < 0n) {
    assembly.error(expression, `the count of ${what} is negative (${count})`);
    return 0;
  }
  if (count > BigInt(MAX_SECTION)) {
    assembly.diagnostics.fatal(
      expressionSpan(expression, assembly.item!.origin),
      `${what} ${count} makes section ${assembly.section.name} larger than ${MAX_SECTION / 1024 / 1024} MiB`,
    );
  }
  return Number(count);
}

/** `times N` in front of anything. */
export class TimesWork implements Work {
  readonly #count: Expression;
  readonly inner: Work;

  constructor(count: Expression, inner: Work) {
    this.#count = count;
    this.inner = inner;
  }

  place(assembly: Assembly): void {
    const { section } = assembly;
    const count = repeatCount(this.#count, '`times`', assembly);
    for (let i = 0; i < count; i++) {
      const before = section.offset;
      assembly.touched = false;
      this.inner.place(assembly);
      const length = section.offset - before;
      if (length === 0) return;
      if (i === 0) assembly.repetition = { count, length, isRoom: this.inner.isRoom === true };
      // What depends on no place is the same every time.
      if (!assembly.touched && i + 1 < count) {
        assembly.again(length, count - i - 1);
        return;
      }
      if (count > MAX_PLACED) refuseSoMany('`times`', count, assembly);
    }
  }
}

function refuseSoMany(what: string, count: number, { diagnostics, item }: Assembly): void {
  const text = `${what} ${count} of something that depends on its place; ${MAX_PLACED} are the most`;
  diagnostics.fatal(item!.span, text);
}

export class ReserveWork implements Work {
  readonly isRoom = true;
  readonly #unit: number;
  readonly #count: Expression;

  constructor(body: Extract<Body, { kind: 'reserve' }>) {
    this.#unit = body.unit;
    this.#count = body.count;
  }

  place(assembly: Assembly): void {
    warnOfZeroing(assembly);
    assembly.fill(repeatCount(this.#count, '`resb`', assembly, true) * this.#unit, 0);
  }
}

/** Room has nothing to say in a section with contents. */
function warnOfZeroing({ phase, section, item, diagnostics }: Assembly): void {
  if (phase !== 'write' || !section.holdsBytes) return;
  const text = `room in section ${section.name}, which holds bytes, becomes zeros`;
  diagnostics.warning(item!.span, text, 'zeroing');
}

/** A file's bytes, or the part of them that `incbin "file", skip, length` names. */
export class BytesWork implements Work {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  place(assembly: Assembly): void {
    assembly.bytes(this.#bytes);
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}

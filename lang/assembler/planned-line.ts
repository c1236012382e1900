/**
 * A line of a plan (preprocessor/call-plan.ts): assembled once for each set of registers and each class of values (isa/value-class.ts) in its holes. For
 * other values of those classes its bytes are the same but for the fields that hold them.
 */

import type { ValueField } from '../isa/instruction.ts';
import { VALUE_CLASSES, valueClass } from '../isa/value-class.ts';
import type { Body } from '../syntax/ast.ts';
import type { ParsedLine } from '../syntax/parser.ts';
import type { Token } from '../syntax/tokens.ts';
import { Arithmetic } from './arithmetic.ts';
import type { CallBytes } from './call-bytes.ts';
import type { SymbolBranch } from './instruction-work.ts';
import type { PlannedLine } from './preprocessor/call-plan.ts';
import { type CallWords, holesOf, REGISTER_COUNT } from './preprocessor/call-words.ts';

/** What a line asks of the assembler; undefined where something would have to be said, or the bytes depend on the place. */
export interface LineAssembler {
  parse(tokens: readonly Token[]): ParsedLine | undefined;
  /** Bytes, with the fields of values noted; a branch to a label of the call. */
  assemble(body: Body, fields: ValueField[]): Uint8Array | SymbolBranch | undefined;
  /** Number of a label of the call; undefined of other symbols. */
  label(name: string): number | undefined;
}

/** A number in a line: an immediate or a displacement. */
interface LineValue {
  readonly operand: number;
  readonly number: Arithmetic;
}

/** Where the bytes of a line hold a value: `from` bytes before their end. */
interface Patch {
  readonly from: number;
  readonly count: number;
  /** Index of the value. */
  readonly value: number;
}

interface Assembled {
  readonly bytes: Uint8Array;
  readonly patches: readonly Patch[];
}

/** What the line is, apart from its words. */
interface Outline {
  readonly label: number | undefined;
  readonly branch: { readonly forms: SymbolBranch; readonly target: number } | undefined;
  readonly values: readonly LineValue[];
  /** Holes whose registers and numbers make other bytes each. */
  readonly registers: readonly number[];
  readonly texts: readonly number[];
  readonly hasBytes: boolean;
  readonly isData: boolean;
}

const NO_PATCHES: readonly Patch[] = [];
/** Sets of words for which a line is kept. */
const MOST_KEPT = 1000;
/** Registers that a key may hold and be a safe integer. */
const MOST_REGISTERS = 4;

export class HoleLine implements PlannedLine<CallBytes> {
  readonly #tokens: readonly Token[];
  readonly #assembler: LineAssembler;
  /** `'open'`: it depends on more than the words. */
  #outline: Outline | 'open' | undefined;
  readonly #kept = new Map<number | string, Assembled | undefined>();
  /** The values of this call. */
  readonly #now: number[] = [];

  constructor(tokens: readonly Token[], assembler: LineAssembler) {
    this.#tokens = tokens;
    this.#assembler = assembler;
  }

  place(words: CallWords, into: CallBytes): boolean {
    this.#outline ??= this.#read(words);
    const outline = this.#outline;
    if (outline === 'open') return false;
    const { label, branch } = outline;
    if (label !== undefined && !into.label(label)) return false;
    if (branch !== undefined) into.branch(branch.forms, branch.target);
    if (!outline.hasBytes) return true;
    const assembled = this.#assembled(outline, words);
    if (assembled === undefined) return false;
    const { bytes, patches } = assembled;
    into.put(bytes, outline.isData);
    for (let i = 0; i < patches.length; i++) {
      const { from, count, value } = patches[i]!;
      into.patch(from, count, this.#now[value]!);
    }
    return true;
  }

  #assembled(outline: Outline, words: CallWords): Assembled | undefined {
    const { values, registers, texts } = outline;
    let number = 0;
    for (let i = 0; i < registers.length; i++) number = number * REGISTER_COUNT + words.registers[registers[i]!]!;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!.number.evaluate(words.numbers);
      const kind = valueClass(value);
      if (kind === undefined) return undefined;
      this.#now[i] = value;
      number = number * VALUE_CLASSES + kind;
    }
    let key: number | string = number;
    if (texts.length > 0) for (let i = 0; i < texts.length; i++) key = `${key} ${words.texts[texts[i]!]}`;
    const known = this.#kept.get(key);
    if (known !== undefined || this.#kept.has(key)) return known;
    const assembled = this.#assemble(outline, words);
    if (this.#kept.size < MOST_KEPT) this.#kept.set(key, assembled);
    return assembled;
  }

  #assemble({ values }: Outline, words: CallWords): Assembled | undefined {
    const parsed = this.#assembler.parse(words.filled(this.#tokens));
    const fields: ValueField[] = [];
    const bytes = parsed === undefined ? undefined : this.#assembler.assemble(parsed.body, fields);
    if (!(bytes instanceof Uint8Array)) return undefined;
    if (values.length === 0) return { bytes, patches: NO_PATCHES };
    const patches: Patch[] = [];
    for (const [value, { operand }] of values.entries()) {
      const field = fields.find((each) => each.operand === operand);
      if (field !== undefined) patches.push({ from: bytes.length - field.offset, count: field.bytes, value });
      // 0 and 1 need none, and are classes of their own.
      else if (this.#now[value] !== 0 && this.#now[value] !== 1) return undefined;
    }
    return { bytes, patches };
  }

  #read(words: CallWords): Outline | 'open' {
    const parsed = this.#assembler.parse(words.filled(this.#tokens));
    if (parsed === undefined || parsed.times !== undefined) return 'open';
    const { body } = parsed;
    const label = parsed.label === undefined ? undefined : this.#assembler.label(parsed.label.name);
    if (label === undefined && parsed.label !== undefined) return 'open';
    const isData = body.kind === 'data';
    const nothing = { label, branch: undefined, values: [], registers: [], texts: [], hasBytes: true, isData };
    if (body.kind === 'none') return { ...nothing, hasBytes: false };
    const holes = holesOf(this.#tokens);
    const isRegister = (hole: number) => words.registers[hole]! >= 0;
    const registers = [...new Set(holes.filter(isRegister))];
    const numbers = holes.filter((hole) => !isRegister(hole));
    if (holes.length === 0) {
      const forms = this.#assembler.assemble(body, []);
      const target =
        forms === undefined || forms instanceof Uint8Array ? undefined : this.#assembler.label(forms.symbol);
      if (target !== undefined) {
        return { ...nothing, branch: { forms: forms as SymbolBranch, target }, hasBytes: false };
      }
    }
    const values = numbers.length === 0 ? [] : valuesOf(body);
    const inValues = values?.flatMap(({ number }) => number.holes);
    if (values !== undefined && inValues?.length === numbers.length && registers.length <= MOST_REGISTERS) {
      return { ...nothing, values, registers };
    }
    return { ...nothing, texts: [...new Set(holes)] };
  }
}

/** The values of an instruction that are in holes; undefined where more than their class decides what the instruction is. */
function valuesOf(body: Body): readonly LineValue[] | undefined {
  if (body.kind !== 'instruction') return undefined;
  const values: LineValue[] = [];
  for (const [operand, { expression, memory }] of body.operands.entries()) {
    if (expression.kind === 'register') continue;
    const number = Arithmetic.of(expression);
    if (number === undefined || (number.hasRegister && memory === undefined)) return undefined;
    if (number.holes.length > 0) values.push({ operand, number });
  }
  return values;
}

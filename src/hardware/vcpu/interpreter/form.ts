/**
 * From a decoded instruction to the function that executes it. The definition runs once a *form* (same meaning, same operand
 * shapes); the function it yields then reads each instruction's own numbers from its record.
 */

import { decode } from '../../../../lang/isa/decode.ts';
import type { DecodeFailure, Instruction, Operand } from '../../../../lang/isa/instruction.ts';
import type { Meaning } from '../ops.ts';
import { JsCode } from './js-code.ts';
import { JsOps } from './js-ops.ts';
import { MetInstructions, type Planned } from './met-instructions.ts';
import { formKey, type OperandShape, shapesOf } from './operand-shape.ts';
import type { Form, ParameterName, Plan } from './plan.ts';
import { type PreparedForm, preparedFor, preparedForms } from './prepared-forms.ts';
import { layoutOf, unpacking } from './record-layout.ts';
import type { Parameter, Step } from './step.ts';

const forms: Form[] = [];
/** By meaning, then by shape. */
const formsOf = new Map<string, Map<number, Form>>();

/** An instruction of the table that a vCPU cannot execute. */
export interface Unplanned {
  readonly plan: undefined;
  readonly instruction: Instruction;
}

/** What has been compiled in this process, as source: the build makes prepared-forms.ts of it. */
export const compiledForms = () => ({
  names: environmentNames,
  forms: forms.map(({ key, names, source }) => ({ key, parameters: names, source })),
});
let environmentNames: readonly string[] = [];

function parameterName(name: string): ParameterName {
  const [operand, width] = name.slice(1).split('_');
  return {
    letter: name === 'next' ? 'next' : name === 'again' ? 'again' : name[0]!,
    operand: Number(operand),
    width: Number(width),
  };
}

/** The objects that generated code reaches by name. */
export type Environment = Readonly<Record<string, unknown>>;

const met = new MetInstructions();

/** Compiled forms of one vCPU. */
export class FormCompiler {
  readonly #meanings: Readonly<Record<string, Meaning>>;
  readonly #names: readonly string[];
  /** Prepared forms were made for this environment. */
  readonly #takesPrepared: boolean;
  readonly #values: readonly unknown[];
  /** Forms with this vCPU's environment, by their number. */
  readonly #bound: (Step | undefined)[] = [];

  constructor(meanings: Readonly<Record<string, Meaning>>, environment: Environment) {
    this.#meanings = meanings;
    this.#names = Object.keys(environment);
    this.#takesPrepared = preparedFor.join() === this.#names.join();
    environmentNames = this.#names;
    this.#values = Object.values(environment);
  }

  /**
   * The plan of `instruction`, whose first byte is at `offset` of its page, or undefined if its meaning is not known.
   */
  plan(instruction: Instruction, offset: number): Plan | undefined {
    const next = offset + instruction.length;
    const { meaning } = instruction.row;
    const key = formKey(instruction, next);
    let ofMeaning = formsOf.get(meaning);
    if (ofMeaning === undefined) {
      ofMeaning = new Map();
      formsOf.set(meaning, ofMeaning);
    }
    let form = ofMeaning.get(key);
    if (form === undefined) {
      form = this.#form(`${meaning} ${key}`, instruction, next);
      if (form === undefined) return undefined;
      ofMeaning.set(key, form);
    }
    return { form, values: form.parameters.map((name) => parameterValue(name, instruction, offset)) };
  }

  /**
   * The instruction at `bytes[at]` planned, `offset` being its place in its page; none of its bytes is at or after `limit`. Why not, if
   * it cannot be decoded; undefined `plan` if its meaning is not known.
   */
  planAt(bytes: Uint8Array, at: number, limit: number, offset: number): Planned | Unplanned | DecodeFailure {
    const known = met.recall(bytes, at, limit, offset);
    if (known !== undefined) return known;
    const instruction = decode(bytes, at, limit, 'long');
    if ('failure' in instruction) return instruction;
    const plan = this.plan(instruction, offset);
    if (plan === undefined) return { plan, instruction };
    met.keep(instruction, bytes, at, offset, plan);
    return { plan, meaning: instruction.row.meaning, length: instruction.length };
  }

  /** The function that executes on this vCPU what is of this form. */
  bind(form: Form): Step {
    let bound = this.#bound[form.number];
    if (bound === undefined) {
      bound = form.factory(...this.#values);
      this.#bound[form.number] = bound;
    }
    return bound;
  }

  #form(key: string, instruction: Instruction, next: number): Form | undefined {
    const made = this.#prepared(key) ?? this.#compile(instruction, shapesOf(instruction, next));
    if (made === undefined) return undefined;
    const { parameters: names, factory, source } = made;
    const parameters = names.map(parameterName);
    const form = { number: forms.length, key, names, parameters, layout: layoutOf(names), factory, source };
    forms.push(form);
    return form;
  }

  #prepared(key: string): Compiled | undefined {
    const prepared = preparedForms[key];
    if (prepared === undefined || !this.#takesPrepared) return undefined;
    return { ...prepared, source: undefined };
  }

  #compile(instruction: Instruction, shapes: readonly OperandShape[]): Compiled | undefined {
    const meaning = this.#meanings[instruction.row.meaning];
    if (meaning === undefined) return undefined;
    const js = new JsCode();
    const { width, addressWidth, condition, repeat } = instruction;
    meaning(new JsOps(js, { width, addressWidth, condition, repeat, shapes }));
    const { parameters } = js;
    const source = `(at) => {${unpacking(parameters, layoutOf(parameters))}${js.body}}`;
    // The source is ours alone: no text of the guest's or the user's gets into it, only operand shapes. Strict, as modules are: V8 looks
    // at the receiver of what is not, at each call.
    const factory = new Function(...this.#names, `'use strict';return ${source};`) as PreparedForm['factory'];
    return { parameters, factory, source };
  }
}

interface Compiled extends PreparedForm {
  readonly source: string | undefined;
}

/** Slot of a general register in the view of its width: bytes, halves, words or quads of the state page. */
function registerSlot(operand: Operand): number {
  if (operand.kind !== 'register') throw new Error('parameter r names an operand that is no register');
  const { register } = operand;
  return register.class === 'high-byte' ? (register.number - 4) * 8 + 1 : register.number * (64 / register.width);
}

/** The number that a parameter stands for in this instruction. */
function parameterValue(
  { letter, operand: index, width }: ParameterName,
  instruction: Instruction,
  offset: number,
): Parameter {
  const next = offset + instruction.length;
  if (letter === 'next') return BigInt(next);
  if (letter === 'again') return offset + 1;
  const operand = instruction.operands[index]!;
  switch (operand.kind) {
    case 'register':
      return registerSlot(operand);
    case 'immediate':
      return letter === 'I' ? BigInt.asIntN(operand.width, operand.value) : Number(BigInt.asIntN(width, operand.value));
    case 'relative': {
      const target = next + Number(operand.displacement);
      return letter === 'T' ? BigInt(target) : target + 1;
    }
    case 'memory': {
      const { base, index: scaled, displacement } = operand.memory;
      switch (letter) {
        case 'b':
          return base!.number * 2;
        case 'B':
          return base!.number;
        case 'x':
          return scaled!.number * 2;
        case 'X':
          return scaled!.number;
      }
      const fromPage = BigInt.asIntN(64, base?.class === 'pointer' ? displacement + BigInt(next) : displacement);
      return letter === 'D' ? fromPage : Number(fromPage);
    }
  }
}

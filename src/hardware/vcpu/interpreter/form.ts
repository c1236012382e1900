/**
 * From a decoded instruction to the closure that executes it. The definition runs once a *form* (same meaning, same operand
 * shapes); the function it yields is then bound to each instruction's own numbers.
 */

import type { Instruction, Operand } from '../../../../lang/isa/instruction.ts';
import type { Meaning } from '../ops.ts';
import { JsCode } from './js-code.ts';
import { JsOps } from './js-ops.ts';
import { formKey, type OperandShape, shapesOf } from './operand-shape.ts';
import { type PreparedForm, preparedFor, preparedForms } from './prepared-forms.ts';

/** Executes one instruction: 0 to go on, 1 + offset to jump in the page, or an {@link OUTCOME}. */
export type Step = () => number;

type Parameter = number | bigint;

interface Form {
  readonly bind: (...parameters: Parameter[]) => Step;
  readonly parameters: readonly ParameterName[];
}

/** A form without an environment: shared by all vCPUs of the process. */
interface Factory {
  readonly parameters: readonly string[];
  readonly factory: PreparedForm['factory'];
  /** Undefined for one that was prepared by the build. */
  readonly source: string | undefined;
}
const factories = new Map<string, Factory>();

/** What has been compiled in this process, as source: the build makes prepared-forms.ts of it. */
export const compiledForms = () => ({
  names: environmentNames,
  forms: [...factories].map(([key, { parameters, source }]) => ({ key, parameters, source })),
});
let environmentNames: readonly string[] = [];

/** A parameter's name, taken apart: the kind's letter, the operand it belongs to, and the width of an immediate. */
interface ParameterName {
  readonly letter: string;
  readonly operand: number;
  readonly width: number;
}

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

/** Compiled forms of one vCPU. */
export class FormCompiler {
  readonly #meanings: Readonly<Record<string, Meaning>>;
  readonly #names: readonly string[];
  readonly #values: readonly unknown[];
  /** By meaning, then by shape. */
  readonly #forms = new Map<string, Map<number, Form>>();

  constructor(meanings: Readonly<Record<string, Meaning>>, environment: Environment) {
    this.#meanings = meanings;
    this.#names = Object.keys(environment);
    environmentNames = this.#names;
    this.#values = Object.values(environment);
  }

  /**
   * The closure for `instruction`, whose first byte is at `offset` of its page, or undefined if its meaning is not known.
   */
  step(instruction: Instruction, offset: number): Step | undefined {
    const next = offset + instruction.length;
    const { meaning } = instruction.row;
    const key = formKey(instruction, next);
    let ofMeaning = this.#forms.get(meaning);
    if (ofMeaning === undefined) {
      ofMeaning = new Map();
      this.#forms.set(meaning, ofMeaning);
    }
    let form = ofMeaning.get(key);
    if (form === undefined) {
      form = this.#form(`${meaning} ${key}`, instruction, next);
      if (form === undefined) return undefined;
      ofMeaning.set(key, form);
    }
    return form.bind(...form.parameters.map((name) => parameterValue(name, instruction, offset)));
  }

  #form(name: string, instruction: Instruction, next: number): Form | undefined {
    const factory =
      factories.get(name) ?? this.#prepared(name) ?? this.#compile(instruction, shapesOf(instruction, next));
    if (factory === undefined) return undefined;
    factories.set(name, factory);
    return { bind: factory.factory(...this.#values), parameters: factory.parameters.map(parameterName) };
  }

  #prepared(name: string): Factory | undefined {
    const prepared = preparedForms[name];
    if (prepared === undefined || preparedFor.join() !== this.#names.join()) return undefined;
    return { ...prepared, source: undefined };
  }

  #compile(instruction: Instruction, shapes: readonly OperandShape[]): Factory | undefined {
    const meaning = this.#meanings[instruction.row.meaning];
    if (meaning === undefined) return undefined;
    const js = new JsCode();
    const { width, addressWidth, condition, repeat } = instruction;
    meaning(new JsOps(js, { width, addressWidth, condition, repeat, shapes }));
    const { parameters } = js;
    const source = `(${parameters.join(',')}) => () => {${js.body}}`;
    // The source is ours alone: no text of the guest's or the user's gets into it, only operand shapes.
    const factory = new Function(...this.#names, `return ${source};`) as PreparedForm['factory'];
    return { parameters, factory, source };
  }
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

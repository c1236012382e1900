/** Names for places: the file's own symbols as far as NASM's language can spell them, and new ones where it has none. */

import { isLeftOutAlone } from '../assembler/left-out.ts';
import { registerNamed } from '../isa/registers.ts';
import { candidates } from '../isa/table.ts';
import type { ObjectSymbol } from '../object/object-file.ts';
import { Keywords } from '../syntax/keywords.ts';
import { Identifier } from '../syntax/tokens.ts';
import type { Program } from './program.ts';

const keywords = new Keywords({
  isMnemonic: (name) => candidates(name) !== undefined,
  isRegister: (name) => registerNamed(name) !== undefined,
});

/** True of a name that means itself: no local label (`.x`), nothing that the lexer would cut. */
const isSpellable = (name: string) => /^[A-Za-z_?][\w.$#@~?]*$/.test(name);

/** A word of the language is taken for a name behind `$`. */
const spelled = (name: string) => (keywords.type(name) === Identifier && !isLeftOutAlone(name) ? name : `$${name}`);

export class Names {
  /** Labels of each section by their offsets, in order. */
  readonly #labels = new Map<
    number,
    Map<number, { readonly text: string; readonly symbol: ObjectSymbol | undefined }[]>
  >();
  readonly #others = new Map<string, string>();
  readonly #taken = new Set<string>();
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
    for (const symbol of program.others) this.#others.set(symbol.name, this.#new(symbol.name));
    for (const [index, section] of program.sections) {
      this.#labels.set(index, new Map());
      for (const symbol of section.symbols) this.#add(index, Number(symbol.value), this.#new(symbol.name), symbol);
    }
  }

  /** Labels at an offset, the file's own first. */
  at(section: number, offset: number): readonly { readonly text: string; readonly symbol: ObjectSymbol | undefined }[] {
    return this.#labels.get(section)?.get(offset) ?? [];
  }

  /** Offsets of a section that have a label, in ascending order. */
  offsets(section: number): readonly number[] {
    return [...(this.#labels.get(section)?.keys() ?? [])].sort((a, b) => a - b);
  }

  /** Name of a place that has one, or gets one now. */
  ofPlace(section: number, offset: number): string {
    const found = this.at(section, offset)[0];
    if (found !== undefined) return found.text;
    const { address } = this.#program.sections.get(section)!;
    const text = this.#new(`L${section}_${(address + BigInt(offset)).toString(16)}`);
    this.#add(section, offset, text, undefined);
    return text;
  }

  /** `name`, `name+4`: a target with what is added to it, as a relocation gives it. */
  ofTarget(target: number | string, addend: bigint): string {
    if (typeof target === 'string') return plus(this.#others.get(target)!, addend);
    const size = BigInt(this.#program.sections.get(target)?.size ?? 0);
    const labels = addend >= 0n && addend <= size ? this.at(target, Number(addend)) : [];
    return labels[0] === undefined ? plus(this.ofPlace(target, 0), addend) : labels[0].text;
  }

  ofOther(name: string): string {
    return this.#others.get(name)!;
  }

  #add(section: number, offset: number, text: string, symbol: ObjectSymbol | undefined): void {
    const labels = this.#labels.get(section)!;
    const here = labels.get(offset) ?? [];
    here.push({ text, symbol });
    labels.set(offset, here);
  }

  /** A name of its own: a second symbol of one name, or one that cannot be spelled, gets a number. */
  #new(wanted: string): string {
    const base = isSpellable(wanted) ? wanted : wanted.replace(/[^\w.$#@~?]/g, '_').replace(/^[^A-Za-z_?]+/, 'L_');
    let name = base === '' ? 'L_' : base;
    for (let count = 2; this.#taken.has(name); count++) name = `${base}_${count}`;
    this.#taken.add(name);
    return spelled(name);
  }
}

export function plus(name: string, addend: bigint): string {
  if (addend === 0n) return name;
  return addend < 0n ? `${name}-0x${(-addend).toString(16)}` : `${name}+0x${addend.toString(16)}`;
}

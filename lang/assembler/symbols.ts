/** Symbols: labels, `equ`, `extern`. A symbol keeps its value from pass to pass, so that forward references settle. */

import type { Expression } from '../syntax/ast.ts';
import type { Span } from '../syntax/source.ts';
import type { Section } from './sections.ts';
import type { Base, Value } from './value.ts';
import { addScaled, baseValue, constantValue } from './value.ts';

export type Binding = 'local' | 'global' | 'weak';

export class ExternalSymbol implements Base {
  readonly kind = 'external';
  readonly name: string;
  readonly value: Value;
  /** NASM leaves out symbols that nothing uses. */
  used = false;
  /** First use. */
  reference: Span | undefined;

  constructor(name: string) {
    this.name = name;
    this.value = baseValue(this, 0n);
  }
}

export class AssemblySymbol {
  readonly name: string;
  /** First mention by `global` or its definition. */
  readonly span: Span;
  /** Number of the statement that defines it; undefined before. */
  definedBy: number | undefined;
  definition: Span | undefined;
  binding: Binding = 'local';
  /** STT_* and STV_* asked for by `global name:function hidden`. */
  type = 0;
  visibility = 0;
  external: ExternalSymbol | undefined;
  /** `common NAME SIZE`. */
  common: { size: bigint; align: bigint } | undefined;
  /** Asked for by `global name:function (size)`. */
  size: Expression | undefined;
  /** Where a label stands: numbers, since every pass moves thousands of them; their {@link value} is made when it is asked for. */
  section: Section | undefined;
  offset = 0;
  #value: Value | undefined;

  constructor(name: string, span: Span) {
    this.name = name;
    this.span = span;
  }

  get value(): Value | undefined {
    if (this.#value === undefined && this.section !== undefined) {
      const { section, offset } = this;
      this.#value = section.isAbsolute
        ? addScaled(section.start, constantValue(BigInt(offset)), 1n)
        : baseValue(section, BigInt(offset));
    }
    return this.#value;
  }

  /** What an `equ` gives it. */
  set value(value: Value) {
    this.#value = value;
  }

  /** Puts a label there; false where it stands there already. */
  moveTo(section: Section, offset: number): boolean {
    if (this.section === section && this.offset === offset) return false;
    this.section = section;
    this.offset = offset;
    this.#value = undefined;
    return true;
  }
}

export class SymbolTable {
  readonly #symbols = new Map<string, AssemblySymbol>();

  get(name: string): AssemblySymbol | undefined {
    return this.#symbols.get(name);
  }

  /** The symbol of that name, made at its first mention. */
  mention(name: string, span: Span): AssemblySymbol {
    let symbol = this.#symbols.get(name);
    if (symbol === undefined) {
      symbol = new AssemblySymbol(name, span);
      this.#symbols.set(name, symbol);
    }
    return symbol;
  }

  all(): Iterable<AssemblySymbol> {
    return this.#symbols.values();
  }

  names(): Iterable<string> {
    return this.#symbols.keys();
  }
}

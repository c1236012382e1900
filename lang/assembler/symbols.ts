/** Symbols: labels, `equ`, `extern`. A symbol keeps its value from pass to pass, so that forward references settle. */

import type { Expression } from '../syntax/ast.ts';
import type { Span } from '../syntax/source.ts';
import type { Base, Value } from './value.ts';
import { baseValue } from './value.ts';

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

export interface AssemblySymbol {
  readonly name: string;
  /** First mention by `global` or its definition. */
  span: Span;
  value: Value | undefined;
  /** Number of the statement that defines it; undefined before. */
  definedBy: number | undefined;
  definition: Span | undefined;
  binding: Binding;
  /** STT_* and STV_* asked for by `global name:function hidden`. */
  type: number;
  visibility: number;
  external: ExternalSymbol | undefined;
  /** `common NAME SIZE`. */
  common: { size: bigint; align: bigint } | undefined;
  /** Asked for by `global name:function (size)`. */
  size: Expression | undefined;
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
      symbol = {
        name,
        span,
        value: undefined,
        definedBy: undefined,
        definition: undefined,
        binding: 'local',
        type: 0,
        visibility: 0,
        external: undefined,
        common: undefined,
        size: undefined,
      };
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

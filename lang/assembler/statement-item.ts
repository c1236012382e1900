/** A statement as the passes see it. Its place is worked out when a message or a line table wants it: most never do. */

import { type SourceLine, spanOf } from '../syntax/lexer.ts';
import type { Origin, Span } from '../syntax/source.ts';
import type { Token } from '../syntax/tokens.ts';
import type { Item, Work } from './assembly.ts';
import type { AssemblySymbol } from './symbols.ts';

export class StatementItem implements Item {
  readonly index: number;
  readonly origin: Origin;
  readonly parent: string;
  readonly label: AssemblySymbol | undefined;
  readonly work: Work | undefined;
  readonly #first: Token;
  readonly #last: Token;

  constructor(
    { tokens, origin }: SourceLine,
    index: number,
    parent: string,
    label: AssemblySymbol | undefined,
    work: Work | undefined,
  ) {
    this.index = index;
    this.origin = origin;
    this.parent = parent;
    this.label = label;
    this.work = work;
    this.#first = tokens[0]!;
    this.#last = tokens.at(-1)!;
  }

  get span(): Span {
    return spanOf(this.#first, this.#last, this.origin);
  }
}

/** An argument of a macro call. */

import { carried, textOf } from '../../syntax/lexer.ts';
import type { Origin } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';

export class Argument {
  readonly #tokens: readonly Token[];
  readonly #from: Origin;
  #carried: readonly Token[] | undefined;
  #text: string | undefined;

  /** `from`: origin of the line that the tokens stand in. */
  constructor(tokens: readonly Token[], from: Origin) {
    this.#tokens = tokens;
    this.#from = from;
  }

  /** Its tokens, as they stand in a line of another origin. */
  get carried(): readonly Token[] {
    this.#carried ??= this.#tokens.map((token) => carried(token, this.#from));
    return this.#carried;
  }

  /** Its tokens as text. */
  get text(): string {
    this.#text ??= this.#tokens.length === 1 ? this.#tokens[0]!.image : textOf(this.#tokens);
    return this.#text;
  }
}

/** What tells one call of a macro from another. */
export interface Actual {
  /** Number that makes `%%label` unique: `..@4.label`. */
  readonly serial: number;
  readonly arguments: readonly Argument[];
}

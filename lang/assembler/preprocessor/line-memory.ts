/**
 * The lines and conditions of bodies as they came out before: what the preprocessor makes of a line of a body is kept with the line's
 * template (line-template.ts), for the next time in which the same arguments meet the same macros.
 */

import type { SourceLine } from '../../syntax/lexer.ts';
import type { Span } from '../../syntax/source.ts';
import type { BodyLine } from './body-line.ts';
import { type ConditionWord, REPEATABLE_TESTS, testCondition } from './conditions.ts';
import type { Directing } from './directive.ts';
import { isShareable, type LineTemplate, SharedLine } from './line-template.ts';
import type { MacroCall } from './multi-line.ts';
import type { PreparedLine } from './prepared-line.ts';
import type { WatchedNames } from './watched-names.ts';

/** What becomes of a line of a body that is not known; `call` is the one whose parameters apply. */
export interface LineMaking {
  /** Does what the line says; gives the line that comes out, if any. */
  fresh(raw: SourceLine, call: MacroCall | undefined): SourceLine | undefined;
  withParameters(raw: SourceLine, call: MacroCall): SourceLine;
}

export class LineMemory {
  readonly #directing: Directing;
  readonly #watched: WatchedNames;
  readonly #making: LineMaking;

  constructor(directing: Directing, watched: WatchedNames, making: LineMaking) {
    this.#directing = directing;
    this.#watched = watched;
    this.#making = making;
  }

  /** A line of a body as it came out before with these arguments, or, the first time, kept for the next. */
  line(raw: SourceLine, template: LineTemplate, key: string, call: MacroCall | undefined): PreparedLine | undefined {
    const watched = this.#watched;
    const known = template.line(key, watched.version);
    if (known === 'unique') return this.#making.fresh(raw, call);
    if (known !== undefined) return { tokens: known.tokens, origin: known.originIn(raw.origin, call), shared: known };
    const { macros, sources } = this.#directing;
    const { version, watching } = watched;
    const { depth } = sources;
    const { impurities } = macros;
    watched.watching = true;
    const line = this.#making.fresh(raw, call);
    watched.watching = watching;
    // Whatever it did besides coming out would have to be done again.
    const isPure = macros.impurities === impurities;
    const isLineAlone = sources.depth === depth && watched.version === version && isPure;
    if (line === undefined || line.tokens.length === 0 || !isLineAlone || !isShareable(line.tokens)) {
      template.keepLine(key, version, 'unique');
      return line;
    }
    const shared = new SharedLine(line.tokens, raw.origin, call);
    template.keepLine(key, version, shared);
    return { tokens: shared.tokens, origin: line.origin, shared };
  }

  /** The answer that a condition in a body gave before to these arguments, or, the first time, gives. `span`: place of its word. */
  answer(
    raw: BodyLine,
    { kind, negated }: ConditionWord,
    key: string,
    call: MacroCall | undefined,
    span: Span,
  ): boolean {
    const template = raw.template!;
    const watched = this.#watched;
    const known = template.answer(key, watched.version);
    if (known !== undefined) return known;
    const { diagnostics, macros } = this.#directing;
    const { version, watching } = watched;
    const { impurities } = macros;
    const { said } = diagnostics;
    watched.watching = true;
    const line = call === undefined ? raw : this.#making.withParameters(raw, call);
    const asked = { word: template.word, rest: line.tokens.slice(1), origin: raw.origin, span };
    const given = testCondition(kind, asked, this.#directing);
    watched.watching = watching;
    const answer = given === !negated;
    const isSilent = given !== undefined && diagnostics.said === said;
    const isPure = macros.impurities === impurities && REPEATABLE_TESTS.has(kind);
    if (isSilent && isPure) template.keepAnswer(key, version, answer);
    return answer;
  }
}

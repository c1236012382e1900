/**
 * Calls of macros that come out of {@link CallMemory} instead of being expanded, and the rehearsals in which it learns what becomes of
 * them: the preprocessor goes through a call line by line, as it always does, but nothing of it counts.
 */

import type { SourceLine } from '../../syntax/lexer.ts';
import type { Origin } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';
import type { BodyCollector } from './body-collector.ts';
import type { BodyLine } from './body-line.ts';
import { type CallAssembler, CallMemory, type KnownCall } from './call-memory.ts';
import type { Course } from './call-plan.ts';
import { type CallWords, holesOf, isFreeOfHoles } from './call-words.ts';
import { type ConditionWord, REPEATABLE_TESTS, testCondition } from './conditions.ts';
import type { Directing, DirectiveLine } from './directive.ts';
import { HoleQuestion } from './hole-question.ts';
import type { MacroTally } from './macro-tally.ts';
import { FIRST_SERIAL, OWN_LABEL, Rehearsal, Unrepeatable } from './rehearsal.ts';
import type { WatchedNames } from './watched-names.ts';

/** The preprocessor as it is led through a call. */
export interface Rehearsing {
  readonly directing: Directing;
  readonly watched: WatchedNames;
  readonly tally: MacroTally;
  readonly collector: BodyCollector;
  /** Does with a line what is done with one that has been read; gives the line that comes out, if any. */
  process(line: BodyLine): SourceLine | undefined;
  /** Ends the innermost source. */
  close(): undefined;
}

export class KnownCalls {
  readonly #preprocessor: Rehearsing;
  readonly #directing: Directing;
  readonly #memory: CallMemory<unknown>;
  #rehearsal: Rehearsal | undefined;

  constructor(preprocessor: Rehearsing) {
    this.#preprocessor = preprocessor;
    this.#directing = preprocessor.directing;
    this.#memory = new CallMemory(preprocessor.watched, (words, origin) => this.#rehearse(words, origin));
  }

  /** True while a call is gone through of which nothing counts. What cannot be repeated throws {@link Unrepeatable} then. */
  get isRehearsing(): boolean {
    return this.#rehearsal !== undefined;
  }

  /** Remembers calls from now on, with the assembler's part in it. */
  remember(assembler: CallAssembler<unknown>): void {
    this.#memory.assembler = assembler;
  }

  /** No call is remembered beside a text that holds what tells holes and labels in a rehearsal from words. */
  distrust(text: string): void {
    if (!isFreeOfHoles(text) || text.includes(OWN_LABEL)) this.#memory.assembler = undefined;
  }

  /** The call that a line is, its bytes with the assembler; undefined where the line has to be processed. */
  find(line: SourceLine): KnownCall | undefined {
    if (!this.#mayBeKnown(line)) return undefined;
    const call = this.#memory.find(line);
    if (call === undefined) return undefined;
    // One line too many is reported where it stands.
    const serial = this.#preprocessor.tally.take(call);
    return serial === undefined ? undefined : { line, serial, serials: call.serials };
  }

  /** True of a line of a file that calls a macro. Behind a macro that is being expanded its name means something else. */
  #mayBeKnown({ tokens }: SourceLine): boolean {
    const { bodies, sources, conditions } = this.#directing;
    if (!bodies.areOwn || this.#memory.assembler === undefined) return false;
    if (!bodies.isNamed(tokens[0]!.image)) return false;
    return !sources.isInBody && !this.#preprocessor.collector.isOpen && conditions.reading;
  }

  /** Goes through the call in these words with holes in it, and leaves no trace; undefined where there is more to it than lines. */
  #rehearse(words: CallWords, origin: Origin): Course | undefined {
    const { watched, tally, collector } = this.#preprocessor;
    const { diagnostics, macros, sources, conditions } = this.#directing;
    const { depth } = sources;
    const { version } = watched;
    const { impurities } = macros;
    const { serial, produced } = tally;
    const rehearsal = new Rehearsal(words, origin);
    this.#rehearsal = rehearsal;
    tally.serial = FIRST_SERIAL;
    tally.produced = 0;
    watched.watching = true;
    try {
      const isDone = diagnostics.quietly(() => this.#goThrough(rehearsal, depth));
      const isPure = macros.impurities === impurities && watched.version === version;
      if (isDone === undefined || !isPure) return undefined;
      return { events: rehearsal.events, serials: tally.serial - FIRST_SERIAL, produced: tally.produced };
    } catch (error) {
      if (error instanceof Unrepeatable) return undefined;
      throw error;
    } finally {
      this.#rehearsal = undefined;
      collector.drop();
      sources.cut(depth);
      conditions.drop(depth + 1);
      tally.serial = serial;
      tally.produced = produced;
      watched.watching = false;
    }
  }

  #goThrough(rehearsal: Rehearsal, depth: number): true {
    const { origin } = rehearsal;
    const { sources } = this.#directing;
    let next: BodyLine | undefined = { tokens: rehearsal.words.withHoles(), origin, template: undefined };
    for (;;) {
      const line = next === undefined ? this.#preprocessor.close() : this.#preprocessor.process(next);
      if (line !== undefined && line.tokens.length > 0) rehearsal.add(line.tokens);
      if (sources.depth === depth) return true;
      next = sources.top!.lines.next();
    }
  }

  /** The answer of a condition in the rehearsal that is going on. */
  ask({ kind, negated }: ConditionWord, line: DirectiveLine): boolean {
    const rehearsal = this.#rehearsal!;
    const { rest, origin } = line;
    if (!REPEATABLE_TESTS.has(kind)) throw new Unrepeatable();
    rehearsal.mustBeWhole(rest);
    if (holesOf(rest).length === 0) return testCondition(kind, line, this.#directing) !== negated;
    const test = (words: readonly Token[]) => this.#testApart(kind, { ...line, rest: words });
    let number: ReturnType<CallAssembler<unknown>['number']>;
    if (kind === '') {
      const expanded = this.#directing.expand(rest, origin);
      rehearsal.mustBeWhole(expanded);
      number = this.#memory.assembler!.number(rehearsal.words.filled(expanded), origin);
    }
    return rehearsal.ask(new HoleQuestion(rest, negated, number, test));
  }

  /** The answer of a test, where that depends on its words and on macros alone. */
  #testApart(kind: string, line: DirectiveLine): boolean | undefined {
    const { watched } = this.#preprocessor;
    const { diagnostics, macros } = this.#directing;
    const { impurities } = macros;
    const { watching } = watched;
    watched.watching = true;
    const given = diagnostics.quietly(() => testCondition(kind, line, this.#directing));
    watched.watching = watching;
    return macros.impurities === impurities ? given : undefined;
  }
}

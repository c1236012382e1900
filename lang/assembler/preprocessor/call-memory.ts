/**
 * The plans of the calls in a source. A line of a file that calls a macro in a shape that was seen before is neither expanded nor parsed nor encoded
 * again, as long as the names that were looked up for it mean the same.
 */

import type { SourceLine } from '../../syntax/lexer.ts';
import type { Origin } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';
import { type CallCounts, CallPlan, type Course, type PlannedLine } from './call-plan.ts';
import { CallWords } from './call-words.ts';
import type { NumberOfHoles } from './hole-question.ts';
import type { WatchedNames } from './watched-names.ts';

/** A line of a file that is a call with a plan; `serial` is the first of the numbers that it takes. Its bytes are with the assembler. */
export interface KnownCall {
  readonly line: SourceLine;
  readonly serial: number;
  readonly serials: number;
}

/** The assembler's part in plans. */
export interface CallAssembler<Bytes> {
  readonly bytes: Bytes;
  /** To be called before a plan is followed. */
  begin(): void;
  /** Number that expanded and filled tokens give, for any numbers in their holes; undefined where that asks for more. */
  number(tokens: readonly Token[], origin: Origin): NumberOfHoles | undefined;
  lineOf(tokens: readonly Token[], origin: Origin): PlannedLine<Bytes>;
  /** To be called behind it; false where the bytes may be others at another place. */
  finish(): boolean;
}

/** Goes through a call in rehearsal; undefined where another of its shape may do something else. */
export type Rehearse = (words: CallWords, origin: Origin) => Course | undefined;

/** Shapes that are kept: a source whose calls are all different must not take all memory. */
const MOST_SHAPES = 5000;
/** A plan that has failed more often than that, and than it has served, is not tried again; nor are those of a macro. */
const PATIENCE = 3;
const PATIENCE_WITH_MACRO = 12;
/** More credit than that no macro gets. */
const TRUST = 100;

/** The calls of one shape. The first is nothing but noticed: most macros are called once. */
interface CallsOfShape<Bytes> {
  plan: CallPlan<Bytes> | 'none' | undefined;
  credit: number;
}

export class CallMemory<Bytes = unknown> {
  /** Without it no call is remembered. */
  assembler: CallAssembler<Bytes> | undefined;
  readonly #shapes = new Map<string, CallsOfShape<Bytes>>();
  /** Of macros, by their names: one whose lines name symbols is called in many shapes, and none of them has a plan. */
  readonly #credits = new Map<string, number>();
  readonly #watched: WatchedNames;
  readonly #rehearse: Rehearse;
  readonly #words = new CallWords();
  #version = 0;

  constructor(watched: WatchedNames, rehearse: Rehearse) {
    this.#watched = watched;
    this.#rehearse = rehearse;
  }

  /** Has the bytes of a line that calls a macro put together; undefined where it has to be expanded. */
  find(line: SourceLine): CallCounts | undefined {
    const assembler = this.assembler!;
    const words = this.#words;
    const { origin } = line;
    const name = line.tokens[0]!.image;
    const credit = this.#credits.get(name) ?? PATIENCE_WITH_MACRO;
    if (credit < 0) return undefined;
    const shape = words.read(line, this.#watched.areRegistersPlain);
    const calls = shape === undefined ? undefined : this.#callsOf(shape);
    if (calls === undefined || calls.plan === 'none') return undefined;
    calls.plan ??= new CallPlan((tokens) => assembler.lineOf(tokens, origin));
    const counts = this.#follow(calls.plan, words, origin, assembler);
    if (counts !== undefined && assembler.finish()) {
      calls.credit++;
      if (credit < TRUST) this.#credits.set(name, credit + 1);
      return counts;
    }
    this.#credits.set(name, credit - 1);
    if (--calls.credit < 0) calls.plan = 'none';
    return undefined;
  }

  /** The calls of a shape; undefined of the first. */
  #callsOf(shape: string): CallsOfShape<Bytes> | undefined {
    if (this.#version !== this.#watched.version) {
      this.#version = this.#watched.version;
      this.#shapes.clear();
    }
    const known = this.#shapes.get(shape);
    if (known === undefined && this.#shapes.size < MOST_SHAPES) {
      this.#shapes.set(shape, { plan: undefined, credit: PATIENCE });
    }
    return known;
  }

  #follow(
    plan: CallPlan<Bytes>,
    words: CallWords,
    origin: Origin,
    assembler: CallAssembler<Bytes>,
  ): CallCounts | undefined {
    const { version } = this.#watched;
    assembler.begin();
    const counts = plan.follow(words, assembler.bytes);
    if (counts !== 'new') return counts;
    const course = plan.isFull ? undefined : this.#rehearse(words, origin);
    // What it has looked up may have been watched for the first time, but changed nothing.
    if (course === undefined || this.#watched.version !== version) return undefined;
    plan.add(course);
    assembler.begin();
    const now = plan.follow(words, assembler.bytes);
    return now === 'new' ? undefined : now;
  }
}

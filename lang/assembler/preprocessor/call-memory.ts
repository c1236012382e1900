/**
 * The plans of the calls in a source. A line of a file that calls a macro in a shape that was seen before is neither expanded nor parsed nor encoded
 * again, as long as the names that were looked up for it mean the same.
 */

import type { SourceLine } from '../../syntax/lexer.ts';
import type { Origin, Span } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';
import type { Work } from '../assembly.ts';
import { type CallCounts, CallPlan, type Course, type PlannedLine } from './call-plan.ts';
import { CallWords } from './call-words.ts';
import type { NumberOfHoles } from './hole-question.ts';
import type { WatchedNames } from './watched-names.ts';

/** A call as one piece. */
export interface KnownCall extends CallCounts {
  readonly work: Work;
}

/** A line of a file that is such a call; `serial` is the first of the numbers that it takes. */
export interface PlacedCall {
  readonly call: KnownCall;
  readonly span: Span;
  readonly serial: number;
}

/** The assembler's part in plans. */
export interface CallAssembler<Bytes> {
  readonly bytes: Bytes;
  /** To be called before a plan is followed. */
  begin(): void;
  /** Number that expanded and filled tokens give, for any numbers in their holes; undefined where that asks for more. */
  number(tokens: readonly Token[], origin: Origin): NumberOfHoles | undefined;
  lineOf(tokens: readonly Token[], origin: Origin): PlannedLine<Bytes>;
  /** One work for the bytes that were put; undefined where they may be others at another place. */
  finish(): Work | undefined;
}

/** Goes through a call in rehearsal; undefined where another of its shape may do something else. */
export type Rehearse = (words: CallWords, origin: Origin) => Course | undefined;

/** Shapes that are kept: a source whose calls are all different must not take all memory. */
const MOST_SHAPES = 5000;
/** A plan that has failed more often than that, and than it has served, is not tried again. */
const PATIENCE = 3;

/** The calls of one shape. The first is nothing but noticed: most macros are called once. */
interface CallsOfShape<Bytes> {
  plan: CallPlan<Bytes> | 'none' | undefined;
  credit: number;
}

export class CallMemory<Bytes = unknown> {
  /** Without it no call is remembered. */
  assembler: CallAssembler<Bytes> | undefined;
  readonly #shapes = new Map<string, CallsOfShape<Bytes>>();
  readonly #watched: WatchedNames;
  readonly #rehearse: Rehearse;
  readonly #words = new CallWords();
  #version = 0;

  constructor(watched: WatchedNames, rehearse: Rehearse) {
    this.#watched = watched;
    this.#rehearse = rehearse;
  }

  /** What becomes of a line that calls a macro; undefined where it has to be expanded. */
  find({ tokens: line, origin }: SourceLine): KnownCall | undefined {
    const assembler = this.assembler!;
    const words = this.#words;
    const shape = words.read(line, this.#watched.areRegistersPlain);
    const calls = shape === undefined ? undefined : this.#callsOf(shape);
    if (calls === undefined || calls.plan === 'none') return undefined;
    calls.plan ??= new CallPlan((tokens) => assembler.lineOf(tokens, origin));
    const counts = this.#follow(calls.plan, words, origin, assembler);
    const work = counts === undefined ? undefined : assembler.finish();
    calls.credit += work === undefined ? -1 : 1;
    if (work !== undefined) return { work, serials: counts!.serials, produced: counts!.produced };
    if (calls.credit < 0) calls.plan = 'none';
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

/**
 * What becomes of the calls of one shape (call-words.ts): the lines that come out, with holes in them, and the conditions that are asked on the
 * way, whose answers lead on to others. A plan grows by rehearsals (rehearsal.ts): one for each way that is taken through the
 * conditions. To follow it costs a small part of what expanding and assembling the call does.
 */

import type { Token } from '../../syntax/tokens.ts';
import type { CallWords } from './call-words.ts';

/** A line of a plan, as the assembler keeps it. */
export interface PlannedLine<Bytes> {
  /** Puts its bytes; false where they depend on more than the words. */
  place(words: CallWords, bytes: Bytes): boolean;
}

/** A condition of a plan. */
export interface Question {
  /** Undefined where the answer may be another the next time, or something would have to be said. */
  answer(words: CallWords): boolean | undefined;
}

/** What a rehearsal met: a line that came out, or a condition with its answer. */
export type Event =
  | { readonly tokens: readonly Token[]; readonly question?: never }
  | { readonly question: Question; readonly answer: boolean };

/** One way through a macro, from a rehearsal. */
export interface Course extends CallCounts {
  readonly events: readonly Event[];
}

/** What a call takes besides its bytes. */
export interface CallCounts {
  /** Numbers that it and the calls in it take. */
  readonly serials: number;
  /** Lines that macros made for it. */
  readonly produced: number;
}

/** Lines up to a condition or to the end. */
interface Stretch<Bytes> {
  readonly lines: readonly PlannedLine<Bytes>[];
  readonly question: Question | undefined;
  yes: Stretch<Bytes> | undefined;
  no: Stretch<Bytes> | undefined;
  /** At the end. */
  readonly counts: CallCounts | undefined;
}

/** Ways through one macro that are kept: conditions that depend on each other in every way must not take all memory. */
const MOST_WAYS = 200;

export class CallPlan<Bytes> {
  #start: Stretch<Bytes> | undefined;
  #ways = 0;
  readonly #lineOf: (tokens: readonly Token[]) => PlannedLine<Bytes>;

  constructor(lineOf: (tokens: readonly Token[]) => PlannedLine<Bytes>) {
    this.#lineOf = lineOf;
  }

  get isFull(): boolean {
    return this.#ways >= MOST_WAYS;
  }

  /** Puts the bytes of a call; `'new'`: it takes a way that has not been rehearsed. Undefined: its bytes depend on more than its words. */
  follow(words: CallWords, bytes: Bytes): CallCounts | 'new' | undefined {
    for (let stretch = this.#start; stretch !== undefined; ) {
      const { lines, question } = stretch;
      for (let i = 0; i < lines.length; i++) if (!lines[i]!.place(words, bytes)) return undefined;
      if (question === undefined) return stretch.counts;
      const answer = question.answer(words);
      if (answer === undefined) return undefined;
      stretch = answer ? stretch.yes : stretch.no;
    }
    return 'new';
  }

  /** Takes a way in, up to where it is known. */
  add(course: Course): void {
    this.#ways++;
    this.#start = this.#joined(this.#start, course, 0);
  }

  #joined(known: Stretch<Bytes> | undefined, course: Course, from: number): Stretch<Bytes> {
    const { events } = course;
    let to = from;
    while (to < events.length && events[to]!.question === undefined) to++;
    const event = events[to];
    const stretch = known ?? {
      lines: events.slice(from, to).map((each) => this.#lineOf((each as { readonly tokens: readonly Token[] }).tokens)),
      question: event?.question,
      yes: undefined,
      no: undefined,
      counts: event === undefined ? course : undefined,
    };
    if (event?.question === undefined) return stretch;
    if (event.answer) stretch.yes = this.#joined(stretch.yes, course, to + 1);
    else stretch.no = this.#joined(stretch.no, course, to + 1);
    return stretch;
  }
}

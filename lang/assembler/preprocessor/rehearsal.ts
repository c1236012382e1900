/**
 * A call in rehearsal: the preprocessor goes through it with holes in the places of its registers and numbers, to see what does not depend on
 * them. Nothing of it counts. What looks into a hole, or does more than come out as lines, ends it: then calls of this shape are expanded
 * each for itself.
 */

import type { Origin } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';
import type { Event, Question } from './call-plan.ts';
import { areHolesWhole, type CallWords } from './call-words.ts';
import { isShareable } from './line-template.ts';

/** Thrown where a call does what another of its shape would have to do again, or may do otherwise. */
export class Unrepeatable extends Error {}

/** Lines and conditions of a call that is worth a plan. */
const MOST_EVENTS = 2000;

/** The numbers of calls in a rehearsal begin here, where those of no other call come: their labels are `..@1099511627776.label`. */
export const FIRST_SERIAL = 2 ** 40;
/** What the names of those labels begin with. */
export const OWN_LABEL = `..@${FIRST_SERIAL}`.slice(0, -4);

/** True of the name of a label that belongs to a call in rehearsal. */
export function isOwnLabel(name: string): boolean {
  return name.startsWith(OWN_LABEL);
}

export class Rehearsal {
  readonly words: CallWords;
  /** Of the line that calls. */
  readonly origin: Origin;
  readonly events: Event[] = [];

  constructor(words: CallWords, origin: Origin) {
    this.words = words;
    this.origin = origin;
  }

  /** A line came out. */
  add(tokens: readonly Token[]): void {
    this.mustBeWhole(tokens);
    if (!isShareable(tokens)) throw new Unrepeatable();
    this.#push({ tokens });
  }

  /** Asks a question that looks into holes; gives the answer for this call. */
  ask(question: Question): boolean {
    const answer = question.answer(this.words);
    if (answer === undefined) throw new Unrepeatable();
    this.#push({ question, answer });
    return answer;
  }

  /** To be called of tokens whose holes will be filled. */
  mustBeWhole(tokens: readonly Token[]): void {
    if (!areHolesWhole(tokens)) throw new Unrepeatable();
  }

  #push(event: Event): void {
    if (this.events.push(event) > MOST_EVENTS) throw new Unrepeatable();
  }
}

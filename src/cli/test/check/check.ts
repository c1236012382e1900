/**
 * Check lines against a text, by FileCheck's rules: labels cut the text into blocks; in a block each check looks on from where
 * the one before ended; DAG checks match in any order without overlap; NOT checks hold between their neighbours.
 */

import { type Check, canonical } from './directives.ts';
import { CheckFault } from './fault.ts';
import { Pattern, Variables } from './pattern.ts';

/** One check that did not hold. Offsets are in the text as {@link canonical} makes it. */
export interface Failure {
  readonly check: Check;
  readonly message: string;
  /** From where the text was searched, or where the unwanted or misplaced match lies. */
  readonly at: number;
  readonly notes: readonly string[];
}

export interface Checked {
  readonly failures: readonly Failure[];
  /** The text that was searched. */
  readonly text: string;
  /** Every match, in the order of matching. */
  readonly matches: readonly { readonly check: Check; readonly start: number; readonly end: number }[];
}

/** A positive check with the DAG and NOT lines in front of it. */
interface Step {
  readonly before: readonly Check[];
  readonly check: Check;
}

/** Try all `checks`, in order, on `input`. */
export function check(checks: readonly Check[], input: string): Checked {
  return new Checker(canonical(input)).run(stepsOf(checks));
}

function stepsOf(checks: readonly Check[]): Step[] {
  const steps: Step[] = [];
  let before: Check[] = [];
  for (const each of checks) {
    if (each.kind === 'not' || each.kind === 'dag') before.push(each);
    else {
      steps.push({ before, check: each });
      before = [];
    }
  }
  const last = before.at(-1);
  if (last !== undefined)
    steps.push({ before, check: { ...last, kind: 'end', count: 1, pattern: new Pattern('', last.line, true) } });
  return steps;
}

/** Leaves the block whose check failed. */
class Failed extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.message);
    this.failure = failure;
  }
}

class Checker {
  readonly #text: string;
  readonly #variables = new Variables();
  readonly #matches: { check: Check; start: number; end: number }[] = [];

  constructor(text: string) {
    this.#text = text;
  }

  run(steps: readonly Step[]): Checked {
    const failures: Failure[] = [];
    let from = 0;
    let first = 0;
    while (first < steps.length) {
      const label = steps.findIndex(({ check }, index) => index >= first && check.kind === 'label');
      const last = label < 0 ? steps.length - 1 : label;
      try {
        const end = label < 0 ? this.#text.length : this.#find(steps[label]!.check, from, this.#text.length).end;
        try {
          this.#block(steps.slice(first, last + 1), from, end);
        } catch (error) {
          if (!(error instanceof Failed)) throw error;
          failures.push(error.failure);
        }
        from = end;
        first = last + 1;
      } catch (error) {
        // Without its label the rest of the text cannot be cut.
        if (!(error instanceof Failed)) throw error;
        failures.push(error.failure);
        break;
      }
    }
    return { failures, text: this.#text, matches: this.#matches };
  }

  #block(steps: readonly Step[], from: number, end: number): void {
    let at = from;
    for (const { before, check } of steps) {
      const { start, nots } = this.#unordered(before, at, end);
      let matchStart = 0;
      let matchEnd = start;
      for (let count = 1; count <= check.count; count++) {
        const match = this.#find(check, matchEnd, end, check.count > 1 ? `match ${count} of ${check.count} ` : '');
        if (count === 1) matchStart = match.start;
        matchEnd = match.end;
      }
      this.#checkPlace(check, start, matchStart);
      this.#checkAbsent(nots, start, matchStart);
      if (check.kind !== 'end') this.#matches.push({ check, start: matchStart, end: matchEnd });
      at = matchEnd;
    }
  }

  /** DAG and NOT lines in front of a check. Returns where the check may look from, and the NOT lines that it has to end. */
  #unordered(checks: readonly Check[], from: number, end: number): { start: number; nots: readonly Check[] } {
    let start = from;
    let nots: Check[] = [];
    /** Matches of the present group, in the order of the text. */
    let group: { start: number; end: number }[] = [];
    for (const [index, each] of checks.entries()) {
      if (each.kind === 'not') {
        nots.push(each);
        continue;
      }
      const match = this.#findBeside(group, each, start, end);
      this.#matches.push({ check: each, ...match });
      group.push(match);
      group.sort((a, b) => a.start - b.start);
      if (checks[index + 1]?.kind === 'dag') continue;
      this.#checkAbsent(nots, start, group[0]!.start);
      nots = [];
      start = group.at(-1)!.end;
      group = [];
    }
    return { start, nots };
  }

  /** A match that overlaps none of `taken`. */
  #findBeside(
    taken: readonly { start: number; end: number }[],
    check: Check,
    from: number,
    end: number,
  ): { start: number; end: number } {
    for (let at = from; ; ) {
      const match = this.#find(check, at, end);
      const other = taken.find((each) => match.start < each.end && each.start < match.end);
      if (other === undefined) return match;
      at = other.end;
    }
  }

  #find(check: Check, from: number, end: number, which = ''): { start: number; end: number } {
    if (check.kind === 'end') return { start: end, end };
    const match = this.#try(check, from, end);
    if (match === undefined) {
      throw new Failed({
        check,
        message: `${which}expected text not found`,
        at: from,
        notes: check.pattern.describe(this.#variables),
      });
    }
    // An empty line's match begins behind the newline that ends the line before.
    return { start: from + match.start + (check.kind === 'empty' ? 1 : 0), end: from + match.end };
  }

  #try(check: Check, from: number, end: number): { start: number; end: number } | undefined {
    try {
      return check.pattern.match(this.#text.slice(from, end), this.#variables);
    } catch (error) {
      if (!(error instanceof CheckFault)) throw error;
      throw new Failed({ check, message: error.message, at: from, notes: [] });
    }
  }

  /** NEXT and EMPTY: one line further; SAME: on the same line. */
  #checkPlace(check: Check, from: number, start: number): void {
    const lines = this.#text.slice(from, start).split('\n').length - 1;
    const wrong = (message: string): never => {
      throw new Failed({ check, message, at: start, notes: [] });
    };
    if (check.kind === 'same' && lines !== 0) wrong('is not on the line of the match before');
    if (check.kind !== 'next' && check.kind !== 'empty') return;
    if (lines === 0) wrong('is on the same line as the match before');
    if (lines > 1) wrong(`is not on the line behind the match before, but ${lines - 1} further`);
  }

  #checkAbsent(nots: readonly Check[], from: number, end: number): void {
    for (const check of nots) {
      const match = this.#try(check, from, end);
      if (match !== undefined)
        throw new Failed({ check, message: 'excluded text found', at: from + match.start, notes: [] });
    }
  }
}

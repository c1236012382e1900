/** The check lines of a source: `; CHECK: …` and its variants, with LLVM FileCheck's words and rules. */

import { CheckFault } from './fault.ts';
import { Pattern } from './pattern.ts';

export type CheckKind = 'plain' | 'next' | 'same' | 'not' | 'dag' | 'label' | 'empty' | 'end';

/** One check line. */
export interface Check {
  readonly kind: CheckKind;
  readonly pattern: Pattern;
  /** How many times in a row it has to match: CHECK-COUNT-n. */
  readonly count: number;
  /** `CHECK-NEXT`, as the source spells it. */
  readonly name: string;
  /** Line of the source, from 1, and column of the pattern. */
  readonly line: number;
  readonly column: number;
}

/** A check line that cannot be used. */
export interface BadCheck {
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

export interface ChecksOfSource {
  readonly checks: readonly Check[];
  readonly bad: readonly BadCheck[];
}

const kinds: Readonly<Record<string, CheckKind>> = {
  '': 'plain',
  '-NEXT': 'next',
  '-SAME': 'same',
  '-NOT': 'not',
  '-DAG': 'dag',
  '-LABEL': 'label',
  '-EMPTY': 'empty',
};

/** Runs of blanks count as one, in checks and in what is checked, as FileCheck does without --strict-whitespace. */
export const canonical = (text: string): string => text.replace(/[ \t]+/g, ' ').replace(/\r\n/g, '\n');

/** Read the check lines of `source` that begin with one of `prefixes`. They stand in comments; `; COM:` and `; RUN:` lines hold none. */
export function readChecks(source: string, prefixes: readonly string[] = ['CHECK']): ChecksOfSource {
  const checks: Check[] = [];
  const bad: BadCheck[] = [];
  const names = prefixes.map((prefix) => prefix.replace(/[^\w-]/g, '\\$&')).join('|');
  const misspelt = new RegExp(`(?<![\\w-])(?:${names})_?(?:NEXT|SAME|NOT|DAG|LABEL|EMPTY|COUNT)[\\w-]*:`);
  const shape = new RegExp(`(^|[^\\w-])(${names})((?:-[A-Z]+)*)(-\\d+)?(\\{LITERAL\\})?:(.*)$`);
  for (const [index, text] of source.split(/\r?\n/).entries()) {
    const comment = text.indexOf(';');
    if (comment < 0 || !prefixes.some((prefix) => text.includes(prefix, comment))) continue;
    const match = shape.exec(text.slice(comment));
    const wrong = match === null ? misspelt.exec(text.slice(comment)) : null;
    if (wrong !== null)
      bad.push({ line: index + 1, column: comment + wrong.index + 1, message: noDirective(wrong[0].slice(0, -1)) });
    if (match === null || /\b(COM|RUN):/.test(text.slice(comment, comment + match.index + 1))) continue;
    const [whole, before, prefix, suffix, number, literal, rest] = match;
    const column = comment + match.index + whole!.length - rest!.trimStart().length + 1;
    const line = index + 1;
    try {
      const name = `${prefix}${suffix}${number ?? ''}`;
      const check = readCheck(name, suffix!, number, canonical(rest!).trim(), line, literal !== undefined, checks);
      checks.push({ ...check, name, line, column });
    } catch (error) {
      if (!(error instanceof CheckFault)) throw error;
      const start = comment + match.index + before!.length + 1;
      bad.push({ line, column: error instanceof DirectiveFault ? start : column, message: error.message });
    }
  }
  return { checks, bad };
}

/** A mistake in the directive's name rather than in its pattern. */
class DirectiveFault extends CheckFault {}

const noDirective = (name: string): string =>
  `there is no directive '${name}'; there are CHECK, -NEXT, -SAME, -NOT, -DAG, -LABEL, -EMPTY and -COUNT-<number>`;

function readCheck(
  name: string,
  suffix: string,
  number: string | undefined,
  text: string,
  line: number,
  literal: boolean,
  before: readonly Check[],
): Pick<Check, 'kind' | 'pattern' | 'count'> {
  const counted = suffix === '-COUNT';
  const kind = counted ? 'plain' : kinds[suffix];
  if (kind === undefined || counted !== (number !== undefined)) throw new DirectiveFault(noDirective(name));
  const count = counted ? Number(number!.slice(1)) : 1;
  if (count === 0) throw new DirectiveFault(`'${name}' has to count at least 1`);
  const follows = kind === 'next' || kind === 'same' || kind === 'empty';
  if (follows && !before.some((each) => each.kind !== 'not' && each.kind !== 'dag'))
    throw new DirectiveFault(`'${name}' needs a check line in front that it follows`);
  if (kind === 'empty') {
    if (text !== '') throw new CheckFault(`'${name}' takes no pattern`);
    return { kind, pattern: new Pattern('{{\\n$}}', line), count };
  }
  if (text === '') throw new CheckFault(`'${name}:' has no pattern; use {{.*}} for any text, or CHECK-EMPTY`);
  const pattern = new Pattern(text, line, literal);
  if (kind === 'label' && pattern.hasVariables)
    throw new CheckFault(`'${name}' can neither set nor use variables: labels are looked for before everything else`);
  return { kind, pattern, count };
}

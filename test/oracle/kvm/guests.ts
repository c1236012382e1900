/** Random guests that the model and the host's own KVM are to run alike. GVM_KVM_CASES makes a longer run, GVM_SEED another. */

import { expect, test } from 'vitest';
import { Draws } from '../../linux/syscalls/draws.ts';
import type { Pair } from './pair.ts';
import { askRealKvm, buildMachine, realKvmMissing } from './real-kvm.ts';

const SEED = Number(process.env['GVM_SEED'] ?? 1);
/** Of a line that differs. */
const SHOWN = 400;
/** Lines shown before it. */
const BEFORE = 4;

/** An answer to a line without what the two have a reason to differ in. */
type Settle = (line: string, answer: string) => string;

const asItIs: Settle = (_line, answer) => answer;

/** The test that as many guests as usual, which `play` runs on the model, are the host's. It is skipped with a word where there is no KVM to ask. */
export function testGuests(usual: number, play: (draws: Draws) => Pair, settle: Settle = asItIs): void {
  const cases = Number(process.env['GVM_KVM_CASES'] ?? usual);
  const missing = realKvmMissing();
  test.skipIf(missing !== undefined)(
    `${cases} guests${missing === undefined ? '' : `: ${missing}`}`,
    { timeout: 60_000 + cases * 2000 },
    () => {
      const pairs = Array.from({ length: cases }, (_, number) => play(new Draws((SEED + number) * 7919 + 13)));
      const lines = pairs.flatMap(({ asked }) => asked.map(({ line }) => line));
      const answers = askRealKvm(buildMachine(), lines);
      let from = 0;
      const differences = pairs.flatMap((pair, number) => {
        const theirs = answers.slice(from, from + pair.asked.length);
        from += pair.asked.length;
        const found = difference(pair, theirs, settle);
        return found === undefined ? [] : [`guest ${number}: ${found}`];
      });
      expect(differences.join('\n')).toBe('');
    },
  );
}

/** The first answer that is not the model's; what comes behind it follows from that. */
function difference({ asked }: Pair, theirs: readonly string[], settle: Settle): string | undefined {
  const first = asked.findIndex(
    ({ line, mine }, at) => mine !== '' && settle(line, mine) !== settle(line, theirs[at]!),
  );
  if (first < 0) return undefined;
  const before = asked.slice(Math.max(0, first - BEFORE), first + 1).map(({ line, mine }) => `${line} -> ${mine}`);
  return [...before, `the host: ${theirs[first]}`].map((line) => line.slice(0, SHOWN)).join('\n  ');
}

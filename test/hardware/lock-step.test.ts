/**
 * The translator against the interpreter: random programs with loops, calls, faults, interrupts and stores into their own code
 * run on both, and all that can be seen of them is compared at every exit. scripts/lock-step.js makes a longer run.
 */

import { describe, expect, test } from 'vitest';
import { PARTS, type Part } from './lock-step/program.ts';
import { runPrograms } from './lock-step/run.ts';

const PROGRAMS = 192;
const SEED = 1;
/** So few programs need not have it. */
const RARE: Part = 'such stores into another page';
/** A push across the end of the page that the stack's last access was in. */
const CROSSING_PUSH = 4009536;

describe('translated code is in step with the interpreter', () => {
  test(`${PROGRAMS} programs from seed ${SEED}`, { timeout: 180_000 }, () => {
    const { difference, tally } = runPrograms(PROGRAMS, SEED);
    expect(difference).toBeUndefined();
    expect(tally.total('regions translated')).toBeGreaterThan(PROGRAMS * 3);
    expect(tally.total('regions whose code was then written')).toBeGreaterThan(PROGRAMS);
    expect(tally.interrupts).toBeGreaterThan(PROGRAMS);
    for (const what of [
      ...PARTS.filter((part) => part !== RARE),
      '#DE',
      '#UD',
      '#GP',
      '#PF',
      'exit PREEMPTION_TIMER',
      'exit IO_INSTRUCTION',
    ])
      expect(tally.total(what), what).toBeGreaterThan(0);
  });

  test('a push that crosses into another page goes to both', () => {
    expect(runPrograms(1, CROSSING_PUSH).difference).toBeUndefined();
  });
});

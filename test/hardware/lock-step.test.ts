/**
 * The translator against the interpreter: random programs with loops, calls, faults, interrupts and stores into their own code
 * run on both, and all that can be seen of them is compared at every exit. GVM_LOCK_STEP_PROGRAMS and GVM_LOCK_STEP_SEED make
 * a longer run (scripts/lock-step.js).
 */

import { describe, expect, test } from 'vitest';
import { Pair } from './lock-step/pair.ts';

const PROGRAMS = Number(process.env['GVM_LOCK_STEP_PROGRAMS'] ?? 100);
const SEED = Number(process.env['GVM_LOCK_STEP_SEED'] ?? 1);
/** VM entries of each program. */
const ENTRIES = 12;
/** Programs that follow each other on one pair of machines, so that one finds the other's translations. */
const TOGETHER = 50;

describe('translated code is in step with the interpreter', () => {
  test(`${PROGRAMS} programs from seed ${SEED}`, { timeout: 120_000 + PROGRAMS * 500 }, () => {
    let translated = 0;
    for (let first = 0; first < PROGRAMS; first += TOGETHER) {
      const eager = (first / TOGETHER) % 2 === 0;
      const pair = new Pair({ threshold: eager ? 2 : 20, eager });
      for (let each = first; each < Math.min(first + TOGETHER, PROGRAMS); each++)
        expect(pair.compare(SEED + each, ENTRIES)).toBeUndefined();
      translated += pair.translated.cpu.translation?.instructions ?? 0;
    }
    expect(translated).toBeGreaterThan(PROGRAMS * 10);
  });
});

/** Random C programs, compiled by GCC: what they compute on the model's CPU is what they compute on the host's. */

import { describe, expect, test } from 'vitest';
import { compareProgram, randomCAnswers } from '../oracle/random-c.ts';

const PROGRAMS = Number(process.env.GVM_C_CASES ?? 8);
const SEED = Number(process.env.GVM_SEED ?? 100);

describe.each(['kernels', 'csmith'] as const)('random C programs: %s', (writer) => {
  test.skipIf(!randomCAnswers[writer])(
    randomCAnswers[writer] ? 'compute the same' : `skipped: needs gcc, an x86-64 Linux host, and csmith for its own`,
    { timeout: 60_000 * PROGRAMS },
    () => {
      let compared = 0;
      for (let seed = SEED; seed < SEED + PROGRAMS; seed++) {
        const { options, endless, difference } = compareProgram(writer, seed);
        expect(difference, `seed ${seed}, ${options.join(' ')}`).toBeUndefined();
        if (!endless) compared++;
      }
      expect(compared).toBeGreaterThan(PROGRAMS / 2);
    },
  );
});

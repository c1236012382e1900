/** Programs compiled by GCC, at every level of optimisation: what they write on the model's CPU is what they write on the host. */

import { describe, expect, test } from 'vitest';
import { bareImage, nativeTexts, PROGRAMS, runBare } from '../oracle/gcc-programs.ts';
import { hostAnswers } from '../oracle/host.ts';

describe.skipIf(!hostAnswers)(
  hostAnswers ? 'GCC programs' : 'GCC programs: skipped, needs gcc and an x86-64 Linux host',
  () => {
    test.each([['-O0'], ['-O2'], ['-O3'], ['-Os'], ['-O2', '-march=x86-64-v3'], ['-O3', '-march=x86-64-v3']])(
      '%s %s',
      (...options) => {
        const native = nativeTexts(options.filter((option) => option !== undefined));
        const image = bareImage(options.filter((option) => option !== undefined));
        PROGRAMS.forEach((name, index) => {
          expect(native[index]!.length, name).toBeGreaterThan(20);
          expect(runBare(image, name).text, name).toBe(native[index]);
        });
      },
    );
  },
);

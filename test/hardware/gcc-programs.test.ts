/** Programs compiled by GCC, at every level of optimisation: what they write on the model's CPU is what they write on the host. */

import { describe, expect, test } from 'vitest';
import { nativeTexts, PROGRAMS, programImage, runProgram } from '../oracle/gcc-programs.ts';
import { hostAnswers } from '../oracle/host.ts';

describe.skipIf(!hostAnswers)(
  hostAnswers ? 'GCC programs' : 'GCC programs: skipped, needs gcc and an x86-64 Linux host',
  () => {
    test.each([['-O0'], ['-O2'], ['-O3'], ['-Os'], ['-O2', '-march=x86-64-v3'], ['-O3', '-march=x86-64-v3']])(
      '%s %s',
      (...options) => {
        const native = nativeTexts(options.filter((option) => option !== undefined));
        const image = programImage(options.filter((option) => option !== undefined));
        PROGRAMS.forEach((name, index) => {
          expect(native[index]!.length, name).toBeGreaterThan(20);
          const interpreted = runProgram(image, name);
          expect(interpreted.text, name).toBe(native[index]);
          const hot = runProgram(image, name, 1, { threshold: 5, eager: false });
          expect(hot.text, name).toBe(native[index]);
          expect(hot.instructions, name).toBe(interpreted.instructions);
          expect(hot.translated, name).toBeGreaterThan(0);
        });
      },
    );
  },
);

/** The sample programs of test/oracle/programs, built by GCC for the host and for a bare CPU. */

import { join } from 'node:path';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { type BareRun, bareImage, nativeText, runBare, SOURCES } from './bare-image.ts';

/** In the order of all.c. */
export const PROGRAMS = [
  'sorting',
  'sha256',
  'checksums',
  'lz',
  'bignum',
  'json',
  'interpreter',
  'strings',
  'division',
  'bits',
] as const;
export type ProgramName = (typeof PROGRAMS)[number];

const sources = [...PROGRAMS, 'all'].map((name) => join(SOURCES, `${name}.c`));

/** What each program writes on the host. */
export const nativeTexts = (options: readonly string[]): string[] =>
  nativeText(options, [...sources, join(SOURCES, 'native-main.c')])
    .split('\0')
    .slice(0, -1);

/** The programs as one image. */
export const programImage = (options: readonly string[]): Uint8Array => bareImage(options, sources);

/** Run one of the programs `times` times on the model's CPU. */
export const runProgram = (image: Uint8Array, name: ProgramName, times = 1, eagerness?: Eagerness): BareRun =>
  runBare(image, { number: PROGRAMS.indexOf(name), times, eagerness });

/**
 * Random C programs that GCC builds for the host and for a bare CPU: what they compute has to be the same on the host's CPU, on the
 * interpreter and on the translator. They hold what a compiler makes of C, as random instructions do not: loops in loops, tables,
 * addresses that were worked out. Our own ({@link KernelWriter}) work on arrays; csmith's are full of pointers, structures, bit fields and jumps.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { inFolder } from '../in-folder.ts';
import { type BareRun, bareImage, nativeText, runBare } from './bare-image.ts';
import { have } from './have.ts';
import { hostAnswers } from './host.ts';
import { KernelWriter } from './random-c/kernels.ts';

const SOURCES = 'test/oracle/random-c';
/** Debian's place for the headers that each of them includes. */
const HEADERS = '/usr/include/csmith';
/** Who writes the programs. */
export type WriterName = 'kernels' | 'csmith';
/** Whether there are such programs here, and a CPU to compare with. */
export const randomCAnswers: Readonly<Record<WriterName, boolean>> = {
  kernels: hostAnswers,
  csmith: hostAnswers && have('csmith') && existsSync(HEADERS),
};
const BARE = ['-ffreestanding', '-mgeneral-regs-only', '-fno-stack-protector', '-fno-pic'];
/** csmith's variables are everybody's, or GCC would work out the most of it; its functions with floating point are not wanted. */
const LANGUAGE: Readonly<Record<WriterName, readonly string[]>> = {
  kernels: ['-fwrapv'],
  csmith: ['-I', HEADERS, '-Dmain=program', '-DUSE_MATH_MACROS', '-Dstatic=', '-fgnu89-inline'],
};
/** Instructions: a program may go on for ever. */
const LIMIT = 50_000_000;
/** What is asked of GCC, by turns. */
const OPTIONS: readonly (readonly string[])[] = [
  ['-O0'],
  ['-O1'],
  ['-O2'],
  ['-O3'],
  ['-Os'],
  ['-O2', '-march=x86-64-v3'],
  ['-O3', '-march=x86-64-v3', '-funroll-loops'],
  ['-Og', '-fno-omit-frame-pointer'],
];
/** Code is hot at once; as soon as a loop has turned a few times, along the branches that were taken; and with all others as well. */
const EAGERNESS: readonly Eagerness[] = [
  { threshold: 1, eager: true },
  { threshold: 5, eager: false },
  { threshold: 20, eager: true },
];

/** What became of one program. */
export interface Comparison {
  readonly options: readonly string[];
  /** It goes on for too long, perhaps for ever: nothing was compared. */
  readonly endless: boolean;
  /** Where it is not the same. */
  readonly difference: string | undefined;
}

/** Make a program by `seed`, which also decides how it is compiled and translated, and run it on both CPUs. */
export function compareProgram(writer: WriterName, seed: number): Comparison {
  const options = OPTIONS[seed % OPTIONS.length]!;
  return inFolder((folder) => {
    const sources = [compiled(writer, seed, options, folder), join(SOURCES, 'run.c')];
    const image = bareImage([], sources);
    const interpreted = runBare(image, { limit: LIMIT });
    if (!interpreted.ended) return { options, endless: true, difference: undefined };
    const native = nativeText(['-no-pie'], [...sources, join(SOURCES, 'native-main.c')]);
    const eagerness = EAGERNESS[Math.floor(seed / OPTIONS.length) % EAGERNESS.length]!;
    const translated = runBare(image, { eagerness, limit: 2 * LIMIT });
    const difference =
      differenceOf('interpreted', native, interpreted) ??
      differenceOf(`translated, ${JSON.stringify(eagerness)}`, native, translated) ??
      (translated.instructions === interpreted.instructions
        ? undefined
        : `${translated.instructions} translated instructions, ${interpreted.instructions} interpreted ones`);
    return { options, endless: false, difference };
  });
}

/** The program's object file: the same machine code for both. */
function compiled(writer: WriterName, seed: number, options: readonly string[], folder: string): string {
  const [source, object] = [join(folder, 'program.c'), join(folder, 'program.o')];
  if (writer === 'kernels') writeFileSync(source, new KernelWriter(seed).program());
  // It leaves a file of its own where it runs.
  else execFileSync('csmith', ['--seed', String(seed), '--concise', '--output', source], { cwd: folder });
  execFileSync('gcc', [...options, ...BARE, ...LANGUAGE[writer], '-w', '-c', '-o', object, source]);
  return object;
}

/** The checksum is told after each variable: the first line that differs names it. */
function differenceOf(how: string, native: string, { text }: BareRun): string | undefined {
  if (text === native) return undefined;
  const [wanted, got] = [`${native}\n(end)`.split('\n'), `${text}\n(end)`.split('\n')];
  const line = wanted.findIndex((each, index) => each !== got[index]);
  return `${how}: "${got[line]}" instead of "${wanted[line]}"`;
}

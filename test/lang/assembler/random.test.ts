/**
 * Random programs: what nasm and gvm both take has the same bytes. GVM_FUZZ_CASES and GVM_FUZZ_SEED make a longer run, or another one; a
 * failure names the seed of its program, which GVM_FUZZ_CASES=1 repeats.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { inFolder } from '../../in-folder.ts';
import { RandomProgram } from './random-program.ts';
import { flat, has } from './tools.ts';

const CASES = Number(process.env['GVM_FUZZ_CASES'] ?? 40);
const SEED = Number(process.env['GVM_FUZZ_SEED'] ?? 1);
/** Lines that nasm refuses go, and others may be refused for that. */
const ROUNDS = 8;

/** The lines that nasm takes, and their bytes; undefined if that comes to no end. */
function byNasm(lines: string[], folder: string): { text: string; bytes: string } | undefined {
  const [source, output] = [join(folder, 'main.asm'), join(folder, 'main.out')];
  for (let round = 0; round < ROUNDS; round++) {
    const text = lines.join('\n');
    writeFileSync(source, `${text}\n`);
    const { status, stderr } = spawnSync('nasm', ['-f', 'bin', '-w-all', '-o', output, source], { encoding: 'utf8' });
    if (status === 0) return { text, bytes: readFileSync(output).toString('hex') };
    const wrong = new Set([...stderr.matchAll(/main\.asm:(\d+): (?:error|fatal)/g)].map(([, line]) => Number(line)));
    lines = lines.filter((_, index) => !wrong.has(index + 1));
  }
  return undefined;
}

/** What gvm makes of it; undefined where it refuses. */
function byGvm(text: string): string | undefined {
  try {
    return flat(text);
  } catch (error) {
    if (/error: /.test((error as Error).message)) return undefined;
    throw error;
  }
}

test.skipIf(!has('nasm'))(`${CASES} random programs have nasm's bytes (needs nasm)`, () => {
  let both = 0;
  inFolder((folder) => {
    for (let seed = SEED; seed < SEED + CASES; seed++) {
      const wanted = byNasm(new RandomProgram(seed).lines(), folder);
      const got = wanted && byGvm(wanted.text);
      if (got === undefined) continue;
      both++;
      if (got !== wanted!.bytes) expect({ seed, text: wanted!.text, bytes: got }).toEqual({ seed, ...wanted });
    }
  });
  expect(both).toBeGreaterThan(CASES * 0.8);
});

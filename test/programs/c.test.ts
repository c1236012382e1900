/**
 * Drivers in C, built by their own Makefile against the guest library's header, and run as ELF images: transcripts are pinned
 * beside the sources. UPDATE_C_TRANSCRIPTS=1 rewrites them.
 */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_MAX_INSNS } from '../../src/cli/run-options.ts';
import { transcriptOf } from '../../src/cli/test/run-test.ts';
import { library } from '../expect-golden.ts';
import { hostAnswers } from '../oracle/host.ts';

const FOLDER = 'programs/c';
const sources = readdirSync(FOLDER)
  .filter((name) => name.endsWith('.c'))
  .map((name) => name.slice(0, -2));

describe.skipIf(!hostAnswers)(hostAnswers ? 'drivers in C' : 'drivers in C: skipped, needs gcc on x86-64', () => {
  const out = mkdtempSync(join(tmpdir(), 'gvm-c-'));
  beforeAll(() => {
    execFileSync('make', ['-s', '-C', FOLDER, `OUT=${out}`]);
  });
  afterAll(() => rmSync(out, { recursive: true }));

  test.each(sources)('%s', (name) => {
    const { transcript } = transcriptOf(join(out, `${name}.elf`), library, { maxInsns: DEFAULT_MAX_INSNS });
    const pinned = join(FOLDER, `${name}.transcript`);
    if (process.env['UPDATE_C_TRANSCRIPTS'] !== undefined && process.env['CI'] === undefined)
      writeFileSync(pinned, transcript);
    expect(transcript).toBe(readFileSync(pinned, 'utf8'));
  });
});

/** Every program under programs/ against its golden transcript: console, host log, asked-for events and exit status, in order. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readArchive } from '../../lang/object/archive.ts';
import { Transcript } from '../../src/cli/output.ts';
import { DEFAULT_MAX_INSNS, run } from '../../src/cli/run.ts';
import { ROOT } from '../cli/gvm.ts';

const library = {
  archive: readArchive(readFileSync(join(ROOT, 'dist/libgvm.a')), 'libgvm.a'),
  includes: join(ROOT, 'lang/library/include'),
};

const files = readdirSync(join(ROOT, 'programs'), { recursive: true })
  .map((name) => join('programs', String(name)))
  .sort();
const programs = files.filter((name) => name.endsWith('.gasm'));

function transcript(file: string): string {
  const output = new Transcript();
  const status = run(
    {
      file,
      qemu: [],
      trace: undefined,
      explain: false,
      maxInsns: DEFAULT_MAX_INSNS,
      exitMap: 'gvm',
      includes: [],
      defines: {},
    },
    library,
    output,
  );
  output.message(`[gvm] exit status ${status}`);
  return output.text;
}

describe.each(programs)('%s', (file) => {
  const golden = join(ROOT, file.replace(/\.gasm$/, '.golden'));
  test('its transcript is the golden one', async () => {
    await expect(transcript(file)).toMatchFileSnapshot(golden);
  });
  test('a second run gives the same bytes', () => {
    expect(transcript(file)).toBe(transcript(file));
  });
});

test('no golden is left without its program', () => {
  const orphans = files.filter(
    (name) => name.endsWith('.golden') && !existsSync(join(ROOT, name.replace(/\.golden$/, '.gasm'))),
  );
  expect(orphans).toEqual([]);
});

/**
 * The interpreter against what a host CPU answered when test/oracle/vectors.bin.gz was made: the oracle where there is no
 * x86-64 host. `node scripts/oracle-vectors.js` makes the file anew.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { difference } from '../oracle/compare.ts';
import { FORMS, type Form } from '../oracle/forms.ts';
import { Host, hostAnswers } from '../oracle/host.ts';
import { CaseRecord, RECORD_BYTES } from '../oracle/record.ts';
import { SiliconMachine } from '../oracle/silicon-machine.ts';
import { answered, changesOf, type FormVectors, readVectors, vectorCases, writeVectors } from '../oracle/vectors.ts';

const FILE = new URL('../oracle/vectors.bin.gz', import.meta.url);
const MAX_FILE_BYTES = 2_000_000;
const REMEDY = 'node scripts/oracle-vectors.js, on an x86-64 Linux host with gcc, makes them anew';

function askHost(host: Host, form: Form): FormVectors {
  const { cases, digest } = vectorCases(form);
  const native = host.run(Buffer.concat(cases.map(({ bytes }) => bytes)));
  const changes = cases.map((record, index) =>
    changesOf(record, new CaseRecord(native.subarray(index * RECORD_BYTES, (index + 1) * RECORD_BYTES))),
  );
  return { name: form.name, digest, changes };
}

if (process.env['GVM_VECTORS'] === 'write') {
  const host = new Host();
  writeFileSync(FILE, writeVectors(FORMS.map((form) => askHost(host, form))));
  host.close();
}

describe('the interpreter does what a host CPU did', () => {
  const file = readFileSync(FILE);
  const vectors = readVectors(file);

  test(`${vectors.size} forms`, { timeout: 120_000 }, () => {
    const machine = new SiliconMachine();
    const wrong: string[] = [];
    for (const form of FORMS) {
      const kept = vectors.get(form.name);
      if (kept === undefined) continue;
      const { cases, digest } = vectorCases(form);
      expect(digest, `the cases of ${form.name} have changed: ${REMEDY}`).toBe(kept.digest);
      for (const [index, record] of cases.entries()) {
        const problem = difference(form, machine, machine.run(record), answered(record, kept.changes[index]!));
        if (problem === undefined) continue;
        wrong.push(`${form.name} [${record.code.subarray(0, 15).toString('hex')}]: ${problem}`);
        break;
      }
    }
    expect(wrong).toEqual([]);
    expect(file.length).toBeLessThan(MAX_FILE_BYTES);
  });

  test.skipIf(!hostAnswers)(
    hostAnswers ? 'every form has vectors' : 'every form has vectors: skipped, needs a host',
    () => {
      expect(
        FORMS.filter(({ name }) => !vectors.has(name)).map(({ name }) => name),
        REMEDY,
      ).toEqual([]);
    },
  );

  test('an answer is kept whole', () => {
    const form = FORMS.find(({ memory }) => memory)!;
    const [before, after] = vectorCases(form).cases;
    const kept = answered(before!, changesOf(before!, after!));
    expect(kept.data.equals(after!.data)).toBe(true);
    for (let number = 0; number < 16; number++) expect(kept.register(number)).toBe(after!.register(number));
    expect(kept.rflags).toBe(after!.rflags);
  });
});

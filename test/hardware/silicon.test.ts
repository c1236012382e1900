/**
 * The interpreter and the translator against the host CPU: every form of the instruction table that a program may try, from
 * random states with edge values, aliased and page-crossing operands, faults among them. GVM_ORACLE_CASES and
 * GVM_ORACLE_SEED make a longer run (scripts/oracle.js).
 */

import { describe, expect, test } from 'vitest';
import { makeCase } from '../oracle/cases.ts';
import { difference } from '../oracle/compare.ts';
import { FORMS } from '../oracle/forms.ts';
import { Generator } from '../oracle/generator.ts';
import { Host, hostAnswers } from '../oracle/host.ts';
import { CaseRecord, RECORD_BYTES } from '../oracle/record.ts';
import { SiliconMachine } from '../oracle/silicon-machine.ts';

const CASES = Number(process.env['GVM_ORACLE_CASES'] ?? 200);
const SEED = Number(process.env['GVM_ORACLE_SEED'] ?? 1);
/** Forms whose cases go to the host together. */
const BATCH = 64;

const TRANSLATED_CASES = Math.ceil(CASES / 50);

/** What differs between the host and a model of its CPU, over `count` cases of each form. */
function differences(machine: SiliconMachine, count: number): string[] {
  const host = new Host();
  const wrong: string[] = [];
  try {
    for (let first = 0; first < FORMS.length; first += BATCH) {
      const forms = FORMS.slice(first, first + BATCH);
      const random = new Generator(SEED * 1000 + first);
      const cases = forms.flatMap((form) => Array.from({ length: count }, () => makeCase(form, random)));
      const native = host.run(Buffer.concat(cases.map(({ bytes }) => bytes)));
      forms.forEach((form, index) => {
        for (let each = index * count; each < (index + 1) * count; each++) {
          const answer = new CaseRecord(native.subarray(each * RECORD_BYTES, (each + 1) * RECORD_BYTES));
          const problem = difference(form, machine, machine.run(cases[each]!), answer);
          if (problem === undefined) continue;
          const code = cases[each]!.code.subarray(0, 15).toString('hex');
          wrong.push(`${form.name} [${code}]: ${problem}`);
          break;
        }
      });
    }
  } finally {
    host.close();
  }
  return wrong;
}

const named = (what: string, count: number): string =>
  hostAnswers ? `${what}: ${FORMS.length} forms, ${count} cases each` : 'skipped: needs gcc and an x86-64 Linux host';

describe('the model does what the host CPU does', () => {
  test.skipIf(!hostAnswers)(named('interpreted', CASES), { timeout: 60_000 + CASES * 3000 }, () => {
    expect(differences(new SiliconMachine(), CASES)).toEqual([]);
  });

  test.skipIf(!hostAnswers)(named('translated', TRANSLATED_CASES), { timeout: 120_000 + CASES * 3000 }, () => {
    expect(differences(new SiliconMachine({ threshold: 1, eager: true }), TRANSLATED_CASES)).toEqual([]);
  });
});

/**
 * Random bytes executed as code from a random state: the CPU never throws, never hangs, touches nothing but the program's own
 * pages, and where iced-x86 decodes the bytes the lengths agree. GVM_FUZZ_CASES and GVM_FUZZ_SEED make a longer run
 * (scripts/fuzz.js).
 */

import { Decoder } from 'iced-x86';
import { describe, expect, test } from 'vitest';
import { decode } from '../../lang/isa/decode.ts';
import { makeCase } from '../oracle/cases.ts';
import { FORMS } from '../oracle/forms.ts';
import { Generator } from '../oracle/generator.ts';
import { CaseRecord, CODE_BYTES } from '../oracle/record.ts';
import { SiliconMachine } from '../oracle/silicon-machine.ts';

const CASES = Number(process.env['GVM_FUZZ_CASES'] ?? 20_000);
const SEED = Number(process.env['GVM_FUZZ_SEED'] ?? 1);
const MODE = 64;

/** Random bytes; or a valid instruction with a few bits turned, followed by random bytes. */
function randomCase(random: Generator): CaseRecord {
  const record = random.once(2) ? new CaseRecord() : makeCase(random.pick(FORMS), random);
  const fresh = record.rflags === 0n;
  if (fresh) {
    for (let register = 0; register < 16; register++) record.setRegister(register, random.value());
    // Any flags, the trap flag, alignment checks and NT among them.
    record.rflags = (random.bits() & 0x257fd7n) | 0x202n;
    for (let byte = 0; byte < CODE_BYTES; byte++) record.code[byte] = random.below(256);
  } else {
    for (let bit = random.below(4); bit > 0; bit--) {
      const at = random.below(12);
      record.code[at] = record.code[at]! ^ (1 << random.below(8));
    }
    for (let byte = 15; byte < CODE_BYTES; byte++) record.code[byte] = random.below(256);
  }
  record.second = random.below(3);
  return record;
}

describe('random bytes as code', () => {
  test(`${CASES} of them`, { timeout: 60_000 + CASES * 4 }, () => {
    const random = new Generator(SEED);
    const machine = new SiliconMachine();
    const system = machine.systemDigest();
    for (let each = 0; each < CASES; each++) {
      const record = randomCase(random);
      try {
        machine.runFreely(record);
      } catch (error) {
        throw new Error(`case ${each} of seed ${SEED}, code ${record.code.toString('hex')}: ${(error as Error).stack}`);
      }
      if (each % 1000 === 0) expect(machine.systemDigest(), `before case ${each} of seed ${SEED}`).toBe(system);
    }
    expect(machine.systemDigest()).toBe(system);
  });

  test('stepwise is as in one go', { timeout: 60_000 + CASES * 4 }, () => {
    const random = new Generator(SEED + 2);
    const machine = new SiliconMachine();
    const wrong: string[] = [];
    for (let each = 0; each < CASES / 4; each++) {
      const record = randomCase(random);
      const whole = machine.outcomeOf(record, false);
      if (whole !== undefined && machine.outcomeOf(record, true) !== whole) wrong.push(record.code.toString('hex'));
    }
    expect(wrong.slice(0, 5)).toEqual([]);
  });

  test('lengths are iced-x86’s', { timeout: 60_000 + CASES * 4 }, () => {
    const random = new Generator(SEED + 1);
    const wrong: string[] = [];
    for (let each = 0; each < CASES; each++) {
      const { code } = randomCase(random);
      const bytes = code.subarray(0, 15);
      const ours = decode(bytes, 0, bytes.length, 'long');
      if ('failure' in ours) continue;
      const decoder = new Decoder(MODE, bytes, 0);
      const theirs = decoder.decode();
      // What iced calls invalid may be an encoding that it does not list; the oracle against iced decides those.
      if (!theirs.isInvalid && theirs.length !== ours.length) wrong.push(bytes.toString('hex'));
      theirs.free();
      decoder.free();
    }
    expect(wrong).toEqual([]);
  });
});

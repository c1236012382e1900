/** Every event that is declared is fired somewhere, behind its switch, and documented. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import '../../src/cli/machine.ts';
import '../../src/qemu/main.ts';
import { events, type FieldType, matchingEvents } from '../../src/event.ts';
import { jsonLines } from '../../src/observe/json-lines.ts';

const root = new URL('../../src', import.meta.url).pathname;
const sources = readdirSync(root, { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(root, name), 'utf8'));

test('each declaration is fired behind its switch', () => {
  const declared = sources.flatMap((text) =>
    [...text.matchAll(/export const (\w+) = event\(/g)].map(([, name]) => name!),
  );
  expect(declared.length).toBeGreaterThan(90);
  const all = sources.join('\n');
  // System calls and the two ways of an ioeventfd are fired by a variable that holds the event.
  const idle = declared.filter(
    (name) => !new RegExp(`\\b${name}\\.on\\b`).test(all) && !new RegExp(`\\? ${name}\\b|: ${name}\\b`).test(all),
  );
  expect(idle).toEqual([]);
});

test('each has a sentence of documentation, and a name by which a glob finds it', () => {
  for (const { title, doc } of events()) {
    expect(doc, title).toMatch(/^\S.*[.?]$/);
    expect(title).toMatch(/^[a-z][a-z0-9_]+$/);
  }
});

/** Values that a field of a type can have. */
const values: Readonly<Record<FieldType, fc.Arbitrary<boolean | number | bigint | string>>> = {
  bool: fc.boolean(),
  u8: fc.nat(0xff),
  u16: fc.nat(0xffff),
  u32: fc.nat(0xffffffff),
  s32: fc.integer(),
  address: fc.maxSafeNat(),
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  s64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  string: fc.string({ unit: 'binary' }),
};

test('a line of JSON is one, whatever the fields: of events without texts the texts have nothing to escape', () => {
  for (const each of events()) {
    const fields = fc.record(
      Object.fromEntries(Object.entries(each.schema).map(([name, type]) => [name, values[type]])),
    );
    fc.assert(
      fc.property(fields, (chosen) => {
        const record = { event: each, fields: chosen, time: 0n, access: 1, end: 5, cost: 0 };
        const line = jsonLines('p').event(record);
        expect(JSON.parse(line)).toMatchObject({ event: each.title, text: each.text(chosen as never) });
        expect(line.indexOf('\n')).toBe(line.length - 1);
      }),
      { numRuns: 20 },
    );
  }
});

test("the guest's own steps are chosen by name, not by *", () => {
  const guest = events().filter(({ layer }) => layer === 'guest');
  expect(guest.map(({ title }) => title)).toEqual(['guest_ept_walk', 'guest_instruction', 'guest_page_walk']);
  expect(matchingEvents('*').length).toBe(events().length - guest.length);
  expect(matchingEvents('guest_*,!guest_exception')).toEqual(guest);
  expect(matchingEvents('guest_*,!*')).toEqual([]);
});

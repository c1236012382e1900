/** Every event that is declared is fired somewhere, behind its switch, and documented. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import '../../src/cli/machine.ts';
import '../../src/qemu/main.ts';
import { events, matchingEvents } from '../../src/event.ts';

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

test("the guest's own steps are chosen by name, not by *", () => {
  const guest = events().filter(({ layer }) => layer === 'guest');
  expect(guest.map(({ title }) => title)).toEqual(['guest_ept_walk', 'guest_instruction', 'guest_page_walk']);
  expect(matchingEvents('*').length).toBe(events().length - guest.length);
  expect(matchingEvents('guest_*,!guest_exception')).toEqual(guest);
  expect(matchingEvents('guest_*,!*')).toEqual([]);
});

/** programs/README.md: every program has a place in it, and every link leads somewhere. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = new URL('../..', import.meta.url).pathname;
const linksOf = (page: string): string[] =>
  [...readFileSync(join(ROOT, page), 'utf8').matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, target]) =>
    join(dirname(page), target!),
  );
const pages = ['README.md', 'programs/README.md', 'programs/lessons/README.md'];

test.each(pages)('every link of %s leads to a file', (page) => {
  const links = linksOf(page);
  expect(links.length).toBeGreaterThan(5);
  expect(links.filter((target) => !existsSync(join(ROOT, target)))).toEqual([]);
});

test('every program is listed, in the index or among the lessons', () => {
  const programs = readdirSync(join(ROOT, 'programs'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(gasm|ts|c)$/.test(file))
    .map((file) => join('programs', file));
  expect(programs.length).toBeGreaterThan(40);
  const listed = new Set(pages.slice(1).flatMap(linksOf));
  expect(programs.filter((file) => !listed.has(file))).toEqual([]);
});

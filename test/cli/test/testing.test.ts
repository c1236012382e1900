/** `gvm/testing` as a user's test imports it from the installed package. */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../gvm.ts';

test('expectGolden passes with the golden, and throws what gvm test would print', () => {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-testing-'));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules/gvm'));
  for (const end of ['gasm', 'golden'])
    cpSync(join(ROOT, `programs/lessons/01-hello-port.${end}`), join(folder, `good.${end}`));
  cpSync(join(folder, 'good.gasm'), join(folder, 'bad.gasm'));
  writeFileSync(join(folder, 'bad.golden'), 'hallo\n[gvm] exit status 0\n');
  writeFileSync(
    join(folder, 'driver.test.mjs'),
    `import { test } from 'node:test';
import { expectGolden } from 'gvm/testing';
test('good', () => expectGolden('good.gasm'));
test('bad', () => expectGolden('bad.gasm'));
test('none', () => expectGolden('none.gasm'));
test('url', () => expectGolden(new URL('good.gasm', import.meta.url)));
test('golden', () => expectGolden('good.golden'));
test('nothing', () => expectGolden());
`,
  );
  const { stdout } = spawnSync(process.execPath, ['--test', '--test-reporter=tap', 'driver.test.mjs'], {
    cwd: folder,
    encoding: 'utf8',
  });
  rmSync(folder, { recursive: true });
  expect(stdout).toMatch(/^\s*ok 1 - good$/m);
  expect(stdout).toMatch(/^\s*not ok 2 - bad$/m);
  expect(stdout).toContain('FAIL: bad.gasm');
  expect(stdout).toContain('bad.golden:1: the transcript is not the golden one, from this line on');
  expect(stdout).toMatch(/^\s*not ok 3 - none$/m);
  expect(stdout).toContain('none.gasm: No such file or directory');
  expect(stdout).toMatch(/^\s*ok 4 - url$/m);
  expect(stdout).toContain('expectGolden takes a .gasm file, not good.golden');
  expect(stdout).toContain('argument must be of type string or an instance of URL. Received undefined');
});

/** The types of `gvm/driver` and its siblings, as the compiler of somebody sees them who has installed the package. */

import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ROOT } from './gvm.ts';

const TSC = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
/** A host driver, a device, a program of the host's user space. */
const PROGRAMS = ['mdev/summer.ts', 'own-device/adder.ts', 'vfio/user-driver.ts'];
const TESTING = "import { expectGolden } from 'gvm/testing';\nexpectGolden('driver.gasm');\n";

let project: string;
beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'gvm-types-'));
  const listed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  const [{ files }] = JSON.parse(listed) as [{ files: { path: string }[] }];
  for (const { path } of files.filter(({ path }) => /\.d\.c?ts$|^package\.json$/.test(path))) {
    const to = join(project, 'node_modules/gvm', path);
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(join(ROOT, path), to);
  }
  mkdirSync(join(project, 'node_modules/@types'));
  symlinkSync(join(ROOT, 'node_modules/@types/node'), join(project, 'node_modules/@types/node'));
  for (const name of PROGRAMS) copyFileSync(join(ROOT, 'programs', name), join(project, name.replace('/', '-')));
  writeFileSync(join(project, 'testing.ts'), TESTING);
});
afterAll(() => rmSync(project, { recursive: true }));

const STRICT = ['--strict', '--skipLibCheck', 'false', '--noUnusedLocals', '--exactOptionalPropertyTypes'];
describe.each([
  ['nodenext', 'nodenext'],
  ['preserve', 'bundler'],
])('--module %s --moduleResolution %s', (module, moduleResolution) => {
  test.each(['module', 'commonjs'])('the programs compile in a package of type %s', (type) => {
    writeFileSync(join(project, 'package.json'), JSON.stringify({ type }));
    const files = [...PROGRAMS.map((name) => name.replace('/', '-')), 'testing.ts'];
    const options = ['--noEmit', '--target', 'es2023', '--module', module, '--moduleResolution', moduleResolution];
    const { stdout, status } = spawnSync(process.execPath, [TSC, ...STRICT, ...options, ...files], {
      cwd: project,
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });
});

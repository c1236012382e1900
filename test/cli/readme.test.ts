/** Every `$ npx gvm …` of the README and of the lessons prints what is written there. GVM_README=write puts in what it prints now. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from './gvm.ts';

const textOf = (page: string) => readFileSync(join(ROOT, page), 'utf8');
const blocks = ['README.md', 'programs/lessons/README.md'].flatMap((page) =>
  [...textOf(page).matchAll(/```console\n\$ (npx gvm [^\n]*)\n([\s\S]*?)```/g)].map(([, command, output]) => ({
    page,
    command: command!,
    output: output!,
  })),
);

/** The command as a shell runs it, with the built gvm in the place of npx. */
function run(command: string): string {
  const line = command.replace(/^npx gvm/, `'${process.execPath}' dist/gvm.js`);
  const { stdout, stderr } = spawnSync('sh', ['-c', line], { cwd: ROOT, encoding: 'utf8' });
  return stdout + stderr;
}

test.each(blocks)('$page: $command', ({ page, command, output }) => {
  const printed = run(command);
  if (process.env['GVM_README'] === 'write' && printed !== output) {
    const was = `$ ${command}\n${output}\`\`\``;
    writeFileSync(
      join(ROOT, page),
      textOf(page).replace(was, () => `$ ${command}\n${printed}\`\`\``),
    );
    return;
  }
  expect(output).toBe(printed);
});

test('the two commands of the first screen are what package.json can do', () => {
  const { scripts, bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const firstScreen = textOf('README.md').split('\n').slice(0, 24).join('\n');
  expect(firstScreen).toContain('npm ci && npx gvm run programs/vm-buffer/vm-buffer.gasm');
  expect(firstScreen).toContain('npm cit');
  expect(scripts.prepare).toContain('build');
  expect(bin.gvm).toBe('dist/gvm.js');
});

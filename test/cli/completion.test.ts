/** `gvm completion`: the scripts do in their shells what they are for; zsh and fish are asked where they are installed. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { gvm, ROOT } from './gvm.ts';

const has = (shell: string): boolean => spawnSync(shell, ['--version']).status === 0;

describe.skipIf(!has('bash'))('bash', () => {
  const script = gvm('completion', 'bash').stdout;
  /** What the last of `words` may become. */
  const complete = (...words: string[]): string[] => {
    const line = words.map((word) => `'${word}'`).join(' ');
    const ask = `${script}\nCOMP_WORDS=(gvm ${line}); COMP_CWORD=${words.length}; _gvm; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return spawnSync('bash', ['-c', ask], { encoding: 'utf8' }).stdout.trim().split('\n');
  };

  test.each([
    [['tra'], ['trace']],
    [['run', '--trace', 'kvm_fast'], ['kvm_fast_mmio']],
    [['run', '--trace', 'kvm_pio,vfio_region_w'], ['kvm_pio,vfio_region_write']],
    [
      ['run', '-device', 'vfio'],
      ['vfio-pci', 'vfio-platform'],
    ],
    [['explain', 'KVM_IRQF'], ['KVM_IRQFD']],
    [['run', 'READ'], ['README.md']],
  ])('%j', (words, expected) => {
    expect(complete(...words)).toEqual(expected);
  });
});

/** What zsh makes of the line when Tab is pressed: it completes on a terminal only. */
test.skipIf(!has('zsh'))('zsh', { timeout: 30_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-zsh-'));
  const file = join(folder, '_gvm');
  writeFileSync(file, gvm('completion', 'zsh').stdout);
  const ask = `zmodload zsh/zpty
    zpty shell 'zsh -f -i'
    zpty -w shell 'PS1="> "; source ${file}; bindkey "^I" complete-word; echo rea''dy'
    zpty -r -m shell out '*ready*'
    zpty -n -w shell $'gvm run --trace kvm_pio,vfio_region_w\\t'
    zpty -r -m shell out '*vfio_region_write*'
    print -r -- $out`;
  const { stdout } = spawnSync('zsh', ['-f', '-c', ask], { encoding: 'utf8', timeout: 20_000 });
  rmSync(folder, { recursive: true });
  expect(stdout).toContain('kvm_pio,vfio_region_write');
});

test('fish: every command with its summary, quotes escaped', () => {
  const { stdout } = gvm('completion', 'fish');
  expect(stdout).toContain("complete -c gvm -n __fish_use_subcommand -f -a regs -d 'the processor\\'s registers when");
});

test.skipIf(!has('fish')).each([
  ['tra', ['trace']],
  ['run --trace kvm_fast', ['kvm_fast_mmio']],
  ['run --trace kvm_pio,vfio_region_w', ['kvm_pio,vfio_region_write']],
  ['run -device vfio', ['vfio-pci', 'vfio-platform']],
  ['explain KVM_IRQF', ['KVM_IRQFD']],
  ['run READ', ['README.md']],
])('fish: %s', (words, expected) => {
  const ask = `${gvm('completion', 'fish').stdout}\ncomplete -C 'gvm ${words}'`;
  const { stdout } = spawnSync('fish', ['--no-config', '-c', ask], { encoding: 'utf8', cwd: ROOT });
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t')[0]),
  ).toEqual(expected);
});

test('another shell is refused', () => {
  const ran = gvm('completion', 'csh');
  expect(ran.stderr).toContain("there is no script for 'csh', only for bash, zsh, fish");
  expect(ran.status).toBe(2);
});

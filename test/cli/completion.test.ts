/** `gvm completion`: the scripts do in their shells what they are for; zsh and fish are asked where they are installed. */

import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { gvm } from './gvm.ts';

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

test.skipIf(!has('zsh'))('zsh takes the script', () => {
  expect(spawnSync('zsh', ['-f', '-c', gvm('completion', 'zsh').stdout]).status).toBe(0);
});

test('fish: every command with its summary, quotes escaped', () => {
  const { stdout } = gvm('completion', 'fish');
  expect(stdout).toContain("complete -c gvm -n __fish_use_subcommand -f -a regs -d 'the processor\\'s registers when");
  if (has('fish')) expect(spawnSync('fish', ['--no-config', '-c', stdout]).status).toBe(0);
});

test('another shell is refused', () => {
  const ran = gvm('completion', 'csh');
  expect(ran.stderr).toContain("there is no script for 'csh', only for bash, zsh, fish");
  expect(ran.status).toBe(2);
});

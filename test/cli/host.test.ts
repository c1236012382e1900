/** `gvm host`: the shell on the modeled host, by -c, by a script on stdin, and its completion. */

import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { HostShell } from '../../src/cli/host-shell.ts';
import { Machine } from '../../src/cli/machine.ts';
import { gvm, ROOT } from './gvm.ts';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
const TYPES = '/sys/class/mdev_bus/mtty/mdev_supported_types';
const PROGRAM = 'programs/vm-buffer/vm-buffer.gasm';

describe('-c', () => {
  test('runs commands in order; what they print is on stdout, the kernel log on stderr', () => {
    const ran = gvm('host', '-c', `modprobe mtty; ls ${TYPES}`, '-c', `echo ${UUID} > ${TYPES}/mtty-2/create; lsmod`);
    expect(ran.stdout).toBe('mtty-1\nmtty-2\nModule              Used by\nmtty                0\n');
    expect(ran.stderr).toContain(`[host] mtty ${UUID}: Adding to iommu group 0\n`);
    expect(ran.status).toBe(0);
  });

  test('a refusal says which rule was broken, and ends the commands', () => {
    const create = `echo ${UUID} > ${TYPES}/mtty-1/create`;
    const ran = gvm('host', '-c', `modprobe mtty; ${create}; ${create}; ls /`);
    expect(ran.stderr).toContain(
      `echo: write error: File exists\n   = note: mdev ${UUID} exists already on this host\n`,
    );
    expect(ran.stdout).toBe('');
    expect(ran.status).toBe(2);
  });

  test('FILE stands for its ; host: lines', () => {
    const ran = gvm('host', PROGRAM, '-c', 'ls -l /sys/bus/mdev/devices; dmesg');
    expect(ran.stdout).toContain(`l ${UUID} -> ../../../devices/virtual/vmbuf/vmbuf/${UUID}\n`);
    expect(ran.stdout).toContain('vmbuf_dev: vmbuf_dev_init\n');
  });

  test.each([
    ['cat /nosuch', 'cat: /nosuch: No such file or directory'],
    ['ls /nosuch', "ls: cannot access '/nosuch': No such file or directory"],
    ['cd /dev/kvm', 'cd: /dev/kvm: Not a directory'],
    ['readlink /dev', 'readlink: /dev: Invalid argument'],
    ['rmmod mtty', 'rmmod: ERROR: Module mtty is not currently loaded\n'],
    ['rmmod kvm-intel', 'rmmod: ERROR: Module kvm_intel is builtin.\n'],
    [
      'modprobe nosuch',
      'modprobe: FATAL: Module nosuch not found.\n   = note: there is no module nosuch; there are mtty, vgpu, vmbuf\n',
    ],
    ['constructor', 'sh: constructor: not found'],
    ['echo "x', 'sh: syntax error: unterminated quoted string'],
    ['echo x > a b', 'sh: syntax error: one file has to follow >'],
  ])('%s', (command, message) => {
    const ran = gvm('host', '-c', command);
    expect(ran.stderr).toContain(message);
    expect(ran.status).toBe(2);
  });

  test('modprobe: one that is there already is no failure, nor is one that is gone already; one in use stays', () => {
    const UUID_PATH = '/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create';
    const twice = gvm('host', '-c', 'modprobe mtty; modprobe mtty; modprobe -r mtty; modprobe -r mtty; lsmod');
    expect([twice.stdout, twice.status]).toEqual(['Module              Used by\n', 0]);
    const held = gvm(
      'host',
      '-c',
      `modprobe vgpu; modprobe mtty; echo ${UUID} > ${UUID_PATH}; modprobe -r mtty vgpu; lsmod`,
    );
    expect([held.stdout, held.status]).toEqual(['Module              Used by\n', 0]);
    expect(gvm('host', '-c', 'modprobe -r kvm_intel').stderr).toContain(
      'modprobe: FATAL: Module kvm_intel is builtin.\n',
    );
  });

  test('files: written, appended to, read; words in quotes; comments', () => {
    const ran = gvm(
      'host',
      '-c',
      "echo 'a; b' > /tmp.txt; echo c >> /tmp.txt # more; cat nothing",
      '-c',
      'cd /; cat tmp.txt',
    );
    expect(ran.stdout).toBe('a; b\nc\n');
  });
});

test('without -c the lines of stdin are run, and the last one gives the status', () => {
  const script = (lines: string) =>
    spawnSync(process.execPath, ['dist/gvm.js', 'host'], { cwd: ROOT, encoding: 'utf8', input: lines });
  expect(script('cd /sys/bus/../class\npwd\n\ncat nosuch\nhelp\n')).toMatchObject({
    status: 0,
    stdout: expect.stringMatching(/^\/sys\/class\n {2}at TIME.*\n {2}cat FILE… +print files\n/),
    stderr: expect.stringContaining('cat: nosuch: No such file or directory'),
  });
  expect(script('ls /nosuch\nexit\nls /\n')).toMatchObject({ status: 2, stdout: '' });
});

describe('completion', () => {
  const { kernel } = new Machine(0);
  const shell = new HostShell(kernel.spawn('sh', () => {}).user, {
    kernelLog: () => kernel.log.lines,
    readModule: () => ({ error: 'no files here' }),
    runProgram: () => 1,
    later: () => {},
    tell: () => {},
  });

  test.each([
    ['mod', ['modprobe ']],
    ['ls; l', ['ls ', 'lsmod ']],
    ['cat /dev/kv', ['/dev/kvm ']],
    ['ls /sys/cl', ['/sys/class/']],
    ['echo x >/sys/cl', ['/sys/class/']],
    ['ls /nosuch/x', []],
  ])('%s', (line, candidates) => {
    expect(shell.complete(line).candidates).toEqual(candidates);
  });
});

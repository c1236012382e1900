/** `gvm walk` and `gvm regs`: the machine as it stands when the guest has ended. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { gvm } from './gvm.ts';

const PROGRAM = 'programs/vm-buffer/vm-buffer.gasm';
/** Linux's direct map: virtual address of physical 0. */
const DIRECT = 0xffff888000000000n;

const walk = (...addresses: string[]) => gvm('walk', PROGRAM, ...addresses);
const line = (text: string, name: string): bigint => BigInt(new RegExp(`^${name} +(0x[0-9a-f]+)`, 'm').exec(text)![1]!);

describe('gvm walk', () => {
  test('a RAM address: four guest levels or a large page, the slot, four EPT levels, and the page offset kept throughout', () => {
    const { stdout, status } = walk(`0x${(DIRECT + 0x1001234n).toString(16)}`);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {2}level 4 {2}PML4E at gpa 0x2888 = 0x[0-9a-f]+ {2}P RW/m);
    expect(stdout).toMatch(/^ {2}level 2 {2}PDE {3}at gpa 0x[0-9a-f]+ = 0x[0-9a-f]+ {2}P RW.* PS$/m);
    expect(line(stdout, 'guest physical')).toBe(0x1001234n);
    const slot = /slot 0: gpa 0x0-0x3ffffff -> hva (0x[0-9a-f]+)/.exec(stdout)!;
    expect(line(stdout, 'host virtual')).toBe(BigInt(slot[1]!) + 0x1001234n);
    expect(stdout.match(/^ {2}level \d {2}at hpa .* R W X/gm)).toHaveLength(4);
    expect(line(stdout, 'host physical') & 0xfffn).toBe(0x234n);
    expect(stdout).toMatch(/type WB$/m);
  });

  test('the same physical page through another virtual address ends at the same host frame', () => {
    const direct = walk(`0x${(DIRECT + 0x1001000n).toString(16)}`).stdout;
    const text = walk('0xffffffff81001000').stdout;
    expect(line(text, 'host physical')).toBe(line(direct, 'host physical'));
  });

  test('an address that the guest does not map is a page fault', () => {
    expect(walk('0').stdout).toMatch(
      /level 1 {2}PTE .* = 0x0 {2}\(not present\)\n {2}=> #PF: the guest does not map it\n$/,
    );
  });

  test('an address behind the RAM has no slot', () => {
    const { stdout } = walk(`0x${(DIRECT + 0x10000000n).toString(16)}`);
    expect(stdout).toContain('guest physical  0x10000000\n  no memory slot: an access leaves the guest as MMIO\n');
    expect(stdout).toContain('=> EPT_VIOLATION: no entry yet; KVM will find no slot and make an MMIO entry\n');
  });

  test('a register stands for its value, and several addresses are several walks', () => {
    const { stdout } = walk('rip', 'cr3');
    expect(stdout.match(/^guest virtual/gm)).toHaveLength(2);
    expect(stdout).toMatch(/^guest virtual {3}0xffffffff81/);
  });

  test('a label, with an offset or without, is its address', () => {
    const [plain] = walk('probe').stdout.split('\n');
    const [behind] = walk('probe+0x10').stdout.split('\n');
    expect(BigInt(behind!.split(/ +/)[2]!) - BigInt(plain!.split(/ +/)[2]!)).toBe(16n);
    expect(walk('prob').stderr).toContain('nor a label of the program; did you mean `probe`?');
  });

  test('a word that is neither is refused', () => {
    const ran = walk('nowhere');
    expect(ran.stderr).toContain("gvm walk: 'nowhere' is neither an address nor a register nor a label of the program");
    expect(ran.status).toBe(2);
  });
});

test('gvm regs prints long mode as QEMU entered it and the guest left it', () => {
  const { stdout, status } = gvm('regs', PROGRAM);
  expect(status).toBe(0);
  // After the guest's last OUT: dx is isa-debug-exit's port.
  expect(stdout).toMatch(/^rax 0{16} .* rdx 0{13}501 /m);
  expect(stdout).toMatch(/^cs {2}0010 base 0{16} limit ffffffff type b dpl 0 long$/m);
  expect(stdout).toMatch(/^cr0 80\w+ .*cr3 2000 /m);
  expect(stdout).toMatch(/^efer d00$/m);
});

describe('--at', () => {
  test.each([
    ['probe', 'vm-buffer.gasm'],
    ['vm-buffer.gasm:47', 'vm-buffer.gasm:47'],
    ['probe+4', 'vm-buffer.gasm'],
  ])('%s: the guest is there', (at) => {
    const { stdout, status } = gvm('regs', PROGRAM, '--at', at);
    expect(status).toBe(0);
    // The bridge is not enabled yet: the guest has come no further.
    expect(stdout).toMatch(/^rip ffffffff8100/m);
    expect(gvm('lspci', PROGRAM, '-v', '--at', at).stdout).toContain('\tFlags: 66MHz, fast devsel\n');
  });

  test('a run prints the walk there and goes on', () => {
    const { stderr, status } = gvm('run', PROGRAM, '--walk', 'rdi', '--at', 'probe');
    expect(status).toBe(0);
    const walk = stderr.indexOf('[walk] guest virtual   0xffff8880');
    expect(walk).toBeGreaterThan(0);
    expect(stderr.indexOf('handle_bar_write')).toBeGreaterThan(walk);
  });

  test.each([
    [['--at', 'prob'], "the program has no label 'prob'; did you mean `probe`?"],
    [['--at', 'vm-bufer.gasm:3'], "the program has no code from 'vm-bufer.gasm'; did you mean"],
    [['--at', 'vm-buffer.gasm:46'], 'there is no code on line vm-buffer.gasm:46; the next line with code is 47'],
  ])('%j is refused', (args, message) => {
    const ran = gvm('regs', PROGRAM, ...args);
    expect(ran.stderr).toContain(message);
    expect(ran.status).toBe(2);
  });
});

/** What Debian's QEMU prints for a machine of its own: the same kinds of lines. */
const FLAT_LINE =
  /^(FlatView #\d+| AS "[^"]+", root: .+| Root memory region: .+| {2}[0-9a-f]{16}-[0-9a-f]{16} \(prio -?\d+, (i\/o|ram|rom|romd|ramd|nv-ram|container)\): .+?( @[0-9a-f]{16})?( KVM)?| {2}No rendered FlatView|)$/;

test('gvm mtree: the flat views, and the slots that KVM has of the RAM in them', () => {
  const { stdout, status } = gvm('mtree', PROGRAM);
  expect(status).toBe(0);
  const [views, slots] = stdout.split('KVM memory slots\n') as [string, string];
  for (const line of views.trimEnd().split('\n')) expect(line).toMatch(FLAT_LINE);
  expect(views).toMatch(/^ {2}0000000000001000-0000000000001fff \(prio \d, i\/o\): \S+ BAR 0$/m);
  expect(views).toContain('  0000000000000000-0000000003ffffff (prio 0, ram): pc.ram KVM\n');
  expect(slots).toMatch(/^ {2}0{16}-0000000003ffffff \(slot 0, read-write\): hva 0x/);
});

const QEMU = 'qemu-system-x86_64';
test.skipIf(spawnSync(QEMU, ['--version']).status !== 0)("the lines are those of QEMU's monitor", () => {
  const args = ['-M', 'pc', '-nodefaults', '-display', 'none', '-S', '-monitor', 'stdio'];
  const { stdout } = spawnSync(QEMU, args, { input: 'info mtree -f\nquit\n', encoding: 'utf8' });
  const lines = stdout
    .replaceAll('\r', '')
    .split('\n')
    .filter((line) => /^( |FlatView)/.test(line));
  expect(lines.length).toBeGreaterThan(20);
  for (const line of lines) expect(line).toMatch(FLAT_LINE);
  const silentPorts = (all: readonly string[]) => all.filter((line) => line.includes(' ioport'));
  expect(silentPorts(lines)).toHaveLength(2);
  expect(silentPorts(gvm('mtree', PROGRAM).stdout.split('\n'))).toEqual(silentPorts(lines));
});

describe('gvm lspci', () => {
  test('functions by bus; -v with BARs, windows and capabilities', () => {
    const { stdout } = gvm('lspci', PROGRAM);
    expect(stdout.split('\n').map((line) => line.slice(0, 20))).toEqual([
      '00:00.0 Host bridge:',
      '00:01.0 ISA bridge: ',
      '00:02.0 PCI bridge: ',
      '01:01.0 Unassigned c',
      '',
    ]);
    const verbose = gvm('lspci', PROGRAM, '-v').stdout;
    expect(verbose).toContain('\tFlags: bus master, 66MHz, fast devsel, latency 0\n');
    expect(verbose).toContain('\tI/O behind bridge: 1000-1fff [size=4K] [16-bit]\n');
    expect(verbose).toContain('\tI/O ports at 1000 [size=4K]\n');
    expect(verbose).toContain('\tCapabilities: [40] Slot ID: 0 slots, First+, chassis 01\n');
  });

  test.skipIf(spawnSync('lspci', ['--version']).status !== 0)(
    'the dump is one that lspci -F reads, to the same list',
    () => {
      const dump = gvm('lspci', PROGRAM, '-xxx').stdout;
      const folder = mkdtempSync(join(tmpdir(), 'gvm-lspci-'));
      const path = join(folder, 'dump');
      writeFileSync(path, dump);
      const read = (...args: string[]) => spawnSync('lspci', [...args, '-F', path], { encoding: 'utf8' }).stdout;
      const bytes = (text: string) => text.split('\n').filter((line) => /^[0-9a-f]{2}: /.test(line));
      expect(read('-n')).toBe(gvm('lspci', PROGRAM, '-n').stdout);
      expect(bytes(read('-xxx'))).toEqual(bytes(dump));
      expect(bytes(dump)).toHaveLength(4 * 16);
      rmSync(folder, { recursive: true });
    },
  );
});

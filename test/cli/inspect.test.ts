/** `gvm walk` and `gvm regs`: the machine as it stands when the guest has ended. */

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

  test('a word that is neither is refused', () => {
    const ran = walk('nowhere');
    expect(ran.stderr).toContain("gvm walk: 'nowhere' is neither an address nor a register");
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

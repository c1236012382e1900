/** `gvm explain`: topics from the tables, near misses, and status 2 for what there is not. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { mnemonics } from '../../lang/isa/table.ts';
// @ts-expect-error: a script of the build, in JavaScript.
import { refusalSites, refusalsIn } from '../../scripts/refusals.js';
import { libraryTopics } from '../../src/cli/explain/library-topics.ts';
import type { TopicSource } from '../../src/cli/explain/topic-source.ts';
import { explain, SOURCES } from '../../src/cli/explain/topics.ts';
import { gvm, ROOT } from './gvm.ts';

const LINUX = new URL('../../src/linux', import.meta.url).pathname;

describe('instructions', () => {
  test('forms, encodings and flags', () => {
    const text = explain('ADD');
    expect(text).toMatch(/^add \(instruction\)\n/);
    expect(text).toMatch(/^ {2}flags +OF SF ZF AF PF CF may change$/m);
    expect(text).toMatch(/^ {2}add r\/m16\|32\|64, imm8 +83 \/0 ib$/m);
    expect(text).toContain('taken where the first operand is memory');
  });

  test('conditions and other names', () => {
    const text = explain('jnae');
    expect(text).toMatch(/^ {2}also +jb, jc$/m);
    expect(text).toMatch(/^ {2}condition +CF=1$/m);
    expect(text).toMatch(/^ {2}flags +none changes$/m);
    expect(explain('movsb')).toMatch(/^ {2}repeat +rep: rcx times$/m);
  });

  test('there is an explanation for every mnemonic', () => {
    for (const name of mnemonics()) expect(explain(name)).toMatch(/\n {2}form +encoding\n {2}\S/);
  });
});

describe('functions of the guest library', () => {
  test('prototype, registers, result and the files that declare it', () => {
    expect(gvm('explain', 'pci_iomap').stdout).toBe(
      `pci_iomap (function of the guest library)
  void *pci_iomap(struct pci_dev *dev, int bar, unsigned long limit)

  arguments  rdi dev, rsi bar, rdx limit
  result     cookie for ioread/iowrite
  in .gasm   %include "linux/pci.inc"
  in C       #include <gvm.h>
`,
    );
    expect(gvm('explain', 'printk').stdout).toContain('\n  arguments  rdi format, and so on\n  in .gasm ');
    expect(gvm('explain', 'report_summary').stdout).toContain('\n  arguments  none\n');
  });

  test('all of them have their files', () => {
    const library = libraryTopics(join(ROOT, 'lang/library/include'));
    const names = [...library.names()];
    expect(names.length).toBeGreaterThan(80);
    for (const name of names)
      expect(library.explain(name).join('\n')).toMatch(/ {2}in \.gasm {3}%include "\w+\/[\w-]+\.inc"/);
  });
});

describe('what the code is made of', () => {
  test.each([
    ['EBP', 'ebp (register)\n  Register 5: bits 31:0 of rbp.\n'],
    ['rflags', '\n       9  IF\n'],
    ['cr4', '\n      20  SMEP\n'],
    ['ept_violation', '\n     0x100  the access was to the address itself'],
    ['KVM_EXIT_MMIO', 'struct kvm_run.mmio, 24 bytes:\n  offset\n       0  __u64 phys_addr\n'],
    ['kvm_pio', '\n    port   u16\n'],
    ['vfio_region_write', '  layer      qemu\n'],
    ['KVM_SET_USER_MEMORY_REGION', '  number     0x4020ae46\n'],
    ['VFIO_GROUP_GET_DEVICE_FD', '  file       /dev/vfio/N, a group\n'],
    ['EBUSY', '  16: Device or resource busy.'],
    ['edu', '    dma_mask=<uint64>'],
    ['PCI_COMMAND', '    0x0004  PCI_COMMAND_MASTER\n'],
  ])('%s', (topic, part) => {
    expect(explain(topic)).toContain(part);
  });

  test('every topic of every kind has something to say, and the help names the kinds', () => {
    for (const { names, explain: tell, kind } of SOURCES) {
      expect([...names()].length, kind).toBeGreaterThan(5);
      for (const name of names()) expect(tell(name).join('\n').trim(), name).toMatch(/\S{3}/);
    }
    expect(gvm('explain', '--help').stdout.replaceAll(/\s+/g, ' ')).toContain('events, ioctls, errno values, devices');
  });

  test('every refusal of the kernel stands in its sources with errno and rule, so that an errno can list it', () => {
    const sites: { place: string; refusal?: object }[] = [...refusalSites(LINUX)];
    expect(sites.filter(({ refusal }) => refusal === undefined).map(({ place }) => place)).toEqual([]);
    const calls = ['refuse(-error, because)', 'refuse(ENOENT, why)', "refuse(errnoOf(a), 'b')", "refuse(EIO, 'c')"];
    const folder = mkdtempSync(join(tmpdir(), 'gvm-refusals-'));
    writeFileSync(join(folder, 'a.ts'), calls.join('\n'));
    expect([...refusalSites(folder)]).toEqual([
      { place: 'a.ts:1' },
      { place: 'a.ts:2' },
      { place: 'a.ts:3' },
      { place: 'a.ts:4', refusal: { errno: 'EIO', part: 'a.ts', rule: 'c' } },
    ]);
    rmSync(folder, { recursive: true });
  });

  test("an errno lists the rules that the kernel's sources have", () => {
    const rules = refusalsIn(LINUX);
    expect(rules.length).toBeGreaterThan(200);
    const { stdout } = gvm('explain', 'EINVAL');
    for (const { rule, errno } of rules) if (errno === 'EINVAL') expect(stdout).toContain(`    ${rule}\n`);
    expect(stdout).toContain('    a region is mapped MAP_SHARED\n');
  });

  test.each([
    ['kvm_pioo', 'kvm_pio'],
    ['EPT_VIOLATON', 'EPT_VIOLATION'],
    ['KVM_IRQDF', 'KVM_IRQFD'],
    ['EBUSSY', 'EBUSY'],
  ])('%s: did you mean %s', (topic, meant) => {
    const ran = gvm('explain', topic);
    expect(ran.stderr).toContain(`did you mean \`${meant}\`?`);
    expect(ran.status).toBe(2);
  });
});

test('a name of several kinds gets all its explanations', () => {
  const source = (kind: string): TopicSource => ({ kind, names: () => ['Wait'], explain: () => [`a ${kind}`] });
  expect(explain('wait', [source('verb'), source('noun')])).toBe('Wait (verb)\na verb\n\nWait (noun)\na noun\n');
});

test('the command', () => {
  expect(gvm('explain', 'ret')).toMatchObject({ status: 0, stdout: explain('ret'), stderr: '' });
  expect(gvm('explain', 'movv')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: "gvm explain: there is no topic 'movv'; did you mean `mov`?\n",
  });
  expect(gvm('explain', '')).toMatchObject({ status: 2, stderr: "gvm explain: there is no topic ''\n" });
  expect(gvm('explain')).toMatchObject({
    status: 2,
    stderr: 'gvm explain: a topic is needed; see gvm explain --help\n',
  });
});

test.each([
  [
    'movaps',
    "gvm explain: 'movaps' is an instruction that gvm leaves out: gvm has the general and system instructions",
  ],
  ['0x3f8', "gvm explain: there is no topic '0x3f8'\n"],
])('what there is no topic for: %s', (word, message) => {
  const { stderr, status } = gvm('explain', word);
  expect(stderr).toContain(message);
  expect(status).toBe(2);
});

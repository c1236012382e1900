/**
 * Every structure, ioctl number and constant that src/linux/uapi declares against what gcc makes of the headers in /usr/include: sizes,
 * offsets, numbers. Skipped without gcc or headers of Linux 6.1 or later.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import * as errno from '../../../src/linux/uapi/errno.ts';
import * as iommufd from '../../../src/linux/uapi/iommufd.ts';
import * as kvm from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import * as debug from '../../../src/linux/uapi/kvm-debug.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import * as stats from '../../../src/linux/uapi/kvm-stats.ts';
import * as pci from '../../../src/linux/uapi/pci.ts';
import * as syscalls from '../../../src/linux/uapi/syscalls.ts';
import * as vfio from '../../../src/linux/uapi/vfio.ts';

const HEADERS = [
  'errno.h',
  'fcntl.h',
  'poll.h',
  'sys/epoll.h',
  'sys/eventfd.h',
  'sys/ioctl.h',
  'sys/mman.h',
  'sys/stat.h',
  'linux/kvm.h',
  'linux/memfd.h',
  'linux/mman.h',
  'linux/pci_regs.h',
  'linux/vfio.h',
];
const OPTIONAL = ['linux/iommufd.h'];

/** Of gvm, not of Linux: a device and the ioregions; offsets in kvm_run and what is laid out by them; padding that has no name in C. */
const OWN: readonly RegExp[] = [
  /^KVM_(CREATE_XCHE|XCHE_.*|.*IOREGION.*)$/,
  /(^| )kvm_ioregion/,
  /^(RUN|IO)_|^KVM_(RUN_SIZE|RUN_UNION|VCPU_MMAP_SIZE|COALESCED_RING_OFFSET|STATS_NAME_SIZE)$/,
  /^kvm_msr_filter\.pad$|^vfio_iommu_type1_info\.pad$/,
  /^sizeof u64$|^u64\.value$/,
];
/** Of the kernel's own headers, not of those for user space. */
const INTERNAL: readonly RegExp[] = [
  /^VFIO_PCI_(OFFSET_SHIFT|NUM_BARS)$/,
  /^PCI_(CLASS|CONFIG_ADDRESS|CONFIG_DATA)_|^PCI_HEADER_TYPE_MULTI_FUNCTION$/,
];
/** Of later headers than 6.1's, or of some of its stable releases only. */
const LATER: readonly RegExp[] = [
  /IOMMUFD|iommufd|IOMMU_(DESTROY|HWPT|IOAS|OPTION)|iommu_(destroy|hwpt|ioas|iova|option)/,
  /^VFIO_PCI_(HOT_RESET_FLAG|DEVID)_|^KVM_DEV_VFIO_FILE|^vfio_device_ioeventfd\.reserved$/,
];
const EXCEPTIONS = [...OWN, ...INTERNAL, ...LATER];

/** How C names a member that stands in a structure, a union or an array of the structure. */
const spelled = (structure: string, field: string): string => {
  if (structure === 'kvm_vcpu_events' && !/payload$/.test(field)) {
    return field.replace(/^(exception|interrupt|nmi|triple_fault)_/, '$1.');
  }
  if (structure === 'kvm_enable_cap') return field.replace(/^arg(\d)$/, 'args[$1]');
  if (structure === 'kvm_guest_debug') return field.replace('debugreg', 'arch.debugreg');
  if (structure === 'kvm_run') return field.replace(/^exit$/, 'hw');
  return field;
};

/** Facts that C says in another unit or width. */
const EXPRESSIONS: Readonly<Record<string, string>> = {
  KVM_PIO_PAGE_OFFSET: 'KVM_PIO_PAGE_OFFSET * PAGE_SIZE',
  // Names of 48 bytes follow (KVM_STATS_NAME_SIZE of include/linux/kvm_host.h).
  'sizeof kvm_stats_desc': 'sizeof(struct kvm_stats_desc) + 48',
  PCI_BASE_ADDRESS_IO_MASK: '(unsigned int)PCI_BASE_ADDRESS_IO_MASK',
  PCI_BASE_ADDRESS_MEM_MASK: '(unsigned int)PCI_BASE_ADDRESS_MEM_MASK',
  PCI_IO_RANGE_MASK: '(unsigned char)PCI_IO_RANGE_MASK',
  PCI_MEMORY_RANGE_MASK: '(unsigned short)PCI_MEMORY_RANGE_MASK',
};
/** Capabilities in a chain: here without the header that each has in C. */
const CAPABILITY = /^vfio_(region_info_cap_sparse_mmap|iommu_type1_info_(cap_migration|cap_iova_range|dma_avail))$/;

/** A fact and the C expression that says the same. */
interface Fact {
  readonly name: string;
  readonly expression: string;
  readonly value: bigint;
}

interface Shape {
  readonly name: string;
  readonly size: number;
  readonly offsets: Readonly<Record<string, number>>;
}

const isShape = (value: unknown): value is Shape =>
  typeof value === 'object' && value !== null && 'offsets' in value && 'size' in value;
const isIoctl = (value: unknown): value is { readonly name: string; readonly number: number } =>
  typeof value === 'object' && value !== null && 'number' in value && 'name' in value;

function factsOf(module: object): readonly Fact[] {
  return Object.entries(module).flatMap(([name, value]: [string, unknown]): readonly Fact[] => {
    if (typeof value === 'number' || typeof value === 'bigint') {
      return [{ name, expression: EXPRESSIONS[name] ?? name, value: BigInt(value) }];
    }
    if (isIoctl(value)) return [{ name, expression: `(unsigned int)${value.name}`, value: BigInt(value.number >>> 0) }];
    return isShape(value) ? factsOfShape(value) : [];
  });
}

/** A union's part in kvm_run is a member of an unnamed union, not a type. */
function factsOfShape({ name, size, offsets }: Shape): readonly Fact[] {
  const [outer = '', part] = name.split('.');
  const type = part === undefined ? `struct ${outer}` : `((struct ${outer} *)0)->${part}`;
  const header = CAPABILITY.test(name) ? ' - sizeof(struct vfio_info_cap_header)' : '';
  const within = part === undefined ? '' : `${part}.`;
  const start = part === undefined ? header : ` - __builtin_offsetof(struct ${outer}, ${part})`;
  return [
    {
      name: `sizeof ${name}`,
      expression: EXPRESSIONS[`sizeof ${name}`] ?? `sizeof(${type})${header}`,
      value: BigInt(size),
    },
    ...Object.entries(offsets).map(([field, offset]) => ({
      name: `${name}.${field}`,
      expression: `__builtin_offsetof(struct ${outer}, ${within}${spelled(name, field)})${start}`,
      value: BigInt(offset),
    })),
  ];
}

const modules: readonly (readonly [string, object])[] = [
  ['kvm.ts', kvm],
  ['kvm-capability.ts', Object.fromEntries(Object.entries(KVM_CAP).map(([name, value]) => [`KVM_CAP_${name}`, value]))],
  ['kvm-debug.ts', debug],
  ['kvm-run.ts', run],
  ['kvm-stats.ts', stats],
  ['vfio.ts', vfio],
  ['iommufd.ts', iommufd],
  ['pci.ts', pci],
  ['errno.ts', errno],
  ['syscalls.ts', syscalls],
];

const folder = mkdtempSync(join(tmpdir(), 'gvm-uapi-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** One line of C for each fact, from the line after the head on. */
const head = [
  '#define _GNU_SOURCE',
  '#define PAGE_SIZE 4096',
  '#include <stdio.h>',
  ...HEADERS.map((header) => `#include <${header}>`),
  ...OPTIONAL.flatMap((header) => [`#if __has_include(<${header}>)`, `#include <${header}>`, '#endif']),
  'int main(void) {',
];

function compile(facts: readonly Fact[], ...options: readonly string[]) {
  const lines = facts.map(({ expression }, i) => `printf("${i} %lld\\n", (long long)(${expression}));`);
  writeFileSync(join(folder, 'facts.c'), [...head, ...lines, 'return 0; }', ''].join('\n'));
  const env = { ...process.env, LC_ALL: 'C' };
  return spawnSync('gcc', ['-w', '-fmax-errors=0', ...options, 'facts.c'], { cwd: folder, env, encoding: 'utf8' });
}

/** The facts of which the headers know nothing, by the lines of gcc's errors. */
function unknownOf(facts: readonly Fact[]): ReadonlySet<Fact> {
  const { stderr } = compile(facts, '-fsyntax-only');
  const lines = [...stderr.matchAll(/^facts\.c:(\d+):\d+: error:/gm)].map((match) => Number(match[1]));
  return new Set(lines.flatMap((line) => facts[line - head.length - 1] ?? []));
}

function versionOfHeaders(): number {
  writeFileSync(join(folder, 'version.c'), '#include <linux/version.h>\nint version = LINUX_VERSION_CODE;\n');
  const { status, stdout } = spawnSync('gcc', ['-E', '-P', 'version.c'], { cwd: folder, encoding: 'utf8' });
  return status === 0 ? Number(/version = (\d+)/.exec(stdout)?.[1] ?? 0) : 0;
}

const LINUX_6_1 = (6 << 16) | (1 << 8);

const TITLE = 'gcc and the headers in /usr/include agree with';
const missing = versionOfHeaders() < LINUX_6_1;

describe.skipIf(missing)(missing ? `${TITLE}: skipped, needs gcc and headers of Linux 6.1` : TITLE, () => {
  test.each(modules)('%s', (_file, module) => {
    const facts = factsOf(module);
    const unknown = unknownOf(facts);
    expect(
      [...unknown].map(({ name }) => name).filter((name) => !EXCEPTIONS.some((known) => known.test(name))),
    ).toEqual([]);
    const known = facts.filter((fact) => !unknown.has(fact));
    expect(compile(known, '-o', 'facts').stderr).toBe('');
    const printed = spawnSync(join(folder, 'facts'), { encoding: 'utf8' }).stdout;
    const told = new Map([...printed.matchAll(/^(\d+) (-?\d+)$/gm)].map(([, i, value]) => [Number(i), BigInt(value!)]));
    const wrong = known.flatMap(({ name, value }, i) =>
      told.get(i) === value ? [] : `${name}: ${value}, in C ${told.get(i)}`,
    );
    expect(wrong).toEqual([]);
    expect(told.size).toBe(known.length);
  });
});

/**
 * Direct kernel boot: the ELF file into guest RAM, and the state in which its first instruction runs (hw/i386/multiboot.c
 * and x86.c do the like). There is no firmware: the vCPU starts in long mode, as Linux's 64-bit boot protocol has it
 * (Documentation/x86/boot.rst), with the page tables a kernel would have made for itself.
 *
 * | guest physical | what |
 * |---|---|
 * | 0x1000 | GDT: 0x10 code, 0x18 data |
 * | 0x2000–0x9fff | page tables |
 * | 0x10000 | boot_params (rsi), with the e820 map |
 */

import { ELF_MAGIC, ELFCLASS64, EM_X86_64, fileHeader, PT_LOAD, programHeader } from '../../lang/object/elf64.ts';
import { hva, MiB } from '../address.ts';
import { strerror } from '../linux/uapi/errno.ts';
import type { kvm_regs, kvm_sregs } from '../linux/uapi/kvm.ts';
import type { StructOf } from '../linux/uapi/struct.ts';
import { O_RDONLY } from '../linux/uapi/syscalls.ts';
import { ConfigurationError } from './error.ts';
import type { Machine } from './hw/machine.ts';

const GDT = 0x1000;
const PML4 = 0x2000;
const BOOT_PARAMS = 0x1_0000;
const E820_COUNT = 0x1e8;
const E820_TABLE = 0x2d0;
const E820_ENTRY = 20;
const E820_RAM = 1;
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;

const PRESENT_WRITABLE = 0x3n;
const PAGE_2M = 0x80n;
/** Page-directory entries in 512 MiB: how much of RAM the kernel text mapping covers. */
const KERNEL_TEXT_ENTRIES = 256;

/** Load `path`; returns the entry point. Refusals are ConfigurationErrors. */
export function loadKernel(machine: Machine, path: string): bigint {
  const { syscalls } = machine.system;
  const fd = syscalls.open(path, O_RDONLY);
  if (fd < 0) throw new ConfigurationError(`could not open kernel file '${path}': ${strerror(-fd)}`);
  try {
    return loadElf(machine, fd, path);
  } finally {
    syscalls.close(fd);
  }
}

function loadElf(machine: Machine, fd: number, path: string): bigint {
  const header = read(machine, fd, 0, fileHeader.size);
  const elf = header === undefined ? undefined : fileHeader.read(header, 0);
  if (elf?.magic !== ELF_MAGIC) throw new ConfigurationError(`invalid kernel header in '${path}': not an ELF file`);
  if (elf.class !== ELFCLASS64 || elf.machine !== EM_X86_64) {
    throw new ConfigurationError(`kernel '${path}' is not an x86-64 ELF file`);
  }
  const headers = read(machine, fd, elf.phoff, elf.phnum * programHeader.size);
  if (headers === undefined) throw new ConfigurationError(`kernel '${path}': cut off in its program headers`);
  for (let i = 0; i < elf.phnum; i++) {
    const segment = programHeader.read(headers, i * programHeader.size);
    if (segment.type === PT_LOAD && segment.memsz > 0) loadSegment(machine, fd, path, segment);
  }
  // As 64 bits: a number would round an address in the kernel's half.
  return header!.getBigUint64(ENTRY_OFFSET, true);
}

/** e_entry in Elf64_Ehdr. */
const ENTRY_OFFSET = 24;

interface Segment {
  readonly offset: number;
  readonly paddr: number;
  readonly filesz: number;
  readonly memsz: number;
}

/** The file's bytes go straight into guest RAM; what the file does not give is zero there already. */
function loadSegment(machine: Machine, fd: number, path: string, { offset, paddr, filesz, memsz }: Segment): void {
  const host = machine.hostAddress(paddr, memsz);
  if (host === undefined || paddr < BOOT_PARAMS + 0x1000) {
    const hex = (value: number) => `0x${value.toString(16)}`;
    const ram = `RAM from ${hex(BOOT_PARAMS + 0x1000)} to ${hex(machine.ramSize)}`;
    throw new ConfigurationError(
      `kernel '${path}' does not fit: segment at ${hex(paddr)} of ${hex(memsz)} bytes, ${ram}`,
      'Give the guest more memory with -m.',
    );
  }
  const got = filesz === 0 ? 0 : machine.system.syscalls.pread(fd, host, filesz, offset);
  if (got !== filesz) throw new ConfigurationError(`kernel '${path}': cut off in a segment`);
}

function read(machine: Machine, fd: number, offset: number, length: number): DataView | undefined {
  const bytes = machine.system.readFile(fd, offset, length);
  if (typeof bytes === 'number' || bytes.length < length) return undefined;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Write GDT, page tables and boot_params into guest RAM. */
export function writeBootStructures(machine: Machine): void {
  writeWords(machine, GDT, [0n, 0n, CODE_SEGMENT, DATA_SEGMENT]);
  writePageTables(machine);
  writeBootParams(machine);
}

/** Descriptors: base 0, limit 4 GiB, present, accessed; 64-bit code and data. */
const CODE_SEGMENT = 0x00af_9b00_0000_ffffn;
const DATA_SEGMENT = 0x00cf_9300_0000_ffffn;

/**
 * Identity map of the first GiB, Linux's direct map of it at 0xffff888000000000, kernel text at 0xffffffff80000000. Page 0
 * of the identity map is left out, so that a null pointer faults; the first 2 MiB are 4 KiB pages for that.
 */
function writePageTables(machine: Machine): void {
  const [identityPdpt, identityPd, lowPt, directPdpt, directPd, textPdpt, textPd] = [1, 2, 3, 4, 5, 6, 7].map(
    (n) => PML4 + n * 0x1000,
  ) as [number, number, number, number, number, number, number];
  const table = (entries: Readonly<Record<number, number>>) => {
    const words = new Array<bigint>(512).fill(0n);
    for (const [index, to] of Object.entries(entries)) words[Number(index)] = BigInt(to) | PRESENT_WRITABLE;
    return words;
  };
  const largePages = (count: number) =>
    Array.from({ length: 512 }, (_, i) => (i < count ? BigInt(i * MiB(2)) | PAGE_2M | PRESENT_WRITABLE : 0n));
  const smallPages = Array.from({ length: 512 }, (_, i) => (i === 0 ? 0n : BigInt(i * 4096) | PRESENT_WRITABLE));
  const identity = largePages(512);
  identity[0] = BigInt(lowPt) | PRESENT_WRITABLE;

  writeWords(machine, PML4, table({ 0: identityPdpt, 273: directPdpt, 511: textPdpt }));
  writeWords(machine, identityPdpt, table({ 0: identityPd }));
  writeWords(machine, identityPd, identity);
  writeWords(machine, lowPt, smallPages);
  writeWords(machine, directPdpt, table({ 0: directPd }));
  writeWords(machine, directPd, largePages(512));
  writeWords(machine, textPdpt, table({ 510: textPd }));
  writeWords(machine, textPd, largePages(KERNEL_TEXT_ENTRIES));
}

/** The zero page of the boot protocol: only the memory map is filled. */
function writeBootParams(machine: Machine): void {
  const page = new DataView(new ArrayBuffer(4096));
  const ranges = machine.ramRanges;
  page.setUint8(E820_COUNT, ranges.length);
  ranges.forEach(({ start, size }, i) => {
    const at = E820_TABLE + i * E820_ENTRY;
    page.setBigUint64(at, BigInt(start), true);
    page.setBigUint64(at + 8, BigInt(size), true);
    page.setUint32(at + 16, E820_RAM, true);
  });
  writeBytes(machine, BOOT_PARAMS, new Uint8Array(page.buffer));
}

function writeWords(machine: Machine, address: number, words: readonly bigint[]): void {
  writeBytes(machine, address, new Uint8Array(new BigUint64Array(words).buffer));
}

function writeBytes(machine: Machine, address: number, bytes: Uint8Array): void {
  const host = machine.hostAddress(address, bytes.length);
  if (host === undefined)
    throw new ConfigurationError(`guest memory is too small: 0x${address.toString(16)} is not RAM`);
  machine.system.memory.write(hva(host), bytes);
}

const CR0_PE = 0x1n;
const CR0_ET = 0x10n;
const CR0_NE = 0x20n;
const CR0_WP = 0x1_0000n;
const CR0_PG = 0x8000_0000n;
const CR4_PAE = 0x20n;
const EFER_LME = 0x100n;
const EFER_LMA = 0x400n;
const APIC_BASE_ENABLED_BSP = 0xfee0_0900n;
const CODE = 11;
const DATA = 3;
const BUSY_TSS = 11;
const LDT = 2;

/** Special registers at entry: long mode, ring 0. */
export function bootSregs(): Partial<StructOf<typeof kvm_sregs>> {
  const segment = (selector: number, type: number, bits: { readonly l: number; readonly db: number }) => {
    const rest = { dpl: 0, s: 1, g: 1, avl: 0, unusable: 0, padding: 0 };
    return { base: 0n, limit: 0xffff_ffff, selector, type, present: 1, ...bits, ...rest };
  };
  const data = segment(BOOT_DS, DATA, { l: 0, db: 1 });
  const system = { ...data, selector: 0, limit: 0xffff, s: 0, g: 0, db: 0 };
  return {
    cs: segment(BOOT_CS, CODE, { l: 1, db: 0 }),
    ds: data,
    es: data,
    fs: data,
    gs: data,
    ss: data,
    tr: { ...system, type: BUSY_TSS },
    ldt: { ...system, type: LDT, present: 0, unusable: 1 },
    gdt: { base: BigInt(GDT), limit: 4 * 8 - 1, padding: new Uint8Array(6) },
    idt: { base: 0n, limit: 0, padding: new Uint8Array(6) },
    cr0: CR0_PE | CR0_ET | CR0_NE | CR0_WP | CR0_PG,
    cr3: BigInt(PML4),
    cr4: CR4_PAE,
    efer: EFER_LME | EFER_LMA,
    apic_base: APIC_BASE_ENABLED_BSP,
  };
}

/** General registers at entry: boot_params in rsi, interrupts off, no stack. */
export const bootRegs = (entry: bigint): Partial<StructOf<typeof kvm_regs>> => ({
  rip: entry,
  rsi: BigInt(BOOT_PARAMS),
  rflags: 0x2n,
});

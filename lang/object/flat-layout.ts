/** Where sections go in flat output (NASM manual §8.1.3): in the file, and at which address they believe to be. */

import type { Diagnostic } from '../assembler/diagnostics.ts';
import { roundUp } from './elf-writer.ts';
import * as elf from './elf64.ts';
import type { ObjectFile, ObjectSection } from './object-file.ts';

/** Sections other than .text begin on four bytes unless the source says otherwise. */
const ALIGN = 4;

/** The place that a name of flat output means: `section.NAME.start` (in the file, by its addresses) or `section.NAME.vstart`. */
export function placeOfSection(name: string): { readonly section: string; readonly isVirtual: boolean } | undefined {
  if (!name.startsWith('section.')) return undefined;
  const [, section, isVirtual] = /^section\.(.+)\.(v?)start$/.exec(name) ?? [];
  return section === undefined ? undefined : { section, isVirtual: isVirtual !== '' };
}

/** Larger files are a mistake in an address. */
const MAX_FILE = 256 * 1024 * 1024;

export interface FlatLayout {
  /** Offset of each section in the file; that of room without bytes takes none. */
  readonly offsets: readonly number[];
  /** Address of each section: where it believes to be. */
  readonly addresses: readonly bigint[];
  /** Address of each section by its place in the file; room has none in the file and is where it believes to be. */
  readonly starts: readonly bigint[];
  /** Length of the file. */
  readonly size: number;
}

/**
 * .text first, then the other sections in the order of the source, then room; `follows` and `start` change that. `origin` is the address
 * of the file's first byte.
 */
export function flatLayout(object: ObjectFile, origin: bigint): FlatLayout | { readonly diagnostics: Diagnostic[] } {
  const { sections } = object;
  const diagnostics: Diagnostic[] = [];
  const fault = (message: string) => {
    diagnostics.push({ severity: 'error', message, span: undefined, notes: [] });
  };
  const offsets: number[] = [];
  let [at, size] = [0, 0];
  const order = inOrder(sections, fault);
  for (const number of order) {
    const section = sections[number]!;
    const start = section.placement?.start;
    if (start !== undefined && start - origin < BigInt(at)) {
      fault(`section ${section.name} cannot start at ${start}: the section before it ends at ${origin + BigInt(at)}`);
    } else if (start !== undefined) {
      at = Number(start - origin);
    } else if (section.size > 0 || section.name !== '.text') {
      at = roundUp(at, alignOf(section));
    }
    offsets[number] = at;
    at += section.size;
    if (section.type !== elf.SHT_NOBITS && section.size > 0) size = at;
  }
  if (size > MAX_FILE) fault(`the sections lie so far apart that the file would have ${size} bytes`);
  const addresses = sections.map((_, number) =>
    addressOf(number, { sections, order, offsets, origin, fault }, new Set()),
  );
  const starts = sections.map(({ type }, number) =>
    type === elf.SHT_NOBITS ? addresses[number]! : origin + BigInt(offsets[number]!),
  );
  return diagnostics.length > 0 ? { diagnostics } : { offsets, addresses, starts, size };
}

function alignOf(section: ObjectSection): number {
  if (section.name === '.text') return 1;
  return section.placement?.align === undefined ? Math.max(ALIGN, section.align) : section.align;
}

/** Numbers of the sections as they stand in the file. */
function inOrder(sections: readonly ObjectSection[], fault: (message: string) => void): number[] {
  const numbers = sections.map((_, number) => number);
  const isRoom = (number: number) => sections[number]!.type === elf.SHT_NOBITS;
  const order = [
    ...numbers.filter((number) => sections[number]!.name === '.text'),
    ...numbers.filter((number) => sections[number]!.name !== '.text' && !isRoom(number)),
    ...numbers.filter(isRoom),
  ];
  for (const number of numbers) {
    const { follows } = sections[number]!.placement ?? {};
    if (follows === undefined) continue;
    const before = sections.findIndex((each) => each.name === follows);
    if (before < 0 || before === number) {
      fault(`section ${sections[number]!.name} follows ${follows}, and there is no such other section`);
      continue;
    }
    order.splice(order.indexOf(number), 1);
    order.splice(order.indexOf(before) + 1, 0, number);
  }
  return order;
}

interface Placing {
  readonly sections: readonly ObjectSection[];
  readonly order: readonly number[];
  readonly offsets: readonly number[];
  readonly origin: bigint;
  readonly fault: (message: string) => void;
}

/** Where a section believes to be: at its `vstart`, behind the section it follows there, or where it lies in the file. */
function addressOf(number: number, placing: Placing, seen: Set<number>): bigint {
  const { sections, offsets, origin, fault } = placing;
  const section = sections[number]!;
  const { name, placement } = section;
  if (placement?.vstart !== undefined) return placement.vstart;
  const before = followed(number, placing);
  if (before === undefined) return origin + BigInt(offsets[number]!);
  if (before < 0 || seen.has(number)) {
    fault(`section ${name} follows ${placement?.vfollows ?? 'itself'}, and there is no such other section`);
    return 0n;
  }
  const end = addressOf(before, placing, seen.add(number)) + BigInt(sections[before]!.size);
  return BigInt(roundUp(Number(end), placement?.vfollows === undefined ? alignOf(section) : ALIGN));
}

/**
 * The section that this one stands behind when the program runs: the one named by `vfollows`; for .bss the last that has bytes, for other
 * room the one that the source had before (bin_cleanup of NASM's outbin.c). Undefined where the file decides.
 */
function followed(number: number, { sections, order }: Placing): number | undefined {
  const { name, type, placement } = sections[number]!;
  if (placement?.vfollows !== undefined) return sections.findIndex((each) => each.name === placement.vfollows);
  if (type !== elf.SHT_NOBITS || number === 0) return undefined;
  if (placement?.start !== undefined || placement?.follows !== undefined) return undefined;
  return name === '.bss' ? order.findLast((each) => sections[each]!.type !== elf.SHT_NOBITS) : number - 1;
}

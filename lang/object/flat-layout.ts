/** Where sections go in flat output (NASM manual §8.1.3): in the file, and at which address they believe to be. */

import type { Diagnostic } from '../assembler/diagnostics.ts';
import { roundUp } from './elf-writer.ts';
import * as elf from './elf64.ts';
import type { ObjectFile, ObjectSection } from './object-file.ts';

/** Sections other than .text begin on four bytes unless the source says otherwise. */
const ALIGN = 4;

/** Larger files are a mistake in an address. */
const MAX_FILE = 256 * 1024 * 1024;

export interface FlatLayout {
  /** Offset of each section in the file; that of room without bytes takes none. */
  readonly offsets: readonly number[];
  /** Address of each section. */
  readonly addresses: readonly bigint[];
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
  for (const number of inOrder(sections, fault)) {
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
  const addresses = sections.map((_, number) => addressOf(number, sections, offsets, origin, new Set(), fault));
  return diagnostics.length > 0 ? { diagnostics } : { offsets, addresses, size };
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

/** Where a section believes to be: at its `vstart`, behind the section it `vfollows`, or where it lies in the file. */
function addressOf(
  number: number,
  sections: readonly ObjectSection[],
  offsets: readonly number[],
  origin: bigint,
  seen: Set<number>,
  fault: (message: string) => void,
): bigint {
  const { name, placement } = sections[number]!;
  if (placement?.vstart !== undefined) return placement.vstart;
  if (placement?.vfollows === undefined) return origin + BigInt(offsets[number]!);
  const before = sections.findIndex((each) => each.name === placement.vfollows);
  if (before < 0 || seen.has(number)) {
    fault(`section ${name} follows ${placement.vfollows}, and there is no such other section`);
    return 0n;
  }
  const end = addressOf(before, sections, offsets, origin, seen.add(number), fault) + BigInt(sections[before]!.size);
  return BigInt(roundUp(Number(end), ALIGN));
}

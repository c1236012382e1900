/** Input sections → output sections: grouped by name, ordered by kind, each input section with its offset. */

import { roundUp } from './elf-writer.ts';
import * as elf from './elf64.ts';
import type { ObjectSection } from './object-file.ts';
import type { Resolution } from './resolve.ts';

export const PAGE = 4096;

/** What shares pages and protection. */
export interface Kind {
  readonly name: 'code' | 'constants' | 'data' | 'room';
  /** PF_* */
  readonly flags: number;
}

const KINDS: readonly Kind[] = [
  { name: 'code', flags: elf.PF_R | elf.PF_X },
  { name: 'constants', flags: elf.PF_R },
  { name: 'data', flags: elf.PF_R | elf.PF_W },
  { name: 'room', flags: elf.PF_R | elf.PF_W },
];

export interface Piece {
  readonly object: number;
  readonly section: number;
  readonly offset: number;
}

/** An output section while it is laid out. */
export interface Joined {
  readonly name: string;
  type: number;
  flags: number;
  /** Undefined: not loaded. */
  kind: Kind | undefined;
  align: number;
  size: number;
  entrySize: number;
  address: bigint;
  readonly pieces: Piece[];
  /** `object:section`, or `object:name` of a common symbol → offset in the output section. */
  readonly places: Map<string, number>;
}

/** Output sections in their final order; empty ones are left out, and debug sections unless `debug`. */
export function gather(resolution: Resolution, debug: boolean): Joined[] {
  const byName = new Map<string, Joined>();
  resolution.objects.forEach((object, number) => {
    object.sections.forEach((section, index) => {
      const name = outputName(section);
      if (name !== undefined && (debug || !name.startsWith('.debug_')))
        append(joinedNamed(byName, name), section, number, index);
    });
  });
  addCommons(byName, resolution);
  const all = [...byName.values()].filter((joined) => joined.size > 0 || joined.name === '.text');
  for (const joined of all) joined.kind = kindOf(joined);
  return all
    .map((joined, order) => ({ joined, order }))
    .sort((a, b) => rank(a.joined) - rank(b.joined) || a.order - b.order)
    .map(({ joined }) => joined);
}

/** Address of a piece, by object and section number or the name of a common symbol. */
export function pieceBase(joined: readonly Joined[], object: number, key: number | string): bigint | undefined {
  for (const each of joined) {
    const offset = each.places.get(`${object}:${key}`);
    if (offset !== undefined) return each.address + BigInt(offset);
  }
  return undefined;
}

/** `.text.hot` joins `.text`; notes for other tools and empty sections without meaning go. */
function outputName(section: ObjectSection): string | undefined {
  if (section.name.startsWith('.note') || section.name === '.comment') return undefined;
  if ((section.flags & elf.SHF_ALLOC) === 0) return section.name.startsWith('.debug_') ? section.name : undefined;
  return /^\.(?:text|rodata|data|bss)(?=\.)/.exec(section.name)?.[0] ?? section.name;
}

function joinedNamed(byName: Map<string, Joined>, name: string): Joined {
  let joined = byName.get(name);
  if (joined === undefined) {
    joined = {
      name,
      type: elf.SHT_NOBITS,
      flags: 0,
      kind: undefined,
      align: 1,
      size: 0,
      entrySize: 0,
      address: 0n,
      pieces: [],
      places: new Map(),
    };
    byName.set(name, joined);
  }
  return joined;
}

const KEPT_FLAGS = elf.SHF_WRITE | elf.SHF_ALLOC | elf.SHF_EXECINSTR | elf.SHF_TLS;

function append(joined: Joined, section: ObjectSection, object: number, index: number): void {
  const offset = roundUp(joined.size, section.align);
  joined.pieces.push({ object, section: index, offset });
  joined.places.set(`${object}:${index}`, offset);
  joined.size = offset + section.size;
  joined.align = Math.max(joined.align, section.align);
  joined.flags |= section.flags & KEPT_FLAGS;
  if (section.type !== elf.SHT_NOBITS && section.size > 0) joined.type = section.type;
}

function addCommons(byName: Map<string, Joined>, resolution: Resolution): void {
  for (const [name, { object, symbol }] of resolution.definitions) {
    if (symbol.section !== 'common') continue;
    const bss = joinedNamed(byName, '.bss');
    const offset = roundUp(bss.size, Math.max(1, Number(symbol.value)));
    bss.flags |= elf.SHF_ALLOC | elf.SHF_WRITE;
    bss.align = Math.max(bss.align, Number(symbol.value));
    bss.places.set(`${object}:${name}`, offset);
    bss.size = offset + Number(symbol.size);
  }
}

function kindOf({ flags, type }: Joined): Kind | undefined {
  if ((flags & elf.SHF_ALLOC) === 0) return undefined;
  if ((flags & elf.SHF_EXECINSTR) !== 0) return KINDS[0];
  if ((flags & elf.SHF_WRITE) === 0) return KINDS[1];
  return type === elf.SHT_NOBITS ? KINDS[3] : KINDS[2];
}

/** Kinds in order; within a kind the usual name comes before others. */
function rank(joined: Joined): number {
  const kind = joined.kind === undefined ? KINDS.length : KINDS.indexOf(joined.kind);
  const usual = ['.text', '.rodata', '.data', '.bss'].includes(joined.name);
  return kind * 2 + (usual ? 0 : 1);
}

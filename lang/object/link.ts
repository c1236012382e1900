/**
 * The linker: objects and archive members → a static executable. Input sections of one name join into an output section; output
 * sections follow each other as code, read-only data, data and zeroed room, each kind on pages and in a segment of its own. Sections
 * that are not loaded (.debug_*) are joined and relocated too, so that lines survive.
 */

import type { Diagnostic } from '../assembler/diagnostics.ts';
import { applyRelocation, type Overflow } from './apply-relocation.ts';
import type { Archive } from './archive.ts';
import { type OutputSection, type OutputSegment, type OutputSymbol, writeElf } from './elf-writer.ts';
import * as elf from './elf64.ts';
import { gather, type Joined, PAGE, pieceBase } from './join-sections.ts';
import type { ObjectFile, ObjectSymbol, Relocation } from './object-file.ts';
import { type Resolution, Resolver } from './resolve.ts';

export interface Layout {
  /** Virtual address of the first section (a multiple of 4096). */
  readonly textVma: bigint;
  /** Physical address of the same byte: p_paddr. */
  readonly physical: bigint;
  /** Symbol at which execution starts. */
  readonly entry: string;
  /** Leave out symbols and debug sections, which a program does not need to run. Default false. */
  readonly strip?: boolean;
}

/** Where Linux puts its kernel text, loaded at 16 MiB. */
export const KERNEL_LAYOUT: Layout = { textVma: 0xffffffff81000000n, physical: 0x1000000n, entry: 'startup_64' };

export type Linked = { readonly image: Uint8Array } | { readonly diagnostics: readonly Diagnostic[] };

/** Links; errors are undefined and duplicate symbols, fields that cannot hold their address, and a missing entry. */
export function link(objects: readonly ObjectFile[], archives: readonly Archive[], layout: Layout): Linked {
  const resolver = new Resolver(archives, (name) => isProvided(name));
  const resolution = resolver.resolve(objects, layout.entry);
  if (resolver.diagnostics.length > 0) return { diagnostics: resolver.diagnostics };
  const linker = new Linker(resolution, layout);
  const image = linker.image();
  return linker.diagnostics.length > 0 ? { diagnostics: linker.diagnostics } : { image };
}

const EDGE_NAMES = ['_text', '_etext', '_sdata', '_edata', '__bss_start', '__bss_stop', '_end'];

/** Names a linker script of Linux would define, and `__start_X`, `__stop_X` around a section whose name is an identifier. */
function isProvided(name: string): boolean {
  return EDGE_NAMES.includes(name) || /^__(?:start|stop)_[A-Za-z_]\w*$/.test(name);
}

class Linker {
  readonly #resolution: Resolution;
  readonly #layout: Layout;
  readonly #joined: readonly Joined[];
  readonly #segments: OutputSegment[] = [];
  readonly diagnostics: Diagnostic[] = [];

  constructor(resolution: Resolution, layout: Layout) {
    this.#resolution = resolution;
    this.#layout = layout;
    this.#joined = gather(resolution, layout.strip !== true);
  }

  image(): Uint8Array {
    this.#place();
    const sections = this.#joined.map((joined) => this.#contents(joined));
    const entry = this.#resolution.definitions.get(this.#layout.entry);
    if (entry === undefined) {
      const message = `the program has no entry point: no object defines \`${this.#layout.entry}\``;
      this.diagnostics.push({ severity: 'error', message, span: undefined, notes: [] });
      return new Uint8Array(0);
    }
    return writeElf({
      type: elf.ET_EXEC,
      entry: this.#address(entry.object, entry.symbol),
      sections,
      symbols: this.#layout.strip === true ? [] : this.#symbols(),
      segments: this.#segments,
    });
  }

  /** Gives addresses: one segment a kind, pages of one kind never shared with another. */
  #place(): void {
    let address = this.#layout.textVma;
    const loaded = this.#joined.filter((joined) => joined.kind !== undefined);
    loaded.forEach((joined, i) => {
      const newKind = i === 0 || loaded[i - 1]!.kind !== joined.kind;
      address = alignUp(address, newKind ? PAGE : joined.align);
      joined.address = address;
      if (newKind) {
        this.#segments.push({
          flags: joined.kind!.flags,
          virtualAddress: address,
          physicalAddress: address - this.#layout.textVma + this.#layout.physical,
          first: i,
          last: i,
          align: PAGE,
        });
      } else {
        this.#segments.push({ ...this.#segments.pop()!, last: i });
      }
      address += BigInt(joined.size);
    });
  }

  #contents(joined: Joined): OutputSection {
    const { name, type, flags, address, align, size, entrySize } = joined;
    if (type === elf.SHT_NOBITS) {
      return { name, type, flags, address, align, size, data: new Uint8Array(0), entrySize };
    }
    const data = new Uint8Array(size).fill((flags & elf.SHF_EXECINSTR) !== 0 ? TRAP : 0);
    const view = new DataView(data.buffer);
    for (const piece of joined.pieces) {
      const object = this.#resolution.objects[piece.object]!;
      const section = object.sections[piece.section]!;
      if (section.type === elf.SHT_NOBITS) data.fill(0, piece.offset, piece.offset + section.size);
      else data.set(section.data, piece.offset);
      for (const relocation of section.relocations) {
        const field = piece.offset + relocation.offset;
        const target = this.#target(piece.object, relocation);
        const { type: kind, addend } = relocation;
        const overflow = applyRelocation(view, field, kind, target, addend, address + BigInt(field));
        if (overflow !== undefined) this.#overflow(overflow, object, piece.section, relocation);
      }
    }
    return { name, type, flags, address, align, size, data, entrySize };
  }

  #target(object: number, relocation: Relocation): bigint {
    if (relocation.symbol < 0) return 0n;
    const symbol = this.#resolution.objects[object]!.symbols[relocation.symbol]!;
    if (symbol.binding === 'local') return this.#address(object, symbol);
    const definition = this.#resolution.definitions.get(symbol.name);
    if (definition !== undefined) return this.#address(definition.object, definition.symbol);
    // A weak name that nobody defines is zero.
    return isProvided(symbol.name) ? this.#provided(symbol.name) : 0n;
  }

  #address(object: number, symbol: ObjectSymbol): bigint {
    const { section, value } = symbol;
    if (section === 'absolute') return value;
    if (section === 'undefined') return 0n;
    const place = pieceBase(this.#joined, object, section === 'common' ? symbol.name : section);
    // A section that is left out (.note.GNU-stack) has no address; nothing loaded refers to it.
    if (place === undefined) return 0n;
    return place + (section === 'common' ? 0n : value);
  }

  #provided(name: string): bigint {
    const section = /^__(start|stop)_(.*)$/.exec(name);
    if (section !== null && !EDGE_NAMES.includes(name)) {
      const joined = this.#joined.find((each) => each.name === section[2]);
      if (joined === undefined) return 0n;
      return section[1] === 'start' ? joined.address : joined.address + BigInt(joined.size);
    }
    return this.#edge(name);
  }

  /** Start or end of a kind of section; where there is none of it, the end of what comes before. */
  #edge(name: string): bigint {
    const end = (kinds: readonly string[]) =>
      this.#joined.reduce(
        (last, each) => (kinds.includes(each.kind?.name ?? '') ? each.address + BigInt(each.size) : last),
        this.#layout.textVma,
      );
    const start = (kind: string, before: readonly string[]) =>
      this.#joined.find((each) => each.kind?.name === kind)?.address ?? end(before);
    switch (name) {
      case '_text':
        return this.#layout.textVma;
      case '_etext':
        return end(['code']);
      case '_sdata':
        return start('data', ['code', 'constants']);
      case '_edata':
        return end(['code', 'constants', 'data']);
      case '__bss_start':
        return start('room', ['code', 'constants', 'data']);
      default:
        return end(['code', 'constants', 'data', 'room']);
    }
  }

  #overflow({ rule, value }: Overflow, object: ObjectFile, section: number, relocation: Relocation): void {
    const row = object.lines?.find(section, relocation.offset);
    const symbol = object.symbols[relocation.symbol];
    const name =
      symbol === undefined
        ? 'a number'
        : symbol.name === ''
          ? object.sections[Number(symbol.section)]?.name
          : `\`${symbol.name}\``;
    const where = row === undefined ? object.name : `${row.file}:${row.line}`;
    const hex = `0x${BigInt.asUintN(64, value).toString(16)}`;
    this.diagnostics.push({
      severity: 'error',
      message: `${where}: the ${rule.relative ? 'distance' : 'address'} ${hex} of ${name} does not fit a ${rule.bytes * 8}-bit field`,
      span: symbol?.reference,
      notes: rule.relative ? [] : ['take a 64-bit register (mov rax, label) or a distance (lea rax, [rel label])'],
    });
  }

  #symbols(): OutputSymbol[] {
    const local: OutputSymbol[] = [];
    const global: OutputSymbol[] = [];
    this.#resolution.objects.forEach((object, number) => {
      for (const symbol of object.symbols) {
        if (symbol.type === elf.STT_SECTION || symbol.section === 'undefined' || symbol.name === '') continue;
        const isLocal = symbol.binding === 'local';
        if (!isLocal && this.#resolution.definitions.get(symbol.name)?.object !== number) continue;
        const { name, type, size } = symbol;
        const section = this.#sectionNumber(number, symbol);
        if (section === undefined) continue;
        const binding = isLocal ? elf.STB_LOCAL : symbol.binding === 'weak' ? elf.STB_WEAK : elf.STB_GLOBAL;
        const value = this.#address(number, symbol);
        (isLocal ? local : global).push({ name, type, size, binding, section, value });
      }
    });
    return [...local, ...global];
  }

  #sectionNumber(object: number, { section, name }: ObjectSymbol): number | undefined {
    if (section === 'absolute') return elf.SHN_ABS;
    const key = section === 'common' ? name : section;
    const index = this.#joined.findIndex((joined) => joined.places.has(`${object}:${key}`));
    return index < 0 ? undefined : index + 1;
  }
}

/** Code padding: int3, so that running off the end of a function is noticed. */
const TRAP = 0xcc;

function alignUp(address: bigint, align: number): bigint {
  const step = BigInt(align);
  return ((address + step - 1n) / step) * step;
}

/** Addresses of an image back to names and source lines, for an oops, a backtrace, a trace. Works for any ELF file with symbols. */

import * as elf from './elf64.ts';
import { type AddressLine, readDebugLine } from './read-debug-line.ts';
import { type ElfFile, type ElfSymbol, readElf } from './read-elf.ts';

/** What stands at an address. `file` and `line` are undefined where the image has no line for it. */
export interface Location {
  readonly symbol: string;
  readonly offset: bigint;
  readonly file: string | undefined;
  readonly line: number | undefined;
}

/** Answers for one image; symbols and lines are read when first asked for. */
export class Symbolizer {
  readonly #file: ElfFile;
  #symbols: ElfSymbol[] | undefined;
  #lines: AddressLine[] | undefined;

  constructor(file: ElfFile) {
    this.#file = file;
  }

  /** The nearest symbol at or below the address, with its source line; undefined outside the image's sections. */
  symbolize(address: bigint): Location | undefined {
    const section = this.#file.sections.find(
      (each) =>
        (each.flags & elf.SHF_ALLOC) !== 0 && address >= each.address && address < each.address + BigInt(each.size),
    );
    if (section === undefined) return undefined;
    const index = this.#file.sections.indexOf(section);
    const at = lastAtOrBelow(this.#sortedSymbols(), (symbol) => symbol.value, address);
    const symbol = at?.section === index ? at : undefined;
    const line = this.#line(address);
    return {
      symbol: symbol?.name ?? section.name,
      offset: address - (symbol?.value ?? section.address),
      file: line?.file,
      line: line?.line,
    };
  }

  /** Address of a symbol by its name; a global one wins over a local one. */
  address(name: string): bigint | undefined {
    const all = this.#file.symbols.filter((symbol) => symbol.name === name && symbol.section !== elf.SHN_UNDEF);
    return (all.find((symbol) => symbol.binding !== elf.STB_LOCAL) ?? all[0])?.value;
  }

  /** Names of all symbols that are places. */
  names(): readonly string[] {
    return this.#sortedSymbols().map(({ name }) => name);
  }

  /** The line table's rows that lie in executable sections, by ascending address. */
  codeLines(): readonly AddressLine[] {
    this.#lines ??= this.#readLines();
    const code = this.#file.sections.filter(({ flags }) => (flags & elf.SHF_EXECINSTR) !== 0);
    return this.#lines.filter(
      (row) =>
        !row.end && code.some(({ address, size }) => row.address >= address && row.address < address + BigInt(size)),
    );
  }

  #line(address: bigint): AddressLine | undefined {
    this.#lines ??= this.#readLines();
    const row = lastAtOrBelow(this.#lines, (each) => each.address, address);
    return row === undefined || row.end ? undefined : row;
  }

  #readLines(): AddressLine[] {
    const named = (name: string) => this.#file.sections.find((section) => section.name === name)?.data;
    const lines = named('.debug_line');
    return lines === undefined
      ? []
      : readDebugLine(lines, { str: named('.debug_str'), lineStr: named('.debug_line_str') });
  }

  /** Functions and labels by address; local labels of a function (`name.label`) do not hide it. */
  #sortedSymbols(): ElfSymbol[] {
    this.#symbols ??= this.#file.symbols
      .filter((symbol) => symbol.section > 0 && symbol.section < elf.SHN_LORESERVE && isPlace(symbol))
      .sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : precedence(a) - precedence(b)));
    return this.#symbols;
  }
}

/** Reads an image's bytes for look-ups. */
export function symbolizer(image: Uint8Array, name: string): Symbolizer {
  return new Symbolizer(readElf(image, name));
}

/** Of symbols at one address the last is taken: a function rather than a mark (the linker script's `_text`), a global rather than a local. */
const precedence = (symbol: ElfSymbol): number => (symbol.type === elf.STT_FUNC ? 2 : 0) + Math.min(symbol.binding, 1);

function isPlace(symbol: ElfSymbol): boolean {
  return (
    symbol.type !== elf.STT_SECTION && symbol.type !== elf.STT_FILE && symbol.name !== '' && !symbol.name.includes('.')
  );
}

function lastAtOrBelow<T>(sorted: readonly T[], key: (each: T) => bigint, wanted: bigint): T | undefined {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(sorted[middle]!) <= wanted) low = middle + 1;
    else high = middle;
  }
  return sorted[low - 1];
}

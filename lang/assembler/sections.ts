/** Sections while they are being assembled: attributes, a running offset, and in the last pass their bytes and relocations. */

import * as elf from '../object/elf64.ts';
import type { FlatPlacement } from '../object/object-file.ts';
import type { Base, Value } from './value.ts';
import { baseValue } from './value.ts';

/** No section may grow beyond this: a `times` or `resb` gone wrong must not take the machine's memory. */
export const MAX_SECTION = 256 * 1024 * 1024;

export interface SectionAttributes {
  type: number;
  flags: number;
  align: number;
}

/** A relocation against a section or an external symbol, before symbol numbers exist. */
export interface PendingRelocation {
  readonly offset: number;
  readonly type: number;
  readonly base: Base | undefined;
  readonly addend: bigint;
}

export class Section implements Base {
  readonly kind = 'section';
  readonly name: string;
  readonly attributes: SectionAttributes;
  placement: FlatPlacement | undefined;
  /** Where the next byte goes. */
  offset = 0;
  readonly relocations: PendingRelocation[] = [];
  #bytes = new Uint8Array(0);
  /** `$` of a given offset, remembered since every label of a pass asks for one. */
  readonly start: Value;

  /** `absolute`: its labels are addresses of elsewhere, and it takes no bytes. */
  readonly isAbsolute: boolean;

  constructor(name: string, attributes: SectionAttributes, absoluteStart?: Value) {
    this.name = name;
    this.attributes = attributes;
    this.isAbsolute = absoluteStart !== undefined;
    this.start = absoluteStart ?? baseValue(this, 0n);
  }

  get holdsBytes(): boolean {
    return this.attributes.type !== elf.SHT_NOBITS;
  }

  /** Writes at the running offset and moves on. */
  write(bytes: Uint8Array): void {
    const end = this.offset + bytes.length;
    this.#room(end);
    this.#bytes.set(bytes, this.offset);
    this.offset = end;
  }

  fill(length: number, value: number): void {
    const end = this.offset + length;
    if (this.holdsBytes) {
      this.#room(end);
      this.#bytes.fill(value, this.offset, end);
    }
    this.offset = end;
  }

  /** Repeats the last `length` bytes `count` times. */
  again(length: number, count: number): void {
    const end = this.offset + length * count;
    if (this.holdsBytes) {
      this.#room(end);
      const start = this.offset - length;
      // Doubling: each copy takes all that is there already.
      for (let at = this.offset; at < end; ) {
        const size = Math.min(at - start, end - at);
        this.#bytes.copyWithin(at, start, start + size);
        at += size;
      }
    }
    this.offset = end;
  }

  contents(): Uint8Array {
    if (!this.holdsBytes) return new Uint8Array(0);
    this.#room(this.offset);
    return this.#bytes.subarray(0, this.offset);
  }

  #room(end: number): void {
    if (end <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2, 1024));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

const { SHT_PROGBITS, SHT_NOBITS, SHF_ALLOC, SHF_WRITE, SHF_EXECINSTR, SHF_TLS } = elf;

/** What a section's name implies under `-f elf64` (NASM manual §8.9.2); anything else is read-only data without execution. */
const KNOWN: Readonly<Record<string, SectionAttributes>> = {
  '.text': { type: SHT_PROGBITS, flags: SHF_ALLOC | SHF_EXECINSTR, align: 16 },
  '.rodata': { type: SHT_PROGBITS, flags: SHF_ALLOC, align: 4 },
  '.lrodata': { type: SHT_PROGBITS, flags: SHF_ALLOC, align: 4 },
  '.data': { type: SHT_PROGBITS, flags: SHF_ALLOC | SHF_WRITE, align: 4 },
  '.ldata': { type: SHT_PROGBITS, flags: SHF_ALLOC | SHF_WRITE, align: 4 },
  '.bss': { type: SHT_NOBITS, flags: SHF_ALLOC | SHF_WRITE, align: 4 },
  '.lbss': { type: SHT_NOBITS, flags: SHF_ALLOC | SHF_WRITE, align: 4 },
  '.tdata': { type: SHT_PROGBITS, flags: SHF_ALLOC | SHF_WRITE | SHF_TLS, align: 4 },
  '.tbss': { type: SHT_NOBITS, flags: SHF_ALLOC | SHF_WRITE | SHF_TLS, align: 4 },
  '.init_array': { type: elf.SHT_INIT_ARRAY, flags: SHF_ALLOC | SHF_WRITE, align: 8 },
  '.fini_array': { type: elf.SHT_FINI_ARRAY, flags: SHF_ALLOC | SHF_WRITE, align: 8 },
  '.note': { type: elf.SHT_NOTE, flags: 0, align: 4 },
  '.comment': { type: SHT_PROGBITS, flags: 0, align: 1 },
};

export function newSection(name: string): Section {
  const attributes = KNOWN[name] ?? { type: SHT_PROGBITS, flags: SHF_ALLOC, align: 1 };
  return new Section(name, { ...attributes });
}

/** What stands behind `absolute ADDRESS`: not a section of the object. */
export function absoluteSpace(start: Value): Section {
  return new Section('absolute', { type: SHT_NOBITS, flags: 0, align: 1 }, start);
}

/** Applies one word of `section NAME word…`; false where it is none that NASM knows. */
export function applyAttribute(attributes: SectionAttributes, word: string): boolean {
  const set = (flag: number) => {
    attributes.flags |= flag;
  };
  const clear = (flag: number) => {
    attributes.flags &= ~flag;
  };
  switch (word) {
    case 'progbits':
      attributes.type = SHT_PROGBITS;
      break;
    case 'nobits':
      attributes.type = SHT_NOBITS;
      break;
    case 'note':
      attributes.type = elf.SHT_NOTE;
      break;
    case 'alloc':
      set(SHF_ALLOC);
      break;
    case 'noalloc':
      clear(SHF_ALLOC);
      break;
    case 'exec':
      set(SHF_EXECINSTR);
      break;
    case 'noexec':
      clear(SHF_EXECINSTR);
      break;
    case 'write':
      set(SHF_WRITE);
      break;
    case 'nowrite':
      clear(SHF_WRITE);
      break;
    case 'tls':
      set(SHF_TLS);
      break;
    case 'merge':
      set(elf.SHF_MERGE);
      break;
    case 'strings':
      set(elf.SHF_STRINGS);
      break;
    default:
      return false;
  }
  return true;
}

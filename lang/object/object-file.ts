/** A relocatable object in memory: what the assembler makes, the ELF writer writes, the ELF reader reads and the linker joins. */

import type { Span } from '../syntax/source.ts';
import type { LineTable } from './line-table.ts';

export interface ObjectSection {
  readonly name: string;
  /** SHT_* */
  readonly type: number;
  /** SHF_* */
  readonly flags: number;
  readonly align: number;
  /** In bytes; equals `data.length` but for SHT_NOBITS, where `data` is empty. */
  readonly size: number;
  readonly data: Uint8Array;
  readonly entrySize: number;
  readonly relocations: readonly Relocation[];
  /** What the source says about its place in flat output. */
  readonly placement?: FlatPlacement;
}

/** `section .x start=… vstart=… follows=… vfollows=… align=…` */
export interface FlatPlacement {
  readonly start?: bigint;
  readonly vstart?: bigint;
  readonly follows?: string;
  readonly vfollows?: string;
  readonly align?: number;
}

export interface Relocation {
  /** Of the field, from the section's start. */
  readonly offset: number;
  /** R_X86_64_* */
  readonly type: number;
  /** Index into {@link ObjectFile.symbols}; -1 for a plain number. */
  readonly symbol: number;
  readonly addend: bigint;
}

export interface ObjectSymbol {
  readonly name: string;
  readonly binding: 'local' | 'global' | 'weak';
  /** STT_* */
  readonly type: number;
  /** Index into {@link ObjectFile.sections}, or where the symbol stands instead. */
  readonly section: number | 'undefined' | 'absolute' | 'common';
  /** Offset in the section; the value of an absolute symbol; the alignment of a common one. */
  readonly value: bigint;
  readonly size: bigint;
  /** Where the source first uses an undefined symbol, or defines this one: for the linker's messages. */
  readonly reference?: Span;
}

export interface ObjectFile {
  /** Name for messages: the source or object file, `archive(member)`. */
  readonly name: string;
  readonly sections: readonly ObjectSection[];
  readonly symbols: readonly ObjectSymbol[];
  /** Address of the first byte that the source asked for with `org`. */
  readonly origin?: bigint;
  /** Where each instruction came from, if the object was assembled here; written as DWARF. */
  readonly lines?: LineTable;
}

/** An object file or image that cannot be used; the message names the file and what is wrong with it. */
export class ObjectFault extends Error {}

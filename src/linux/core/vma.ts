/** One mapping of a process: `struct vm_area_struct` (include/linux/mm_types.h). */

import type { Hpa, Hva } from '../../address.ts';

/** What a mapping needs of the file behind it: a reference for as long as the mapping lives. */
export interface MappedFile {
  readonly path: string;
  get(): MappedFile;
  put(): void;
}

/** A run of pages with one protection. `pages` is the page table of the run, by index from `start`. */
export interface Vma {
  readonly start: Hva;
  /** Bytes, a multiple of the page size. */
  readonly length: number;
  /** PROT_READ | PROT_WRITE. */
  readonly protection: number;
  /** MAP_SHARED. */
  readonly shared: boolean;
  /** undefined: anonymous memory, whose frames belong to the process. Frames of a file belong to the file. */
  readonly file: MappedFile | undefined;
  /** Offset in the file of the first byte. */
  readonly offset: number;
  /** Pages come in naturally aligned blocks of 2^order: 0, or that of a large page (hugetlb.ts). */
  readonly order: number;
  /** Frames by page index; a file's mmap operation fills them, anonymous ones appear at the first touch. */
  pages: (Hpa | undefined)[];
  /** Whether a file's mapping has a reference to each of its frames, which goes with it (vm_insert_page). */
  held: boolean;
  /** vm_ops->fault of a file mapping: the frame of page number `page` of the file, or -errno (SIGBUS). */
  fault: ((page: number) => Hpa | number) | undefined;
}

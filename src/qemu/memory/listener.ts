/** Memory listeners: who must know when the ranges of an address space change (include/exec/memory.h). */

import type { FlatRange } from './flat-view.ts';

/** Callbacks of one listener on one address space. */
export interface MemoryListener {
  readonly name: string;
  /** On add, lower comes first (vfio 0 before KVM 10); on delete the other way round. */
  readonly priority: number;
  regionAdd(range: FlatRange): void;
  regionDelete(range: FlatRange): void;
  /** Everything of this transaction has been told. */
  commit?(): void;
}

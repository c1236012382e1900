/** Memory listeners: who must know when the ranges of an address space change (include/exec/memory.h). */

import type { FlatRange } from './flat-view.ts';

/** An ioeventfd as it stands in an address space. */
export interface Ioeventfd {
  readonly address: number;
  readonly size: number;
  readonly data: bigint | undefined;
  readonly fd: number;
}

/** Callbacks of one listener on one address space. */
export interface MemoryListener {
  readonly name: string;
  /** On add, lower comes first (vfio 0 before KVM 10); on delete the other way round. */
  readonly priority: number;
  regionAdd(range: FlatRange): void;
  regionDelete(range: FlatRange): void;
  /** Pages of the range that are written are to be noted, or no longer: the range itself stays. */
  logStart?(range: FlatRange): void;
  logStop?(range: FlatRange): void;
  /** Note in the range's region which of its pages have been written since this was last asked. */
  logSync?(range: FlatRange): void;
  /** A write there is to signal an eventfd, or no longer. */
  eventfdAdd?(eventfd: Ioeventfd): void;
  eventfdDelete?(eventfd: Ioeventfd): void;
  /** Writes to [start, start + size) may be collected, or no longer. */
  coalescedAdd?(start: number, size: number): void;
  coalescedDelete?(start: number, size: number): void;
  /** Everything of this transaction has been told. */
  commit?(): void;
}

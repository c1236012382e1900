/**
 * The IOMMU: a DMA remapping unit after Intel's VT-d (specification rev. 3.3, legacy mode). Each DMA carries the bus, device
 * and function it comes from; the root table (by bus) and the context table (by device and function) lead to the page table of
 * its domain. All tables are words in host RAM. What no entry allows is a fault, which is recorded, and moves no byte.
 * Fidelity: no IOTLB, no queued invalidation, no first-level or nested translation, one unit for the whole host.
 */

import { type Hpa, hpa, PAGE_SIZE } from '../address.ts';
import { type EventStream, event } from '../event.ts';
import type { PhysicalMemory } from './physical-memory.ts';

/** Root entry: 16 bytes for each bus (9.1). */
export const ROOT_ENTRY = { BYTES: 16, PRESENT: 1n } as const;
/** Context entry: 16 bytes for each device and function (9.3). The width of its address space and the domain are in word 1. */
export const CONTEXT_ENTRY = { BYTES: 16, PRESENT: 1n, WIDTH_48: 2n, DOMAIN_SHIFT: 8n } as const;
/** Second-level page-table entry (9.8). `SUPERPAGE` ends the walk at level 2 (2 MiB) or 3 (1 GiB). */
export const SECOND_LEVEL = { READ: 1n, WRITE: 2n, SUPERPAGE: 1n << 7n } as const;
const ADDRESS_MASK = 0x000f_ffff_ffff_f000n;

/** Bits of an I/O address: four levels of nine, and the page. */
export const IOVA_BITS = 48n;
const LEVELS = 4;

/** Fault reasons of 7.1.3 that legacy translation can meet. */
export const FAULT_REASON = {
  ROOT_NOT_PRESENT: 1,
  CONTEXT_NOT_PRESENT: 2,
  ADDRESS_BEYOND_WIDTH: 4,
  NO_WRITE: 5,
  NO_READ: 6,
} as const;

/** One recorded fault: who wanted what, where, and why not. */
export interface DmaFault {
  readonly source: number;
  readonly address: bigint;
  readonly write: boolean;
  readonly reason: number;
}

/** The number a DMA carries: bus, device and function. */
export const sourceId = (bus: number, devfn: number): number => (bus << 8) | devfn;
/** `06:0d.0` of a source. */
export const sourceText = (source: number): string =>
  `${(source >> 8).toString(16).padStart(2, '0')}:${((source >> 3) & 31).toString(16).padStart(2, '0')}.${source & 7}`;

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

/** A page of a device's DMA went through. */
export const iommuTranslate = event(
  'iommu_translate',
  'host',
  { source: 'u16', write: 'bool', iova: 'u64', host: 'address' },
  (e) => `[${sourceText(e.source)}] DMA ${e.write ? 'write' : 'read'} iova ${hex(e.iova)} -> hpa ${hex(e.host)}`,
  'The IOMMU translated the address of a DMA.',
);

/** A device's DMA was stopped. */
export const iommuFault = event(
  'iommu_fault',
  'host',
  { source: 'u16', write: 'bool', iova: 'u64', reason: 'u8' },
  (e) =>
    `[${sourceText(e.source)}] DMA ${e.write ? 'write' : 'read'} iova ${hex(e.iova)} fault reason ${hex(e.reason)}`,
  'The IOMMU stopped a DMA that no page-table entry allows.',
);

/** Index of `address` in a page table of `level`; level 1 maps 4 KiB pages. */
export const secondLevelIndex = (address: bigint, level: number): number =>
  Number((address >> BigInt(12 + 9 * (level - 1))) & 511n);
/** Bytes that one entry of `level` spans. */
export const secondLevelBytes = (level: number): bigint => 1n << BigInt(12 + 9 * (level - 1));
/** The table or frame that an entry points to. */
export const entryAddress = (entry: bigint): Hpa => hpa(Number(entry & ADDRESS_MASK));

/** One remapping unit, in front of every device of the host. */
export class Iommu {
  readonly #memory: PhysicalMemory;
  readonly #stream: EventStream;
  /** RTADDR: the root table. Undefined until the kernel switches translation on: every DMA faults. */
  rootTable: Hpa | undefined;
  /** The fault interrupt: the kernel's handler. */
  onFault: ((fault: DmaFault) => void) | undefined;

  constructor(memory: PhysicalMemory, stream: EventStream) {
    this.#memory = memory;
    this.#stream = stream;
  }

  /** A device reads memory. False if part of it was stopped; what came before is read. */
  read(source: number, address: bigint, into: Uint8Array): boolean {
    return this.#transfer(source, address, into, false);
  }

  /** A device writes memory. False if part of it was stopped; what came before is written. */
  write(source: number, address: bigint, from: Uint8Array): boolean {
    return this.#transfer(source, address, from, true);
  }

  /** Where a DMA of `source` at `address` goes, or the reason for which it may not. Records nothing. */
  translate(source: number, address: bigint, write: boolean): { readonly host: Hpa } | { readonly reason: number } {
    if (this.rootTable === undefined) return { reason: FAULT_REASON.ROOT_NOT_PRESENT };
    const root = this.#memory.readEntry(hpa(this.rootTable + (source >> 8) * ROOT_ENTRY.BYTES));
    if ((root & ROOT_ENTRY.PRESENT) === 0n) return { reason: FAULT_REASON.ROOT_NOT_PRESENT };
    const context = this.#memory.readEntry(hpa(entryAddress(root) + (source & 0xff) * CONTEXT_ENTRY.BYTES));
    if ((context & CONTEXT_ENTRY.PRESENT) === 0n) return { reason: FAULT_REASON.CONTEXT_NOT_PRESENT };
    if (address >> IOVA_BITS !== 0n) return { reason: FAULT_REASON.ADDRESS_BEYOND_WIDTH };
    const right = write ? SECOND_LEVEL.WRITE : SECOND_LEVEL.READ;
    let table = entryAddress(context);
    for (let level = LEVELS; ; level--) {
      const entry = this.#memory.readEntry(hpa(table + secondLevelIndex(address, level) * 8));
      // The right must be given on every level of the way.
      if ((entry & right) === 0n) return { reason: write ? FAULT_REASON.NO_WRITE : FAULT_REASON.NO_READ };
      if (level === 1 || (entry & SECOND_LEVEL.SUPERPAGE) !== 0n) {
        return { host: hpa(entryAddress(entry) + Number(address % secondLevelBytes(level))) };
      }
      table = entryAddress(entry);
    }
  }

  #transfer(source: number, address: bigint, data: Uint8Array, write: boolean): boolean {
    for (let done = 0; done < data.length; ) {
      const at = address + BigInt(done);
      const result = this.translate(source, at, write);
      if ('reason' in result || !this.#memory.contains(result.host)) {
        const missing = write ? FAULT_REASON.NO_WRITE : FAULT_REASON.NO_READ;
        this.#fault({ source, address: at, write, reason: 'reason' in result ? result.reason : missing });
        return false;
      }
      const { host } = result;
      if (iommuTranslate.on) iommuTranslate(this.#stream, { source, write, iova: at, host });
      const count = Math.min(data.length - done, PAGE_SIZE - (host % PAGE_SIZE));
      if (write) this.#memory.write(host, data, done, count);
      else data.set(this.#memory.bytes.subarray(host, host + count), done);
      done += count;
    }
    return true;
  }

  #fault(fault: DmaFault): void {
    const { source, address, write, reason } = fault;
    if (iommuFault.on) iommuFault(this.#stream, { source, write, iova: address, reason });
    this.onFault?.(fault);
  }
}

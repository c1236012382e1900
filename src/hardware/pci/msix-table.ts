/** The MSI-X table and its pending bits, as a device shows them in a BAR (PCI Local Bus 3.0, 6.8.2). */

import type { BusTarget } from '../address-bus.ts';
import { MSIX_ENABLE, MSIX_MASK_ALL } from './registers.ts';

const ENTRY_BYTES = 16;
const VECTOR_CONTROL = 12;
const MASKED = 1;
/** Pending bits stand there, counted from the table. */
const PENDING_AT = 0x800;

export class MsixTable implements BusTarget {
  readonly #table: DataView;
  readonly #count: number;
  readonly #send: (address: bigint, data: number) => void;
  #pending = 0;
  #control = 0;

  /** `send` puts a message on the bus. At most 32 entries. */
  constructor(count: number, send: (address: bigint, data: number) => void) {
    this.#count = count;
    this.#send = send;
    this.#table = new DataView(new ArrayBuffer(count * ENTRY_BYTES));
    this.reset();
  }

  get enabled(): boolean {
    return (this.#control & MSIX_ENABLE) !== 0;
  }

  /** Every entry is masked after reset. */
  reset(): void {
    for (let at = 0; at < this.#table.byteLength; at += 4) this.#table.setUint32(at, 0, true);
    for (let entry = 0; entry < this.#count; entry++) this.#setMasked(entry);
    this.#pending = 0;
    this.#control = 0;
  }

  /** Message Control was written. */
  setControl(control: number): void {
    this.#control = control;
    this.#sendPending();
  }

  /** Send the message of an entry, or keep it pending while it is masked. */
  signal(entry: number): void {
    if (entry >= this.#count) return;
    this.#pending |= 1 << entry;
    this.#sendPending();
  }

  read(offset: number, size: 1 | 2 | 4): number {
    let value = 0;
    for (let i = 0; i < size; i++) value += this.#byte(offset + i) * 2 ** (8 * i);
    return value;
  }

  write(offset: number, size: 1 | 2 | 4, value: number): void {
    for (let i = 0; i < size; i++) {
      if (offset + i < this.#table.byteLength) this.#table.setUint8(offset + i, (value >>> (8 * i)) & 0xff);
    }
    this.#sendPending();
  }

  #byte(offset: number): number {
    if (offset < this.#table.byteLength) return this.#table.getUint8(offset);
    const at = offset - PENDING_AT;
    return at >= 0 && at < 4 ? (this.#pending >>> (8 * at)) & 0xff : 0;
  }

  #sendPending(): void {
    if ((this.#control & (MSIX_ENABLE | MSIX_MASK_ALL)) !== MSIX_ENABLE) return;
    for (let entry = 0; entry < this.#count; entry++) {
      const at = entry * ENTRY_BYTES;
      if ((this.#pending & (1 << entry)) === 0 || this.#table.getUint32(at + VECTOR_CONTROL, true) & MASKED) continue;
      this.#pending &= ~(1 << entry);
      this.#send(this.#table.getBigUint64(at, true), this.#table.getUint32(at + 8, true));
    }
  }

  #setMasked(entry: number): void {
    this.#table.setUint32(entry * ENTRY_BYTES + VECTOR_CONTROL, MASKED, true);
  }
}

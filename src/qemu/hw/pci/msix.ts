/**
 * MSI-X: a table of messages in a BAR, each with its own mask, and the bits of those that wait behind a mask (PCI Local Bus
 * 3.0, 6.8.2; hw/pci/msix.c).
 */

import {
  PCI_CAP_ID_MSIX,
  PCI_CAP_MSIX_SIZEOF,
  PCI_MSIX_ENTRY_CTRL_MASKBIT,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_ENTRY_VECTOR_CTRL,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_MASKALL,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
} from '../../../linux/uapi/pci.ts';
import { type MemoryRegion, sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import { msixWriteConfig } from '../../trace-events.ts';
import type { PciDevice } from './pci-device.ts';

/** Where table and pending bits lie. */
export interface MsixPlace {
  readonly bar: number;
  /** The BAR's region, over which table and bits are laid. */
  readonly region: MemoryRegion;
  readonly table: number;
  readonly pending: number;
  /** The BAR of the pending bits, if it is another one. */
  readonly pendingBar?: number;
  readonly pendingRegion?: MemoryRegion;
  /** Where the capability stands, if that is not all the same. */
  readonly capability?: number;
}

/** msix_set_vector_notifiers: told when a vector can be sent, and when not any more. */
export interface VectorNotifiers {
  use(vector: number, address: number, data: number): void;
  release(vector: number): void;
}

export class Msix {
  readonly #device: PciDevice;
  readonly #at: number;
  readonly #vectors: number;
  readonly #table: DataView;
  readonly #pending: DataView;
  readonly #pendingBits: MemoryRegion;
  readonly #message = new DataView(new ArrayBuffer(4));
  #notifiers: VectorNotifiers | undefined;
  /** Vectors that the notifiers know to be sendable. */
  readonly #live: Uint8Array;

  /** msix_init: `vectors` from 1 to 2048. */
  constructor(topology: MemoryTopology, device: PciDevice, vectors: number, place: MsixPlace) {
    this.#device = device;
    this.#vectors = vectors;
    this.#live = new Uint8Array(vectors);
    if (place.capability === undefined) {
      this.#at = device.addCapabilityAnywhere(PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
    } else {
      device.addCapability(PCI_CAP_ID_MSIX, place.capability, PCI_CAP_MSIX_SIZEOF);
      this.#at = place.capability;
    }
    device.view.setUint16(this.#at + PCI_MSIX_FLAGS, vectors - 1, true);
    device.view.setUint32(this.#at + PCI_MSIX_TABLE, place.table | place.bar, true);
    device.view.setUint32(this.#at + PCI_MSIX_PBA, place.pending | (place.pendingBar ?? place.bar), true);
    const control = new DataView(device.wmask.buffer);
    control.setUint16(this.#at + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL, true);
    this.#table = new DataView(new ArrayBuffer(vectors * PCI_MSIX_ENTRY_SIZE));
    this.#pending = new DataView(new ArrayBuffer(Math.ceil(vectors / 64) * 8));
    this.reset();
    const words = { valid: sizes(4, 8), impl: sizes(4, 4) };
    const table = topology.io('msix-table', this.#table.byteLength, {
      read: (offset) => this.#table.getUint32(offset, true),
      write: (offset, _size, value) => this.#writeTable(offset, value),
      ...words,
    });
    this.#pendingBits = topology.io('msix-pba', this.#pending.byteLength, {
      read: (offset) => this.#pending.getUint32(offset, true),
      write: () => undefined,
      ...words,
    });
    place.region.addSubregion(place.table, table);
    (place.pendingRegion ?? place.region).addSubregion(place.pending, this.#pendingBits);
  }

  /** msix_pba_mmio is enabled or not: what lies below it is seen instead. */
  showPending(shown: boolean): void {
    this.#pendingBits.setEnabled(shown);
  }

  get count(): number {
    return this.#vectors;
  }

  /** Hear of each vector from now on; those that can be sent are told at once. Undefined: nobody hears, once these are released. */
  setNotifiers(notifiers: VectorNotifiers | undefined): void {
    this.#live.forEach((live, vector) => {
      if (live === 1) this.#notifiers?.release(vector);
    });
    this.#notifiers = notifiers;
    this.#live.fill(0);
    for (let vector = 0; vector < this.#vectors; vector++) this.#notifyOf(vector);
  }

  /** msix_is_masked: by its entry, by the function, or because MSI-X is not enabled. */
  isMasked(vector: number): boolean {
    return this.#masked(vector);
  }

  /** msix_get_message. */
  message(vector: number): { readonly address: number; readonly data: number } {
    const entry = vector * PCI_MSIX_ENTRY_SIZE;
    const address = this.#table.getUint32(entry + 4, true) * 2 ** 32 + this.#table.getUint32(entry, true);
    return { address, data: this.#table.getUint32(entry + 8, true) };
  }

  /** msix_handle_mask_update. */
  #notifyOf(vector: number): void {
    const notifiers = this.#notifiers;
    if (notifiers === undefined) return;
    const live = this.#masked(vector) ? 0 : 1;
    if (live === this.#live[vector]) return;
    this.#live[vector] = live;
    if (live === 0) {
      notifiers.release(vector);
      return;
    }
    const { address, data } = this.message(vector);
    notifiers.use(vector, address, data);
  }

  get enabled(): boolean {
    return (this.#flags & PCI_MSIX_FLAGS_ENABLE) !== 0;
  }

  /** msix_notify: write the message of `vector`, or note it while it is masked, as it is while MSI-X is off. */
  notify(vector: number): void {
    if (vector >= this.#vectors) return;
    if (this.#masked(vector)) this.#setPending(vector, true);
    else this.#send(vector);
  }

  /** msix_write_config: after the device's own. Enabled, it takes INTx away; what is no longer masked is sent. */
  written(address: number, length: number): void {
    for (let vector = 0; vector < this.#vectors; vector++) this.#notifyOf(vector);
    const { name, stream } = this.#device;
    const masked = (this.#flags & PCI_MSIX_FLAGS_MASKALL) !== 0;
    const control = this.#at + PCI_MSIX_FLAGS + 1;
    if (address > control || address + length <= control) return;
    if (msixWriteConfig.on) msixWriteConfig(stream, { name, enabled: this.enabled, masked });
    if (!this.enabled) return;
    this.#device.setIrq(false);
    for (let vector = 0; vector < this.#vectors; vector++) this.#sendPending(vector);
  }

  /** msix_reset: every entry masked, nothing pending. */
  reset(): void {
    this.#device.view.setUint16(this.#at + PCI_MSIX_FLAGS, this.#vectors - 1, true);
    new Uint8Array(this.#table.buffer).fill(0);
    new Uint8Array(this.#pending.buffer).fill(0);
    for (let vector = 0; vector < this.#vectors; vector++) {
      this.#table.setUint32(
        vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL,
        PCI_MSIX_ENTRY_CTRL_MASKBIT,
        true,
      );
    }
  }

  get #flags(): number {
    return this.#device.view.getUint16(this.#at + PCI_MSIX_FLAGS, true);
  }

  #masked(vector: number): boolean {
    const control = this.#table.getUint32(vector * PCI_MSIX_ENTRY_SIZE + PCI_MSIX_ENTRY_VECTOR_CTRL, true);
    const on = (this.#flags & (PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL)) === PCI_MSIX_FLAGS_ENABLE;
    return !on || (control & PCI_MSIX_ENTRY_CTRL_MASKBIT) !== 0;
  }

  #writeTable(offset: number, value: number): void {
    this.#table.setUint32(offset, value, true);
    const vector = Math.floor(offset / PCI_MSIX_ENTRY_SIZE);
    this.#notifyOf(vector);
    this.#sendPending(vector);
  }

  #sendPending(vector: number): void {
    const waits = (this.#pending.getUint8(vector >> 3) >> (vector & 7)) & 1;
    if (waits === 0 || this.#masked(vector)) return;
    this.#setPending(vector, false);
    this.#send(vector);
  }

  #setPending(vector: number, pending: boolean): void {
    const bit = 1 << (vector & 7);
    const byte = this.#pending.getUint8(vector >> 3);
    this.#pending.setUint8(vector >> 3, pending ? byte | bit : byte & ~bit);
  }

  #send(vector: number): void {
    const { address, data } = this.message(vector);
    this.#message.setUint32(0, data, true);
    this.#device.dmaWrite(address, this.#message, 0, 4);
  }
}

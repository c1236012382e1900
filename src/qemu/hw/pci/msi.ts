/**
 * MSI: an interrupt is a dword that the device writes (PCI Local Bus 3.0, 6.8.1; hw/pci/msi.c). The message's address has 64 bits or 32,
 * and each vector may have a mask behind which it waits.
 */

import {
  PCI_CAP_ID_MSI,
  PCI_MSI_ADDRESS_HI,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_DATA_32,
  PCI_MSI_DATA_64,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_MASKBIT,
  PCI_MSI_FLAGS_QMASK,
  PCI_MSI_FLAGS_QSIZE,
} from '../../../linux/uapi/pci.ts';
import type { PciDevice } from './pci-device.ts';

/** Where the capability stands, if that is not all the same, and its form. */
export interface MsiPlace {
  readonly at: number;
  readonly is64Bit: boolean;
  readonly maskable: boolean;
}

/** msi_cap_sizeof: bytes of the capability. */
export const msiSize = ({ is64Bit, maskable }: Omit<MsiPlace, 'at'>): number =>
  10 + (is64Bit ? 4 : 0) + (maskable ? 10 : 0);

export class Msi {
  readonly #device: PciDevice;
  readonly #at: number;
  readonly #is64Bit: boolean;
  readonly #maskable: boolean;
  readonly #size: number;
  readonly #message = new DataView(new ArrayBuffer(4));

  /** msi_init: `vectors` is a power of two up to 32. By itself it takes the form of 64 bits without masks. */
  constructor(device: PciDevice, vectors: number, place?: MsiPlace) {
    this.#device = device;
    this.#is64Bit = place?.is64Bit ?? true;
    this.#maskable = place?.maskable ?? false;
    this.#size = msiSize({ is64Bit: this.#is64Bit, maskable: this.#maskable });
    if (place === undefined) this.#at = device.addCapabilityAnywhere(PCI_CAP_ID_MSI, this.#size);
    else {
      device.addCapability(PCI_CAP_ID_MSI, place.at, this.#size);
      this.#at = place.at;
    }
    const { view } = device;
    const form = (this.#is64Bit ? PCI_MSI_FLAGS_64BIT : 0) | (this.#maskable ? PCI_MSI_FLAGS_MASKBIT : 0);
    view.setUint16(this.#at + PCI_MSI_FLAGS, (Math.log2(vectors) << 1) | form, true);
    const mask = new DataView(device.wmask.buffer);
    mask.setUint16(this.#at + PCI_MSI_FLAGS, PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_ENABLE, true);
    mask.setUint32(this.#at + PCI_MSI_ADDRESS_LO, 0xffff_fffc, true);
    if (this.#is64Bit) mask.setUint32(this.#at + PCI_MSI_ADDRESS_HI, 0xffff_ffff, true);
    mask.setUint16(this.#dataAt, 0xffff, true);
    if (this.#maskable) mask.setUint32(this.#maskAt, 0xffff_ffff >>> (32 - vectors), true);
  }

  /** Bytes of the capability. */
  get size(): number {
    return this.#size;
  }

  get enabled(): boolean {
    return (this.#flags & PCI_MSI_FLAGS_ENABLE) !== 0;
  }

  /** msi_nr_vectors_allocated. */
  get allocated(): number {
    return 1 << ((this.#flags & PCI_MSI_FLAGS_QSIZE) >> 4);
  }

  /** msi_get_message. */
  message(vector: number): { readonly address: number; readonly data: number } {
    const { view } = this.#device;
    const high = this.#is64Bit ? view.getUint32(this.#at + PCI_MSI_ADDRESS_HI, true) : 0;
    const address = high * 2 ** 32 + view.getUint32(this.#at + PCI_MSI_ADDRESS_LO, true);
    const data = view.getUint16(this.#dataAt, true);
    const { allocated } = this;
    return { address, data: allocated > 1 ? (data & ~(allocated - 1)) | vector : data };
  }

  /** msi_notify: write the message of `vector`, or note it behind its mask; it is lost while COMMAND.MASTER is off. */
  notify(vector: number): void {
    if (this.#masked(vector)) {
      this.#setPending(this.#pending | (1 << vector));
      return;
    }
    const { address, data } = this.message(vector);
    this.#message.setUint32(0, data, true);
    this.#device.dmaWrite(address, this.#message, 0, 4);
  }

  /** msi_write_config: after the device's own. Enabled, it takes INTx away; vectors beyond what there are are not given; what is not masked any more is sent. */
  written(address: number, length: number): void {
    if (address >= this.#at + this.#size || address + length <= this.#at || !this.enabled) return;
    this.#device.setIrq(false);
    const flags = this.#flags;
    const most = (flags & PCI_MSI_FLAGS_QMASK) >> 1;
    if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > most) {
      this.#device.view.setUint16(this.#at + PCI_MSI_FLAGS, (flags & ~PCI_MSI_FLAGS_QSIZE) | (most << 4), true);
    }
    if (!this.#maskable) return;
    // Vectors that were not given have no pending bits.
    const { allocated } = this;
    this.#setPending(this.#pending & (0xffff_ffff >>> (32 - allocated)));
    for (let vector = 0; vector < allocated; vector++) {
      if ((this.#pending & (1 << vector)) === 0 || this.#masked(vector)) continue;
      this.#setPending(this.#pending & ~(1 << vector));
      this.notify(vector);
    }
  }

  /** msi_reset. */
  reset(): void {
    const { view } = this.#device;
    view.setUint16(this.#at + PCI_MSI_FLAGS, this.#flags & ~(PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_ENABLE), true);
    view.setUint32(this.#at + PCI_MSI_ADDRESS_LO, 0, true);
    if (this.#is64Bit) view.setUint32(this.#at + PCI_MSI_ADDRESS_HI, 0, true);
    view.setUint16(this.#dataAt, 0, true);
    if (!this.#maskable) return;
    view.setUint32(this.#maskAt, 0, true);
    this.#setPending(0);
  }

  #masked(vector: number): boolean {
    return this.#maskable && (this.#device.view.getUint32(this.#maskAt, true) & (1 << vector)) !== 0;
  }

  get #pending(): number {
    return this.#device.view.getUint32(this.#maskAt + 4, true);
  }

  #setPending(bits: number): void {
    this.#device.view.setUint32(this.#maskAt + 4, bits >>> 0, true);
  }

  get #dataAt(): number {
    return this.#at + (this.#is64Bit ? PCI_MSI_DATA_64 : PCI_MSI_DATA_32);
  }

  /** The mask bits; the pending bits follow. */
  get #maskAt(): number {
    return this.#dataAt + 4;
  }

  get #flags(): number {
    return this.#device.view.getUint16(this.#at + PCI_MSI_FLAGS, true);
  }
}

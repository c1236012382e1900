/**
 * MSI: an interrupt is a dword that the device writes (PCI Local Bus 3.0, 6.8.1; hw/pci/msi.c). The 64-bit form without
 * per-vector masking.
 */

import {
  PCI_CAP_ID_MSI,
  PCI_MSI_ADDRESS_HI,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_DATA_64,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_QMASK,
  PCI_MSI_FLAGS_QSIZE,
} from '../../../linux/uapi/pci.ts';
import type { PciDevice } from './pci-device.ts';

const SIZE = 14;

export class Msi {
  readonly #device: PciDevice;
  readonly #at: number;
  readonly #message = new DataView(new ArrayBuffer(4));

  /** msi_init: `vectors` is a power of two up to 32; `at` says where the capability stands, if that is not all the same. */
  constructor(device: PciDevice, vectors: number, at?: number) {
    this.#device = device;
    if (at === undefined) this.#at = device.addCapabilityAnywhere(PCI_CAP_ID_MSI, SIZE);
    else {
      device.addCapability(PCI_CAP_ID_MSI, at, SIZE);
      this.#at = at;
    }
    const { view } = device;
    const mask = new DataView(device.wmask.buffer);
    view.setUint16(this.#at + PCI_MSI_FLAGS, (Math.log2(vectors) << 1) | PCI_MSI_FLAGS_64BIT, true);
    mask.setUint16(this.#at + PCI_MSI_FLAGS, PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_ENABLE, true);
    mask.setUint32(this.#at + PCI_MSI_ADDRESS_LO, 0xffff_fffc, true);
    mask.setUint32(this.#at + PCI_MSI_ADDRESS_HI, 0xffff_ffff, true);
    mask.setUint16(this.#at + PCI_MSI_DATA_64, 0xffff, true);
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
    const high = view.getUint32(this.#at + PCI_MSI_ADDRESS_HI, true);
    const address = high * 2 ** 32 + view.getUint32(this.#at + PCI_MSI_ADDRESS_LO, true);
    const data = view.getUint16(this.#at + PCI_MSI_DATA_64, true);
    return { address, data: (data & ~(this.allocated - 1)) | vector };
  }

  /** msi_notify: write the message of `vector`; it is lost while COMMAND.MASTER is off. */
  notify(vector: number): void {
    const { address, data } = this.message(vector);
    this.#message.setUint32(0, data, true);
    this.#device.dmaWrite(address, this.#message, 0, 4);
  }

  /** msi_write_config: after the device's own. Enabled, it takes INTx away; vectors beyond what there are are not given. */
  written(address: number, length: number): void {
    if (address >= this.#at + SIZE || address + length <= this.#at || !this.enabled) return;
    this.#device.setIrq(false);
    const flags = this.#flags;
    const most = (flags & PCI_MSI_FLAGS_QMASK) >> 1;
    if ((flags & PCI_MSI_FLAGS_QSIZE) >> 4 > most) {
      this.#device.view.setUint16(this.#at + PCI_MSI_FLAGS, (flags & ~PCI_MSI_FLAGS_QSIZE) | (most << 4), true);
    }
  }

  /** msi_reset. */
  reset(): void {
    const { view } = this.#device;
    view.setUint16(this.#at + PCI_MSI_FLAGS, this.#flags & ~(PCI_MSI_FLAGS_QSIZE | PCI_MSI_FLAGS_ENABLE), true);
    view.setUint32(this.#at + PCI_MSI_ADDRESS_LO, 0, true);
    view.setUint32(this.#at + PCI_MSI_ADDRESS_HI, 0, true);
    view.setUint16(this.#at + PCI_MSI_DATA_64, 0, true);
  }

  get #flags(): number {
    return this.#device.view.getUint16(this.#at + PCI_MSI_FLAGS, true);
  }
}

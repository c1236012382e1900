/** Configuration space of vgpu: 256 bytes, each writable where a mask says, one memory BAR (PCI 3.0, 6.2.5.1: it sizes by its mask). */

import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_MASK,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../../uapi/pci.ts';
import { type ConfigWrite, numberAt, type Piece } from '../config-space.ts';
import type { FunctionConfig } from '../pci-function.ts';

const VENDOR = 0x1234;
const DEVICE = 0x6e0a;
/** Display controller, neither VGA nor 3D. */
const CLASS = 0x038000;

/** Bytes of BAR 0. */
export const BAR_SIZE = 0x1000;

export class VgpuConfigSpace implements FunctionConfig {
  readonly size = 256;
  readonly #bytes = new Uint8Array(this.size);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #writable = new Uint8Array(this.size);

  constructor() {
    const view = this.#view;
    for (const at of [PCI_VENDOR_ID, PCI_SUBSYSTEM_VENDOR_ID]) {
      view.setUint16(at, VENDOR, true);
      view.setUint16(at + 2, DEVICE, true);
    }
    view.setUint32(PCI_CLASS_REVISION, CLASS * 256 + 1, true);
    view.setUint8(PCI_INTERRUPT_PIN, 1);
    const masks = new DataView(this.#writable.buffer);
    masks.setUint16(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, true);
    masks.setUint32(PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_MASK & ~(BAR_SIZE - 1), true);
    masks.setUint8(PCI_INTERRUPT_LINE, 0xff);
  }

  /** Where BAR 0 answers; undefined while COMMAND keeps memory off. */
  get bar0(): number | undefined {
    const enabled = this.#view.getUint16(PCI_COMMAND, true) & PCI_COMMAND_MEMORY;
    return enabled === 0 ? undefined : this.#view.getUint32(PCI_BASE_ADDRESS_0, true);
  }

  read(offset: number, size: Piece): number {
    return numberAt(this.#bytes, offset, size);
  }

  write(offset: number, size: Piece, value: number): ConfigWrite {
    for (let i = 0; i < size && offset + i < this.size; i++) {
      const mask = this.#writable[offset + i]!;
      this.#bytes[offset + i] = (this.#bytes[offset + i]! & ~mask) | ((value >>> (8 * i)) & mask);
    }
    return 'taken';
  }

  /** What VFIO_DEVICE_RESET leaves. */
  reset(): void {
    this.#writable.forEach((mask, at) => {
      this.#bytes[at]! &= ~mask;
    });
  }
}

/**
 * PCI configuration space of a simple function as mtty keeps it (mtty_create_config_space, handle_pci_cfg_write in
 * samples/vfio-mdev/mtty.c): 255 bytes, I/O BARs that size by a mask, no capabilities.
 *
 * A write is matched by its exact offset and its count is not looked at, so a write in the middle of a BAR goes nowhere.
 */

import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_CLASS_REVISION,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_STATUS,
  PCI_STATUS_DEVSEL_MEDIUM,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../uapi/pci.ts';

/** One byte short of the standard 256, as in the sample. */
const SIZE = 0xff;
/** The sample's allocation rounds up, so the byte at 0xff reads as the zero it is. */
const ALLOCATED = 0x100;
const BAR_COUNT = 6;

/** What the config space says at the start. */
export interface FunctionIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** Base class, subclass and programming interface: 0x070002 is a 16550 serial port. */
  readonly class: number;
  /** 1 is INTA#. */
  readonly interruptPin: number;
  /** Bytes of each I/O BAR, from BAR0 on; powers of two. */
  readonly bars: readonly number[];
  /** How many BARs, from BAR0 on, a write of the unimplemented ones finds handled: it stores 0. */
  readonly handledBars: number;
}

/** Bytes of an aligned piece of an access. What it carries is one number, its bytes in little-endian order. */
export type Piece = 1 | 2 | 4;

/** What a write did: stored a BAR, was taken (stored or ignored on purpose), or is not handled. */
export type ConfigWrite = 'bar' | 'taken' | 'unhandled';

/** The 255 bytes and the rule for writing them. */
export class ConfigSpace {
  /** As VFIO reports it. */
  readonly size = SIZE;
  readonly #bytes = new Uint8Array(ALLOCATED);
  readonly #view = new DataView(this.#bytes.buffer);
  readonly #masks: readonly number[];
  readonly #handledBars: number;

  constructor(identity: FunctionIdentity) {
    const view = this.#view;
    view.setUint16(PCI_VENDOR_ID, identity.vendor, true);
    view.setUint16(PCI_VENDOR_ID + 2, identity.device, true);
    view.setUint16(PCI_COMMAND, PCI_COMMAND_IO, true);
    view.setUint16(PCI_STATUS, PCI_STATUS_DEVSEL_MEDIUM, true);
    view.setUint32(PCI_CLASS_REVISION, ((identity.class << 8) | identity.revision) >>> 0, true);
    view.setUint16(PCI_SUBSYSTEM_VENDOR_ID, identity.vendor, true);
    view.setUint16(PCI_SUBSYSTEM_VENDOR_ID + 2, identity.device, true);
    view.setUint8(PCI_INTERRUPT_PIN, identity.interruptPin);
    for (let bar = 0; bar < identity.bars.length; bar++) {
      view.setUint32(PCI_BASE_ADDRESS_0 + 4 * bar, PCI_BASE_ADDRESS_SPACE_IO, true);
    }
    this.#masks = identity.bars.map((size) => ~(size - 1) >>> 0);
    this.#handledBars = identity.handledBars;
  }

  /** Store initial bytes that the identity has no word for. */
  place(offset: number, bytes: Uint8Array): void {
    this.#bytes.set(bytes, offset);
  }

  /** The number at `offset`. Past the space: zeros. Fidelity: the sample reads the memory behind. */
  read(offset: number, size: Piece): number {
    return numberAt(this.#bytes, offset, size);
  }

  /** The 32-bit word at `offset`. */
  dword(offset: number): number {
    return this.#view.getUint32(offset, true);
  }

  /**
   * handle_pci_cfg_write. Fidelity: for a BAR write of 1 or 2 bytes the sample reads past its buffer and stores garbage above; here the
   * missing bytes are 0.
   */
  write(offset: number, _size: Piece, value: number): ConfigWrite {
    switch (offset) {
      case PCI_COMMAND:
      case PCI_STATUS:
      case PCI_INTERRUPT_PIN:
        return 'taken';
      case PCI_INTERRUPT_LINE:
        this.#bytes[offset] = value;
        return 'taken';
    }
    const bar = (offset - PCI_BASE_ADDRESS_0) / 4;
    if (!Number.isInteger(bar) || bar < 0 || bar >= BAR_COUNT || bar >= this.#handledBars) return 'unhandled';
    const mask = this.#masks[bar];
    if (mask === undefined) {
      this.#view.setUint32(offset, 0, true);
      return 'taken';
    }
    this.#writeBar(offset, mask, value);
    return 'bar';
  }

  /** Only all ones are masked: any other value is stored as it is, under the type bits of old. */
  #writeBar(offset: number, mask: number, value: number): void {
    const address = value === 0xffff_ffff ? mask : value;
    this.#view.setUint32(offset, (address | (this.dword(offset) & 3)) >>> 0, true);
  }
}

/** The number in the `size` bytes at `offset`; those behind the end are 0. */
export function numberAt(bytes: Uint8Array, offset: number, size: Piece): number {
  let value = 0;
  for (let i = offset + size - 1; i >= offset; i--) value = value * 256 + (bytes[i] ?? 0);
  return value;
}

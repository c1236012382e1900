/**
 * Configuration space as vfio-pci shows it (drivers/vfio/pci/vfio_pci_config.c): each bit is the device's own, or lives in a
 * copy (virtual), and can be written or not. BARs are virtual: user space sizes and moves its own, and the device's stay.
 */

import { type Hva, plus } from '../../../address.ts';
import { copyFromUser, copyToUser } from '../../core/uaccess.ts';
import type { PciDevice } from '../../pci/device.ts';
import { EFAULT } from '../../uapi/errno.ts';
import * as pci from '../../uapi/pci.ts';

const SIZE = pci.PCI_CFG_SPACE_SIZE;
const HEADER_END = 0x40;
/** Bytes that a capability takes: what lies between two belongs to none and is the device's own. */
const CAPABILITY_BYTES: Readonly<Record<number, (flags: number) => number>> = {
  [pci.PCI_CAP_ID_MSI]: (flags) => (flags & pci.PCI_MSI_FLAGS_64BIT ? 14 : 10),
  [pci.PCI_CAP_ID_MSIX]: () => 12,
  [pci.PCI_CAP_ID_AF]: () => 6,
};

/** What follows when user space writes something that has a meaning. */
export interface ConfigListener {
  /** INTX_DISABLE was set or cleared in COMMAND. */
  intxDisabled(disabled: boolean): void;
  /** Memory decoding was switched on or off. */
  memoryEnabled(enabled: boolean): void;
  /** A function-level reset was asked for. */
  resetAsked(): void;
  /** Whether MSI is set up: only then can its enable bit be set; and the logarithm of how many messages it was last set up with. */
  readonly interrupts: { readonly usesMsi: boolean; readonly msiQmax: number };
}

export class VirtualConfig {
  readonly #pci: PciDevice;
  readonly #listener: ConfigListener;
  readonly #copy = new DataView(new ArrayBuffer(SIZE));
  /** Bits that live in the copy, and bits that can be written. */
  readonly #virtual = new Uint8Array(SIZE);
  readonly #writable = new Uint8Array(SIZE);
  readonly #msiAt: number;
  readonly #afAt: number;

  /** vfio_config_init: the copy begins as the device's own configuration. */
  constructor(device: PciDevice, listener: ConfigListener) {
    this.#pci = device;
    this.#listener = listener;
    for (let at = 0; at < SIZE; at++) this.#copy.setUint8(at, device.readConfig(at, 1));
    this.#msiAt = device.capability(pci.PCI_CAP_ID_MSI);
    this.#afAt = device.capability(pci.PCI_CAP_ID_AF);
    this.#describeHeader();
    this.#describeCapabilities();
  }

  /** Memory decoding, as user space believes it to be. */
  get memoryEnabled(): boolean {
    return (this.#copy.getUint16(pci.PCI_COMMAND, true) & pci.PCI_COMMAND_MEMORY) !== 0;
  }

  /** vfio_pci_config_rw: bytes moved, or -EFAULT for a place or a buffer that is not there. */
  transfer(buffer: Hva, count: number, offset: number, write: boolean): number {
    const { kernel } = this.#pci;
    if (offset + count > SIZE) {
      return kernel.refuse(EFAULT, `configuration ends at ${SIZE}; offset ${offset} and ${count} bytes go beyond`);
    }
    for (let done = 0; done < count; ) {
      const at = offset + done;
      const size = this.#pieceAt(at, count - done);
      const piece = new Uint8Array(size);
      if (write) {
        if (copyFromUser(kernel, piece, plus(buffer, done)) < 0)
          return kernel.refuse(EFAULT, 'the buffer is not there');
        this.write(at, size, toNumber(piece));
      } else {
        const value = this.read(at, size);
        for (let i = 0; i < size; i++) piece[i] = (value >>> (8 * i)) & 0xff;
        if (copyToUser(kernel, plus(buffer, done), piece) < 0) return kernel.refuse(EFAULT, 'the buffer is not there');
      }
      done += size;
    }
    return count;
  }

  /** Read 1, 2 or 4 aligned bytes. */
  read(offset: number, size: 1 | 2 | 4): number {
    if (offset < pci.PCI_BASE_ADDRESS_5 + 4 && offset + size > pci.PCI_BASE_ADDRESS_0) this.#fixBars();
    let value = 0;
    for (let at = offset; at < offset + size; at++) {
      const mask = this.#virtual[at] as number;
      const own = mask === 0xff ? 0 : this.#pci.readConfig(at, 1);
      value += ((this.#copy.getUint8(at) & mask) | (own & ~mask)) * 2 ** (8 * (at - offset));
    }
    return value;
  }

  /** Write 1, 2 or 4 aligned bytes. */
  write(offset: number, size: 1 | 2 | 4, value: number): void {
    const before = this.#copy.getUint16(pci.PCI_COMMAND, true);
    let own = this.#pci.readConfig(offset, size);
    let toDevice = false;
    for (let at = offset; at < offset + size; at++) {
      const shift = 8 * (at - offset);
      const written = (value >>> shift) & 0xff;
      const [mask, virtual] = [this.#writable[at] as number, this.#virtual[at] as number];
      const inCopy = mask & virtual;
      this.#copy.setUint8(at, (this.#copy.getUint8(at) & ~inCopy) | (written & inCopy));
      const inDevice = mask & ~virtual;
      if (inDevice === 0) continue;
      toDevice = true;
      own = ((own & ~(inDevice << shift)) | ((written & inDevice) << shift)) >>> 0;
    }
    if (touches(offset, size, pci.PCI_COMMAND)) this.#writeCommand(before, offset, size, value);
    else if (this.#asksForReset(offset, size, value)) this.#listener.resetAsked();
    else if (toDevice) this.#pci.writeConfig(offset, size, own);
    if (this.#msiAt !== 0 && touches(offset, size, this.#msiAt + pci.PCI_MSI_FLAGS)) this.#writeMsiFlags();
  }

  /** init_pci_cap_basic_perm. */
  #describeHeader(): void {
    const all = 0xff;
    const virtual = (at: number, bytes: number, mask: number) => this.#virtual.fill(mask, at, at + bytes);
    const writable = (at: number, bytes: number, mask: number) => this.#writable.fill(mask, at, at + bytes);
    virtual(pci.PCI_VENDOR_ID, 4, all);
    virtual(pci.PCI_COMMAND + 1, 1, pci.PCI_COMMAND_INTX_DISABLE >> 8);
    writable(pci.PCI_COMMAND, 2, all);
    virtual(pci.PCI_STATUS, 1, pci.PCI_STATUS_CAP_LIST);
    writable(pci.PCI_CACHE_LINE_SIZE, 2, all);
    writable(pci.PCI_BIST, 1, all);
    for (const at of [pci.PCI_BASE_ADDRESS_0, pci.PCI_ROM_ADDRESS]) {
      const bytes = at === pci.PCI_ROM_ADDRESS ? 4 : 24;
      virtual(at, bytes, all);
      writable(at, bytes, all);
    }
    virtual(pci.PCI_CAPABILITY_LIST, 1, all);
    virtual(pci.PCI_INTERRUPT_LINE, 2, all);
    writable(pci.PCI_INTERRUPT_LINE, 1, all);
  }

  #describeCapabilities(): void {
    // What no capability covers is passed through.
    this.#writable.fill(0xff, HEADER_END);
    for (let at = this.#pci.readConfig(pci.PCI_CAPABILITY_LIST, 1); at >= HEADER_END; ) {
      const id = this.#pci.readConfig(at, 1);
      const length = CAPABILITY_BYTES[id]?.(this.#pci.readConfig(at + 2, 2)) ?? 2;
      this.#writable.fill(0, at, at + length);
      this.#virtual[at + pci.PCI_CAP_LIST_NEXT] = 0xff;
      if (id === pci.PCI_CAP_ID_MSI) {
        // Messages are the host's business: user space programs a copy, and SET_IRQS says where they go.
        this.#virtual.fill(0xff, at + pci.PCI_MSI_FLAGS, at + length);
        this.#writable.fill(0xff, at + pci.PCI_MSI_FLAGS, at + length);
        this.#writable[at + pci.PCI_MSI_FLAGS + 1] = 0;
      }
      at = this.#pci.readConfig(at + pci.PCI_CAP_LIST_NEXT, 1);
    }
  }

  /** vfio_bar_fixup: BARs read back as sizes and types whatever was written below their sizes. */
  #fixBars(): void {
    for (const [index, resource] of this.#pci.resources.entries()) {
      const at = pci.PCI_BASE_ADDRESS_0 + 4 * index;
      if (resource === undefined) {
        this.#copy.setUint32(at, 0, true);
        continue;
      }
      const type = resource.kind === 'ports' ? pci.PCI_BASE_ADDRESS_SPACE_IO : 0;
      this.#copy.setUint32(at, ((this.#copy.getUint32(at, true) & -resource.size) | type) >>> 0, true);
    }
    this.#copy.setUint32(pci.PCI_ROM_ADDRESS, 0, true);
  }

  /** vfio_basic_config_write of COMMAND: the device gets all but INTX_DISABLE, which masks the interrupt here. */
  #writeCommand(before: number, offset: number, size: number, value: number): void {
    const after = new DataView(new ArrayBuffer(4));
    after.setUint16(0, this.#pci.readConfig(pci.PCI_COMMAND, 2), true);
    for (let at = Math.max(offset, pci.PCI_COMMAND); at < Math.min(offset + size, pci.PCI_COMMAND + 2); at++) {
      after.setUint8(at - pci.PCI_COMMAND, (value >>> (8 * (at - offset))) & 0xff);
    }
    const command = after.getUint16(0, true);
    const shadowed = pci.PCI_COMMAND_IO | pci.PCI_COMMAND_MEMORY;
    const copy = this.#copy.getUint16(pci.PCI_COMMAND, true);
    this.#copy.setUint16(pci.PCI_COMMAND, (copy & ~shadowed) | (command & shadowed), true);
    const own = this.#pci.readConfig(pci.PCI_COMMAND, 2);
    const masked = pci.PCI_COMMAND_INTX_DISABLE;
    this.#pci.writeConfig(pci.PCI_COMMAND, 2, (command & ~masked) | (own & masked));
    const changed = before ^ this.#copy.getUint16(pci.PCI_COMMAND, true);
    if (changed & pci.PCI_COMMAND_MEMORY) this.#listener.memoryEnabled((command & pci.PCI_COMMAND_MEMORY) !== 0);
    if (changed & masked) this.#listener.intxDisabled((copy & masked) !== 0);
  }

  /** vfio_af_config_write: the bit never sticks. */
  #asksForReset(offset: number, size: number, value: number): boolean {
    const shift = 8 * (this.#afAt + pci.PCI_AF_CTRL - offset);
    return this.#afAt !== 0 && shift >= 0 && shift < 8 * size && ((value >>> shift) & pci.PCI_AF_CTRL_FLR) !== 0;
  }

  /** vfio_msi_config_write: what user space may not have is taken out, and the rest is the device's as well. */
  #writeMsiFlags(): void {
    const at = this.#msiAt + pci.PCI_MSI_FLAGS;
    const { usesMsi, msiQmax } = this.#listener.interrupts;
    let flags = this.#copy.getUint16(at, true);
    if (!usesMsi) flags &= ~pci.PCI_MSI_FLAGS_ENABLE;
    if ((flags & pci.PCI_MSI_FLAGS_QSIZE) >> 4 > msiQmax) flags = (flags & ~pci.PCI_MSI_FLAGS_QSIZE) | (msiQmax << 4);
    this.#copy.setUint16(at, flags, true);
    this.#pci.writeConfig(at, 2, flags);
  }

  #pieceAt(at: number, left: number): 1 | 2 | 4 {
    if (at % 4 === 0 && left >= 4) return 4;
    return at % 2 === 0 && left >= 2 ? 2 : 1;
  }
}

const touches = (offset: number, size: number, register: number): boolean =>
  offset < register + 2 && offset + size > register;

const toNumber = (piece: Uint8Array): number => piece.reduceRight((value, byte) => value * 256 + byte, 0);

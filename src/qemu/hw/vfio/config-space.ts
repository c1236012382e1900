/**
 * Configuration space of an assigned device: some bits are QEMU's own, the rest is the device's
 * (hw/vfio/pci.c: vfio_pci_read_config, vfio_pci_write_config).
 *
 * A write always goes to the device first, then to QEMU's copy. BARs are read from the copy alone, COMMAND from the device
 * although mapping decisions follow the copy: so the two may disagree, as they do on a real host.
 */

import type { Hva } from '../../../address.ts';
import { EFAULT, EIO, strerror } from '../../../linux/uapi/errno.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_CFG_SPACE_SIZE,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_MULTI_FUNCTION,
  PCI_ROM_ADDRESS,
} from '../../../linux/uapi/pci.ts';
import { ConfigurationError } from '../../error.ts';
import type { System } from '../../system.ts';
import type { RegionInfo, VfioDevice } from './device.ts';

export class VfioConfigSpace {
  readonly #device: VfioDevice;
  readonly #system: System;
  readonly #region: RegionInfo;
  /** emulated_config_bits: ones where the guest reads QEMU's copy. */
  readonly #emulated = new Uint8Array(PCI_CFG_SPACE_SIZE);
  readonly #buffer: Hva;
  readonly #bytes: DataView;

  constructor(device: VfioDevice, region: RegionInfo) {
    this.#device = device;
    this.#system = device.system;
    this.#region = region;
    const scratch = this.#system.scratch(8);
    this.#buffer = scratch.at;
    this.#bytes = scratch.view;
    this.#emulated.fill(0xff, PCI_ROM_ADDRESS, PCI_ROM_ADDRESS + 4);
    this.#emulated.fill(0xff, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_0 + 24);
    this.#emulated[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_MULTI_FUNCTION;
  }

  /** From now on the guest reads QEMU's copy of these bytes, or of these bits of them. */
  emulate(start: number, bytes: number, bits = 0xff): void {
    for (let at = start; at < start + bytes; at++) this.#emulated[at] = this.#emulated[at]! | bits;
  }

  /** The first pread: as much of 256 bytes as the region has, into QEMU's copy. */
  load(copy: Uint8Array): void {
    const length = Math.min(PCI_CFG_SPACE_SIZE, this.#region.size);
    const got = this.#system.readFile(this.#device.fd, this.#region.offset, length);
    if (typeof got === 'number' || got.length < length) {
      const why = strerror(typeof got === 'number' ? -got : EFAULT);
      throw new ConfigurationError(`failed to read device config space: ${why}`);
    }
    copy.set(got);
    copy.fill(0, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_0 + 24);
    copy.fill(0, PCI_ROM_ADDRESS, PCI_ROM_ADDRESS + 4);
  }

  /** What the guest reads, given the copy's value. A short pread is answered with its -errno, as QEMU does. */
  read(address: number, length: number, copied: number): number {
    let emulated = 0;
    for (let i = length - 1; i >= 0; i--) emulated = emulated * 256 + this.#emulated[address + i]!;
    const all = 2 ** (8 * length) - 1;
    if (emulated === all) return copied;
    const value = this.readDevice(address, length);
    if (value < 0) {
      const where = `${this.#device.name}, 0x${address.toString(16)}, 0x${length.toString(16)}`;
      this.#system.error(`vfio_pci_read_config(${where}) failed: ${strerror(-value)}`);
      return value >>> 0;
    }
    return ((copied & emulated) | (value & ~emulated & all)) >>> 0;
  }

  /** pread of 1, 2 or 4 bytes, or -errno. */
  readDevice(address: number, length: number): number {
    const got = this.#system.syscalls.pread(this.#device.fd, this.#buffer, length, this.#region.offset + address);
    // Where fewer came there is no errno; QEMU's says what went wrong before.
    if (got !== length) return got < 0 ? got : -EIO;
    if (length === 1) return this.#bytes.getUint8(0);
    return length === 2 ? this.#bytes.getUint16(0, true) : this.#bytes.getUint32(0, true);
  }

  /** pwrite of 1, 2 or 4 bytes: 0 or -errno. */
  writeDevice(address: number, value: number, length: number): number {
    this.#bytes.setUint32(0, value, true);
    const offset = this.#region.offset + address;
    const done = this.#system.syscalls.pwrite(this.#device.fd, this.#buffer, length, offset);
    if (done === length) return 0;
    return done < 0 ? done : -EIO;
  }
}

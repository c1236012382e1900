/**
 * A BAR of an assigned device: each access the memory core lets through becomes one pread or pwrite of the device's fd, at
 * the region's offset (hw/vfio/common.c: vfio_region_read, vfio_region_write). The guest's `out` ends here in QEMU.
 */

import type { Hva } from '../../../address.ts';
import { strerror } from '../../../linux/uapi/errno.ts';
import type { MemoryRegionOps } from '../../memory/region.ts';
import { sizes } from '../../memory/region.ts';
import type { System } from '../../system.ts';
import { vfioRegionRead, vfioRegionSetup, vfioRegionWrite } from '../../trace-events.ts';
import type { RegionInfo, VfioDevice } from './device.ts';

export class VfioRegion implements MemoryRegionOps {
  readonly index: number;
  readonly name: string;
  readonly info: RegionInfo;
  readonly valid = sizes(1, 8);
  readonly impl = sizes(1, 8);
  readonly #device: VfioDevice;
  readonly #system: System;
  /** Called after every access: it ends a pending INTx. */
  readonly #eoi: () => void;
  /** Eight bytes of QEMU's own memory that every access passes through. */
  readonly #buffer: Hva;
  readonly #bytes: DataView;

  /** vfio_region_setup. */
  constructor(device: VfioDevice, index: number, name: string, info: RegionInfo, eoi: () => void) {
    this.#device = device;
    this.#system = device.system;
    this.index = index;
    this.name = name;
    this.info = info;
    this.#eoi = eoi;
    const scratch = this.#system.scratch(8);
    this.#buffer = scratch.at;
    this.#bytes = scratch.view;
    if (vfioRegionSetup.on) {
      const fields = { dev: device.name, index, name, flags: info.flags, offset: info.offset, size: info.size };
      vfioRegionSetup(this.#system.stream, fields);
    }
  }

  /** Hot. */
  read(offset: number, size: number): number {
    let value: number;
    if (!this.#pread(offset, size)) value = 2 ** (8 * size) - 1;
    else if (size === 1) value = this.#bytes.getUint8(0);
    else if (size === 2) value = this.#bytes.getUint16(0, true);
    else value = this.#bytes.getUint32(0, true);
    if (vfioRegionRead.on) this.#traceRead(offset, size, BigInt(value));
    this.#eoi();
    return value;
  }

  /** Hot. */
  write(offset: number, size: number, value: number): void {
    if (size === 1) this.#bytes.setUint8(0, value);
    else if (size === 2) this.#bytes.setUint16(0, value, true);
    else this.#bytes.setUint32(0, value, true);
    this.#pwrite(offset, size);
    if (vfioRegionWrite.on) this.#traceWrite(offset, size, BigInt(value));
    this.#eoi();
  }

  readWide(offset: number): bigint {
    const value = this.#pread(offset, 8) ? this.#bytes.getBigUint64(0, true) : 0xffff_ffff_ffff_ffffn;
    if (vfioRegionRead.on) this.#traceRead(offset, 8, value);
    this.#eoi();
    return value;
  }

  writeWide(offset: number, value: bigint): void {
    this.#bytes.setBigUint64(0, value, true);
    this.#pwrite(offset, 8);
    if (vfioRegionWrite.on) this.#traceWrite(offset, 8, value);
    this.#eoi();
  }

  #pread(offset: number, size: number): boolean {
    const got = this.#system.syscalls.pread(this.#device.fd, this.#buffer, size, this.info.offset + offset);
    if (got === size) return true;
    const where = `${this.#device.name}:region${this.index}+0x${offset.toString(16)}`;
    this.#system.error(`vfio_region_read(${where}, ${size}) failed: ${reasonOf(got)}`);
    return false;
  }

  #pwrite(offset: number, size: number): void {
    const done = this.#system.syscalls.pwrite(this.#device.fd, this.#buffer, size, this.info.offset + offset);
    if (done === size) return;
    const where = `${this.#device.name}:region${this.index}+0x${offset.toString(16)}`;
    const value = size === 8 ? this.#bytes.getBigUint64(0, true) : this.#bytes.getUint32(0, true) % 2 ** (8 * size);
    this.#system.error(`vfio_region_write(${where}, 0x${value.toString(16)},${size}) failed: ${reasonOf(done)}`);
  }

  #traceRead(addr: number, size: number, data: bigint): void {
    vfioRegionRead(this.#system.stream, { name: this.#device.name, index: this.index, addr, size, data });
  }

  #traceWrite(addr: number, size: number, data: bigint): void {
    vfioRegionWrite(this.#system.stream, { name: this.#device.name, index: this.index, addr, data, size });
  }
}

const reasonOf = (result: number): string => (result < 0 ? strerror(-result) : `only ${result} bytes done`);

/**
 * A region of an assigned device: each access the memory core lets through becomes one pread or pwrite of the device's fd, at
 * the region's offset (hw/vfio/common.c: vfio_region_read, vfio_region_write). The guest's `out` ends here in QEMU. What can be
 * mapped is laid over it as a RAM device, which KVM gives the guest as memory (vfio_region_mmap).
 */

import { type Hva, hva } from '../../../address.ts';
import { watch } from '../../../event.ts';
import { strerror } from '../../../linux/uapi/errno.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../../linux/uapi/syscalls.ts';
import {
  VFIO_REGION_INFO_FLAG_MMAP,
  VFIO_REGION_INFO_FLAG_READ,
  VFIO_REGION_INFO_FLAG_WRITE,
} from '../../../linux/uapi/vfio.ts';
import type { MemoryRegion, MemoryRegionOps } from '../../memory/region.ts';
import { sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import type { System } from '../../system.ts';
import type { Area, RegionInfo, VfioDevice } from './device.ts';
import {
  vfioRegionExit,
  vfioRegionFinalize,
  vfioRegionMmap,
  vfioRegionMmapFault,
  vfioRegionMmapsSetEnabled,
  vfioRegionRead,
  vfioRegionSetup,
  vfioRegionSparseMmapEntry,
  vfioRegionSparseMmapHeader,
  vfioRegionUnmap,
  vfioRegionWrite,
} from './trace-events.ts';

/** How a region of a device is set up. */
export interface RegionSetup {
  readonly index: number;
  readonly name: string;
  readonly info: RegionInfo;
  /** `x-no-mmap`: every access is trapped. */
  readonly noMmap: boolean;
  /** Called after every trapped access: it ends a pending interrupt. */
  eoi(): void;
}

export class VfioRegion implements MemoryRegionOps {
  readonly index: number;
  readonly name: string;
  readonly info: RegionInfo;
  readonly valid = sizes(1, 8);
  readonly impl = sizes(1, 8);
  /** The region as the memory core has it, with what is mapped over it. */
  readonly region: MemoryRegion;
  readonly #device: VfioDevice;
  readonly #system: System;
  readonly #topology: MemoryTopology;
  readonly #setup: RegionSetup;
  #areas: readonly Area[];
  /** What of the areas is mapped. */
  readonly #mapped: MemoryRegion[] = [];
  /** Where it begins in the device's file. */
  readonly #start: number;
  /** Eight bytes of QEMU's own memory that every access passes through. */
  readonly #buffer: Hva;
  readonly #bytes: DataView;
  /** The first four of them: an access up to those is their low bits, whatever its size. */
  readonly #word: Uint32Array;

  /** vfio_region_setup. */
  constructor(device: VfioDevice, topology: MemoryTopology, setup: RegionSetup) {
    const { index, name, info } = setup;
    this.#device = device;
    this.#system = device.system;
    this.#topology = topology;
    this.index = index;
    this.name = name;
    this.info = info;
    this.#start = info.offset;
    this.#setup = setup;
    this.region = topology.io(name, info.size, this);
    const scratch = this.#system.scratch(8);
    this.#buffer = scratch.at;
    this.#bytes = scratch.view;
    this.#word = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, 1);
    if (vfioRegionSetup.on) {
      const fields = { dev: device.name, index, name, flags: info.flags, offset: info.offset, size: info.size };
      vfioRegionSetup(this.#system.stream, fields);
    }
    const mappable = !setup.noMmap && (info.flags & VFIO_REGION_INFO_FLAG_MMAP) !== 0;
    this.#areas = mappable ? (this.#sparseAreas() ?? [{ offset: 0, size: info.size }]) : [];
  }

  /** vfio_setup_region_sparse_mmaps. */
  #sparseAreas(): readonly Area[] | undefined {
    const { sparse } = this.info;
    if (sparse === undefined) return undefined;
    const { stream } = this.#system;
    if (vfioRegionSparseMmapHeader.on) {
      vfioRegionSparseMmapHeader(stream, { name: this.#device.name, index: this.index, entries: sparse.length });
    }
    sparse.forEach(({ offset, size }, entry) => {
      if (vfioRegionSparseMmapEntry.on) {
        vfioRegionSparseMmapEntry(stream, { entry, start: offset, end: offset + size - 1 });
      }
    });
    return sparse;
  }

  /** Let only these parts of it be mapped, once it is: vfio_pci_fixup_msix_region. */
  restrict(areas: readonly Area[]): void {
    this.#areas = areas;
  }

  /** What of it can be mapped. */
  get areas(): readonly Area[] {
    return this.#areas;
  }

  /** vfio_region_mmap: 0, or -errno with nothing mapped. */
  mmap(): number {
    const { flags, offset: start } = this.info;
    const protection =
      (flags & VFIO_REGION_INFO_FLAG_READ ? PROT_READ : 0) | (flags & VFIO_REGION_INFO_FLAG_WRITE ? PROT_WRITE : 0);
    const { syscalls, stream } = this.#system;
    for (const [i, { offset, size }] of this.#areas.entries()) {
      const at = syscalls.mmap(size, protection, MAP_SHARED, this.#device.fd, start + offset);
      if (at < 0) {
        const end = start + offset + size - 1;
        const failed = { name: this.name, index: i, offset: start + offset, end, fault: at };
        if (vfioRegionMmapFault.on) vfioRegionMmapFault(stream, failed);
        this.#unmapAll();
        return at;
      }
      const name = `${this.name} mmaps[${i}]`;
      const mapped = this.#topology.ramDevice(name, size, hva(at));
      this.region.addSubregion(offset, mapped);
      this.#mapped.push(mapped);
      if (vfioRegionMmap.on) vfioRegionMmap(stream, { name, offset, end: offset + size - 1 });
    }
    return 0;
  }

  /** vfio_subregion_unmap of each that is mapped, from the last one back. */
  #unmapAll(): void {
    for (let i = this.#mapped.length - 1; i >= 0; i--) {
      const mapped = this.#mapped[i]!;
      const { offset, size } = this.#areas[i]!;
      if (vfioRegionUnmap.on) {
        vfioRegionUnmap(this.#system.stream, { name: mapped.name, offset, end: offset + size - 1 });
      }
      this.region.deleteSubregion(mapped);
      this.#system.syscalls.munmap(mapped.host!, mapped.size);
    }
    this.#mapped.length = 0;
  }

  /** vfio_region_exit: what is mapped leaves the memory map. Nothing for a region of no bytes, here and in {@link finalize}. */
  exit(): void {
    if (this.info.size === 0) return;
    for (const mapped of this.#mapped) this.region.deleteSubregion(mapped);
    if (vfioRegionExit.on) vfioRegionExit(this.#system.stream, { dev: this.#device.name, index: this.index });
  }

  /** vfio_region_finalize: and QEMU's address space. */
  finalize(): void {
    if (this.info.size === 0) return;
    for (const mapped of this.#mapped.splice(0)) this.#system.syscalls.munmap(mapped.host!, mapped.size);
    if (vfioRegionFinalize.on) vfioRegionFinalize(this.#system.stream, { dev: this.#device.name, index: this.index });
  }

  /** vfio_region_mmaps_set_enabled: with `enabled` false every access is trapped. */
  setMmapsEnabled(enabled: boolean): void {
    for (const mapped of this.#mapped) mapped.setEnabled(enabled);
    if (vfioRegionMmapsSetEnabled.on) {
      vfioRegionMmapsSetEnabled(this.#system.stream, { name: this.name, enabled });
    }
  }

  /** Hot. */
  read(offset: number, size: number): number {
    // What failed is told of by its message alone, and ends no interrupt.
    if (!this.#pread(offset, size)) return 2 ** (8 * size) - 1;
    const word = this.#word[0]!;
    const value = size === 1 ? word & 0xff : size === 2 ? word & 0xffff : word;
    if (watch.on && vfioRegionRead.on) this.#traceRead(offset, size, BigInt(value));
    this.#setup.eoi();
    return value;
  }

  /** Hot. */
  write(offset: number, size: number, value: number): void {
    // `| 0`: a small integer to the engine, as nearly all are.
    this.#word[0] = value | 0;
    this.#pwrite(offset, size);
    if (watch.on && vfioRegionWrite.on) this.#traceWrite(offset, size, BigInt(value));
    this.#setup.eoi();
  }

  readWide(offset: number): bigint {
    if (!this.#pread(offset, 8)) return 0xffff_ffff_ffff_ffffn;
    const value = this.#bytes.getBigUint64(0, true);
    if (watch.on && vfioRegionRead.on) this.#traceRead(offset, 8, value);
    this.#setup.eoi();
    return value;
  }

  writeWide(offset: number, value: bigint): void {
    this.#bytes.setBigUint64(0, value, true);
    this.#pwrite(offset, 8);
    if (watch.on && vfioRegionWrite.on) this.#traceWrite(offset, 8, value);
    this.#setup.eoi();
  }

  #pread(offset: number, size: number): boolean {
    const got = this.#system.syscalls.pread(this.#device.fd, this.#buffer, size, this.#start + offset);
    if (got === size) return true;
    const where = `${this.#device.name}:region${this.index}+0x${offset.toString(16)}`;
    this.#system.error(`vfio_region_read(${where}, ${size}) failed: ${reasonOf(got)}`);
    return false;
  }

  #pwrite(offset: number, size: number): void {
    const done = this.#system.syscalls.pwrite(this.#device.fd, this.#buffer, size, this.#start + offset);
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

/**
 * One access to an io region: is it allowed, and in which pieces do the callbacks get it
 * (softmmu/memory.c: memory_region_access_valid, access_with_adjusted_size; softmmu/physmem.c: memory_access_size).
 *
 * Bytes travel in a DataView (the data page of kvm_run, usually) in little-endian order; the pieces of a split access go
 * straight to and from their place in it, so no value is ever put together, and accesses up to 4 bytes never meet a
 * bigint.
 */

import type { EventStream } from '../../event.ts';
import {
  memoryRegionOpsRead,
  memoryRegionOpsWrite,
  memoryRegionRamDeviceRead,
  memoryRegionRamDeviceWrite,
} from '../trace-events.ts';
import type { MemoryRegion, MemoryRegionOps } from './region.ts';

/** MemTxResult. */
export const MEMTX_OK = 0;
export const MEMTX_ERROR = 1;
export const MEMTX_DECODE_ERROR = 2;
export const MEMTX_ACCESS_ERROR = 4;

/** How many of `length` bytes at `offset` go to an io region in one dispatch; the caller loops over the rest. */
export function memoryAccessSize(ops: MemoryRegionOps, length: number, offset: number): number {
  let max = ops.valid.max === 0 ? 4 : ops.valid.max;
  if (!ops.impl.unaligned) {
    // The lowest set bit of the offset; offset 0 sets no bound.
    const low = offset | 0;
    const align = (low & -low) >>> 0;
    if (align !== 0 && align < max) max = align;
  }
  const bound = Math.min(length, max);
  return bound >= 8 ? 8 : bound >= 4 ? 4 : bound >= 2 ? 2 : 1;
}

/** memory_region_access_valid. */
export function accessValid(ops: MemoryRegionOps, offset: number, size: number): boolean {
  const valid = ops.valid;
  if (ops.accepts !== undefined && !ops.accepts(offset, size)) return false;
  if (!valid.unaligned && (offset & (size - 1)) !== 0) return false;
  return valid.max === 0 || (size >= valid.min && size <= valid.max);
}

/** Width of one callback for an access of `size`: impl.min and impl.max with their defaults 1 and 4. */
const callbackSize = (ops: MemoryRegionOps, size: number): number => {
  const max = ops.impl.max === 0 ? 4 : ops.impl.max;
  const min = ops.impl.min === 0 ? 1 : ops.impl.min;
  return Math.max(Math.min(size, max), min);
};

/** memory_region_dispatch_read: `size` (1, 2, 4, 8) bytes at `offset` into `data` at `at`. A refused read gives zeros. Hot. */
export function dispatchRead(
  stream: EventStream,
  cpu: number,
  region: MemoryRegion,
  offset: number,
  size: number,
  data: DataView,
  at: number,
): number {
  const ops = region.ops!;
  if (!accessValid(ops, offset, size)) {
    zero(data, at, size);
    return MEMTX_DECODE_ERROR;
  }
  const guard = region.guard;
  if (guard !== undefined) {
    if (guard.engaged) {
      zero(data, at, size);
      return MEMTX_ACCESS_ERROR;
    }
    guard.engaged = true;
  }
  const width = callbackSize(ops, size);
  for (let i = 0; i < size; i += width) {
    const piece = Math.min(width, size);
    if (width === 8) {
      const value = ops.readWide!(offset + i);
      if (piece === 8) data.setBigUint64(at + i, value, true);
      else store(data, at + i, piece, Number(value & 0xffff_ffffn));
      if (memoryRegionOpsRead.on || memoryRegionRamDeviceRead.on)
        traceRead(stream, cpu, region, offset + i, width, value);
    } else {
      const value = ops.read(offset + i, width);
      store(data, at + i, piece, value);
      if (memoryRegionOpsRead.on || memoryRegionRamDeviceRead.on)
        traceRead(stream, cpu, region, offset + i, width, BigInt(value));
    }
  }
  if (guard !== undefined) guard.engaged = false;
  return MEMTX_OK;
}

/** memory_region_dispatch_write. A refused write does nothing; one narrower than impl.min is widened with zeros. Hot. */
export function dispatchWrite(
  stream: EventStream,
  cpu: number,
  region: MemoryRegion,
  offset: number,
  size: number,
  data: DataView,
  at: number,
): number {
  const ops = region.ops!;
  if (!accessValid(ops, offset, size)) return MEMTX_DECODE_ERROR;
  const guard = region.guard;
  if (guard !== undefined) {
    if (guard.engaged) return MEMTX_ACCESS_ERROR;
    guard.engaged = true;
  }
  const width = callbackSize(ops, size);
  for (let i = 0; i < size; i += width) {
    const piece = Math.min(width, size);
    if (width === 8) {
      const value = piece === 8 ? data.getBigUint64(at + i, true) : BigInt(load(data, at + i, piece));
      if (memoryRegionOpsWrite.on || memoryRegionRamDeviceWrite.on)
        traceWrite(stream, cpu, region, offset + i, width, value);
      ops.writeWide!(offset + i, value);
    } else {
      const value = load(data, at + i, piece);
      if (memoryRegionOpsWrite.on || memoryRegionRamDeviceWrite.on)
        traceWrite(stream, cpu, region, offset + i, width, BigInt(value));
      ops.write(offset + i, width, value);
    }
  }
  if (guard !== undefined) guard.engaged = false;
  return MEMTX_OK;
}

function zero(data: DataView, at: number, size: number): void {
  for (let i = 0; i < size; i++) data.setUint8(at + i, 0);
}

const load = (data: DataView, at: number, size: number): number =>
  size === 1 ? data.getUint8(at) : size === 2 ? data.getUint16(at, true) : data.getUint32(at, true);

function store(data: DataView, at: number, size: number, value: number): void {
  if (size === 1) data.setUint8(at, value);
  else if (size === 2) data.setUint16(at, value, true);
  else data.setUint32(at, value, true);
}

function traceRead(
  s: EventStream,
  cpu: number,
  region: MemoryRegion,
  offset: number,
  size: number,
  value: bigint,
): void {
  const { id: mr, name } = region;
  if (memoryRegionRamDeviceRead.on && region.kind === 'ram-device')
    memoryRegionRamDeviceRead(s, { cpu, mr, addr: offset, value, size });
  if (memoryRegionOpsRead.on) memoryRegionOpsRead(s, { cpu, mr, addr: region.absolute(offset), value, size, name });
}

function traceWrite(
  s: EventStream,
  cpu: number,
  region: MemoryRegion,
  offset: number,
  size: number,
  value: bigint,
): void {
  const { id: mr, name } = region;
  if (memoryRegionRamDeviceWrite.on && region.kind === 'ram-device')
    memoryRegionRamDeviceWrite(s, { cpu, mr, addr: offset, value, size });
  if (memoryRegionOpsWrite.on) memoryRegionOpsWrite(s, { cpu, mr, addr: region.absolute(offset), value, size, name });
}

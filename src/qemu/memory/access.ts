/**
 * One access to an io region, as its rules allow (softmmu/memory.c: memory_region_dispatch_read, memory_region_dispatch_write,
 * access_with_adjusted_size).
 *
 * Bytes travel in a DataView (the data page of kvm_run, usually) in little-endian order; the pieces of a split access go
 * straight to and from their place in it, so no value is ever put together, and accesses up to 4 bytes never meet a
 * bigint.
 */

import { type EventStream, watch } from '../../event.ts';
import {
  memoryRegionOpsRead,
  memoryRegionOpsWrite,
  memoryRegionRamDeviceRead,
  memoryRegionRamDeviceWrite,
} from '../trace-events.ts';
import type { MemoryRegion } from './region.ts';
import type { WholeAccess } from './whole-access.ts';

/** MemTxResult. */
export const MEMTX_OK = 0;
export const MEMTX_ERROR = 1;
export const MEMTX_DECODE_ERROR = 2;
export const MEMTX_ACCESS_ERROR = 4;

/** False for a device that is being accessed already (mem_reentrancy_guard); else it is, until its guard is let go. */
function engage({ guard }: MemoryRegion): boolean {
  if (guard === undefined) return true;
  if (guard.engaged) return false;
  guard.engaged = true;
  return true;
}

function release({ guard }: MemoryRegion): void {
  if (guard !== undefined) guard.engaged = false;
}

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
  const rules = region.rules!;
  if (!rules.valid(offset, size)) {
    zero(data, at, size);
    return MEMTX_DECODE_ERROR;
  }
  if (!engage(region)) {
    zero(data, at, size);
    return MEMTX_ACCESS_ERROR;
  }
  const width = rules.width(size);
  for (let i = 0; i < size; i += width) {
    const piece = Math.min(width, size);
    if (width === 8) {
      const value = ops.readWide!(offset + i);
      if (piece === 8) data.setBigUint64(at + i, value, true);
      else store(data, at + i, piece, Number(value & 0xffff_ffffn));
      if (watch.on && (memoryRegionOpsRead.on || memoryRegionRamDeviceRead.on))
        traceRead(stream, cpu, region, offset + i, width, value);
    } else {
      const value = ops.read(offset + i, width);
      store(data, at + i, piece, value);
      if (watch.on && (memoryRegionOpsRead.on || memoryRegionRamDeviceRead.on))
        traceRead(stream, cpu, region, offset + i, width, BigInt(value));
    }
  }
  release(region);
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
  const rules = region.rules!;
  if (!rules.valid(offset, size)) return MEMTX_DECODE_ERROR;
  if (!engage(region)) return MEMTX_ACCESS_ERROR;
  const width = rules.width(size);
  for (let i = 0; i < size; i += width) {
    const piece = Math.min(width, size);
    if (width === 8) {
      const value = piece === 8 ? data.getBigUint64(at + i, true) : BigInt(load(data, at + i, piece));
      if (watch.on && (memoryRegionOpsWrite.on || memoryRegionRamDeviceWrite.on))
        traceWrite(stream, cpu, region, offset + i, width, value);
      ops.writeWide!(offset + i, value);
    } else {
      const value = load(data, at + i, piece);
      if (watch.on && (memoryRegionOpsWrite.on || memoryRegionRamDeviceWrite.on))
        traceWrite(stream, cpu, region, offset + i, width, BigInt(value));
      ops.write(offset + i, width, value);
    }
  }
  release(region);
  return MEMTX_OK;
}

/** {@link dispatchRead} of an access that the region's rules take whole (`AccessRules.whole`), up to 4 bytes. Hot. */
export function dispatchWholeRead(
  stream: EventStream,
  cpu: number,
  { region, ops, offset, plain }: WholeAccess,
  data: DataView,
  at: number,
  size: number,
): number {
  if (plain !== true && !engage(region)) return MEMTX_ACCESS_ERROR;
  const value = ops.read(offset, size);
  store(data, at, size, value);
  if (watch.on && (memoryRegionOpsRead.on || memoryRegionRamDeviceRead.on))
    traceRead(stream, cpu, region, offset, size, BigInt(value));
  if (plain !== true) release(region);
  return MEMTX_OK;
}

/** {@link dispatchWrite} of an access that the region's rules take whole (`AccessRules.whole`), up to 4 bytes. Hot. */
export function dispatchWholeWrite(
  stream: EventStream,
  cpu: number,
  { region, ops, offset, plain }: WholeAccess,
  data: DataView,
  at: number,
  size: number,
): number {
  if (plain !== true && !engage(region)) return MEMTX_ACCESS_ERROR;
  const value = load(data, at, size);
  if (watch.on && (memoryRegionOpsWrite.on || memoryRegionRamDeviceWrite.on))
    traceWrite(stream, cpu, region, offset, size, BigInt(value));
  ops.write(offset, size, value);
  if (plain !== true) release(region);
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
  returned: bigint,
): void {
  const { id: mr, name } = region;
  const value = BigInt.asUintN(64, returned);
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

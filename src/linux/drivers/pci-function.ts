/**
 * What the mediated PCI drivers share, after mtty's read, write and ioctl (samples/vfio-mdev/mtty.c): an access is cut
 * into naturally aligned pieces of 4, 2 or 1 bytes, each piece goes through {@link mdev_access} to the config space or
 * to the driver's BAR handlers, and the information ioctls describe nine regions and five interrupt indexes.
 */

import { type Hva, plus } from '../../address.ts';
import { watch } from '../../event.ts';
import type { Kernel } from '../core/kernel.ts';
import { getUser, putUser } from '../core/uaccess.ts';
import { EFAULT } from '../uapi/errno.ts';
import { VFIO_PCI_BAR5_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX } from '../uapi/vfio.ts';
import { offsetInRegion, regionOf } from '../vfio/device.ts';
import type { ConfigWrite, Piece } from './config-space.ts';
import { mdevAccess } from './events.ts';
import type { Interrupts } from './interrupts.ts';

/** Configuration space, in whatever way the driver keeps it. */
export interface FunctionConfig {
  /** Bytes, as VFIO is to report them. */
  readonly size: number;
  /** The number in the `size` bytes at `offset`. */
  read(offset: number, size: Piece): number;
  write(offset: number, size: Piece, value: number): ConfigWrite;
}

/** One device of such a driver. */
export interface PciFunction {
  readonly kernel: Kernel;
  /** Begins the kernel's log lines: `mtty`. */
  readonly driver: string;
  /** The mdev's UUID, for messages. */
  readonly name: string;
  readonly config: FunctionConfig;
  readonly interrupts: Interrupts;
  /** Bytes of each BAR; the others have none. */
  readonly bars: readonly number[];
  /** Interrupt indexes known so far: 0 until GET_INFO was asked, as in the sample. */
  irqIndexes: number;
  /** VFIO_DEVICE_RESET, where the driver has one; the flags then promise it. */
  reset?(): void;
  /** A config write has been done. */
  config_written(offset: number, size: Piece, value: number, outcome: ConfigWrite): void;
  /** A piece is written to BAR `bar`, which may be one of the six that it has not. */
  handle_bar_write(bar: number, offset: number, size: Piece, value: number): void;
  /** What a piece of it reads as. */
  handle_bar_read(bar: number, offset: number, size: Piece): number;
}

/** Bytes of the largest naturally aligned piece at `position` with at most `left`. */
function pieceAt(position: number, left: number): Piece {
  if (left >= 4 && (position & 3) === 0) return 4;
  return left >= 2 && (position & 1) === 0 ? 2 : 1;
}

/** mdev_parent_ops.write: `count`, or -EFAULT if a piece has no register or the buffer is not there. Hot. */
export function writeFunction(self: PciFunction, from: Hva, count: number, position: number): number {
  // One piece, as nearly every access is: the loop makes doubles of its numbers.
  const only = pieceAt(position, count);
  if (only === count) return writePiece(self, only, 0, from, count, position);
  for (let done = 0; done < count; ) {
    const written = writePiece(self, pieceAt(position + done, count - done), done, from, count, position);
    if (written < 0) return written;
    done += written;
  }
  return count;
}

/** The piece of an access of which `done` bytes are done: its length or -EFAULT. */
function writePiece(self: PciFunction, size: Piece, done: number, from: Hva, count: number, position: number): number {
  const value = getUser(self.kernel, plus(from, done), size);
  if (value < 0) return badBuffer(self, from, count);
  return mdev_access(self, position + done, size, value, true) < 0 ? noRegister(self, position + done) : size;
}

/** mdev_parent_ops.read: `count` or -EFAULT. Hot. */
export function readFunction(self: PciFunction, to: Hva, count: number, position: number): number {
  const only = pieceAt(position, count);
  if (only === count) return readPiece(self, only, 0, to, count, position);
  for (let done = 0; done < count; ) {
    const read = readPiece(self, pieceAt(position + done, count - done), done, to, count, position);
    if (read < 0) return read;
    done += read;
  }
  return count;
}

function readPiece(self: PciFunction, size: Piece, done: number, to: Hva, count: number, position: number): number {
  const value = mdev_access(self, position + done, size, 0, false);
  if (value < 0) return noRegister(self, position + done);
  return putUser(self.kernel, plus(to, done), size, value) < 0 ? badBuffer(self, to, count) : size;
}

/** One piece to or from config space or a BAR: its value, or -EFAULT if the file offset belongs to neither. */
function mdev_access(self: PciFunction, position: number, size: Piece, written: number, write: boolean): number {
  const region = regionOf(position);
  const offset = offsetInRegion(position);
  if (region > VFIO_PCI_BAR5_REGION_INDEX && region !== VFIO_PCI_CONFIG_REGION_INDEX) return -EFAULT;
  // A write is told before what it causes, a read when its value is known.
  if (write && watch.on && mdevAccess.on) tell(self, region, offset, size, written, write);
  let value = written;
  if (region === VFIO_PCI_CONFIG_REGION_INDEX) {
    if (write) self.config_written(offset, size, value, self.config.write(offset, size, value));
    else value = self.config.read(offset, size);
  } else if (write) self.handle_bar_write(region, offset, size, value);
  else value = self.handle_bar_read(region, offset, size);
  if (!write && watch.on && mdevAccess.on) tell(self, region, offset, size, value, write);
  return value;
}

function tell(self: PciFunction, region: number, offset: number, size: Piece, value: number, write: boolean): void {
  mdevAccess(self.kernel.stream, { device: self.name, write, region, offset, size, value });
}

const badBuffer = (self: PciFunction, at: Hva, count: number): number =>
  self.kernel.refuse(EFAULT, `the ${count} bytes at 0x${at.toString(16)} are not in the process's memory`);

const noRegister = (self: PciFunction, position: number): number =>
  self.kernel.refuse(EFAULT, `${self.name} has no registers in region ${regionOf(position)}`);

/**
 * What the mediated PCI drivers share, after mtty's read, write and ioctl (samples/vfio-mdev/mtty.c): an access is cut
 * into naturally aligned pieces of 4, 2 or 1 bytes, each piece goes through {@link mdev_access} to the config space or
 * to the driver's BAR handlers, and the information ioctls describe nine regions and five interrupt indexes.
 */

import { type Hva, plus } from '../../address.ts';
import { watch } from '../../event.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyFromUser, copyToUser } from '../core/uaccess.ts';
import { EFAULT } from '../uapi/errno.ts';
import { VFIO_PCI_BAR5_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX } from '../uapi/vfio.ts';
import { offsetInRegion, regionOf } from '../vfio/device.ts';
import { type ConfigWrite, littleEndian } from './config-space.ts';
import { mdevAccess } from './events.ts';
import type { Interrupts } from './interrupts.ts';

/** Configuration space, in whatever way the driver keeps it. */
export interface FunctionConfig {
  /** Bytes, as VFIO is to report them. */
  readonly size: number;
  /** Fill `into` from `offset` on. */
  read(offset: number, into: Uint8Array): void;
  /** `data` is 1, 2 or 4 bytes. */
  write(offset: number, data: Uint8Array): ConfigWrite;
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
  config_written(offset: number, piece: Uint8Array, outcome: ConfigWrite): void;
  /** A piece is written to BAR `bar`, which may be one of the six that it has not; `piece` is valid during the call only. */
  handle_bar_write(bar: number, offset: number, piece: Uint8Array): void;
  /** Fill `piece`, which is zeroed before. */
  handle_bar_read(bar: number, offset: number, piece: Uint8Array): void;
}

// One buffer for every piece, with a view of each size, so that an access allocates nothing. No piece is under way when
// another begins: a driver's handlers never access a device.
const word = new Uint32Array(1);
const four = new Uint8Array(word.buffer);
const two = four.subarray(0, 2);
const one = four.subarray(0, 1);

/** The largest naturally aligned piece at `position` with at most `left` bytes. */
function pieceAt(position: number, left: number): Uint8Array {
  if (left >= 4 && (position & 3) === 0) return four;
  return left >= 2 && (position & 1) === 0 ? two : one;
}

/** mdev_parent_ops.write: `count`, or -EFAULT if a piece has no register or the buffer is not there. Hot. */
export function writeFunction(self: PciFunction, from: Hva, count: number, position: number): number {
  // One piece, as nearly every access is: the loop makes doubles of its numbers.
  const only = pieceAt(position, count);
  if (only.length === count) return writePiece(self, only, 0, from, count, position);
  for (let done = 0; done < count; ) {
    const written = writePiece(self, pieceAt(position + done, count - done), done, from, count, position);
    if (written < 0) return written;
    done += written;
  }
  return count;
}

/** The piece of an access of which `done` bytes are done: its length or -EFAULT. */
function writePiece(
  self: PciFunction,
  piece: Uint8Array,
  done: number,
  from: Hva,
  count: number,
  position: number,
): number {
  if (copyFromUser(self.kernel, piece, plus(from, done)) < 0) return badBuffer(self, from, count);
  return mdev_access(self, piece, position + done, true) ? piece.length : noRegister(self, position + done);
}

/** mdev_parent_ops.read: `count` or -EFAULT. Hot. */
export function readFunction(self: PciFunction, to: Hva, count: number, position: number): number {
  const only = pieceAt(position, count);
  if (only.length === count) return readPiece(self, only, 0, to, count, position);
  for (let done = 0; done < count; ) {
    const read = readPiece(self, pieceAt(position + done, count - done), done, to, count, position);
    if (read < 0) return read;
    done += read;
  }
  return count;
}

function readPiece(
  self: PciFunction,
  piece: Uint8Array,
  done: number,
  to: Hva,
  count: number,
  position: number,
): number {
  word[0] = 0;
  if (!mdev_access(self, piece, position + done, false)) return noRegister(self, position + done);
  return copyToUser(self.kernel, plus(to, done), piece) < 0 ? badBuffer(self, to, count) : piece.length;
}

/** One piece to or from config space or a BAR; false if the file offset belongs to neither. */
export function mdev_access(self: PciFunction, piece: Uint8Array, position: number, write: boolean): boolean {
  const region = regionOf(position);
  const offset = offsetInRegion(position);
  // A write is told before what it causes, a read when its value is known.
  if (write && watch.on && mdevAccess.on) tell(self, piece, region, offset, write);
  if (region === VFIO_PCI_CONFIG_REGION_INDEX) {
    if (write) self.config_written(offset, piece, self.config.write(offset, piece));
    else self.config.read(offset, piece);
  } else if (region <= VFIO_PCI_BAR5_REGION_INDEX) {
    if (write) self.handle_bar_write(region, offset, piece);
    else self.handle_bar_read(region, offset, piece);
  } else {
    return false;
  }
  if (!write && watch.on && mdevAccess.on) tell(self, piece, region, offset, write);
  return true;
}

function tell(self: PciFunction, piece: Uint8Array, region: number, offset: number, write: boolean): void {
  const value = littleEndian(piece);
  mdevAccess(self.kernel.stream, { device: self.name, write, region, offset, size: piece.length, value });
}

const badBuffer = (self: PciFunction, at: Hva, count: number): number =>
  self.kernel.refuse(EFAULT, `the ${count} bytes at 0x${at.toString(16)} are not in the process's memory`);

const noRegister = (self: PciFunction, position: number): number =>
  self.kernel.refuse(EFAULT, `${self.name} has no registers in region ${regionOf(position)}`);

/** Open files: `struct file` and `struct file_operations` (include/linux/fs.h). */

import type { Hva } from '../../address.ts';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from '../uapi/syscalls.ts';
import type { Vma } from './vma.ts';

/**
 * What a file does. Each call returns a result or `-errno` and runs in the context of `kernel.current`. A missing method
 * is what it is in Linux: read/write EINVAL, ioctl ENOTTY, mmap ENODEV, poll always ready.
 */
export interface FileOperations {
  read?(this: void, file: OpenFile, buffer: Hva, count: number, position: number): number;
  write?(this: void, file: OpenFile, buffer: Hva, count: number, position: number): number;
  ioctl?(this: void, file: OpenFile, request: number, argument: number): number;
  /** Fill the pages of a new mapping: set `vma.pages` or `vma.fault`. The frames stay the file's own. */
  mmap?(file: OpenFile, vma: Vma): number;
  /** Its mappings are of pages of 2^n small ones (hstate_file); small ones if this is missing. */
  pageOrder?(file: OpenFile): number;
  /** ftruncate: make it `size` bytes long. Missing: EINVAL. */
  truncate?(file: OpenFile, size: number): number;
  /** Mask of POLLIN | POLLOUT … that are ready. */
  poll?(file: OpenFile): number;
  /** Hang `waiter` on the file's wait queue: called when what `poll` says may have changed. Returns how to leave. */
  wait?(file: OpenFile, waiter: () => void): () => void;
  /** The last reference is gone. */
  release?(file: OpenFile): void;
  /** The file has no positions: pread and pwrite are ESPIPE (FMODE_PREAD is not set). */
  readonly stream?: boolean;
}

const READ = 1;
const WRITE = 2;
const PREAD = 8;
const PWRITE = 0x10;
const CAN_READ = 0x20000;
const CAN_WRITE = 0x40000;

/** What may be done with an open file: the `fmode_t` of include/linux/fs.h, and what each system call needs of it. */
export const FMODE = {
  READ,
  WRITE,
  /** It has positions. */
  PREAD,
  CAN_READ,
  CAN_WRITE,
  READS: READ | CAN_READ,
  WRITES: WRITE | CAN_WRITE,
  PREADS: READ | CAN_READ | PREAD,
  PWRITES: WRITE | CAN_WRITE | PWRITE,
} as const;

const modeOf = ({ read, write, stream }: FileOperations, flags: number): number =>
  ((flags & O_ACCMODE) === O_WRONLY ? 0 : READ) |
  ((flags & O_ACCMODE) === O_RDONLY ? 0 : WRITE) |
  (stream === true ? 0 : PREAD | PWRITE) |
  (read === undefined ? 0 : CAN_READ) |
  (write === undefined ? 0 : CAN_WRITE);

/** One open file description; file descriptors, kernel objects and mappings hold references to it. */
export class OpenFile<Private = unknown> {
  /** As /proc/PID/fd shows it: `/dev/vfio/0`, `anon_inode:kvm-vm`. */
  readonly path: string;
  readonly operations: FileOperations;
  /** Of the operations, what system calls ask for again and again: their objects are of many shapes, files are of one. */
  readonly ioctl: FileOperations['ioctl'];
  readonly read: FileOperations['read'];
  readonly write: FileOperations['write'];
  readonly flags: number;
  /** Bits of {@link FMODE}. */
  readonly mode: number;
  readonly privateData: Private;
  position = 0;
  #references = 1;

  constructor(path: string, operations: FileOperations, flags: number, privateData: Private) {
    this.path = path;
    this.operations = operations;
    this.ioctl = operations.ioctl;
    this.read = operations.read;
    this.write = operations.write;
    this.flags = flags;
    this.mode = modeOf(operations, flags);
    this.privateData = privateData;
  }

  /** get_file. */
  get(): this {
    this.#references++;
    return this;
  }

  /** fput: the last one calls `release`. */
  put(): void {
    if (--this.#references === 0) this.operations.release?.(this);
  }
}

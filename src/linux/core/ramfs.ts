/** Files that live in memory (fs/ramfs, fs/libfs.c): what the host's root file system is made of. */

import { MiB } from '../../address.ts';
import { ENOSPC } from '../uapi/errno.ts';
import { O_APPEND, O_TRUNC } from '../uapi/syscalls.ts';
import { type FileOperations, OpenFile } from './file.ts';
import type { FileNode } from './inode.ts';
import { copyFromUser, copyToUser, type RefusingContext, refusePointer } from './uaccess.ts';

/** A longer write is done in parts. */
const LONGEST_WRITE = MiB(1);
/** The most that one file has. */
const LARGEST = MiB(256);

/** One regular file. */
export class RamFile implements FileNode {
  readonly kind = 'file';
  readonly mode: number;
  readonly #operations: FileOperations;
  #storage: Uint8Array;
  #size: number;

  constructor(kernel: RefusingContext, bytes: Uint8Array, mode: number) {
    this.mode = mode;
    this.#storage = bytes.slice();
    this.#size = bytes.length;
    const full = () => kernel.refuse(ENOSPC, `a file of the root file system has at most ${LARGEST} bytes`);
    this.#operations = {
      read: (_file, buffer, count, position) => {
        const end = Math.min(position + count, this.#size);
        if (end <= position) return 0;
        return copyToUser(kernel, buffer, this.#storage.subarray(position, end)) < 0
          ? refusePointer(kernel, buffer, end - position)
          : end - position;
      },
      write: (file, buffer, count, position) => {
        const at = (file.flags & O_APPEND) !== 0 ? this.#size : position;
        const bytes = new Uint8Array(Math.min(count, LONGEST_WRITE));
        if (copyFromUser(kernel, bytes, buffer) < 0) return refusePointer(kernel, buffer, bytes.length);
        if (at + bytes.length > LARGEST) return full();
        if ((file.flags & O_APPEND) !== 0) file.position = at;
        this.#put(at, bytes);
        return bytes.length;
      },
      truncate: (_file, size) => {
        if (size > LARGEST) return full();
        if (size < this.#size) this.#size = size;
        else this.#put(size, new Uint8Array(0));
        return 0;
      },
    };
  }

  /** The content now. */
  get bytes(): Uint8Array {
    return this.#storage.slice(0, this.#size);
  }

  open(path: string, flags: number): OpenFile {
    if ((flags & O_TRUNC) !== 0) this.#size = 0;
    return new OpenFile(path, this.#operations, flags, this);
  }

  #put(at: number, bytes: Uint8Array): void {
    const end = at + bytes.length;
    if (end > this.#storage.length) {
      const grown = new Uint8Array(Math.max(end, this.#storage.length * 2));
      grown.set(this.#storage.subarray(0, this.#size));
      this.#storage = grown;
    }
    // A gap between the old end and the new bytes reads as zeros.
    if (at > this.#size) this.#storage.fill(0, this.#size, at);
    this.#storage.set(bytes, at);
    this.#size = Math.max(this.#size, end);
  }
}

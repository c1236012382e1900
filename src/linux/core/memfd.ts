/**
 * Memory with a descriptor: memfd_create(2), in small pages (mm/memfd.c, mm/shmem.c) or in large ones of a pool
 * (fs/hugetlbfs/inode.c). Its pages are the file's: they live until the last descriptor and the last mapping are gone.
 */

import { type Hpa, type Hva, PAGE_SIZE } from '../../address.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import { EFAULT, EINVAL, ENODEV, ENOMEM } from '../uapi/errno.ts';
import {
  MAP_HUGE_SHIFT,
  MFD_ALLOW_SEALING,
  MFD_CLOEXEC,
  MFD_HUGETLB,
  O_CLOEXEC,
  O_RDWR,
  PROT_WRITE,
} from '../uapi/syscalls.ts';
import { type FileOperations, OpenFile } from './file.ts';
import { GFP_HIGHUSER_MOVABLE } from './gfp.ts';
import type { HugePages, HugePool } from './hugetlb.ts';
import type { PageAllocator } from './page-allocator.ts';
import { copyFromUser, copyToUser, type RefusingContext } from './uaccess.ts';
import type { Vma } from './vma.ts';

/** Bytes of a name, without the `memfd:` that the kernel puts before it and the NUL. */
const LONGEST_NAME = 249;
const SIZE_BITS = 0x3f * 2 ** MAP_HUGE_SHIFT;

/** What a memfd needs of the kernel. */
export interface MemfdHost extends RefusingContext {
  readonly memory: PhysicalMemory;
  readonly pages: PageAllocator;
  readonly hugePages: HugePages;
  kmalloc(what: string): boolean;
}

/** memfd_create: the open file; -EINVAL for flags or a name it does not take, -ENODEV for a size of pages there is not. */
export function memfdCreate(kernel: MemfdHost, name: string, flags: number): OpenFile | number {
  const huge = (flags & MFD_HUGETLB) !== 0;
  const known = MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB | SIZE_BITS : 0);
  if ((flags & ~known) !== 0)
    return kernel.refuse(EINVAL, `memfd_create does not know all of the flags 0x${(flags >>> 0).toString(16)}`);
  if (name.length > LONGEST_NAME) return kernel.refuse(EINVAL, `a memfd's name has at most ${LONGEST_NAME} bytes`);
  const pool = huge ? kernel.hugePages.ofSize((flags >>> MAP_HUGE_SHIFT) & 0x3f) : undefined;
  if (huge && pool === undefined) return kernel.refuse(ENODEV, 'x86 has pages of 2 MiB and 1 GiB');
  if (!kernel.kmalloc('struct file')) return -ENOMEM;
  const operations = pool === undefined ? { ...shared, ...bytes } : shared;
  const open = (flags & MFD_CLOEXEC) === 0 ? O_RDWR : O_RDWR | O_CLOEXEC;
  return new OpenFile(`/memfd:${name} (deleted)`, operations, open, new Memfd(kernel, pool));
}

class Memfd {
  readonly kernel: MemfdHost;
  readonly pool: HugePool | undefined;
  /** Small pages in a page of the file, as a power of two. */
  readonly order: number;
  size = 0;
  readonly #blocks = new Map<number, Hpa>();
  /** Large pages that are the file's, touched or not (the inode's resv_map). */
  readonly #reserved = new Set<number>();

  constructor(kernel: MemfdHost, pool: HugePool | undefined) {
    this.kernel = kernel;
    this.pool = pool;
    this.order = pool?.order ?? 0;
  }

  get #pageBytes(): number {
    return PAGE_SIZE * 2 ** this.order;
  }

  /** The frame of small page number `page`; -EFAULT beyond the end (SIGBUS), -ENOMEM. */
  frame(page: number): Hpa | number {
    if (page * PAGE_SIZE >= this.size) return -EFAULT;
    const within = page % 2 ** this.order;
    const block = this.#block((page - within) / 2 ** this.order);
    return block === undefined ? -ENOMEM : block + within * PAGE_SIZE;
  }

  #block(index: number): Hpa | undefined {
    let block = this.#blocks.get(index);
    if (block === undefined) {
      block = this.pool === undefined ? this.kernel.pages.allocate(0, GFP_HIGHUSER_MOVABLE) : this.pool.take();
      if (block !== undefined) this.#blocks.set(index, block);
    }
    return block;
  }

  /** hugetlb_reserve_pages of `[from, to)` bytes: 0 or -ENOMEM. */
  reserve(from: number, to: number): number {
    if (this.pool === undefined) return 0;
    const missing: number[] = [];
    const [first, end] = [from / this.#pageBytes, to / this.#pageBytes];
    // More than there are of this size in the whole host need not be counted out.
    const enough = end - first <= this.pool.total + this.#reserved.size;
    for (let index = first; enough && index < end; index++) if (!this.#reserved.has(index)) missing.push(index);
    if (!enough || !this.pool.reserve(missing.length))
      return this.kernel.refuse(
        ENOMEM,
        `${end - first} pages of ${this.#pageBytes / 1024} kB are wanted, and the pool has ${this.pool.free - this.pool.reserved} to give: nr_hugepages`,
      );
    for (const index of missing) this.#reserved.add(index);
    return 0;
  }

  /** ftruncate: pages beyond the new end go. 0 or -EINVAL. */
  truncate(size: number): number {
    if (size % this.#pageBytes !== 0 && this.pool !== undefined)
      return this.kernel.refuse(EINVAL, `the file is whole pages of ${this.#pageBytes / 1024} kB`);
    this.size = size;
    const end = Math.ceil(size / this.#pageBytes);
    for (const [index, block] of this.#blocks) {
      if (index < end) continue;
      this.kernel.pages.free(block, this.order);
      this.#blocks.delete(index);
      this.#reserved.delete(index);
    }
    for (const index of this.#reserved) {
      if (index < end) continue;
      this.pool?.unreserve(1);
      this.#reserved.delete(index);
    }
    return 0;
  }
}

const fileOf = (file: OpenFile) => file.privateData as Memfd;

const shared: FileOperations = {
  pageOrder: (file) => fileOf(file).order,
  truncate(file, size) {
    const memfd = fileOf(file);
    // unmap_mapping_range: what is left of the file comes back when it is touched.
    if (size < memfd.size) memfd.kernel.current.mm.zap(file);
    return memfd.truncate(size);
  },
  mmap(file: OpenFile, vma: Vma) {
    const memfd = fileOf(file);
    const error = memfd.reserve(vma.offset, vma.offset + vma.length);
    if (error < 0) return error;
    // hugetlbfs_file_mmap: a mapping that may write makes the file long enough.
    if (memfd.pool !== undefined && vma.protection & PROT_WRITE)
      memfd.size = Math.max(memfd.size, vma.offset + vma.length);
    vma.fault = (page) => memfd.frame(page);
    return 0;
  },
  release: (file) => void fileOf(file).truncate(0),
};

/** Reads and writes, which a file of large pages does not have. */
const bytes: FileOperations = {
  read(file, buffer, count, position) {
    const memfd = fileOf(file);
    return transfer(memfd, Math.min(count, memfd.size - position), position, (at, length, done) =>
      copyToUser(memfd.kernel, buffer + done, memfd.kernel.memory.bytes.subarray(at, at + length)),
    );
  },
  write(file, buffer, count, position) {
    const memfd = fileOf(file);
    memfd.size = Math.max(memfd.size, position + count);
    return transfer(memfd, count, position, (at, length, done) => {
      const part = new Uint8Array(length);
      const error = copyFromUser(memfd.kernel, part, (buffer + done) as Hva);
      if (error === 0) memfd.kernel.memory.write(at, part, 0, length);
      return error;
    });
  },
};

/** `count` bytes at `position`, page by page; bytes moved, or the errno of the first page if none was. */
function transfer(
  memfd: Memfd,
  count: number,
  position: number,
  copy: (at: number, length: number, done: number) => number,
): number {
  for (let done = 0; done < count; ) {
    const at = position + done;
    const length = Math.min(count - done, PAGE_SIZE - (at % PAGE_SIZE));
    const frame = memfd.frame(Math.floor(at / PAGE_SIZE));
    const error = frame < 0 ? frame : copy(frame + (at % PAGE_SIZE), length, done);
    if (error < 0) return done > 0 ? done : error;
    done += length;
  }
  return Math.max(count, 0);
}

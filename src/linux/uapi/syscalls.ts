/**
 * The system calls a user program of the modeled host may make, and its view of its own memory.
 *
 * QEMU is written against these two interfaces and nothing else, so the same VMM could run on the real kernel.
 * A call returns a non-negative result or `-errno`, as the raw system call does.
 */

import type { Hva } from '../../address.ts';

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_ACCMODE = 3;
export const O_CREAT = 0o100;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;
export const PROT_NONE = 0;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const PROT_EXEC = 4;
export const MAP_SHARED = 0x01;
export const MAP_PRIVATE = 0x02;
export const MAP_ANONYMOUS = 0x20;
/** Memory in large pages of a pool: of 2 MiB, or of the size whose logarithm stands in bits 31:26. */
export const MAP_HUGETLB = 0x40000;
export const MAP_HUGE_SHIFT = 26;
export const MAP_HUGE_2MB = 21 << MAP_HUGE_SHIFT;
export const MAP_HUGE_1GB = 30 * 2 ** MAP_HUGE_SHIFT;
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
/** As MAP_HUGETLB; the size stands in the same bits. */
export const MFD_HUGETLB = 4;
export const POLLIN = 1;
export const POLLOUT = 4;
export const POLLERR = 8;
export const POLLHUP = 0x10;
export const POLLNVAL = 0x20;
export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLL_CLOEXEC = O_CLOEXEC;
export const EFD_SEMAPHORE = 1;
export const EFD_NONBLOCK = O_NONBLOCK;
export const EFD_CLOEXEC = O_CLOEXEC;

/** The fields of `struct stat` the model keeps. */
export interface Stat {
  readonly kind: 'file' | 'directory' | 'symlink' | 'character device';
  readonly mode: number;
}

/** One name in a directory, as getdents64 tells it. */
export interface DirectoryEntry {
  readonly name: string;
  readonly kind: Stat['kind'];
}

/** System calls of one process. Paths and stat results cross as values; every other pointer is an {@link Hva}. */
export interface Syscalls {
  open(path: string, flags: number): number;
  close(fd: number): number;
  read(fd: number, buffer: Hva, count: number): number;
  write(fd: number, buffer: Hva, count: number): number;
  pread(fd: number, buffer: Hva, count: number, offset: number): number;
  pwrite(fd: number, buffer: Hva, count: number, offset: number): number;
  /** `argument` is an integer or the address of a structure, as the request defines. */
  ioctl(fd: number, request: number, argument: number): number;
  /** Returns the address of the mapping or `-errno`. `fd` is -1 for MAP_ANONYMOUS. */
  mmap(length: number, protection: number, flags: number, fd: number, offset: number): number;
  munmap(address: Hva, length: number): number;
  /** A file of no bytes in memory, of small pages or, with MFD_HUGETLB, of large ones. */
  memfd_create(name: string, flags: number): number;
  ftruncate(fd: number, length: number): number;
  eventfd(initial: number, flags: number): number;
  /** Which of `events` are ready on `fd` now (never sleeps: a poll with timeout 0); 0 if none. */
  poll(fd: number, events: number): number;
  /** A set of descriptors to wait for; `flags` is 0 or EPOLL_CLOEXEC. */
  epoll_create1(flags: number): number;
  /** `events` of POLL* for `fd`; what is given back with a ready descriptor is its number. */
  epoll_ctl(set: number, operation: number, fd: number, events: number): number;
  /** The descriptors that are ready now (never sleeps: a timeout of 0); none if `set` is no epoll set. */
  epoll_wait(set: number): readonly number[];
  /** clock_gettime(CLOCK_MONOTONIC): nanoseconds of virtual time. */
  clock_gettime(): number;
  /** timer_settime(2) of the process's one timer, TIMER_ABSTIME: SIGALRM at `deadline` nanoseconds; Infinity disarms it. */
  timer_settime(deadline: number): number;
  /**
   * rt_sigtimedwait(2) for every signal: the pending one's number, which is then no longer pending. -EAGAIN if there is none;
   * with `sleep`, if there is none and no timer that could ever bring one.
   */
  rt_sigtimedwait(sleep: boolean): number;
  /** stat(2): follows links. */
  stat(path: string): Stat | number;
  readlink(path: string): string | number;
  /** Names in a directory, sorted, without `.` and `..` (open, getdents64, close in one). */
  readdir(path: string): readonly DirectoryEntry[] | number;
  /** finit_module(2) as `insmod` uses it: load the host's module `name` with `key=value …` parameters. */
  init_module(name: string, parameters: string): number;
  delete_module(name: string): number;
}

/** What a parameter holds: `number` may be infinite, where an `integer` may not. */
export type ParameterKind = 'integer' | 'number' | 'string' | 'boolean';
type KindOf<T> = T extends number
  ? 'integer' | 'number'
  : T extends string
    ? 'string'
    : T extends boolean
      ? 'boolean'
      : never;
type KindsOf<P extends readonly unknown[]> = { readonly [index in keyof P]: KindOf<P[index]> };

/** The parameters of each call, for who takes them from code that nobody has checked the types of. */
export const syscallParameters: { readonly [name in keyof Syscalls]: KindsOf<Parameters<Syscalls[name]>> } = {
  open: ['string', 'integer'],
  close: ['integer'],
  read: ['integer', 'integer', 'integer'],
  write: ['integer', 'integer', 'integer'],
  pread: ['integer', 'integer', 'integer', 'integer'],
  pwrite: ['integer', 'integer', 'integer', 'integer'],
  ioctl: ['integer', 'integer', 'integer'],
  mmap: ['integer', 'integer', 'integer', 'integer', 'integer'],
  munmap: ['integer', 'integer'],
  memfd_create: ['string', 'integer'],
  ftruncate: ['integer', 'integer'],
  eventfd: ['integer', 'integer'],
  poll: ['integer', 'integer'],
  epoll_create1: ['integer'],
  epoll_ctl: ['integer', 'integer', 'integer', 'integer'],
  epoll_wait: ['integer'],
  clock_gettime: [],
  timer_settime: ['number'],
  rt_sigtimedwait: ['boolean'],
  stat: ['string'],
  readlink: ['string'],
  readdir: ['string'],
  init_module: ['string', 'string'],
  delete_module: ['string'],
};

/**
 * A process's own loads and stores through its page tables. Touching an unmapped page is a SIGSEGV: an assertion of
 * ours, since the programs are ours. Pages of anonymous mappings are allocated at the first touch.
 */
export interface UserMemory {
  /** The `length` bytes at `address`, live and shared; they must lie in one page. For hot paths: keep the view. */
  view(address: Hva, length: number): Uint8Array;
  /** Copy out; may cross pages. */
  read(address: Hva, length: number): Uint8Array;
  /** Copy in; may cross pages. */
  write(address: Hva, bytes: Uint8Array): void;
}

/** What a user program is given at start: its number, its calls, its memory. */
export interface UserProcess {
  readonly pid: number;
  readonly name: string;
  readonly syscalls: Syscalls;
  readonly memory: UserMemory;
}

/** A thread that may sleep in a system call. */
export interface Sleeper {
  /** The kernel's to set: true from where it falls asleep until it is woken. */
  asleep: boolean;
}

/** The process of a VMM, whose threads do little else than one system call over and over. */
export interface VmmProcess extends UserProcess {
  /**
   * ioctl(fd, request, argument), then `between` with its result, and again for as long as that answers true: the same as the loop
   * written out. The kernel may run `between` from within the call if that makes no difference.
   */
  ioctlLoop(fd: number, request: number, argument: number, between: (result: number) => boolean): void;
  /** `thread` sleeps in epoll_wait without a timeout. It is woken when something may be ready, and stays awake if that may be so now. */
  epollSleep(set: number, thread: Sleeper): void;
}

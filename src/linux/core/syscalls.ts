/**
 * The system call entry of one process: checks that Linux makes before it asks the file (fs/ioctl.c, mm/mmap.c, fs/select.c; reads
 * and writes are in transfers.ts), and the strace-style events. Hot: ioctl allocates nothing while nobody traces.
 */

import { type Hva, PAGE_SIZE } from '../../address.ts';
import { type EventStream, watch } from '../../event.ts';
import { EACCES, EAGAIN, EINVAL, ENODEV, ENOMEM, ENOTTY } from '../uapi/errno.ts';
import { SIGNAL } from '../uapi/signal.ts';
import {
  type DirectoryEntry,
  EFD_CLOEXEC,
  EFD_NONBLOCK,
  EFD_SEMAPHORE,
  EPOLL_CLOEXEC,
  MAP_ANONYMOUS,
  MAP_HUGETLB,
  MAP_PRIVATE,
  MAP_SHARED,
  O_ACCMODE,
  O_RDONLY,
  O_RDWR,
  O_WRONLY,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  POLLOUT,
  PROT_WRITE,
  type Sleeper,
  type Stat,
  type Syscalls,
} from '../uapi/syscalls.ts';
import type { Attention } from './attention.ts';
import type { Clock } from './clock.ts';
import { Epoll, isEpollFile } from './epoll.ts';
import { newEventfd } from './eventfd.ts';
import type { OpenFile } from './file.ts';
import { type MemfdHost, memfdCreate } from './memfd.ts';
import type { ModuleRegistry } from './modules.ts';
import { type Process, ProgramPart } from './process.ts';
import * as strace from './strace.ts';
import { enterKernel, leaveKernel, refuseClosed, transfersOf } from './transfers.ts';
import type { Vfs } from './vfs.ts';

const NOTHING: readonly number[] = [];

/** What the system calls need of the kernel. */
export interface SyscallHost extends MemfdHost {
  readonly attention: Attention;
  readonly stream: EventStream;
  readonly clock: Clock;
  readonly files: Vfs;
  readonly modules: Pick<ModuleRegistry, 'load' | 'unload'>;
  current: Process;
  kmalloc(what: string): boolean;
  eventfdFile(context: unknown, flags: number): OpenFile | number;
  epollFile(set: Epoll, flags: number): OpenFile | number;
  install(file: OpenFile): number;
}

/** The system calls of one process. */
export class ProcessSyscalls implements Syscalls {
  readonly read: Syscalls['read'];
  readonly write: Syscalls['write'];
  readonly pread: Syscalls['pread'];
  readonly pwrite: Syscalls['pwrite'];
  readonly #kernel: SyscallHost;
  readonly #process: Process;

  constructor(kernel: SyscallHost, process: Process) {
    this.#kernel = kernel;
    this.#process = process;
    const { read, write, pread, pwrite } = transfersOf(kernel, process);
    this.read = read;
    this.write = write;
    this.pread = pread;
    this.pwrite = pwrite;
  }

  open(path: string, flags: number): number {
    const before = this.#enter();
    const file = this.#kernel.kmalloc('struct file') ? this.#kernel.files.open(path, flags) : -ENOMEM;
    const result = typeof file === 'number' ? file : this.#kernel.install(file);
    this.#leave(before);
    if (strace.sysOpenat.on) strace.traceOpen(this.#kernel.stream, this.#process, path, flags, result);
    return result;
  }

  close(fd: number): number {
    const text = strace.sysClose.on ? strace.closeText(this.#process, fd) : '';
    const before = this.#enter();
    const result = this.#process.files.get(fd) === undefined ? this.#notOpen(fd) : this.#process.files.close(fd);
    this.#kernel.attention.call();
    this.#leave(before);
    if (strace.sysClose.on) strace.trace(strace.sysClose, this.#kernel.stream, this.#process, text, result);
    return result;
  }

  ioctl(fd: number, request: number, argument: number): number {
    // What goes in is told before the call: the structure may be overwritten by the answer.
    const told = watch.on && strace.sysIoctl.on ? strace.beginIoctl(this.#process, fd, request, argument) : undefined;
    const before = this.#enter();
    const file = this.#process.files.get(fd);
    let result: number;
    if (file === undefined) result = this.#notOpen(fd);
    else if (file.ioctl === undefined) result = this.#kernel.refuse(ENOTTY, `${file.path} has no ioctls`);
    else result = file.ioctl(file, request, argument);
    this.#leave(before);
    if (told !== undefined) strace.endIoctl(told, this.#kernel.stream, this.#process, result);
    return result;
  }

  /** {@link VmmProcess.ioctlLoop}. */
  ioctlLoop(fd: number, request: number, argument: number, between: (result: number) => boolean): void {
    const process = this.#process;
    const part = new ProgramPart(between);
    try {
      while (part.goesOn) {
        process.between = part;
        part.taken = false;
        const result = this.ioctl(fd, request, argument);
        if (!part.taken) part.take(result);
      }
    } finally {
      process.between = undefined;
    }
  }

  mmap(length: number, protection: number, flags: number, fd: number, offset: number): number {
    const before = this.#enter();
    const result = this.#map(length, protection, flags, fd, offset);
    this.#leave(before);
    if (strace.sysMmap.on) {
      const text = strace.mmapText(this.#process, length, protection, flags, fd, offset);
      strace.trace(strace.sysMmap, this.#kernel.stream, this.#process, text, result, 'address');
    }
    return result;
  }

  munmap(address: Hva, length: number): number {
    const before = this.#enter();
    const result = this.#process.mm.munmap(address, length);
    if (result < 0)
      this.#kernel.refuse(EINVAL, `munmap of ${length} bytes at 0x${address.toString(16)}: not whole pages`);
    this.#leave(before);
    if (strace.sysMunmap.on) {
      const text = `munmap(0x${address.toString(16)}, ${length})`;
      strace.trace(strace.sysMunmap, this.#kernel.stream, this.#process, text, result);
    }
    return result;
  }

  memfd_create(name: string, flags: number): number {
    const before = this.#enter();
    const file = memfdCreate(this.#kernel, name, flags);
    const result = typeof file === 'number' ? file : this.#kernel.install(file);
    this.#leave(before);
    if (strace.sysMemfdCreate.on) {
      const text = strace.memfdText(name, flags);
      strace.trace(strace.sysMemfdCreate, this.#kernel.stream, this.#process, text, result, 'fd');
    }
    return result;
  }

  ftruncate(fd: number, length: number): number {
    const before = this.#enter();
    const file = this.#process.files.get(fd);
    let result: number;
    if (length < 0) result = this.#kernel.refuse(EINVAL, `a file of ${length} bytes`);
    else if (file === undefined) result = this.#notOpen(fd);
    else if (file.operations.truncate === undefined || (file.flags & O_ACCMODE) === O_RDONLY)
      result = this.#kernel.refuse(EINVAL, `${file.path} is not a file whose length can be set`);
    else result = file.operations.truncate(file, length);
    this.#leave(before);
    if (strace.sysFtruncate.on) {
      const text = strace.ftruncateText(this.#process, fd, length);
      strace.trace(strace.sysFtruncate, this.#kernel.stream, this.#process, text, result);
    }
    return result;
  }

  eventfd(initial: number, flags: number): number {
    const before = this.#enter();
    const result = this.#eventfd(initial, flags);
    this.#leave(before);
    if (strace.sysEventfd2.on) {
      const text = strace.eventfdText(initial, flags);
      strace.trace(strace.sysEventfd2, this.#kernel.stream, this.#process, text, result, 'fd');
    }
    return result;
  }

  poll(fd: number, events: number): number {
    const before = this.#enter();
    const file = this.#process.files.get(fd);
    const ready = file === undefined ? POLLNVAL : (file.operations.poll?.(file) ?? POLLIN | POLLOUT);
    const result = ready & (events | POLLERR | POLLHUP | POLLNVAL);
    this.#leave(before);
    if (strace.sysPoll.on) strace.tracePoll(this.#kernel.stream, this.#process, fd, events, result);
    return result;
  }

  epoll_create1(flags: number): number {
    const before = this.#enter();
    const result = this.#epoll(flags);
    this.#leave(before);
    if (strace.sysEpollCreate1.on) strace.traceEpollCreate(this.#kernel.stream, this.#process, flags, result);
    return result;
  }

  epoll_ctl(set: number, operation: number, fd: number, events: number): number {
    const before = this.#enter();
    const { files } = this.#process;
    const epoll = files.get(set);
    let result: number;
    if (epoll === undefined) result = this.#notOpen(set);
    else if (!isEpollFile(epoll)) result = this.#kernel.refuse(EINVAL, `fd ${set} is no epoll set`);
    else result = epoll.privateData.control(operation, fd, files.get(fd), events);
    this.#leave(before);
    if (strace.sysEpollCtl.on) {
      strace.traceEpollControl(this.#kernel.stream, this.#process, set, operation, fd, events, result);
    }
    return result;
  }

  /** A wait that finds nothing leaves no event: in life the thread would still be asleep in it. */
  epoll_wait(set: number): readonly number[] {
    const file = this.#process.files.get(set);
    const ready = file !== undefined && isEpollFile(file) ? file.privateData.wait() : NOTHING;
    if (ready.length > 0 && strace.sysEpollWait.on) {
      strace.traceEpollWait(this.#kernel.stream, this.#process, set, ready);
    }
    return ready;
  }

  /** {@link VmmProcess.epollSleep}. */
  epollSleep(set: number, thread: Sleeper): void {
    const file = this.#process.files.get(set);
    if (file !== undefined && isEpollFile(file)) file.privateData.sleep(thread);
  }

  clock_gettime(): number {
    const { now } = this.#kernel.clock;
    if (strace.sysClockGettime.on) strace.traceClock(this.#kernel.stream, this.#process, now);
    return now;
  }

  timer_settime(deadline: number): number {
    const { clock } = this.#kernel;
    const process = this.#process;
    if (!(deadline >= 0)) return this.#kernel.refuse(EINVAL, `${deadline} is no time for a timer`);
    if (process.alarm !== undefined) clock.cancel(process.alarm);
    process.alarm = undefined;
    if (deadline !== Number.POSITIVE_INFINITY) {
      process.alarm = clock.start(deadline, () => {
        process.alarm = undefined;
        process.pendingSignal ??= 'SIGALRM';
      });
    }
    if (strace.sysTimerSettime.on) strace.traceTimer(this.#kernel.stream, process, deadline);
    return 0;
  }

  rt_sigtimedwait(sleep: boolean): number {
    const process = this.#process;
    const { clock } = this.#kernel;
    clock.expire();
    while (sleep && process.pendingSignal === undefined && clock.sleep());
    const signal = process.pendingSignal;
    process.pendingSignal = undefined;
    const result = signal === undefined ? -EAGAIN : SIGNAL[signal];
    if (strace.sysRtSigtimedwait.on) {
      const call = `rt_sigtimedwait(~[], NULL, ${sleep ? 'NULL' : '{tv_sec=0, tv_nsec=0}'}, 8)`;
      strace.trace(strace.sysRtSigtimedwait, this.#kernel.stream, process, call, result);
    }
    return result;
  }

  stat(path: string): Stat | number {
    const before = this.#enter();
    const result = this.#kernel.files.stat(path);
    this.#leave(before);
    if (strace.sysNewfstatat.on) strace.traceStat(this.#kernel.stream, this.#process, path, result);
    return result;
  }

  readlink(path: string): string | number {
    const before = this.#enter();
    const result = this.#kernel.files.readlink(path);
    this.#leave(before);
    if (strace.sysReadlink.on) strace.traceReadlink(this.#kernel.stream, this.#process, path, result);
    return result;
  }

  readdir(path: string): readonly DirectoryEntry[] | number {
    const before = this.#enter();
    const result = this.#kernel.files.readdir(path);
    this.#leave(before);
    if (strace.sysGetdents64.on) strace.traceReaddir(this.#kernel.stream, this.#process, path, result);
    return result;
  }

  init_module(name: string, parameters: string): number {
    const before = this.#enter();
    const result = this.#kernel.modules.load(name, parameters);
    this.#leave(before);
    if (strace.sysInitModule.on) {
      const text = strace.initModuleText(name, parameters);
      strace.trace(strace.sysInitModule, this.#kernel.stream, this.#process, text, result);
    }
    return result;
  }

  delete_module(name: string): number {
    const before = this.#enter();
    const result = this.#kernel.modules.unload(name);
    this.#leave(before);
    if (strace.sysDeleteModule.on) {
      const text = strace.deleteModuleText(name);
      strace.trace(strace.sysDeleteModule, this.#kernel.stream, this.#process, text, result);
    }
    return result;
  }

  /** The kernel works for this process from here on; returns whom it worked for before. */
  #enter(): Process {
    return enterKernel(this.#kernel, this.#process);
  }

  /** Back to user space, or to whom the kernel worked for before. */
  #leave(before: Process): void {
    leaveKernel(this.#kernel, this.#process, before);
  }

  #eventfd(initial: number, flags: number): number {
    const kernel = this.#kernel;
    const context = newEventfd(initial, flags, EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK);
    if (context === undefined)
      return kernel.refuse(EINVAL, `eventfd2 does not know all of the flags 0x${flags.toString(16)}`);
    if (!kernel.kmalloc('struct eventfd_ctx')) return -ENOMEM;
    const file = kernel.eventfdFile(context, O_RDWR | (flags & (EFD_CLOEXEC | EFD_NONBLOCK)));
    return typeof file === 'number' ? file : kernel.install(file);
  }

  #epoll(flags: number): number {
    const kernel = this.#kernel;
    if ((flags & ~EPOLL_CLOEXEC) !== 0)
      return kernel.refuse(EINVAL, `epoll_create1 does not know all of the flags 0x${flags.toString(16)}`);
    if (!kernel.kmalloc('struct eventpoll')) return -ENOMEM;
    const file = kernel.epollFile(new Epoll(kernel), O_RDWR | flags);
    return typeof file === 'number' ? file : kernel.install(file);
  }

  #notOpen(fd: number): number {
    return refuseClosed(this.#kernel, this.#process, fd);
  }

  #map(length: number, protection: number, flags: number, fd: number, offset: number): number {
    const kernel = this.#kernel;
    const { mm, files } = this.#process;
    if (length <= 0) return kernel.refuse(EINVAL, 'mmap of 0 bytes');
    if (offset < 0 || offset % PAGE_SIZE !== 0)
      return kernel.refuse(EINVAL, `mmap offset ${offset} is no multiple of a page`);
    if (((flags & MAP_SHARED) !== 0) === ((flags & MAP_PRIVATE) !== 0)) {
      return kernel.refuse(EINVAL, 'mmap wants one of MAP_SHARED and MAP_PRIVATE');
    }
    let file: OpenFile | undefined;
    if ((flags & MAP_ANONYMOUS) === 0) {
      file = files.get(fd);
      if (file === undefined) return this.#notOpen(fd);
      // Every mapping of a file reads it; a shared one that may write needs a file open for writing.
      const access = file.flags & O_ACCMODE;
      const writes = (flags & MAP_SHARED) !== 0 && (protection & PROT_WRITE) !== 0;
      if (access === O_WRONLY || (writes && access !== O_RDWR)) {
        return kernel.refuse(EACCES, `${file.path} was not opened for what the mapping may do`);
      }
      if (file.operations.mmap === undefined) return kernel.refuse(ENODEV, `${file.path} cannot be mapped`);
    }
    if (!kernel.kmalloc('struct vm_area_struct')) return -ENOMEM;
    const result = mm.mmap(length, protection, flags, file, offset);
    if (result >= 0 || (flags & (MAP_HUGETLB | MAP_ANONYMOUS)) !== (MAP_HUGETLB | MAP_ANONYMOUS)) return result;
    return result === -EINVAL
      ? kernel.refuse(EINVAL, 'x86 has pages of 2 MiB and 1 GiB')
      : kernel.refuse(ENOMEM, `the pool has too few large pages for ${length} bytes: nr_hugepages`);
  }
}

/** A process of the modeled host: `struct task_struct` with its descriptors and memory (fs/file.c, kernel/exit.c). */

import { EBADF, EMFILE } from '../uapi/errno.ts';
import type { SignalName } from '../uapi/signal.ts';
import type { Attention } from './attention.ts';
import type { Clock, Timer } from './clock.ts';
import type { OpenFile } from './file.ts';
import type { AddressSpace } from './mm.ts';

/** RLIMIT_NOFILE. */
const MAX_DESCRIPTORS = 1024;

/** files_struct: descriptor numbers to open files. */
export class FdTable {
  readonly #files: (OpenFile | undefined)[] = [];

  /** Give `file` the lowest free number; the table takes over the caller's reference. -EMFILE when full. */
  install(file: OpenFile): number {
    let fd = 0;
    while (this.#files[fd] !== undefined) fd++;
    if (fd >= MAX_DESCRIPTORS) return -EMFILE;
    this.#files[fd] = file;
    return fd;
  }

  /** get_unused_fd_flags would find a number. */
  get hasRoom(): boolean {
    return this.#files.length < MAX_DESCRIPTORS || this.#files.includes(undefined);
  }

  /** The file behind `fd`, without a reference; undefined if the number is not open (EBADF). */
  get(fd: number): OpenFile | undefined {
    return this.#files[fd];
  }

  /** Close one descriptor: 0 or -EBADF. */
  close(fd: number): number {
    const file = this.#files[fd];
    if (file === undefined) return -EBADF;
    this.#files[fd] = undefined;
    file.put();
    return 0;
  }

  /** Close all, lowest number first. */
  closeAll(): void {
    for (let fd = 0; fd < this.#files.length; fd++) this.close(fd);
  }

  /** Open descriptor numbers, ascending. */
  open(): readonly number[] {
    return [...this.#files.keys()].filter((fd) => this.#files[fd] !== undefined);
  }
}

/** Where "the current task" is kept; the kernel. */
export interface CurrentTask {
  current: Process;
  readonly clock: Clock;
  readonly attention: Attention;
  /** `process` has ended. */
  reap(process: Process): void;
}

/** The part of a program between two turns of a loop around one system call. */
export class ProgramPart {
  /** It runs, or was run for the call's last return. */
  taken = false;
  /** It wants the call made once more. */
  goesOn = true;
  /** Run it with what the call returns; whether it makes the call once more. Hot, and a function of this object's own, in which all is constant. */
  readonly take: (result: number) => boolean;

  constructor(body: (result: number) => boolean) {
    this.take = (result) => {
      // Now, because a call that is made in it is one of its own.
      this.taken = true;
      this.goesOn = body(result);
      return this.goesOn;
    };
  }
}

/** One process. It runs when its program calls; the kernel works on its behalf while `kernel.current` is it. */
export class Process {
  readonly pid: number;
  /** As in /proc/PID/comm. */
  readonly name: string;
  readonly mm: AddressSpace;
  readonly files = new FdTable();
  /** RLIMIT_MEMLOCK in bytes, as a login sets it. Only a process without CAP_IPC_LOCK is held to it. */
  lockLimit = 8 * 1024 * 1024;
  /** CAP_IPC_LOCK: root's, until it is dropped. */
  mayLockMemory = true;
  #pendingSignal: SignalName | undefined;
  /** The system call under way is a loop's, and this what the program does between two turns. */
  between: ProgramPart | undefined;
  /** `fail-nth`: the how-many-th chance from now on is to fail; 0 for none. */
  failNth = 0;
  /** `make-it-fail`: what debugfs says of faults in chosen tasks holds for this one. */
  makeItFail = false;
  /** Its POSIX timer, while that is armed. */
  alarm: Timer | undefined;
  /** A thread of the kernel: it has no user memory of its own, and may borrow another's (kthread_use_mm). */
  readonly kernelThread: boolean;
  readonly #task: CurrentTask;
  #exited = false;

  constructor(task: CurrentTask, pid: number, name: string, mm: AddressSpace, kernelThread = false) {
    this.#task = task;
    this.pid = pid;
    this.name = name;
    this.mm = mm;
    this.kernelThread = kernelThread;
  }

  /** Name of a signal that waits for delivery: KVM_RUN and other sleeping calls return -EINTR. */
  get pendingSignal(): SignalName | undefined {
    return this.#pendingSignal;
  }
  set pendingSignal(name: SignalName | undefined) {
    this.#pendingSignal = name;
    this.#task.attention.call();
  }

  get exited(): boolean {
    return this.#exited;
  }

  /** do_exit: the memory goes first, then the descriptors, both in the context of the dying process. */
  exit(): void {
    if (this.#exited) return;
    this.#exited = true;
    const before = this.#task.current;
    this.#task.current = this;
    if (this.alarm !== undefined) this.#task.clock.cancel(this.alarm);
    this.mm.release();
    this.files.closeAll();
    this.#task.current = before;
    this.#task.reap(this);
  }
}

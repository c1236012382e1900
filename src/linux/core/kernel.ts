/**
 * The host kernel: what its parts share. KVM, VFIO, mdev and the drivers are handed one of these, and meet each other only
 * through it: `symbols` stands for EXPORT_SYMBOL and symbol_get.
 */

import { type Hpa, hpa } from '../../address.ts';
import { type EventStream, event } from '../../event.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import { EMFILE, ENOMEM, errnoName } from '../uapi/errno.ts';
import { O_RDONLY, O_WRONLY, type VmmProcess } from '../uapi/syscalls.ts';
import { Attention } from './attention.ts';
import { Clock } from './clock.ts';
import { DeviceModel } from './device-model.ts';
import { type Epoll, epollOperations } from './epoll.ts';
import { eventfdOperations } from './eventfd.ts';
import { FaultInjection } from './fault-injection.ts';
import { type FileOperations, OpenFile } from './file.ts';
import { GFP_KERNEL } from './gfp.ts';
import { HugePages } from './hugetlb.ts';
import { showHugePages } from './hugetlb-sysfs.ts';
import { IommuGroups } from './iommu-group.ts';
import { AddressSpace } from './mm.ts';
import { ModuleRegistry } from './modules.ts';
import { PageAllocator } from './page-allocator.ts';
import { KernelLog } from './printk.ts';
import { Process } from './process.ts';
import { procDirectory } from './procfs.ts';
import { ProcessSyscalls } from './syscalls.ts';
import { Sysfs } from './sysfs.ts';
import { copyFromUser } from './uaccess.ts';
import { ProcessMemory } from './user-memory.ts';
import { Vfs } from './vfs.ts';

/** Event `refusal`: the rule behind an errno, for --explain. */
export const refusal = event(
  'refusal',
  'host',
  { errno: 'u32', because: 'string' },
  (e) => `${errnoName(e.errno)}: ${e.because}`,
  'The host kernel refused a request: the rule that was broken.',
  true,
);

/** Frames below this address belong to firmware, as on a PC; they are never handed out. */
const FIRST_FREE: Hpa = hpa(0x100000);

/** A longer write is done in parts, as a terminal's is. */
const LONGEST_WRITE = 65536;

/** One booted host kernel. */
export class Kernel {
  readonly memory: PhysicalMemory;
  readonly stream: EventStream;
  readonly attention = new Attention();
  readonly clock = new Clock(this.attention);
  readonly pages: PageAllocator;
  readonly hugePages: HugePages;
  readonly log: KernelLog;
  readonly files: Vfs;
  readonly sysfs: Sysfs;
  readonly devices: DeviceModel;
  readonly iommuGroups: IommuGroups;
  readonly modules: ModuleRegistry<Kernel>;
  /** EXPORT_SYMBOL / symbol_get between parts that may not import each other. */
  readonly symbols = new Map<string, unknown>();
  /** The process on whose behalf the kernel works; pid 0 while there is none. */
  current: Process;
  readonly #eventfdOperations: FileOperations;
  readonly #faults: FaultInjection;
  /** Those that have not ended, oldest first. */
  readonly #processes = new Map<number, Process>();
  #lastPid = 0;

  constructor(options: { readonly memory: PhysicalMemory; readonly stream: EventStream }) {
    this.memory = options.memory;
    this.stream = options.stream;
    this.stream.onListener = () => this.attention.call();
    this.pages = new PageAllocator(this.memory, FIRST_FREE, (order, gfp) => this.#faults.failPageAlloc(order, gfp));
    this.hugePages = new HugePages(this.pages);
    this.log = new KernelLog(this.stream);
    this.current = new Process(this, 0, 'swapper', new AddressSpace(this.memory, this.pages, this.hugePages), true);
    this.files = new Vfs(this);
    this.sysfs = new Sysfs(this, this.files);
    this.#faults = new FaultInjection(this);
    this.files.mount('/proc', procDirectory(this));
    this.devices = new DeviceModel(this);
    this.iommuGroups = new IommuGroups(this);
    this.modules = new ModuleRegistry<Kernel>(this, this);
    this.#eventfdOperations = eventfdOperations(this);
    this.sysfs.directory('/sys/module');
    showHugePages(this.hugePages, this.sysfs, this);
    const nullOperations: FileOperations = { read: () => 0, write: (_file, _buffer, count) => count };
    const openNull = (flags: number) => new OpenFile('/dev/null', nullOperations, flags, undefined);
    this.files.registerDevice('/dev/null', 0o666, openNull);
  }

  /** One line into the kernel's log (dmesg). */
  printk(text: string): void {
    this.log.print(text);
  }

  /** WARN_ON: a rule that the kernel itself keeps was broken, by it or by a driver. The line that heads the trace, of which there is none. */
  warn(file: string, symbol: string, module: string): void {
    this.printk(`WARNING: CPU: 0 PID: ${this.current.pid} at ${file} ${symbol} [${module}]`);
  }

  /** Returns -errno, and records which rule was broken for whoever listens. */
  refuse(errno: number, because: string): number {
    if (refusal.on) refusal(this.stream, { errno, because });
    return -errno;
  }

  /**
   * kmalloc: whether the kernel has memory for `what`, the name of an object; -ENOMEM is refused already if it has not. The object
   * itself is the model's, and costs no page; what fails is what fault injection makes fail. Each object of the kernel is asked for here.
   */
  kmalloc(what: string, gfp: number = GFP_KERNEL): boolean {
    if (!this.#faults.failslab(what, gfp)) return true;
    this.refuse(ENOMEM, `no memory for ${what}: the fault was injected (failslab)`);
    return false;
  }

  /** Several objects, in this order, as far as there is memory. */
  kmallocAll(...objects: readonly string[]): boolean {
    return objects.every((what) => this.kmalloc(what));
  }

  /** anon_inode_getfile: an open file without a path, shown as `anon_inode:NAME`; -ENOMEM. */
  anonFile<P>(name: string, operations: FileOperations, flags: number, privateData: P): OpenFile<P> | number {
    if (!this.kmalloc('struct file')) return -ENOMEM;
    return new OpenFile(`anon_inode:${name}`, operations, flags, privateData);
  }

  /** The current process gets a descriptor for `file`, and with it the caller's reference; -EMFILE, and the file is closed. */
  install(file: OpenFile): number {
    const { files, name } = this.current;
    const fd = files.install(file);
    if (fd >= 0) return fd;
    file.put();
    return this.refuse(EMFILE, `process ${name} has all the files open that it may`);
  }

  /** The open file of a new eventfd; -ENOMEM. */
  eventfdFile(context: unknown, flags: number): OpenFile | number {
    return this.anonFile('[eventfd]', this.#eventfdOperations, flags, context);
  }

  /** The open file of a new epoll set; -ENOMEM. */
  epollFile(set: Epoll, flags: number): OpenFile | number {
    return this.anonFile('[eventpoll]', epollOperations, flags, set);
  }

  /** Processes that have not ended, oldest first. */
  processes(): Iterable<Process> {
    return this.#processes.values();
  }

  reap({ pid }: Process): void {
    this.#processes.delete(pid);
  }

  /**
   * Let a process have the processor while `body`, its program, runs. It is current in user mode as well then, and a system call has
   * nobody to switch to and back from.
   */
  schedule<T>(process: Process, body: () => T): T {
    const before = this.current;
    this.current = process;
    try {
      return body();
    } finally {
      this.current = before;
    }
  }

  /** kthread_create: a thread of the kernel, which has no user memory. */
  kthread(name: string): Process {
    return this.#process(name, true);
  }

  #process(name: string, kernelThread = false): Process {
    const pid = ++this.#lastPid;
    const process = new Process(
      this,
      pid,
      name,
      new AddressSpace(this.memory, this.pages, this.hugePages),
      kernelThread,
    );
    this.#processes.set(pid, process);
    return process;
  }

  /**
   * A new process for a program of ours: fd 0 is empty input, writes to fds 1 and 2 arrive at `stdio`.
   * `process.exit()` ends it.
   */
  spawn(
    name: string,
    stdio: (fd: 1 | 2, bytes: Uint8Array) => void,
  ): { readonly process: Process; readonly user: VmmProcess } {
    const process = this.#process(name);
    const operations: FileOperations = {
      stream: true,
      read: () => 0,
      write: (file, buffer, count) => {
        const bytes = new Uint8Array(Math.min(count, LONGEST_WRITE));
        const error = copyFromUser(this, bytes, buffer);
        if (error < 0) return error;
        stdio(file.privateData as 1 | 2, bytes);
        return bytes.length;
      },
    };
    const terminal = (fd: number) => new OpenFile('/dev/pts/0', operations, fd === 0 ? O_RDONLY : O_WRONLY, fd);
    for (const fd of [0, 1, 2]) process.files.install(terminal(fd));
    const syscalls = new ProcessSyscalls(this, process);
    const user: VmmProcess = {
      pid: process.pid,
      name,
      syscalls,
      memory: new ProcessMemory(process),
      ioctlLoop: (fd, request, argument, between) => syscalls.ioctlLoop(fd, request, argument, between),
      epollSleep: (set, thread) => syscalls.epollSleep(set, thread),
    };
    return { process, user };
  }
}

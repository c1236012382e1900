/** What every part of QEMU uses of its process: system calls with structures, and messages on stderr (util/error-report.c). */

import { type Hva, hva } from '../address.ts';
import type { EventStream } from '../event.ts';
import { strerror } from '../linux/uapi/errno.ts';
import type { Ioctl } from '../linux/uapi/ioctl.ts';
import type { Members, Struct, StructValue } from '../linux/uapi/struct.ts';
import { EFD_CLOEXEC, EFD_NONBLOCK, type Syscalls, type UserMemory, type VmmProcess } from '../linux/uapi/syscalls.ts';
import { Abort } from './error.ts';
import { kvmDeviceIoctl, kvmIoctl, kvmVcpuIoctl, kvmVmIoctl } from './trace-events.ts';
import { UserHeap } from './user-heap.ts';

const STDERR = 2;
/** error_get_progname. */
export const PROGRAM = 'qemu-system-x86_64';

/** What an fd of KVM is: /dev/kvm, a VM, a device that KVM made, or the vCPU of that index. */
type KvmFile = 'system' | 'vm' | 'device' | number;

export class System {
  readonly process: VmmProcess;
  readonly syscalls: Syscalls;
  readonly memory: UserMemory;
  readonly heap: UserHeap;
  readonly stream: EventStream;
  /** The command-line option that is being done. */
  #where: string | undefined;
  readonly #kvmFiles = new Map<number, KvmFile>();

  constructor(process: VmmProcess, stream: EventStream) {
    this.process = process;
    this.syscalls = process.syscalls;
    this.memory = process.memory;
    this.stream = stream;
    this.heap = new UserHeap(process);
  }

  /** `fd` is one of KVM's: its ioctls are told as QEMU's kvm_ioctl, kvm_vm_ioctl, … tell them. */
  isKvmFile(fd: number, kind: KvmFile): void {
    this.#kvmFiles.set(fd, kind);
  }

  #tellIoctl(fd: number, type: number, arg: number): void {
    const kind = this.#kvmFiles.get(fd);
    if (kind === undefined) return;
    if (kind === 'system') {
      if (kvmIoctl.on) kvmIoctl(this.stream, { type, arg });
    } else if (kind === 'vm') {
      if (kvmVmIoctl.on) kvmVmIoctl(this.stream, { type, arg });
    } else if (kind === 'device') {
      if (kvmDeviceIoctl.on) kvmDeviceIoctl(this.stream, { fd, type, arg });
    } else if (kvmVcpuIoctl.on) kvmVcpuIoctl(this.stream, { cpu_index: kind, type, arg });
  }

  /** An ioctl whose argument is nothing, an integer, or an address. */
  ioctl(fd: number, request: Ioctl, argument = 0): number {
    if (kvmIoctl.on || kvmVmIoctl.on || kvmVcpuIoctl.on || kvmDeviceIoctl.on)
      this.#tellIoctl(fd, request.number, argument);
    return this.syscalls.ioctl(fd, request.number, argument);
  }

  /** An ioctl that takes a structure and tells nothing but its result. `tail` follows the structure. */
  ioctlStruct<M extends Members>(
    fd: number,
    request: Ioctl,
    struct: Struct<M>,
    value: Partial<StructValue<M>>,
    tail?: Uint8Array,
  ): number {
    return this.heap.scoped(() => this.ioctl(fd, request, this.heap.put(struct, value, tail)));
  }

  /** An ioctl that fills its structure. */
  exchange<M extends Members>(
    fd: number,
    request: Ioctl,
    struct: Struct<M>,
    value: Partial<StructValue<M>>,
  ): { readonly result: number; readonly value: StructValue<M> } {
    return this.heap.scoped(() => {
      const at = this.heap.put(struct, value);
      const result = this.ioctl(fd, request, at);
      return { result, value: this.heap.get(struct, at) };
    });
  }

  /** event_notifier_init: a non-blocking eventfd. */
  eventNotifier(): number {
    const fd = this.syscalls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) throw new Abort(`eventfd: ${strerror(-fd)}`);
    return fd;
  }

  /** event_notifier_test_and_clear. */
  testAndClear(fd: number): boolean {
    return this.heap.scoped(() => this.syscalls.read(fd, this.heap.allocate(8), 8) === 8);
  }

  /** How often an eventfd has been signalled since this was last asked. */
  takeSignals(fd: number): number {
    return this.heap.scoped(() => {
      const at = this.heap.allocate(8);
      if (this.syscalls.read(fd, at, 8) !== 8) return 0;
      const bytes = this.memory.read(at, 8);
      return Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
    });
  }

  /** A file's bytes from `offset`, shorter at its end; or -errno. */
  readFile(fd: number, offset: number, length: number): Uint8Array | number {
    return this.heap.scoped(() => {
      const at = this.heap.allocate(length);
      const got = this.syscalls.pread(fd, at, length, offset);
      return got < 0 ? got : this.memory.read(at, got);
    });
  }

  /** fprintf(stderr, …): raw text. */
  print(text: string): void {
    this.output(STDERR, new TextEncoder().encode(text));
  }

  /** write(2) of all bytes, in pieces that fit the heap. */
  output(fd: number, bytes: Uint8Array): void {
    const piece = 4096;
    for (let i = 0; i < bytes.length; i += piece) {
      const part = bytes.subarray(i, i + piece);
      this.heap.scoped(() => {
        const at: Hva = this.heap.allocate(part.length);
        this.memory.write(at, part);
        this.syscalls.write(fd, at, part.length);
      });
    }
  }

  /** loc_push_restore: what `step` reports is about the command-line option `where`. */
  about<R>(where: string, step: () => R): R {
    const before = this.#where;
    this.#where = where;
    try {
      return step();
    } finally {
      this.#where = before;
    }
  }

  /** error_report: `qemu-system-x86_64: MESSAGE`; `where` is the command-line option it is about. */
  error(message: string, where = this.#where): void {
    this.print(`${PROGRAM}: ${where === undefined ? '' : `${where}: `}${message}\n`);
  }

  /** The bytes at `address`, live, and a DataView on them: for scratch buffers of the hot path. */
  scratch(size: number): { readonly at: Hva; readonly view: DataView } {
    const at = hva(this.heap.allocate(size));
    const bytes = this.memory.view(at, size);
    return { at, view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength) };
  }
}

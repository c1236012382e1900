/**
 * ioregionfd, experimental: a file serves a range of guest addresses. An access is a pread or pwrite that KVM makes in the
 * vCPU's thread: no return to user space, no program in between. A VFIO device's file is such a file.
 *
 * Fidelity: Linux has no such thing. A mail of 2016 asked for "an fd with read/write for an MMIO range", patches of 2020
 * proposed it with a protocol over sockets; neither was merged. It is here so that its cost can be compared, and off until
 * KVM_CAP_IOREGIONFD is switched on.
 */

import { type Hva, PAGE_SIZE } from '../../address.ts';
import type { OpenFile } from '../core/file.ts';
import type { Kernel } from '../core/kernel.ts';
import type { AddressSpace } from '../core/mm.ts';
import { copyFromUser, copyToUser } from '../core/uaccess.ts';
import { EBADF, EEXIST, EINVAL, ENOENT, ENOMEM, ENOTTY, EOPNOTSUPP } from '../uapi/errno.ts';
import { KVM_IOREGION_DEASSIGN, KVM_IOREGION_PIO, type kvm_ioregion } from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../uapi/syscalls.ts';
import type { IoBus, IoDevice } from './io-bus.ts';

type Arguments = StructOf<typeof kvm_ioregion>;

const TWO_TO_64 = 1n << 64n;
const PORTS = 0x10000n;

/** One range. What the file refuses goes to user space, as if nobody had the range. */
class Ioregion implements IoDevice {
  readonly address: number;
  readonly size: number;
  readonly file: OpenFile;
  readonly #kernel: Kernel;
  readonly #fileOffset: number;
  readonly #buffer: Hva;
  readonly lost: () => void;

  constructor(kernel: Kernel, args: Arguments, file: OpenFile, buffer: Hva, lost: () => void) {
    this.lost = lost;
    this.address = Number(args.guest_paddr);
    this.size = Number(args.memory_size);
    this.file = file;
    this.#kernel = kernel;
    this.#fileOffset = Number(args.file_offset);
    this.#buffer = buffer;
  }

  read(address: number, data: Uint8Array): number {
    const done = this.file.operations.read!(this.file, this.#buffer, data.length, this.#position(address));
    if (done !== data.length) return -EOPNOTSUPP;
    return copyFromUser(this.#kernel, data, this.#buffer);
  }

  write(address: number, data: Uint8Array): number {
    if (copyToUser(this.#kernel, this.#buffer, data) < 0) return -EOPNOTSUPP;
    const done = this.file.operations.write!(this.file, this.#buffer, data.length, this.#position(address));
    return done === data.length ? 0 : -EOPNOTSUPP;
  }

  overlaps(address: number, size: number): boolean {
    return address < this.address + this.size && address + size > this.address;
  }

  #position(address: number): number {
    return this.#fileOffset + (address - this.address);
  }
}

/** The ioregions of one VM. */
export class Ioregions {
  readonly #kernel: Kernel;
  readonly #mm: AddressSpace;
  readonly #buses: { readonly pioBus: IoBus; readonly mmioBus: IoBus };
  readonly #regions: { readonly bus: IoBus; readonly region: Ioregion }[] = [];
  /** A page of the VM's process for the bytes on their way: files copy from and to user space. */
  #buffer: Hva | undefined;
  /** KVM_CAP_IOREGIONFD. */
  enabled = false;

  constructor(kernel: Kernel, mm: AddressSpace, buses: { readonly pioBus: IoBus; readonly mmioBus: IoBus }) {
    this.#kernel = kernel;
    this.#mm = mm;
    this.#buses = buses;
  }

  /** KVM_SET_IOREGION: 0, -ENOTTY while it is off, -EINVAL, -EBADF, -EEXIST, -ENOENT, -ENOSPC or -ENOMEM. */
  set(args: Arguments): number {
    const kernel = this.#kernel;
    const { flags, guest_paddr: address, memory_size: size, fd } = args;
    if (!this.enabled) return kernel.refuse(ENOTTY, 'ioregions are experimental: switch KVM_CAP_IOREGIONFD on first');
    if (flags & ~(KVM_IOREGION_PIO | KVM_IOREGION_DEASSIGN)) return kernel.refuse(EINVAL, 'unknown ioregion flags');
    const pio = (flags & KVM_IOREGION_PIO) !== 0;
    if (size === 0n || address + size > (pio ? PORTS : TWO_TO_64))
      return kernel.refuse(EINVAL, 'an ioregion is some bytes inside its address space');
    const file = kernel.current.files.get(fd);
    if (file === undefined) return kernel.refuse(EBADF, `fd ${fd} is not open`);
    const bus = pio ? this.#buses.pioBus : this.#buses.mmioBus;
    return flags & KVM_IOREGION_DEASSIGN ? this.#deassign(bus, args, file) : this.#assign(bus, args, file);
  }

  /** The VM's fd is closed, or the VM ends: let the files go. */
  release(): void {
    for (let last = this.#regions.at(-1); last !== undefined; last = this.#regions.at(-1)) {
      this.#forget(last.region);
      last.bus.unregister(last.region);
    }
  }

  #assign(bus: IoBus, args: Arguments, file: OpenFile): number {
    const kernel = this.#kernel;
    const { read, stream, write } = file.operations;
    if (read === undefined || write === undefined || stream)
      return kernel.refuse(EINVAL, `fd ${args.fd} cannot be read and written at a position`);
    const taken = this.#regions.some(
      (other) => other.bus === bus && other.region.overlaps(Number(args.guest_paddr), Number(args.memory_size)),
    );
    if (taken) return kernel.refuse(EEXIST, 'the ioregion overlaps another');
    const buffer = this.#page();
    if (buffer < 0) return buffer;
    if (!kernel.kmalloc('struct ioregion')) return -ENOMEM;
    const region = new Ioregion(kernel, args, file, buffer as Hva, () => this.#forget(region));
    const error = bus.register(region.address, region.size, region);
    if (error < 0) return error;
    file.get();
    this.#regions.push({ bus, region });
    return 0;
  }

  #deassign(bus: IoBus, args: Arguments, file: OpenFile): number {
    const at = this.#regions.findIndex(
      (other) =>
        other.bus === bus &&
        other.region.file === file &&
        other.region.address === Number(args.guest_paddr) &&
        other.region.size === Number(args.memory_size),
    );
    if (at < 0) return this.#kernel.refuse(ENOENT, 'no ioregion with this address, size and file');
    const { region } = this.#regions[at]!;
    this.#forget(region);
    bus.unregister(region);
    return 0;
  }

  #forget(region: Ioregion): void {
    const at = this.#regions.findIndex((other) => other.region === region);
    this.#regions.splice(at, 1);
    region.file.put();
  }

  #page(): Hva | number {
    if (this.#buffer !== undefined) return this.#buffer;
    const page = this.#mm.mmap(PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, undefined, 0);
    if (page >= 0) this.#buffer = page as Hva;
    return page;
  }
}

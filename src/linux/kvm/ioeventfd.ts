/**
 * KVM_IOEVENTFD: a guest write that is nothing but a signal to an eventfd (virt/kvm/eventfd.c). The vCPU does not leave
 * the kernel for it.
 */

import { type Eventfd, eventfdFromFd } from '../core/eventfd.ts';
import type { Kernel } from '../core/kernel.ts';
import { EEXIST, EINVAL, ENOENT, ENOMEM, EOPNOTSUPP } from '../uapi/errno.ts';
import {
  KVM_IOEVENTFD_FLAG_DATAMATCH,
  KVM_IOEVENTFD_FLAG_DEASSIGN,
  KVM_IOEVENTFD_FLAG_PIO,
  KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY,
  type kvm_ioeventfd,
} from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { IoBus, IoDevice } from './io-bus.ts';

type Arguments = StructOf<typeof kvm_ioeventfd>;

/** Where the VM's ioeventfds are registered. */
export interface IoBuses {
  readonly pioBus: IoBus;
  readonly mmioBus: IoBus;
  readonly fastMmioBus: IoBus;
  /** KVM_VIRTIO_CCW_NOTIFY_BUS: there on every architecture, and written by s390's guests alone. */
  readonly virtioCcwBus: IoBus;
}

/** DATAMATCH, PIO, DEASSIGN, VIRTIO_CCW_NOTIFY and FAST_MMIO. */
const VALID_FLAGS = 0x1f;
const TWO_TO_64 = 1n << 64n;

/** One registered address: matches a write at exactly it. */
class Ioeventfd implements IoDevice {
  readonly address: number;
  readonly length: number;
  readonly datamatch: bigint | undefined;
  /** The counter, not the file: closing the last fd does not end the registration. */
  readonly eventfd: Eventfd;
  /** ioeventfd_release. */
  readonly lost: () => void;

  constructor(address: number, length: number, datamatch: bigint | undefined, eventfd: Eventfd, lost: () => void) {
    this.lost = lost;
    this.address = address;
    this.length = length;
    this.datamatch = datamatch;
    this.eventfd = eventfd;
  }

  write(address: number, data: Uint8Array): number {
    if (address !== this.address) return -EOPNOTSUPP;
    if (this.length !== 0 && !this.#matches(data)) return -EOPNOTSUPP;
    this.eventfd.signal();
    return 0;
  }

  /** ioeventfd_check_collision. */
  collidesWith(length: number, datamatch: bigint | undefined): boolean {
    if (this.length === 0 || length === 0) return true;
    if (this.length !== length) return false;
    return this.datamatch === undefined || datamatch === undefined || this.datamatch === datamatch;
  }

  #matches(data: Uint8Array): boolean {
    if (data.length !== this.length) return false;
    if (this.datamatch === undefined) return true;
    let value = 0n;
    for (let i = data.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(data[i]!);
    return value === this.datamatch;
  }
}

/** The ioeventfds of one VM; each stands on the bus that its flags name. */
export class Ioeventfds {
  readonly #kernel: Kernel;
  readonly #buses: IoBuses;
  readonly #registered: { readonly bus: IoBus; readonly device: Ioeventfd }[] = [];

  constructor(kernel: Kernel, buses: IoBuses) {
    this.#kernel = kernel;
    this.#buses = buses;
  }

  /** KVM_IOEVENTFD: 0 or -errno. */
  set(args: Arguments): number {
    return args.flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? this.#deassign(args) : this.#assign(args);
  }

  #assign(args: Arguments): number {
    const kernel = this.#kernel;
    const { addr, fd, flags, len } = args;
    if (![0, 1, 2, 4, 8].includes(len))
      return kernel.refuse(EINVAL, `an ioeventfd is 0, 1, 2, 4 or 8 bytes long, not ${len}`);
    if (addr + BigInt(len) >= TWO_TO_64) return kernel.refuse(EINVAL, 'the ioeventfd wraps round the address space');
    if (flags & ~VALID_FLAGS) return kernel.refuse(EINVAL, `unknown ioeventfd flags 0x${flags.toString(16)}`);
    const wildcard = (flags & KVM_IOEVENTFD_FLAG_DATAMATCH) === 0;
    if (len === 0 && !wildcard) return kernel.refuse(EINVAL, 'an ioeventfd of any length cannot match data');
    const eventfd = eventfdFromFd(this.#kernel, fd);
    if (typeof eventfd === 'number') return eventfd;

    const bus = this.#bus(flags);
    const datamatch = wildcard ? undefined : args.datamatch;
    const address = Number(addr);
    const error = this.#register(bus, address, len, datamatch, eventfd);
    // Any write to an MMIO address: also where KVM looks before it knows what the access is.
    if (error < 0 || len !== 0 || bus !== this.#buses.mmioBus) return error;
    const fastError = this.#register(this.#buses.fastMmioBus, address, 0, undefined, eventfd);
    if (fastError < 0) this.#unregister(this.#registered.length - 1);
    return fastError;
  }

  /** kvm_assign_ioeventfd_idx. */
  #register(bus: IoBus, address: number, length: number, datamatch: bigint | undefined, eventfd: Eventfd): number {
    const kernel = this.#kernel;
    if (!kernel.kmalloc('struct _ioeventfd')) return -ENOMEM;
    const taken = this.#registered.some(
      (other) => other.bus === bus && other.device.address === address && other.device.collidesWith(length, datamatch),
    );
    if (taken) return kernel.refuse(EEXIST, `an ioeventfd at 0x${address.toString(16)} matches the same writes`);
    const lost = () => void this.#registered.splice(this.#registered.indexOf(registered), 1);
    const device = new Ioeventfd(address, length, datamatch, eventfd, lost);
    const registered = { bus, device };
    const error = bus.register(address, length, device, true);
    if (error < 0) return error;
    this.#registered.push(registered);
    return 0;
  }

  /** From the list and from its bus, which may be lost with it. */
  #unregister(at: number): void {
    const { bus, device } = this.#registered.splice(at, 1)[0]!;
    bus.unregister(device);
  }

  #deassign(args: Arguments): number {
    const kernel = this.#kernel;
    const eventfd = eventfdFromFd(this.#kernel, args.fd);
    if (typeof eventfd === 'number') return eventfd;
    const bus = this.#bus(args.flags);
    const everyMmio = args.len === 0 && bus === this.#buses.mmioBus;
    const datamatch = args.flags & KVM_IOEVENTFD_FLAG_DATAMATCH ? args.datamatch : undefined;
    const find = (onBus: IoBus) =>
      this.#registered.findIndex(
        ({ bus: other, device }) =>
          other === onBus &&
          device.eventfd === eventfd &&
          device.address === Number(args.addr) &&
          device.length === args.len &&
          device.datamatch === datamatch,
      );
    const at = find(bus);
    if (at < 0) return kernel.refuse(ENOENT, 'no ioeventfd with this address, length, data and eventfd');
    this.#unregister(at);
    const fast = everyMmio ? find(this.#buses.fastMmioBus) : -1;
    if (fast >= 0) this.#unregister(fast);
    return 0;
  }

  #bus(flags: number): IoBus {
    if (flags & KVM_IOEVENTFD_FLAG_PIO) return this.#buses.pioBus;
    return flags & KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY ? this.#buses.virtioCcwBus : this.#buses.mmioBus;
  }
}

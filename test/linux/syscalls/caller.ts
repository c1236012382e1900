/** A process that makes any system calls: mostly as a program would, often with arguments that none would pass. */

import fc from 'fast-check';
import type { Hva } from '../../../src/address.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import {
  EFD_NONBLOCK,
  EPOLL_CLOEXEC,
  MAP_HUGE_2MB,
  MAP_SHARED,
  MFD_HUGETLB,
  O_RDWR,
} from '../../../src/linux/uapi/syscalls.ts';
import { type FdKind, fdKindOf, ioctlsOf } from '../../../src/linux/uapi/tables.ts';
import type { Guest } from '../kvm/guest.ts';
import { Draws } from './draws.ts';
import { type Belongings, NUMBERS, usualInteger, usualStruct, usualTail, usualTarget } from './usual.ts';

const seed = fc.nat({ max: 2 ** 31 - 1 });
const BUFFER_BYTES = 0x10000;
const EVENTFDS = 3;
/** Of the page of arguments, from here on: what they point to. */
const HALF = 2048;

/** One system call, in numbers that {@link Caller.take} makes a call of. */
export const step = fc.oneof(
  { weight: 24, arbitrary: fc.record({ call: fc.constant('ioctl' as const), fd: fc.nat(), which: fc.nat(), seed }) },
  { weight: 3, arbitrary: fc.record({ call: fc.constant('run' as const), fd: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('any ioctl' as const), fd: fc.nat(), seed }) },
  { weight: 2, arbitrary: fc.record({ call: fc.constant('transfer' as const), fd: fc.nat(), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('map' as const), fd: fc.nat(), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('unmap' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('open' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('close' as const), fd: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('memfd' as const), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('wait' as const), fd: fc.nat(), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('truncate' as const), fd: fc.nat(), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('shared page' as const), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('guest memory' as const), seed }) },
);
export type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** The process that calls, with descriptors of every kind to begin with. */
export class Caller implements Belongings {
  readonly guest: Guest;
  readonly ram: number;
  readonly scratch: number;
  readonly buffer: number;
  readonly #maps: { readonly at: number; readonly bytes: number }[] = [];
  readonly #paths: readonly string[];
  readonly #devices: readonly string[];

  /** `paths` are opened, and may be again, as may `nodes`; `devices` are names that VFIO knows. */
  constructor(guest: Guest, paths: readonly string[], nodes: readonly string[], devices: readonly string[]) {
    this.guest = guest;
    this.ram = guest.ram;
    this.scratch = guest.qemu.scratch;
    this.buffer = guest.qemu.map(BUFFER_BYTES);
    this.#paths = [...new Set([...paths, ...nodes])];
    this.#devices = devices;
    for (const path of paths) this.#syscalls.open(path, O_RDWR);
    // None that sleeps: with one thread that would be for ever, and the model says so.
    for (let i = 0; i < EVENTFDS; i++) this.#syscalls.eventfd(0, EFD_NONBLOCK);
    const { qemu, vmFd } = guest;
    qemu.pass(vmFd, uapi.KVM_CREATE_DEVICE, uapi.kvm_create_device, { type: uapi.KVM_DEV_TYPE_VFIO });
  }

  get #syscalls() {
    return this.guest.qemu.user.syscalls;
  }

  /** What a call returned; every one must return a number. */
  take(one: Step): number {
    const { qemu } = this.guest;
    switch (one.call) {
      case 'ioctl': {
        const { fd, kind } = this.#called(new Draws(one.fd));
        const declared = ioctlsOf(kind);
        if (declared.length === 0) return this.#syscalls.ioctl(fd, one.which, 0);
        return this.#ioctl(fd, declared, declared[one.which % declared.length]!, new Draws(one.seed));
      }
      case 'run': {
        const vcpus = qemu.process.files.open().filter((fd) => this.#kind(fd) === 'kvm-vcpu');
        return vcpus.length === 0 ? 0 : this.#syscalls.ioctl(vcpus[one.fd % vcpus.length]!, uapi.KVM_RUN.number, 0);
      }
      case 'any ioctl': {
        const draws = new Draws(one.seed);
        const numbers = [0xae00, 0x3b64].map((base) => base + draws.next(256));
        return this.#syscalls.ioctl(
          this.#descriptor(one.fd).fd,
          draws.pick([...numbers, draws.next(2 ** 32)]),
          this.#number(draws),
        );
      }
      case 'transfer': {
        const draws = new Draws(one.seed);
        const { fd, kind } = this.#descriptor(one.fd);
        const inRegion = kind === 'vfio-device' && !draws.once(4);
        const count = inRegion ? draws.pick([1, 2, 4, 8, 64]) : Number(draws.pick(NUMBERS) & 0x1fffn);
        const position = inRegion ? this.#inRegion(draws) : Number(draws.pick(NUMBERS));
        const buffer = (draws.next(4) === 0 ? this.#number(draws) : qemu.scratch) as Hva;
        const { read, write, pread, pwrite } = this.#syscalls;
        return draws.pick([read, write, pread, pwrite]).call(this.#syscalls, fd, buffer, count, position);
      }
      case 'map': {
        const draws = new Draws(one.seed);
        const { fd, kind } = this.#descriptor(one.fd);
        const usual = !draws.once(3);
        const bytes = usual ? 4096 * (1 + draws.next(4)) : Number(draws.pick(NUMBERS) & 0x3ffffn);
        const offset = !usual
          ? this.#number(draws)
          : kind === 'vfio-device'
            ? draws.next(9) * 2 ** 40
            : 4096 * draws.next(3);
        const at = this.#syscalls.mmap(bytes, draws.next(4), draws.pick([MAP_SHARED, 2]), fd, offset);
        if (at > 0) this.#maps.push({ at, bytes });
        return at;
      }
      case 'unmap': {
        const map = this.#maps.splice(one.which % Math.max(1, this.#maps.length), 1)[0];
        return map === undefined ? 0 : this.#syscalls.munmap(map.at as Hva, map.bytes);
      }
      case 'memfd':
        return this.#syscalls.memfd_create(
          'm',
          new Draws(one.seed).pick([0, 1, MFD_HUGETLB, 7, MAP_HUGE_2MB | MFD_HUGETLB, 8]),
        );
      case 'wait': {
        const draws = new Draws(one.seed);
        const { epoll_create1, epoll_ctl, epoll_wait, poll } = this.#syscalls;
        const [set, other] = [one.fd, draws.next(64)].map((choice) => this.#descriptor(choice).fd) as [number, number];
        return draws.pick([
          () => epoll_create1.call(this.#syscalls, draws.pick([0, EPOLL_CLOEXEC, 1])),
          () => epoll_ctl.call(this.#syscalls, set, draws.next(5), other, draws.next(32)),
          () => epoll_wait.call(this.#syscalls, set).length,
          () => poll.call(this.#syscalls, set, draws.next(32)),
        ])();
      }
      case 'truncate': {
        const draws = new Draws(one.seed);
        return this.#syscalls.ftruncate(this.#descriptor(one.fd).fd, this.#number(draws));
      }
      case 'open':
        return this.#syscalls.open(this.#paths[one.which % this.#paths.length]!, O_RDWR);
      case 'close':
        return this.#syscalls.close(this.#descriptor(one.fd).fd);
      case 'shared page': {
        const draws = new Draws(one.seed);
        this.guest.run.setUint32(4 * draws.next(88), draws.next(4) === 0 ? draws.next(2 ** 32) : draws.next(8), true);
        return 0;
      }
      case 'guest memory': {
        const draws = new Draws(one.seed);
        const bytes = Uint8Array.from({ length: draws.next(64) }, () => draws.next(256));
        qemu.user.memory.write(
          (this.guest.ram + draws.pick([0x2000, 0x5000, 0x6000, 0x8000, 0x8400]) + draws.next(1024)) as Hva,
          bytes,
        );
        return 0;
      }
    }
  }

  #kind(fd: number): FdKind {
    return fdKindOf(this.guest.qemu.process.files.get(fd)!.path);
  }

  /** One whose ioctls are to be tried: a kind counts by how many it has. */
  #called(draws: Draws): { readonly fd: number; readonly kind: FdKind } {
    const kinds = new Set(this.guest.qemu.process.files.open().map((fd) => this.#kind(fd)));
    const calls = [...kinds].flatMap((kind) => ioctlsOf(kind).map(() => kind));
    if (calls.length === 0 || draws.once(16)) return this.#descriptor(draws.next(64));
    const kind = draws.pick(calls);
    return { fd: this.descriptor(kind, draws), kind };
  }

  /** A place in a region of a VFIO device. */
  #inRegion(draws: Draws): number {
    return draws.next(9) * 2 ** 40 + draws.next(256);
  }

  /** One of the open descriptors, rarely one that is not. */
  #descriptor(choice: number): { readonly fd: number; readonly kind: FdKind } {
    const open = this.guest.qemu.process.files.open();
    const fd = open[choice % (open.length + 1)];
    return fd === undefined ? { fd: 999, kind: 'kvm-vm' } : { fd, kind: this.#kind(fd) };
  }

  descriptor(kind: FdKind | 'eventfd', draws: Draws): number {
    const { files } = this.guest.qemu.process;
    const wanted = files
      .open()
      .filter((fd) => (kind === 'eventfd' ? isEventfd(files.get(fd)!.path) : this.#kind(fd) === kind));
    return draws.pick(wanted.length > 0 ? wanted : files.open());
  }

  #ioctl(fd: number, declared: readonly Ioctl[], chosen: Ioctl, draws: Draws): number {
    const { argument, name, number } = chosen;
    if (argument.kind === 'none' || argument.kind === 'int')
      return this.#syscalls.ioctl(fd, number, draws.once(8) ? this.#number(draws) : usualInteger(name, draws, this));
    if (draws.once(32)) return this.#syscalls.ioctl(fd, number, this.#number(draws));
    const { scratch } = this;
    this.#write(scratch + HALF, usualTarget(draws, this));
    const tail = usualTail(name, draws, this);
    if (argument.kind === 'string')
      this.#write(scratch, new TextEncoder().encode(`${draws.pick([...this.#devices, '?'])}\0`));
    else {
      const { struct } = argument;
      const current = declared.find((other) => other.name === name.replace('_SET_', '_GET_') && other !== chosen);
      // What is there now, with something changed, is better received than what nobody ever had.
      if (current === undefined || this.#syscalls.ioctl(fd, current.number, scratch) !== 0)
        this.#write(
          scratch,
          usualStruct(name, struct, draws, this, () => this.#value(draws)),
        );
      else if (!draws.once(4)) this.#write(scratch + draws.next(struct.size), Uint8Array.of(draws.next(256)));
      this.#write(scratch + struct.size, tail);
    }
    return this.#syscalls.ioctl(fd, number, scratch);
  }

  #write(at: number, bytes: Uint8Array): void {
    this.guest.qemu.user.memory.write(at as Hva, bytes);
  }

  /** What an argument could mean, but hardly does. */
  #value(draws: Draws): bigint {
    switch (draws.next(8)) {
      case 0:
        return BigInt(this.scratch + 4096 * draws.next(3));
      case 1:
        return BigInt(this.ram + 4096 * draws.next(64));
      case 2:
        return BigInt(draws.pick(this.guest.qemu.process.files.open()));
      case 3:
        return draws.pick(NUMBERS);
      default:
        return BigInt(draws.next(9));
    }
  }

  #number(draws: Draws): number {
    return Number(draws.once(3) ? this.#value(draws) : draws.pick(NUMBERS));
  }
}

const isEventfd = (path: string) => path === 'anon_inode:[eventfd]';

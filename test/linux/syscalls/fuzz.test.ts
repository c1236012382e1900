/**
 * Any sequence of system calls on descriptors of KVM, VFIO and eventfds, with arguments that nobody would pass: each call returns a number,
 * none throws, another process's VM keeps its memory and computes what it would have, and the dead process leaves nothing behind.
 * GVM_SYSCALL_CASES makes a longer run, GVM_SEED another.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { plugIn } from '../../../src/cli/physical-devices.ts';
import { registerMtty } from '../../../src/linux/drivers/mtty.ts';
import { initMdev } from '../../../src/linux/mdev/core.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import type { Member, Struct } from '../../../src/linux/uapi/struct.ts';
import {
  EFD_NONBLOCK,
  MAP_HUGE_2MB,
  MAP_SHARED,
  MFD_HUGETLB,
  O_RDWR,
  O_WRONLY,
} from '../../../src/linux/uapi/syscalls.ts';
import { type FdKind, fdKindOf, ioctlsOf } from '../../../src/linux/uapi/tables.ts';
import { initVfio } from '../../../src/linux/vfio/init.ts';
import { User } from '../kvm/bench.ts';
import { Guest } from '../kvm/guest.ts';

const CASES = Number(process.env['GVM_SYSCALL_CASES'] ?? 30);
const COPIER = '0000:06:0d.0';
const MTTY = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
/** Instructions that each VM may run; nothing that is called here may take for ever. */
const INSTRUCTIONS = 20_000;
const GUEST_BYTES = 0x40000;

/** The guest of the process that calls: ports, registers of nothing, pages that it touches first. */
const RESTLESS = `mov ebx, 0xfebc0000\n mov esi, 0xfee00000\n mov edi, 0x400000
.again: mov dx, 0x20\n in al, dx\n out 0x80, al\n mov [rbx], eax\n mov eax, [rbx + 4]\n mov [rsi + 0x80], eax
 mov [rdi], eax\n add edi, 4096\n and edi, 0x7fffff\n mov dx, 0x1000\n out dx, eax\n cpuid\n mov ebx, 0xfebc0000\n jmp .again`;
/** The other's: it counts, and shows each number. */
const COUNTING = 'mov ebx, 0x20000\n.again: inc dword [rbx]\n mov eax, [rbx]\n out 0x80, al\n jmp .again';

/** Numbers that mean something to one call or another, and those at the edges of a width. */
const NUMBERS: readonly bigint[] = [
  ...[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 20, 24, 32, 40, 63, 64, 68, 100, 168, 192, 255, 256, 1024, 4095, 4096, 4097,
    8192,
  ].map(BigInt),
  ...[0x10000n, 0x20000n, 0xfee00000n, 0xfec00000n, 0xfebc0000n, 0x7fffffffn, 0x80000000n, 0xfffff000n, 0xffffffffn],
  ...[1n << 32n, 1n << 40n, 7n << 40n, (1n << 46n) - 4096n, 1n << 47n, 0x7fffffffffffffffn, 1n << 63n],
  ...[0xfffffffffffff000n, 0xffffffffffffffffn],
];

const seed = fc.nat({ max: 2 ** 31 - 1 });
const step = fc.oneof(
  { weight: 12, arbitrary: fc.record({ call: fc.constant('ioctl' as const), fd: fc.nat(), which: fc.nat(), seed }) },
  { weight: 3, arbitrary: fc.record({ call: fc.constant('run' as const), fd: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('any ioctl' as const), fd: fc.nat(), seed }) },
  { weight: 2, arbitrary: fc.record({ call: fc.constant('transfer' as const), fd: fc.nat(), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('map' as const), fd: fc.nat(), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('unmap' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('open' as const), which: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('close' as const), fd: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('memfd' as const), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('truncate' as const), fd: fc.nat(), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('shared page' as const), seed }) },
  { weight: 1, arbitrary: fc.record({ call: fc.constant('guest memory' as const), seed }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** xorshift: many draws from one number of the property. */
class Draws {
  #state: number;
  constructor(start: number) {
    this.#state = start | 1;
  }
  next(below: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % below;
  }
  pick<T>(from: readonly T[]): T {
    return from[this.next(from.length)]!;
  }
}

/** The process that calls, with descriptors of every kind to begin with. */
class Caller {
  readonly guest: Guest;
  readonly #maps: { readonly at: number; readonly bytes: number }[] = [];
  readonly #paths: readonly string[];

  constructor(guest: Guest, paths: readonly string[]) {
    this.guest = guest;
    this.#paths = paths;
    for (const path of paths) this.#syscalls.open(path, O_RDWR);
    // One that never sleeps: with one thread that would be for ever, and the model says so.
    this.#syscalls.eventfd(0, EFD_NONBLOCK);
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
        const { fd, kind } = this.#descriptor(one.fd);
        const declared = ioctlsOf(kind);
        if (declared.length === 0) return this.#syscalls.ioctl(fd, one.which, 0);
        const chosen = declared[one.which % declared.length]!;
        return this.#syscalls.ioctl(fd, chosen.number, this.#argument(chosen, new Draws(one.seed)));
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
        const { fd } = this.#descriptor(one.fd);
        const [count, position] = [Number(draws.pick(NUMBERS) & 0x1fffn), Number(draws.pick(NUMBERS))];
        const buffer = (draws.next(4) === 0 ? this.#number(draws) : qemu.scratch) as Hva;
        const { read, write, pread, pwrite } = this.#syscalls;
        return draws.pick([read, write, pread, pwrite]).call(this.#syscalls, fd, buffer, count, position);
      }
      case 'map': {
        const draws = new Draws(one.seed);
        const bytes = Number(draws.pick(NUMBERS) & 0x3ffffn);
        const at = this.#syscalls.mmap(
          bytes,
          draws.next(4),
          draws.pick([MAP_SHARED, 2]),
          this.#descriptor(one.fd).fd,
          this.#number(draws),
        );
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

  /** One of the open descriptors, rarely one that is not. */
  #descriptor(choice: number): { readonly fd: number; readonly kind: FdKind } {
    const open = this.guest.qemu.process.files.open();
    const fd = open[choice % (open.length + 1)];
    return fd === undefined ? { fd: 999, kind: 'kvm-vm' } : { fd, kind: this.#kind(fd) };
  }

  #argument({ argument }: Ioctl, draws: Draws): number {
    const { scratch, user } = this.guest.qemu;
    if (argument.kind === 'none' || argument.kind === 'int')
      return draws.next(3) === 0 ? this.#number(draws) : draws.next(32);
    if (draws.next(16) === 0) return this.#number(draws);
    const tail = Uint8Array.from({ length: 256 }, () => (draws.next(3) === 0 ? draws.next(256) : 0));
    const { struct } = argument as { struct?: Struct };
    user.memory.write(scratch, tail);
    if (struct === undefined)
      user.memory.write(scratch, new TextEncoder().encode(`${draws.pick([COPIER, MTTY, '?'])}\0`));
    else {
      const bytes = struct.encode(this.#members(struct, draws));
      user.memory.write(scratch, bytes);
      user.memory.write((scratch + bytes.length) as Hva, tail);
    }
    return scratch;
  }

  #members(struct: Struct, draws: Draws): never {
    const value = (name: string, member: Member): unknown => {
      if (name === 'argsz')
        return draws.next(8) === 0 ? Number(draws.pick(NUMBERS) & 0xffffn) : struct.size + 4 * draws.next(3);
      switch (member.kind) {
        case 'int':
          return member.bytes === 8
            ? BigInt.asUintN(64, this.#value(draws))
            : Number(BigInt.asUintN(8 * member.bytes - 1, this.#value(draws)));
        case 'struct':
          return this.#members(member.struct, draws);
        case 'bytes':
          return Uint8Array.from({ length: member.bytes }, () => (draws.next(8) === 0 ? draws.next(256) : 0));
      }
    };
    return Object.fromEntries(
      Object.entries(struct.members).map(([name, member]) => [name, value(name, member)]),
    ) as never;
  }

  #value(draws: Draws): bigint {
    const { scratch, process: own } = this.guest.qemu;
    switch (draws.next(8)) {
      case 0:
        return BigInt(scratch + 4096 * draws.next(3));
      case 1:
        return BigInt(this.guest.ram + 4096 * draws.next(64));
      case 2:
        return BigInt(draws.pick(own.files.open()));
      case 3:
        return draws.pick(NUMBERS);
      default:
        return BigInt(draws.next(9));
    }
  }

  #number(draws: Draws): number {
    return Number(draws.next(3) === 0 ? this.#value(draws) : draws.pick(NUMBERS));
  }
}

/** A host with both devices given to VFIO, a VM that counts, and a process that calls. */
function boot() {
  const other = new Guest(COUNTING);
  const { kernel, module } = other;
  initVfio(kernel);
  initMdev(kernel);
  registerMtty(kernel.modules);
  plugIn(kernel, [`copier@${COPIER}`]);
  const admin = new User(kernel, 'admin');
  const { syscalls, memory } = admin.user;
  for (const name of ['vfio_pci', 'mtty']) expect(syscalls.init_module(name, '')).toBe(0);
  for (const [path, text] of [
    [`/sys/bus/pci/devices/${COPIER}/driver_override`, 'vfio-pci'],
    ['/sys/bus/pci/drivers_probe', COPIER],
    ['/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create', MTTY],
  ] as const) {
    memory.write(admin.scratch, new TextEncoder().encode(text));
    const fd = syscalls.open(path, O_WRONLY);
    expect(syscalls.write(fd, admin.scratch, text.length)).toBe(text.length);
    syscalls.close(fd);
  }
  admin.process.exit();
  kernel.hugePages.ofSize(21)!.resize(2);
  expect(other.resume()).toBe(0);
  const held = () => ({ pages: kernel.pages.used, pinned: kernel.pages.pinned });
  // Reading allocates pages: before they are counted.
  const contents = other.bytes(0, GUEST_BYTES);
  const before = held();
  module.instructionLimit = INSTRUCTIONS;
  const guest = new Guest(RESTLESS, 'none', { host: { kernel, module } });
  const caller = new Caller(guest, ['/dev/kvm', '/dev/vfio/vfio', '/dev/vfio/0', '/dev/vfio/1']);
  return { other, contents, caller, before, held, end: () => guest.qemu.process.exit() };
}

test(`${CASES} sequences`, { timeout: 60_000 + CASES * 2000 }, () => {
  let succeeded = 0;
  let calls = 0;
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80, size: 'max' }), (steps) => {
      const { other, contents, caller, before, held, end } = boot();
      for (const one of steps) {
        const result = caller.take(one);
        expect(Number.isInteger(result), `${one.call} gives ${result}`).toBe(true);
        expect(result).toBeGreaterThan(-4096);
        if (result >= 0) succeeded++;
        calls++;
      }
      expect(other.bytes(0, GUEST_BYTES)).toEqual(contents);
      expect(other.resume()).toBe(0);
      expect(other.bytes(0x20000, 1)).toEqual([2]);
      expect(other.taken).toEqual([]);
      end();
      expect(held()).toEqual(before);
    }),
    { numRuns: CASES },
  );
  // Calls that are all refused would show nothing.
  expect(succeeded / calls).toBeGreaterThan(0.2);
});

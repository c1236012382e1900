/**
 * The same program sees the same values whatever road its accesses take: memory that is mapped, memory that is written through
 * KVM because it is watched, registers that a file in the kernel serves, registers that user space serves.
 */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { type FileOperations, OpenFile } from '../../../src/linux/core/file.ts';
import { copyFromUser, copyToUser } from '../../../src/linux/core/uaccess.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from './guest.ts';

/** Two pages, so that accesses can lie across their border. */
const DEVICE = 0xfebc0000;
const BYTES = 8192;
/** Where the program puts what it has read. */
const RESULTS = 0x20000;
const RESULT_BYTES = 1024;
const COPY = 0x21000;

const ACCUMULATOR = { 1: 'al', 2: 'ax', 4: 'eax', 8: 'rax' } as const;
type Width = keyof typeof ACCUMULATOR;

/** Near the start, or across the border of the pages. */
const offset = fc.oneof(fc.nat({ max: 40 }), fc.integer({ min: 4096 - 9, max: 4096 + 8 }));
const width = fc.constantFrom<Width>(1, 2, 4, 8);
const value = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const step = fc.oneof(
  fc.record({ kind: fc.constant('load' as const), offset, width }),
  fc.record({ kind: fc.constant('store' as const), offset, width, value }),
  fc.record({ kind: fc.constant('add' as const), offset, width, value }),
  fc.record({ kind: fc.constant('exchange' as const), offset, width, value }),
  fc.record({ kind: fc.constant('extend' as const), offset, width: fc.constantFrom<Width>(1, 2) }),
  fc.record({ kind: fc.constant('copy in' as const), offset, count: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ kind: fc.constant('copy out' as const), offset, count: fc.integer({ min: 1, max: 12 }) }),
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

const keep = (index: number) => ` mov [rdx + ${8 * index}], rax\n pushfq\n pop r9\n`;
function line(one: Step, index: number): string {
  const at = `[rbx + ${one.offset}]`;
  switch (one.kind) {
    case 'load':
      return ` mov ${ACCUMULATOR[one.width]}, ${at}\n${keep(index)}`;
    case 'store':
      return ` mov rax, ${one.value}\n mov ${at}, ${ACCUMULATOR[one.width]}\n`;
    case 'add':
      return ` mov rax, ${one.value}\n lock add ${at}, ${ACCUMULATOR[one.width]}\n setc al\n${keep(index)}`;
    case 'exchange':
      return ` mov rax, ${one.value}\n xchg ${at}, ${ACCUMULATOR[one.width]}\n${keep(index)}`;
    case 'extend':
      return ` movsx rax, ${one.width === 1 ? 'byte' : 'word'} ${at}\n${keep(index)}`;
    case 'copy in':
      return ` lea rsi, ${at}\n mov edi, ${COPY}\n mov ecx, ${one.count}\n rep movsb\n`;
    case 'copy out':
      return ` mov esi, ${COPY}\n lea rdi, ${at}\n mov ecx, ${one.count}\n rep movsb\n`;
  }
}
const program = (steps: readonly Step[]) =>
  `mov ebx, ${DEVICE}\n mov edx, ${RESULTS}\n xor eax, eax\n${steps.map(line).join('')} hlt\n`;

/** Who is behind the addresses; `bytes` are theirs when the program has ended. */
interface Road {
  readonly guest: Guest;
  readonly bytes: () => Uint8Array;
  readonly serve: () => void;
}

const none = () => expect.unreachable('nothing of this leaves the kernel');

function memory(text: string): Road {
  const guest = new Guest(text, 'none', { irqchip: false });
  const hva = guest.qemu.map(BYTES);
  expect(guest.setSlot(1, DEVICE, BYTES, hva)).toBe(0);
  return { guest, bytes: () => guest.qemu.user.memory.read(hva, BYTES), serve: none };
}

/** Every write is KVM's to make, and somebody is told of it. */
function tracked(text: string): Road {
  const road = memory(text);
  const { vm } = road.guest;
  for (const gfn of [DEVICE / 4096, DEVICE / 4096 + 1]) vm.pageTrack.add(vm.memslots.get(1)!, gfn);
  return road;
}

function userSpace(text: string): Road {
  const guest = new Guest(text, 'none', { irqchip: false });
  const registers = new Uint8Array(BYTES);
  const serve = () => {
    expect(guest.exitReason).toBe(run.KVM_EXIT_MMIO);
    const at = Number(guest.run.getBigUint64(run.RUN_MMIO_PHYS_ADDR, true)) - DEVICE;
    const data = new Uint8Array(guest.run.buffer, guest.run.byteOffset + run.RUN_MMIO_DATA, 8);
    const length = guest.run.getUint32(run.RUN_MMIO_LEN, true);
    if (guest.run.getUint8(run.RUN_MMIO_IS_WRITE) === 1) registers.set(data.subarray(0, length), at);
    else data.set(registers.subarray(at, at + length));
  };
  return { guest, bytes: () => registers, serve };
}

function file(text: string): Road {
  const guest = new Guest(text, 'none', { irqchip: false });
  const { kernel, qemu } = guest;
  const contents = new Uint8Array(BYTES);
  const operations: FileOperations = {
    read: (_file, buffer: Hva, count, at) => copyToUser(kernel, buffer, contents.subarray(at, at + count)) || count,
    write: (_file, buffer: Hva, count, at) => copyFromUser(kernel, contents.subarray(at, at + count), buffer) || count,
  };
  const fd = qemu.process.files.install(new OpenFile('anon_inode:registers', operations, 2, undefined));
  const cap = { cap: KVM_CAP.IOREGIONFD, arg0: 1n };
  expect(qemu.pass(guest.vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, cap)).toBe(0);
  const region = { guest_paddr: BigInt(DEVICE), memory_size: BigInt(BYTES), fd };
  expect(qemu.pass(guest.vmFd, uapi.KVM_SET_IOREGION, uapi.kvm_ioregion, region)).toBe(0);
  return { guest, bytes: () => contents, serve: none };
}

/** What the program has seen and left. */
function outcome({ guest, bytes, serve }: Road) {
  for (let n = 0; n < 2000; n++) {
    expect(guest.resume()).toBe(0);
    if (guest.exitReason === run.KVM_EXIT_HLT)
      return [guest.bytes(RESULTS, RESULT_BYTES), guest.bytes(COPY, 16), [...bytes()], guest.taken];
    serve();
  }
  return expect.unreachable('the program does not end');
}

test('mapped, watched, served by a file, served by user space: the same values, the same device', {
  timeout: 60_000,
}, () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 24 }), (steps) => {
      const text = program(steps);
      const mapped = outcome(memory(text));
      expect(outcome(tracked(text))).toEqual(mapped);
      expect(outcome(userSpace(text))).toEqual(mapped);
      expect(outcome(file(text))).toEqual(mapped);
    }),
    { numRuns: 15 },
  );
});

test('a string copied out of registers that user space serves: an exit an element, and then it is over', () => {
  const road = userSpace(program([{ kind: 'copy in', offset: 4087, count: 5 }]));
  road.bytes().set([1, 2, 3, 4, 5], 4087);
  let exits = 0;
  const counted = { ...road, serve: () => [road.serve(), exits++] };
  expect(outcome(counted as Road)[1]).toEqual([1, 2, 3, 4, 5, ...Array(11).fill(0)]);
  expect(exits).toBe(5);
});

/** A guest of the model and one of the host's own KVM, to which the same is done: the lines for machine.c, and what the model answers. */

import { strict as assert } from 'node:assert';
import type { Hva } from '../../../src/address.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import { EFD_NONBLOCK } from '../../../src/linux/uapi/syscalls.ts';
import { Guest, machineCode } from '../../linux/kvm/guest.ts';
import { protectedMode } from './protected-mode.ts';
import { hex, lineAt, REAL } from './real-kvm.ts';

const CODE_AT = 0x40000;
const COUNTER_BYTES = 8;
const RING_BYTES = 4096;

export interface Asked {
  readonly line: string;
  /** The model's answer; empty where it is not compared. */
  readonly mine: string;
}

/** Memory that the user has mapped: the RAM at guest address 0, and the buffer that further slots are made of. */
export type Memory = 'ram' | 'buffer';

const text = (number: number) => number.toString(16);

export class Pair {
  readonly asked: Asked[] = [];
  readonly #guest: Guest;
  readonly #eventfds: readonly number[];
  readonly #buffer: Hva;

  /** Both stand before `program`, in the model in 64-bit mode, with a buffer of `bufferBytes`; with interrupt controllers in the kernel, or without. */
  constructor(program: string, bufferBytes: number, irqchip = false) {
    const guest = new Guest('hlt', 'none', { irqchip });
    this.#guest = guest;
    const { user } = guest.qemu;
    this.#eventfds = REAL.eventfds.map(() => user.syscalls.eventfd(0, EFD_NONBLOCK));
    this.#buffer = guest.qemu.map(bufferBytes);
    this.asked.push(...protectedMode(program, CODE_AT, irqchip).map((line) => ({ line, mine: '' })));
    user.memory.write((guest.ram + CODE_AT) as Hva, machineCode(program));
    const regs = { rip: BigInt(CODE_AT), rsp: 0x10000n, rflags: 2n };
    assert.equal(guest.qemu.pass(guest.vcpuFd, uapi.KVM_SET_REGS, uapi.kvm_regs, regs), 0);
  }

  /** An ioctl with a structure that says the same to both. */
  ioctl<M extends Members>(fd: 'vm' | 'vcpu', ioctl: Ioctl, struct: Struct<M>, value: Partial<StructValue<M>>): void {
    this.#ioctl(fd, ioctl, struct.encode(value), struct.encode(value));
  }

  /** A slot out of the buffer. */
  setSlot(slot: number, gpa: number, bytes: number, offset: number, flags: number): void {
    const region = (from: number) =>
      uapi.kvm_userspace_memory_region.encode({
        slot,
        flags,
        guest_phys_addr: BigInt(gpa),
        memory_size: BigInt(bytes),
        userspace_addr: BigInt(from + offset),
      });
    this.#ioctl('vm', uapi.KVM_SET_USER_MEMORY_REGION, region(this.#buffer), region(REAL.buffer));
  }

  /** An ioeventfd for one of the three eventfds. */
  ioeventfd(index: number, value: Partial<StructValue<typeof uapi.kvm_ioeventfd.members>>): void {
    const [mine, theirs] = [this.#eventfds[index]!, REAL.eventfds[index]!].map((fd) =>
      uapi.kvm_ioeventfd.encode({ ...value, fd }),
    );
    this.#ioctl('vm', uapi.KVM_IOEVENTFD, mine!, theirs!);
  }

  /** The bitmap comes to stand at an offset of the buffer. */
  getDirtyLog(slot: number, offset: number): void {
    const log = (from: number) => uapi.kvm_dirty_log.encode({ slot, dirty_bitmap: BigInt(from + offset) });
    this.#ioctl('vm', uapi.KVM_GET_DIRTY_LOG, log(this.#buffer), log(REAL.buffer));
  }

  clearDirtyLog(range: Partial<StructValue<typeof uapi.kvm_clear_dirty_log.members>>, offset: number): void {
    const log = (from: number) => uapi.kvm_clear_dirty_log.encode({ ...range, dirty_bitmap: BigInt(from + offset) });
    this.#ioctl('vm', uapi.KVM_CLEAR_DIRTY_LOG, log(this.#buffer), log(REAL.buffer));
  }

  put(memory: Memory, offset: number, bytes: Uint8Array): void {
    const [mine, theirs] = this.#places(memory, offset);
    this.#guest.qemu.user.memory.write(mine, bytes);
    this.asked.push({ line: `put ${text(theirs)} ${hex(bytes)}`, mine: 'put' });
  }

  peek(memory: Memory, offset: number, count: number): void {
    const [mine, theirs] = this.#places(memory, offset);
    const bytes = this.#guest.qemu.user.memory.read(mine, count);
    this.asked.push({ line: `peek ${text(theirs)} ${text(count)}`, mine: hex(bytes) });
  }

  getRegs(): void {
    this.ioctl('vcpu', uapi.KVM_GET_REGS, uapi.kvm_regs, {});
  }

  /** KVM_RUN, in the words of machine.c. */
  run(): string {
    const mine = this.#run();
    this.asked.push({ line: 'run', mine });
    return mine;
  }

  /** The answer to the read that {@link run} has told of. */
  answer(bytes: Uint8Array): void {
    const { exitReason, pioData, run: page } = this.#guest;
    if (exitReason === run.KVM_EXIT_IO) pioData.set(bytes);
    else new Uint8Array(page.buffer, page.byteOffset + run.RUN_MMIO_DATA).set(bytes);
    this.asked.push({ line: `data ${hex(bytes)}`, mine: 'data' });
  }

  /** The value that user space gives for an MSR which the guest reads. */
  answerMsr(value: bigint): void {
    this.#guest.run.setBigUint64(run.RUN_MSR_DATA, value, true);
    const bytes = new Uint8Array(BigUint64Array.of(value).buffer);
    this.asked.push({ line: `page ${text(run.RUN_MSR_DATA)} ${hex(bytes)}`, mine: 'page' });
  }

  /** Which MSRs of `base` on are the kernel's business, a bit each, by a bitmap at an offset of the buffer. */
  filterMsrs(base: number, count: number, flags: number, offset: number): void {
    const filter = (from: number) => {
      const range = { flags, nmsrs: count, base, bitmap: BigInt(from + offset) };
      const ranges = new Uint8Array(uapi.kvm_msr_filter.size - uapi.kvm_msr_filter.offsets.ranges);
      ranges.set(uapi.kvm_msr_filter_range.encode(range));
      return uapi.kvm_msr_filter.encode({ ranges });
    };
    this.#ioctl('vm', uapi.KVM_X86_SET_MSR_FILTER, filter(this.#buffer), filter(REAL.buffer));
  }

  setImmediateExit(value: 0 | 1): void {
    this.#guest.run.setUint8(run.RUN_IMMEDIATE_EXIT, value);
    this.asked.push({ line: `page ${text(run.RUN_IMMEDIATE_EXIT)} 0${value}`, mine: 'page' });
  }

  /** What coalesced writes and eventfds have come to. */
  count(): void {
    const { memory, syscalls } = this.#guest.qemu.user;
    const ring = memory.read((this.#guest.shared + run.KVM_COALESCED_RING_OFFSET) as Hva, RING_BYTES);
    this.asked.push({
      line: `seen ${text(run.KVM_COALESCED_RING_OFFSET)} ${text(RING_BYTES)}`,
      mine: hex(ring),
    });
    for (const [index, fd] of this.#eventfds.entries()) {
      const { scratch } = this.#guest.qemu;
      memory.write(scratch, new Uint8Array(COUNTER_BYTES));
      const got = syscalls.read(fd, scratch, COUNTER_BYTES) === COUNTER_BYTES;
      const counted = memory.read(scratch, COUNTER_BYTES);
      this.asked.push({ line: `count ${text(REAL.eventfds[index]!)}`, mine: `${Number(got)} ${hex(counted)}` });
    }
  }

  #places(memory: Memory, offset: number): readonly [Hva, number] {
    const [mine, theirs] = memory === 'ram' ? [this.#guest.ram, REAL.ram] : [this.#buffer, REAL.buffer];
    return [(mine + offset) as Hva, theirs + offset];
  }

  #ioctl(fd: 'vm' | 'vcpu', ioctl: Ioctl, mine: Uint8Array, theirs: Uint8Array): void {
    const { qemu, vmFd, vcpuFd } = this.#guest;
    qemu.user.memory.write(qemu.scratch, mine);
    const result = qemu.ioctl(fd === 'vm' ? vmFd : vcpuFd, ioctl, qemu.scratch);
    const bytes = qemu.user.memory.read(qemu.scratch, mine.length);
    // What was only taken stands there as it was, which is not the same on both sides.
    const unchanged = hex(bytes) === hex(mine);
    const answer = unchanged ? hex(theirs) : hex(bytes);
    this.asked.push({ line: lineAt(REAL[fd], ioctl, theirs), mine: `${result} ${answer}` });
  }

  #run(): string {
    const result = this.#guest.resume();
    if (result !== 0) return `${result}`;
    const { exitReason, pioData, run: page } = this.#guest;
    switch (exitReason) {
      case run.KVM_EXIT_IO: {
        const { direction, port, size, count } = run.kvm_run_io.read(page, run.KVM_RUN_UNION);
        const out = direction === run.KVM_EXIT_IO_OUT;
        return `${out ? 'out' : 'in'} ${text(port)} ${size} ${count} ${out ? hex(pioData.subarray(0, size * count)) : ''}`;
      }
      case run.KVM_EXIT_MMIO: {
        const { is_write, phys_addr, len, data } = run.kvm_run_mmio.read(page, run.KVM_RUN_UNION);
        return `${is_write ? 'write' : 'read'} ${phys_addr.toString(16)} ${len} ${is_write ? hex(data.subarray(0, len)) : ''}`;
      }
      case run.KVM_EXIT_X86_RDMSR:
      case run.KVM_EXIT_X86_WRMSR: {
        const { index, reason, data } = run.kvm_run_msr.read(page, run.KVM_RUN_UNION);
        return exitReason === run.KVM_EXIT_X86_RDMSR
          ? `rdmsr ${text(index)} ${reason}`
          : `wrmsr ${text(index)} ${reason} ${data.toString(16)}`;
      }
      case run.KVM_EXIT_INTERNAL_ERROR:
        return `internal ${page.getUint32(run.RUN_INTERNAL_SUBERROR, true)}`;
      default:
        return `exit ${exitReason}`;
    }
  }
}

/** Exits that are an access. */
export const SERVED: readonly string[] = ['in', 'out', 'read', 'write'];

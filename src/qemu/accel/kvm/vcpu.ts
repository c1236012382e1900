/**
 * One vCPU: its fd, its kvm_run page, and the loop around KVM_RUN (accel/kvm/kvm-all.c: kvm_init_vcpu, kvm_cpu_exec,
 * kvm_handle_io; target/i386/kvm/kvm.c: kvm_arch_handle_exit).
 */

import { hva } from '../../../address.ts';
import { watch } from '../../../event.ts';
import { EAGAIN, EINTR, strerror } from '../../../linux/uapi/errno.ts';
import {
  KVM_CREATE_VCPU,
  KVM_GET_SREGS,
  KVM_GET_VCPU_MMAP_SIZE,
  KVM_RUN,
  KVM_SET_REGS,
  KVM_SET_SREGS,
  kvm_regs,
  kvm_sregs,
} from '../../../linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../linux/uapi/kvm-capability.ts';
import {
  IO_PORT_SHIFT,
  IO_SIZE_SHIFT,
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_HLT,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_INTR,
  KVM_EXIT_IO,
  KVM_EXIT_IO_OUT,
  KVM_EXIT_MMIO,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_UNKNOWN,
  KVM_INTERNAL_ERROR_EMULATION,
  RUN_EXIT_REASON,
  RUN_FAIL_ENTRY_REASON,
  RUN_HARDWARE_EXIT_REASON,
  RUN_INTERNAL_DATA,
  RUN_INTERNAL_NDATA,
  RUN_INTERNAL_SUBERROR,
  RUN_IO_COUNT,
  RUN_IO_DATA_OFFSET,
  RUN_IO_DIRECTION,
  RUN_MMIO_DATA,
  RUN_MMIO_IS_WRITE,
  RUN_MMIO_LEN,
  RUN_MMIO_PHYS_ADDR,
} from '../../../linux/uapi/kvm-run.ts';
import type { StructOf } from '../../../linux/uapi/struct.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../../linux/uapi/syscalls.ts';
import { Abort, ConfigurationError } from '../../error.ts';
import type { AddressSpace } from '../../memory/address-space.ts';
import type { System } from '../../system.ts';
import { kvmInitVcpu, kvmRunExit, kvmVcpuIoctl } from '../../trace-events.ts';
import { CoalescedRing } from './coalesced-ring.ts';
import { dumpState } from './dump-state.ts';
import type { KvmState } from './kvm-all.ts';

const TWO_TO_32 = 2 ** 32;
const CR0_PE = 1n;

/** What the run loop tells its caller: go on, the vCPU sleeps, or it is over. */
export type RunState = 'running' | 'halted' | 'shutdown' | 'internal-error' | 'run-failed' | 'interrupted';

export class KvmVcpu {
  readonly index: number;
  readonly fd: number;
  readonly #system: System;
  readonly #kvm: KvmState;
  readonly #io: AddressSpace;
  readonly #memory: AddressSpace;
  /** The shared mapping, page by page: kvm_run and the data of port accesses. */
  readonly #run: DataView;
  readonly #data: DataView;
  /** kvm_run again, for the exit path: an element of a typed array is quicker to reach than a field of a DataView. */
  readonly #bytes: Uint8Array;
  readonly #words: Uint32Array;
  readonly #runRequest = KVM_RUN.number;
  /** The ring that all vCPUs share; undefined if KVM collects nothing. */
  readonly coalesced: CoalescedRing | undefined;

  /** kvm_init_vcpu. */
  constructor(system: System, kvm: KvmState, index: number, memory: AddressSpace, io: AddressSpace) {
    this.#system = system;
    this.#kvm = kvm;
    this.#io = io;
    this.#memory = memory;
    this.index = index;
    if (kvmInitVcpu.on) kvmInitVcpu(system.stream, { index, id: index });
    this.fd = system.ioctl(kvm.vm, KVM_CREATE_VCPU, index);
    const failed = (call: string, why: string) => new ConfigurationError(`kvm_init_vcpu: ${call}: ${why}`);
    if (this.fd < 0) throw failed(`kvm_get_vcpu failed (${index})`, strerror(-this.fd));
    system.isKvmFile(this.fd, index);
    const size = system.ioctl(kvm.fd, KVM_GET_VCPU_MMAP_SIZE);
    if (size < 0) throw failed('KVM_GET_VCPU_MMAP_SIZE failed', strerror(-size));
    const run = system.syscalls.mmap(size, PROT_READ | PROT_WRITE, MAP_SHARED, this.fd, 0);
    // The error number is given away with its sign.
    if (run < 0) throw failed(`mmap'ing vcpu state failed (${index})`, `Unknown error ${run}`);
    this.#bytes = system.memory.view(hva(run), 4096);
    this.#run = view(this.#bytes);
    this.#words = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, 1024);
    this.#data = view(system.memory.view(hva(run + 4096), 4096));
    const ring = kvm.coalescedRingPage;
    if (ring > 0)
      this.coalesced = new CoalescedRing(view(system.memory.view(hva(run + ring * 4096), 4096)), memory, io);
  }

  /** kvm_arch_put_registers, as far as the machine sets them. */
  putRegisters(sregs: Partial<StructOf<typeof kvm_sregs>>, regs: Partial<StructOf<typeof kvm_regs>>): void {
    let result = this.#system.ioctlStruct(this.fd, KVM_SET_SREGS, kvm_sregs, sregs);
    if (result < 0) throw new Abort(`KVM_SET_SREGS failed: ${strerror(-result)}`);
    result = this.#system.ioctlStruct(this.fd, KVM_SET_REGS, kvm_regs, regs);
    if (result < 0) throw new Abort(`KVM_SET_REGS failed: ${strerror(-result)}`);
  }

  /** kvm_cpu_exec: enter the guest and serve its exit, over and over, while `goesOn` says so of the state that this has led to. */
  execute(goesOn: (state: RunState) => boolean): void {
    this.#tellRun();
    this.#system.process.ioctlLoop(this.fd, this.#runRequest, 0, (result) => {
      if (!goesOn(this.#serve(result))) return false;
      this.#tellRun();
      return true;
    });
  }

  #tellRun(): void {
    if (watch.on && kvmVcpuIoctl.on)
      kvmVcpuIoctl(this.#system.stream, { cpu_index: this.index, type: this.#runRequest, arg: 0 });
  }

  /** KVM_RUN has returned. Hot. */
  #serve(result: number): RunState {
    if (result < 0) return this.#failed(-result);
    const reason = this.#words[RUN_EXIT_REASON >> 2]!;
    if (watch.on && kvmRunExit.on) kvmRunExit(this.#system.stream, { cpu_index: this.index, reason });
    if (reason === KVM_EXIT_IO) {
      this.#handleIo();
      return 'running';
    }
    switch (reason) {
      case KVM_EXIT_MMIO:
        this.#handleMmio();
        return 'running';
      case KVM_EXIT_HLT:
        return 'halted';
      case KVM_EXIT_INTR:
        return 'interrupted';
      // A triple fault asks for a reset (qemu_system_reset_request).
      case KVM_EXIT_SHUTDOWN:
        return 'shutdown';
      default:
        this.#report(reason);
        dumpState(this.#system, this.fd, this.#memory);
        return this.#goesOnAfter(reason) ? 'running' : 'internal-error';
    }
  }

  /** kvm_handle_io: `count` accesses to the same port. */
  #handleIo(): void {
    const words = this.#words;
    // Direction, size and port.
    const access = words[RUN_IO_DIRECTION >> 2]! | 0;
    const port = access >>> IO_PORT_SHIFT;
    const size = (access >> IO_SIZE_SHIFT) & 0xff;
    const count = words[RUN_IO_COUNT >> 2]! | 0;
    // data_offset counts from the start of kvm_run and names the second page; its high half is always 0.
    const at = (words[RUN_IO_DATA_OFFSET >> 2]! - 4096) | 0;
    const out = (access & 0xff) === KVM_EXIT_IO_OUT;
    for (let i = 0, from = at; i < count; i++, from = (from + size) | 0) {
      if (out) this.#io.write(port, this.#data, from, size);
      else this.#io.read(port, this.#data, from, size);
    }
  }

  #handleMmio(): void {
    const run = this.#run;
    const words = this.#words;
    const address = words[(RUN_MMIO_PHYS_ADDR >> 2) + 1]! * TWO_TO_32 + words[RUN_MMIO_PHYS_ADDR >> 2]!;
    const length = words[RUN_MMIO_LEN >> 2]!;
    if (this.#bytes[RUN_MMIO_IS_WRITE] !== 0) this.#memory.write(address, run, RUN_MMIO_DATA, length);
    else this.#memory.read(address, run, RUN_MMIO_DATA, length);
  }

  #failed(errno: number): RunState {
    if (errno === EINTR || errno === EAGAIN) return 'interrupted';
    this.#system.print(`error: kvm run failed ${strerror(errno)}\n`);
    dumpState(this.#system, this.fd, this.#memory);
    return 'run-failed';
  }

  /** kvm_arch_stop_on_emulation_error: where the guest's user code cannot be emulated, that is the guest's affair. */
  #goesOnAfter(reason: number): boolean {
    if (reason !== KVM_EXIT_INTERNAL_ERROR) return false;
    if (this.#run.getUint32(RUN_INTERNAL_SUBERROR, true) !== KVM_INTERNAL_ERROR_EMULATION) return false;
    const { result, value } = this.#system.exchange(this.fd, KVM_GET_SREGS, kvm_sregs, {});
    return result >= 0 && (value.cr0 & CR0_PE) !== 0n && (value.cs.selector & 3) === 3;
  }

  /** What kvm_cpu_exec and kvm_arch_handle_exit print before the state dump. */
  #report(reason: number): void {
    const run = this.#run;
    const print = (text: string) => this.#system.print(`${text}\n`);
    const hex64 = (at: number) => run.getBigUint64(at, true).toString(16);
    if (reason === KVM_EXIT_UNKNOWN) print(`KVM: unknown exit, hardware reason ${hex64(RUN_HARDWARE_EXIT_REASON)}`);
    else if (reason === KVM_EXIT_FAIL_ENTRY)
      print(`KVM: entry failed, hardware error 0x${hex64(RUN_FAIL_ENTRY_REASON)}`);
    else if (reason === KVM_EXIT_INTERNAL_ERROR) {
      const suberror = run.getUint32(RUN_INTERNAL_SUBERROR, true);
      print(`KVM internal error. Suberror: ${suberror}`);
      const told = this.#kvm.check(KVM_CAP.INTERNAL_ERROR_DATA) > 0;
      const words = told ? run.getUint32(RUN_INTERNAL_NDATA, true) : 0;
      for (let i = 0; i < words; i++) {
        print(`extra data[${i}]: 0x${hex64(RUN_INTERNAL_DATA + 8 * i).padStart(16, '0')}`);
      }
      if (suberror === KVM_INTERNAL_ERROR_EMULATION) print('emulation failure');
    } else print(`KVM: unknown exit reason ${reason}`);
  }
}

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

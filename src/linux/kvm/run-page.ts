/**
 * The pages a vCPU shares with user space: `struct kvm_run` and the port-data page. Written in place at declared
 * offsets, because this is the exit path.
 */

import { type Gpa, type Hpa, PAGE_SIZE } from '../../address.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import {
  IO_PORT_SHIFT,
  IO_SIZE_SHIFT,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_IO,
  KVM_EXIT_IO_IN,
  KVM_EXIT_IO_OUT,
  KVM_EXIT_MMIO,
  KVM_INTERNAL_ERROR_DELIVERY_EV,
  KVM_INTERNAL_ERROR_EMULATION,
  KVM_INTERNAL_ERROR_SIMUL_EX,
  KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON,
  KVM_PIO_PAGE_OFFSET,
  RUN_CR8,
  RUN_DIRTY_REGS,
  RUN_EXIT_REASON,
  RUN_FLAGS,
  RUN_HARDWARE_EXIT_REASON,
  RUN_IF_FLAG,
  RUN_IMMEDIATE_EXIT,
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
  RUN_READY_FOR_INTERRUPT_INJECTION,
  RUN_REQUEST_INTERRUPT_WINDOW,
  RUN_VALID_REGS,
  shiftInWord,
} from '../uapi/kvm-run.ts';
import { copyShort } from './short-copy.ts';

const BYTE = 0xff;
const WINDOW_SHIFT = shiftInWord(RUN_REQUEST_INTERRUPT_WINDOW);
const IMMEDIATE_SHIFT = shiftInWord(RUN_IMMEDIATE_EXIT);
const IF_SHIFT = shiftInWord(RUN_IF_FLAG);
const READY_SHIFT = shiftInWord(RUN_READY_FOR_INTERRUPT_INJECTION);
const FLAGS_SHIFT = shiftInWord(RUN_FLAGS);
/** `ready_for_interrupt_injection`, `if_flag` and `flags` share a word. */
const RUN_STATE = RUN_FLAGS >> 2;
const TWO_TO_32 = 2 ** 32;

export class RunPage {
  readonly frame: Hpa;
  readonly pioFrame: Hpa;
  /** `struct kvm_run`. */
  readonly view: DataView;
  /** The 4096 bytes at KVM_PIO_PAGE_OFFSET. */
  readonly pioData: Uint8Array;
  /** `struct kvm_run` again, for the exit path: an element of a typed array is quicker to reach than a field of a DataView. */
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly #pioHalves: Uint16Array;
  readonly #pioWords: Uint32Array;
  readonly #mmioData: Uint8Array;

  /** Both frames are zeroed and the vCPU's own. */
  constructor(memory: PhysicalMemory, frame: Hpa, pioFrame: Hpa) {
    this.frame = frame;
    this.pioFrame = pioFrame;
    this.view = new DataView(memory.wasm.buffer, frame, PAGE_SIZE);
    this.bytes = memory.page(frame);
    this.words = new Uint32Array(memory.wasm.buffer, frame, PAGE_SIZE / 4);
    this.pioData = memory.page(pioFrame);
    this.#pioHalves = new Uint16Array(memory.wasm.buffer, pioFrame, 1);
    this.#pioWords = new Uint32Array(memory.wasm.buffer, pioFrame, 1);
    this.#mmioData = memory.bytes.subarray(frame + RUN_MMIO_DATA, frame + RUN_MMIO_DATA + 8);
  }

  get exitReason(): number {
    return this.words[RUN_EXIT_REASON >> 2]!;
  }

  get requestInterruptWindow(): boolean {
    return ((this.words[RUN_REQUEST_INTERRUPT_WINDOW >> 2]! >>> WINDOW_SHIFT) & BYTE) !== 0;
  }

  get immediateExit(): boolean {
    return ((this.words[RUN_IMMEDIATE_EXIT >> 2]! >>> IMMEDIATE_SHIFT) & BYTE) !== 0;
  }

  /** Of user space: no register sets to give or to take, no window, no immediate exit. Hot. */
  get asksNothing(): boolean {
    const { words } = this;
    const sets =
      words[RUN_VALID_REGS >> 2]! |
      words[(RUN_VALID_REGS >> 2) + 1]! |
      words[RUN_DIRTY_REGS >> 2]! |
      words[(RUN_DIRTY_REGS >> 2) + 1]!;
    return (sets | words[RUN_REQUEST_INTERRUPT_WINDOW >> 2]! | words[RUN_IMMEDIATE_EXIT >> 2]!) === 0;
  }

  /** Of user space: CR8 is to stay `cr8`. */
  keepsPriority(cr8: number): boolean {
    return this.words[RUN_CR8 >> 2] === cr8 && this.words[(RUN_CR8 >> 2) + 1] === 0;
  }

  /** kvm_arch_vcpu_ioctl_run: `flags` are those of this run alone. */
  clearFlags(): void {
    this.words[RUN_STATE] = this.words[RUN_STATE]! & ((1 << FLAGS_SHIFT) - 1);
  }

  /** post_kvm_run_save: `if_flag` and `ready_for_interrupt_injection`. */
  setInterruptState(interruptFlag: boolean, ready: boolean): void {
    const flags = this.words[RUN_STATE]! >>> FLAGS_SHIFT;
    this.words[RUN_STATE] =
      (flags << FLAGS_SHIFT) | ((ready ? 1 : 0) << READY_SHIFT) | ((interruptFlag ? 1 : 0) << IF_SHIFT);
  }

  /** An exit without data. */
  exit(reason: number): void {
    this.words[RUN_EXIT_REASON >> 2] = reason;
  }

  /** KVM_EXIT_IO of one output of `size` bytes, with its data. */
  exitOut(size: 1 | 2 | 4, port: number, value: number): void {
    this.exitIo(false, size, port, 1);
    this.#setPioValue(size, value);
  }

  /** KVM_EXIT_IO of one input of `size` bytes, all zeros so far. */
  exitIn(size: 1 | 2 | 4, port: number): void {
    this.exitIo(true, size, port, 1);
    this.#setPioValue(size, 0);
  }

  /** What user space has left in the first `size` bytes of `pioData`, as an unsigned number. */
  pioValue(size: 1 | 2 | 4): number {
    if (size === 1) return this.pioData[0]!;
    return size === 2 ? this.#pioHalves[0]! : this.#pioWords[0]!;
  }

  #setPioValue(size: 1 | 2 | 4, value: number): void {
    if (size === 1) this.pioData[0] = value;
    else if (size === 2) this.#pioHalves[0] = value;
    else this.#pioWords[0] = value;
  }

  /** KVM_EXIT_IO; the data are in or belong into `pioData`. */
  exitIo(input: boolean, size: number, port: number, count: number): void {
    const { words } = this;
    words[RUN_EXIT_REASON >> 2] = KVM_EXIT_IO;
    const direction = input ? KVM_EXIT_IO_IN : KVM_EXIT_IO_OUT;
    words[RUN_IO_DIRECTION >> 2] = direction | (size << IO_SIZE_SHIFT) | (port << IO_PORT_SHIFT);
    words[RUN_IO_COUNT >> 2] = count;
    words[RUN_IO_DATA_OFFSET >> 2] = KVM_PIO_PAGE_OFFSET;
    words[(RUN_IO_DATA_OFFSET >> 2) + 1] = 0;
  }

  /** KVM_EXIT_MMIO; `data` holds the bytes of a write. */
  exitMmio(gpa: Gpa, data: Uint8Array, length: number, write: boolean): void {
    const { bytes, words } = this;
    words[RUN_EXIT_REASON >> 2] = KVM_EXIT_MMIO;
    words[RUN_MMIO_PHYS_ADDR >> 2] = gpa;
    words[(RUN_MMIO_PHYS_ADDR >> 2) + 1] = gpa / TWO_TO_32;
    words[RUN_MMIO_LEN >> 2] = length;
    bytes[RUN_MMIO_IS_WRITE] = write ? 1 : 0;
    if (write) copyShort(this.#mmioData, data, length);
  }

  /** What user space answered to an MMIO read. */
  mmioAnswer(into: Uint8Array, length: number): void {
    copyShort(into, this.#mmioData, length);
  }

  /** KVM_EXIT_UNKNOWN with the hardware's reason. */
  exitUnknown(reason: number): void {
    this.exit(0);
    this.view.setBigUint64(RUN_HARDWARE_EXIT_REASON, BigInt(reason), true);
  }

  /** KVM_INTERNAL_ERROR_EMULATION: flags, the instruction's bytes if they could be fetched, the exit's information. */
  emulationFailed(instruction: Uint8Array, information: readonly number[]): void {
    const words: bigint[] = [instruction.length > 0 ? 1n : 0n];
    if (instruction.length > 0) {
      const bytes = new Uint8Array(16).fill(0x90);
      bytes[0] = instruction.length;
      bytes.set(instruction.subarray(0, 15), 1);
      const packed = new DataView(bytes.buffer);
      words.push(packed.getBigUint64(0, true), packed.getBigUint64(8, true));
    }
    this.#internalError(KVM_INTERNAL_ERROR_EMULATION, [...words, ...information.map(BigInt)]);
  }

  /** KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: an exit that has no handler. */
  unexpectedExit(reason: number): void {
    this.#internalError(KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON, [BigInt(reason), 0n]);
  }

  /** KVM_INTERNAL_ERROR_SIMUL_EX: an exception that leaves the guest, while another event was being delivered. */
  simultaneous(information: readonly number[]): void {
    this.#internalError(KVM_INTERNAL_ERROR_SIMUL_EX, information.map(BigInt));
  }

  /** KVM_INTERNAL_ERROR_DELIVERY_EV: an exit, while an event was being delivered, after which it cannot be. */
  deliveryFailed(information: readonly number[]): void {
    this.#internalError(KVM_INTERNAL_ERROR_DELIVERY_EV, information.map(BigInt));
  }

  #internalError(suberror: number, data: readonly bigint[]): void {
    const { view } = this;
    view.setUint32(RUN_EXIT_REASON, KVM_EXIT_INTERNAL_ERROR, true);
    view.setUint32(RUN_INTERNAL_SUBERROR, suberror, true);
    view.setUint32(RUN_INTERNAL_NDATA, data.length, true);
    for (const [i, word] of data.entries()) view.setBigUint64(RUN_INTERNAL_DATA + 8 * i, word, true);
  }
}

/**
 * The instruction emulator's view of memory and ports: where an access goes that the CPU could not do by itself, and how
 * user space's answer comes back (arch/x86/kvm/x86.c: emulator_read_write_onepage, complete_emulated_mmio,
 * emulator_pio_in_out; kvm.ko's side of Vcpu.emulate).
 *
 * A read that user space must answer abandons the instruction; it runs again when the answer is there, and reads that
 * were answered before are not repeated. A write is queued and the instruction finishes; user space sees it afterwards.
 */

import { type Gpa, gva, PAGE_SIZE, pageNumber, pageOffset, pageStart } from '../../address.ts';
import type { EmulatorPort, Served } from '../../hardware/vcpu/emulator-port.ts';
import { IO_QUALIFICATION } from '../../hardware/vcpu/exit.ts';
import { APIC_BASE_DEFAULT } from './apic-registers.ts';
import { type Cpu, RCX, RDI } from './cpu.ts';
import { kvm_read_guest, kvm_write_guest } from './guest-memory.ts';
import type { Lapic } from './lapic.ts';
import { isReadonly, slotHva } from './memslots.ts';
import type { MmioCache } from './mmu.ts';
import type { RunPage } from './run-page.ts';
import { copyShort } from './short-copy.ts';
import { StringStore } from './string-store.ts';
import { kvmMmio, kvmPio, vcpuMatchMmio } from './trace.ts';
import type { Vm } from './vm.ts';

/** What the emulated instruction waits for. */
export type Needed = 'nothing' | 'mmio-read' | 'mmio-write' | 'pio-in' | 'pio-out';

/** INS reads ahead at most this many bytes (pio_in_emulated). */
const READ_AHEAD = 1024;
/** A larger access is delivered in pieces of as many bytes. */
const PIECE = 8;
const RFLAGS_DF = 1 << 10;

/** One access of at most {@link PIECE} bytes, to memory within a page or to a port. */
class Fragment {
  address = 0;
  length = 0;
  /** Of a read that waits: which of the instruction's reads it is. */
  read = 0;
  readonly data = new Uint8Array(PIECE);

  set(from: Uint8Array): void {
    copyShort(this.data, from, from.length);
  }

  copyTo(data: Uint8Array): void {
    copyShort(data, this.data, data.length);
  }
}

/** A list of fragments that keeps its objects when emptied: the exit path allocates only when it grows. */
class Fragments {
  readonly #items: Fragment[] = [];
  count = 0;

  at(index: number): Fragment {
    return this.#items[index]!;
  }

  push(address: number, length: number): Fragment {
    if (this.count === this.#items.length) this.#items.push(new Fragment());
    const fragment = this.#items[this.count++]!;
    fragment.address = address;
    fragment.length = length;
    return fragment;
  }
}

export class Emulation implements EmulatorPort {
  readonly #vm: Vm;
  readonly #cpu: Cpu;
  readonly #run: RunPage;
  readonly #cache: MmioCache;
  readonly #lapic: Lapic | undefined;
  /** Reads of this instruction in order; while one waits for user space its value is not known. */
  readonly #answered = new Fragments();
  #replayed = 0;
  /** Accesses that user space has to serve. */
  readonly #waiting = new Fragments();
  #served = 0;
  /** Data of INS that were read ahead. */
  readonly #input = new Uint8Array(READ_AHEAD);
  #inputAt = 0;
  #inputEnd = 0;
  /** A repeated INS that goes upwards: what was read ahead is stored at once. */
  #atOnce = false;
  readonly #store = new StringStore(READ_AHEAD);
  #port = 0;
  #size = 0;
  #count = 0;
  /** RFLAGS as the guest left them, and as they are in the emulator while user space sees those. */
  #guestFlags = 0;
  #ownFlags = 0;
  /** Elements of a repeated string instruction that are done since the guest left. */
  #elementsDone = 0;
  #needed: Needed = 'nothing';

  constructor(vm: Vm, cpu: Cpu, run: RunPage, cache: MmioCache, lapic: Lapic | undefined) {
    this.#vm = vm;
    this.#cpu = cpu;
    this.#run = run;
    this.#cache = cache;
    this.#lapic = lapic;
  }

  /** What user space must do before the guest goes on; `nothing` when the kernel served all. */
  get needed(): Needed {
    return this.#needed;
  }

  /** INS data that no instruction has taken yet. */
  get inputLeft(): boolean {
    return this.#inputAt < this.#inputEnd;
  }

  /** INS has taken all that was read ahead. */
  get inputUsedUp(): boolean {
    return this.#inputEnd > 0 && !this.inputLeft;
  }

  /** Elements of INS are missing from what it stores at once. */
  get gathers(): boolean {
    return this.#atOnce && this.inputLeft;
  }

  /** A new instruction: nothing of the last one is kept. */
  begin(): void {
    this.#inputAt = this.#inputEnd = 0;
    if (this.#atOnce) this.#store.clear();
    this.#atOnce = false;
    this.#elementsDone = 0;
    this.#forget();
  }

  beginElement(): void {
    if (this.#elementsDone === 0) this.#guestFlags = this.#cpu.eflags;
  }

  /** A repeated string instruction goes on with its next element: what was read is used up, but for data of INS. */
  nextElement(): void {
    this.#elementsDone++;
    this.#forget();
  }

  #forget(): void {
    this.#answered.count = 0;
    this.rewind();
  }

  /**
   * User space is asked for an element's data: RFLAGS are still those of the guest, while the registers tell of the elements before, because
   * KVM_GET_REGS has only these put back (x86_emulate_instruction, emulator_writeback_register_cache).
   */
  hideFlags(): void {
    if (this.#elementsDone === 0) return;
    this.#ownFlags = this.#cpu.eflags;
    this.#cpu.eflags = this.#guestFlags;
  }

  /** The data are there, and the instruction goes on. */
  showFlags(): void {
    if (this.#elementsDone > 0) this.#cpu.eflags = this.#ownFlags;
  }

  /** The same instruction from the start, with the answers got so far. */
  rewind(): void {
    this.#replayed = 0;
    this.#waiting.count = 0;
    this.#served = 0;
    this.#needed = 'nothing';
  }

  readMemory(linear: number, physical: Gpa, data: Uint8Array): Served {
    // The instruction runs again: what it has read is not read anew, wherever it would be by now (read_emulated).
    if (this.#replayed < this.#answered.count) {
      this.#answered.at(this.#replayed++).copyTo(data);
      return 'done';
    }
    if (!this.#isMmio(linear, physical, false) && this.#isRam(physical, false))
      if (kvm_read_guest(this.#vm, physical, data, data.length) === 0) {
        this.#remember(physical, data);
        return 'done';
      }
    if (this.#lapic?.readMemory(physical, data) === 0 || this.#vm.mmioBus.read(physical, data) === 0) {
      this.#remember(physical, data);
      if (kvmMmio.on) this.#traceMmio('read', physical, data);
      return 'done';
    }
    this.#waiting.push(physical, data.length).read = this.#replayed;
    this.#remember(physical, data);
    this.#needed = 'mmio-read';
    if (kvmMmio.on)
      kvmMmio(this.#vm.kernel.stream, { type: 'unsatisfied-read', length: data.length, gpa: physical, value: 0n });
    return 'later';
  }

  #remember(physical: Gpa, data: Uint8Array): void {
    this.#answered.push(physical, data.length).set(data);
    this.#replayed++;
  }

  writeMemory(linear: number, physical: Gpa, data: Uint8Array): Served {
    if (!this.#isMmio(linear, physical, true) && this.#isRam(physical, true))
      if (kvm_write_guest(this.#vm, physical, data, data.length) === 0) {
        this.#vm.pageTrack.written(physical, data);
        return 'done';
      }
    if (this.#atOnce) {
      this.#store.add(physical, data);
      return 'done';
    }
    if (kvmMmio.on) this.#traceMmio('write', physical, data);
    // The vCPU's own local APIC is asked before the bus (vcpu_mmio_write).
    if (this.#lapic?.writeMemory(physical, data) === 0) return 'done';
    if (this.#vm.mmioBus.write(physical, data) === 0) return 'done';
    this.#waiting.push(physical, data.length).set(data);
    this.#needed = 'mmio-write';
    return 'later';
  }

  ramAt(physical: Gpa): number {
    const slot = this.#vm.memslots.find(pageNumber(physical));
    if (slot === undefined) return -1;
    const { current, memory } = this.#vm.kernel;
    const frame = current.mm.frame(slotHva(slot, pageNumber(physical)), false);
    return frame < 0 || frame >= memory.size ? -1 : frame + pageOffset(physical);
  }

  /** All elements of INS have been gathered: they are stored. */
  storeGathered(): void {
    if (!this.#atOnce) return;
    for (const { address, data } of this.#store.take()) {
      if (kvmMmio.on) this.#traceMmio('write', address, data);
      let handled = true;
      for (let at = 0; at < data.length; at += PIECE) {
        const piece = data.subarray(at, at + PIECE);
        const to = (address + at) as Gpa;
        // Behind a piece that nobody takes in the kernel nobody is asked (vcpu_mmio_write).
        handled &&= this.#lapic?.writeMemory(to, piece) === 0 || this.#vm.mmioBus.write(to, piece) === 0;
        if (handled) continue;
        this.#waiting.push(to, piece.length).set(piece);
        this.#needed = 'mmio-write';
      }
    }
  }

  /** em_out: one element, and the answer does not matter to the instruction. */
  writePort(port: number, data: Uint8Array): Served {
    if (kvmPio.on) this.#tracePio(true, port, data.length, 1, data);
    if (this.#vm.pioBus.write(port, data) === 0) return 'done';
    this.#waiting.push(port, data.length).set(data);
    this.#needed = 'pio-out';
    return 'later';
  }

  /** pio_in_emulated: INS reads ahead to the end of the page, and takes its elements from what was read. */
  readPort(port: number, data: Uint8Array): Served {
    const size = data.length;
    if (!this.inputLeft && !this.#readAhead(port, size)) return 'later';
    data.set(this.#input.subarray(this.#inputAt, this.#inputAt + size));
    this.#inputAt += size;
    return 'done';
  }

  /** Show the next waiting MMIO access to user space. */
  exitMmio(): void {
    const fragment = this.#waiting.at(this.#served);
    this.#run.exitMmio(fragment.address as Gpa, fragment.data, fragment.length, this.#needed === 'mmio-write');
  }

  /** Show the next waiting port write to user space; true when there are more. */
  exitPioOut(): boolean {
    const fragment = this.#waiting.at(this.#served++);
    for (let i = 0; i < fragment.length; i++) this.#run.pioData[i] = fragment.data[i]!;
    this.#run.exitIo(false, fragment.length, fragment.address, 1);
    return this.#served < this.#waiting.count;
  }

  /** complete_emulated_mmio: user space has served one access; true when it was the last. */
  completeMmio(): boolean {
    const fragment = this.#waiting.at(this.#served++);
    if (this.#needed === 'mmio-read') {
      this.#run.mmioAnswer(fragment.data, fragment.length);
      this.#answered.at(fragment.read).set(fragment.data);
      if (kvmMmio.on) this.#traceMmio('read', fragment.address as Gpa, fragment.data.subarray(0, fragment.length));
    }
    return this.#served === this.#waiting.count;
  }

  /** complete_emulator_pio_in: the data page holds the elements that INS asked for. */
  completePioIn(): void {
    const bytes = this.#size * this.#count;
    this.#input.set(this.#run.pioData.subarray(0, bytes));
    this.#inputReady(bytes);
  }

  /** True when the data are in the read-ahead buffer, false when user space must provide them. */
  #readAhead(port: number, size: number): boolean {
    const { pioBus } = this.#vm;
    this.#port = port;
    this.#size = size;
    this.#count = this.#elements(size);
    const bytes = size * this.#count;
    this.#input.fill(0, 0, bytes);
    for (let at = 0; at < bytes; at += size) {
      if (pioBus.read(port, this.#input.subarray(at, at + size)) === 0) continue;
      // A device that vanishes in the middle leaves zeros; one that was never there means user space.
      if (at > 0) break;
      this.#run.pioData.fill(0, 0, bytes);
      this.#run.exitIo(true, size, port, this.#count);
      this.#needed = 'pio-in';
      return false;
    }
    this.#inputReady(bytes);
    return true;
  }

  #inputReady(bytes: number): void {
    this.#inputAt = 0;
    this.#inputEnd = bytes;
    if (kvmPio.on) this.#tracePio(false, this.#port, this.#size, this.#count, this.#input);
  }

  /** How many elements INS reads at once; the bytes left in the page are compared as a count, as KVM does. */
  #elements(size: number): number {
    if ((this.#cpu.exit.qualification & IO_QUALIFICATION.REPEATED) === 0) return 1;
    const offset = pageOffset(Number(BigInt.asUintN(32, this.#cpu.register(RDI))));
    const backward = (this.#cpu.eflags & RFLAGS_DF) !== 0;
    this.#atOnce = !backward;
    const inPage = backward ? offset : PAGE_SIZE - offset;
    const left = this.#cpu.register(RCX);
    const wanted = Math.min(inPage, READ_AHEAD / size);
    return Math.max(1, left < BigInt(wanted) ? Number(left) : wanted);
  }

  /** vcpu_is_mmio_gpa: is this the page that the vCPU remembers as MMIO? */
  #isMmio(linear: number, physical: Gpa, write: boolean): boolean {
    // The local APIC's page is MMIO, whatever is mapped there.
    if (pageStart(physical) === APIC_BASE_DEFAULT) return true;
    if (!this.#cache.holds(physical, this.#vm.memslots.generation())) return false;
    if (vcpuMatchMmio.on)
      vcpuMatchMmio(this.#vm.kernel.stream, { gva: gva(BigInt(linear)), gpa: physical, write, gpaMatch: true });
    return true;
  }

  #isRam(physical: Gpa, write: boolean): boolean {
    const slot = this.#vm.memslots.find(pageNumber(physical));
    return slot !== undefined && !(write && isReadonly(slot));
  }

  #traceMmio(type: 'read' | 'write', gpa: Gpa, data: Uint8Array): void {
    let value = 0n;
    for (let i = Math.min(data.length, PIECE) - 1; i >= 0; i--) value = (value << 8n) | BigInt(data[i]!);
    kvmMmio(this.#vm.kernel.stream, { type, length: data.length, gpa, value });
  }

  #tracePio(write: boolean, port: number, size: number, count: number, data: Uint8Array): void {
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + data[i]!;
    kvmPio(this.#vm.kernel.stream, { write, port, size, count, value });
  }
}

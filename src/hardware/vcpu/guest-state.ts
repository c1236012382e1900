/** The guest's registers as the hypervisor reads and writes them (guest-state area, SDM vol. 3C ch. 25.4). */

import { INTERRUPTIBILITY } from './exit.ts';
import { IF } from './flags.ts';
import type { DescriptorTable, Segment, SegmentName } from './segments.ts';
import { SLOT, WORD } from './state.ts';
import type { Parts } from './wiring.ts';

/** Registers of one vCPU, as unsigned bigints. */
export class GuestState {
  protected readonly parts: Parts;
  /** General registers 0 to 15 and rip, live: each as its low and its high half, unsigned. */
  readonly halves: Int32Array;

  constructor(parts: Parts) {
    this.parts = parts;
    this.halves = parts.state.words;
  }

  /** General register 0 (rax) to 15 (r15). */
  register(index: number): bigint {
    return BigInt.asUintN(64, this.parts.state.quads[index]!);
  }
  setRegister(index: number, value: bigint): void {
    this.parts.state.quads[index] = value;
  }

  get rip(): bigint {
    return BigInt.asUintN(64, this.parts.state.quads[SLOT.RIP]!);
  }
  set rip(value: bigint) {
    this.parts.state.quads[SLOT.RIP] = value;
  }

  /** RFLAGS.IF. Hot: the status flags, which would have to be worked out, are left alone. */
  get interruptFlag(): boolean {
    return (this.parts.state.words[WORD.FLAG_CONTROL]! & IF) !== 0;
  }

  get rflags(): bigint {
    return BigInt(this.eflags);
  }
  set rflags(value: bigint) {
    this.eflags = Number(BigInt.asIntN(32, value));
  }
  get eflags(): number {
    return this.parts.flags.read();
  }
  set eflags(value: number) {
    this.parts.flags.write(value);
    this.parts.mmu.updateAlignment();
  }

  segment(name: SegmentName): Segment {
    return { ...this.parts.segments.get(name) };
  }
  setSegment(name: SegmentName, segment: Segment): void {
    this.parts.segments.set(name, { ...segment });
    if (name !== 'cs') return;
    this.parts.mmu.flush();
    this.parts.mmu.updateAlignment();
  }

  descriptorTable(name: 'gdt' | 'idt'): DescriptorTable {
    return { ...this.parts.segments[name] };
  }
  setDescriptorTable(name: 'gdt' | 'idt', table: DescriptorTable): void {
    Object.assign(this.parts.segments[name], table);
  }

  control(number: 0 | 2 | 3 | 4 | 8): bigint {
    return this.parts.controls.get(number)!;
  }
  /** CR8. Hot. */
  get taskPriority(): number {
    return this.parts.controls.taskPriority;
  }
  setControl(number: 0 | 2 | 3 | 4 | 8, value: bigint): void {
    this.parts.controls.set(number, value);
  }

  get efer(): bigint {
    return this.parts.mmu.guest.efer;
  }
  set efer(value: bigint) {
    this.parts.mmu.guest.efer = value;
    this.parts.mmu.flush();
  }

  /** MSRs of the processor's whose access exits all the same (the MSR bitmaps); `undefined`: none. */
  get msrIntercepts(): ((index: number, write: boolean) => boolean) | undefined {
    return this.parts.msrs.intercepts;
  }
  set msrIntercepts(intercepts: ((index: number, write: boolean) => boolean) | undefined) {
    this.parts.msrs.intercepts = intercepts;
  }

  /** An MSR that the processor keeps; undefined if the hypervisor has to. */
  readMsr(index: number): bigint | undefined {
    return this.parts.msrs.get(index);
  }
  /** False if the processor does not keep that MSR, or would refuse the value of a guest that writes it. */
  writeMsr(index: number, value: bigint, byGuest: boolean): boolean {
    if (this.parts.msrs.get(index) === undefined) return false;
    if (byGuest && !this.parts.msrs.accepts(index, value)) return false;
    this.parts.msrs.set(index, value);
    return true;
  }

  /** al, ax or eax, unsigned. */
  readAccumulator(size: 1 | 2 | 4): number {
    const { unsignedWords } = this.parts.state;
    return size === 4 ? unsignedWords[0]! : unsignedWords[0]! & (size === 1 ? 0xff : 0xffff);
  }
  /** Complete an IN: eax clears the upper half of rax, al and ax leave the rest. */
  writeAccumulator(size: 1 | 2 | 4, value: number): void {
    if (size === 1) this.parts.state.bytes[0] = value;
    else if (size === 2) this.parts.state.halves[0] = value;
    else {
      this.parts.state.words[0] = value;
      this.parts.state.words[1] = 0;
    }
  }

  /** What holds back interrupts and NMIs: {@link INTERRUPTIBILITY}. */
  get interruptibility(): number {
    const { shadow, nmi } = this.parts.blocking;
    return shadow | (nmi ? INTERRUPTIBILITY.NMI : 0);
  }
  set interruptibility(bits: number) {
    const { blocking } = this.parts;
    blocking.shadow = bits & INTERRUPTIBILITY.MOV_SS || bits & INTERRUPTIBILITY.STI;
    blocking.nmi = (bits & INTERRUPTIBILITY.NMI) !== 0;
  }

  /** Breakpoints of the hypervisor's in place of the guest's (DR0–3 and DR7); `undefined` gives the guest its own back. */
  borrowBreakpoints(own: { readonly addresses: readonly bigint[]; readonly control: number } | undefined): void {
    this.parts.debug.borrow(own);
    this.parts.mmu.flush();
  }

  /** DR0–3, 6 or 7, unsigned. */
  debugRegister(number: 0 | 1 | 2 | 3 | 6 | 7): bigint {
    return this.parts.debug.get(number);
  }
  setDebugRegister(number: 0 | 1 | 2 | 3 | 6 | 7, value: bigint): void {
    this.parts.debug.set(number, value);
    this.parts.mmu.flush();
  }
}

/**
 * A vCPU with a GDT, an IDT and a TSS, for tests of privilege and events: supervisor code at {@link CODE}, the program's code
 * and data from {@link USER}. Every vector's handler halts, so that a test reads the vector and the frame.
 */

import { assemble } from '../../lang/assembler/assemble.ts';
import { toFlat } from '../../lang/object/flat.ts';
import { hpa, MiB, PAGE_SIZE } from '../../src/address.ts';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import { flatCode, flatStack } from '../../src/hardware/vcpu/segments.ts';
import { CODE, FlatMachine, STACK } from './flat-machine.ts';

export { CODE, STACK };
export const USER = MiB(2);
export const USER_STACK = MiB(4);
export const GDT = 0x6000;
export const TSS = 0x8000;
const IDT = 0x7000;
const HANDLERS = 0x9000;
/** rsp0, and the stack of IST 1. */
export const STACK0 = 0x7_0000;
export const IST1 = 0x6_0000;
const HLT = 0xf4;
const TABLES = [0x2000, 0x3000, 0x4000];
const TSS_LIMIT = 0xff;

/** Selectors. */
export const KERNEL_CODE = 0x10;
export const KERNEL_DATA = 0x18;
export const USER_DATA = 0x2b;
export const USER_CODE = 0x33;
const TASK = 0x40;

/** What stopped the CPU: the handler of a vector, with the frame it found, or an exit. */
export interface Stopped {
  readonly vector: number | undefined;
  readonly errorCode: number | undefined;
  readonly rip: number;
  readonly cs: number;
  readonly rflags: number;
  readonly rsp: number;
  readonly reason: number;
}

export const assembled = (text: string, origin: number): Uint8Array => {
  const result = assemble(
    { name: 'test.asm', text: `bits 64\n${text}\n` },
    { format: 'bin', includePath: () => undefined },
  );
  if ('diagnostics' in result) throw new Error(result.diagnostics.map(({ message }) => message).join('; '));
  const flat = toFlat(result.object, BigInt(origin));
  if ('diagnostics' in flat) throw new Error('the test’s source names what it does not define');
  return flat.bytes;
};

export class PrivilegeMachine extends FlatMachine {
  constructor(code: string) {
    super(assembled(code, CODE));
    const { memory, cpu } = this;
    const { view } = memory;
    for (const table of TABLES.slice(0, 2)) memory.writeEntry(hpa(table), memory.readEntry(hpa(table)) | 4n);
    for (const index of [1, 2]) {
      const at = hpa(TABLES[2]! + index * 8);
      memory.writeEntry(at, memory.readEntry(at) | 4n);
    }
    for (const [selector, descriptor] of [
      [KERNEL_CODE, 0x00af9b000000ffffn],
      [KERNEL_DATA, 0x00cf93000000ffffn],
      [USER_DATA & ~3, 0x00cff3000000ffffn],
      [USER_CODE & ~3, 0x00affb000000ffffn],
      [TASK, 0x0000890000000000n | BigInt(TSS_LIMIT) | (BigInt(TSS) << 16n)],
    ] as const)
      view.setBigUint64(GDT + selector, descriptor, true);
    for (let vector = 0; vector < 256; vector++) {
      this.setGate(vector, HANDLERS + vector);
      memory.bytes[HANDLERS + vector] = HLT;
    }
    view.setBigUint64(TSS + 4, BigInt(STACK0), true);
    view.setBigUint64(TSS + 0x24, BigInt(IST1), true);
    view.setUint16(TSS + 0x66, TSS_LIMIT + 1, true);
    cpu.setDescriptorTable('gdt', { base: BigInt(GDT), limit: 0x7f });
    cpu.setDescriptorTable('idt', { base: BigInt(IDT), limit: 0xfff });
    cpu.setSegment('cs', flatCode(KERNEL_CODE, 0));
    cpu.setSegment('ss', flatStack(KERNEL_DATA, 0));
    cpu.setSegment('tr', { ...flatCode(TASK, 0), s: 0, base: BigInt(TSS), limit: TSS_LIMIT });
  }

  /** An interrupt gate; `how` replaces its type byte (present, DPL 0, 64-bit) and adds an IST. */
  setGate(vector: number, target: number, how: { type?: number; ist?: number; selector?: number } = {}): void {
    const { view } = this.memory;
    view.setUint32(IDT + vector * 16, ((how.selector ?? KERNEL_CODE) << 16) | (target & 0xffff), true);
    view.setUint32(IDT + vector * 16 + 4, (target & 0xffff0000) | ((how.type ?? 0x8e) << 8) | (how.ist ?? 0), true);
    view.setBigUint64(IDT + vector * 16 + 8, 0n, true);
  }

  /** Put code at `address`, as somebody beside the CPU does. */
  place(code: string, address: number): void {
    const bytes = assembled(code, address);
    for (let done = 0; done < bytes.length; ) {
      const count = Math.min(bytes.length - done, PAGE_SIZE - ((address + done) % PAGE_SIZE));
      this.memory.write(address + done, bytes, done, count);
      done += count;
    }
  }

  /** Take the 2 MiB at `megabyte` out of the page tables. */
  unmap(megabyte: number): void {
    this.memory.writeEntry(hpa(TABLES[2]! + (megabyte / 2) * 8), 0n);
    this.cpu.setControl(3, this.cpu.control(3));
  }

  /** Begin at {@link USER} in privilege 3. */
  enterUser(code: string): void {
    this.place(code, USER);
    this.cpu.setSegment('cs', flatCode(USER_CODE, 3));
    this.cpu.setSegment('ss', flatStack(USER_DATA, 3));
    this.cpu.rip = BigInt(USER);
    this.cpu.setRegister(4, BigInt(USER_STACK));
  }

  run(limit = 10_000): Stopped {
    const reason = this.cpu.run(limit);
    const rip = Number(this.cpu.rip);
    const vector = reason === EXIT_REASON.HLT && rip >= HANDLERS && rip < HANDLERS + 256 ? rip - HANDLERS : undefined;
    const hasError = vector !== undefined && [8, 10, 11, 12, 13, 14, 17].includes(vector);
    const top = Number(this.cpu.register(4));
    const quad = (index: number) =>
      vector === undefined ? 0 : Number(this.memory.view.getBigUint64(top + (index + (hasError ? 1 : 0)) * 8, true));
    const errorCode = hasError ? Number(this.memory.view.getBigUint64(top, true)) : undefined;
    return {
      vector,
      errorCode,
      rip: vector === undefined ? rip : quad(0),
      cs: quad(1),
      rflags: quad(2),
      rsp: quad(3),
      reason,
    };
  }
}

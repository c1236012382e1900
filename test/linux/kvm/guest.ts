/** A small guest in long mode, assembled from text, with an interrupt table that notes what arrives. */

import { strict as assert } from 'node:assert';
import { assemble } from '../../../lang/assembler/assemble.ts';
import { toFlat } from '../../../lang/object/flat.ts';
import type { Hva } from '../../../src/address.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { Bench, type BenchOptions } from './bench.ts';

const RAM = 16 * 1024 * 1024;
/** Where things are in guest memory. */
const AT = { tables: 0x2000, gdt: 0x5000, idt: 0x6000, notes: 0x7000, code: 0x8000, stubs: 0xa000, stack: 0x10000 };
const VECTORS = 256;
const STUB_BYTES = 16;
const APIC_ENABLED_BOOT = 0xfee00900n;

/** Push nothing, note the vector that the stub has pushed, tell both controllers, return. */
const HANDLER = `
note:   push    rax
        push    rbx
        mov     rax, [rsp + 16]
        mov     ebx, [${AT.notes}]
        mov     [${AT.notes} + 4 + rbx], al
        inc     dword [${AT.notes}]
`;
const RETURN = `
        pop     rbx
        pop     rax
        add     rsp, 8
        iretq
`;
/** What the handler does to end an interrupt. */
export const END = {
  none: '',
  lapic: 'mov ebx, 0xfee000b0\n mov dword [rbx], 0\n',
  pic: 'mov al, 0x20\n out 0xa0, al\n out 0x20, al\n',
};

/** `bits 64` code as bytes, to be loaded at its ORG. */
export function machineCode(text: string): Uint8Array {
  const assembled = assemble({ name: 'guest.asm', text }, { includePath: () => undefined, format: 'bin', defines: {} });
  if ('diagnostics' in assembled) assert.fail(assembled.diagnostics[0]!.message);
  const flat = toFlat(assembled.object);
  if ('diagnostics' in flat) assert.fail(flat.diagnostics[0]!.message);
  return flat.bytes;
}

export class Guest extends Bench {
  readonly ram: Hva;

  /** `text` starts at ring 0 with interrupts off, the stack set, the first 4 GiB mapped to themselves. */
  constructor(text: string, end: keyof typeof END = 'lapic', options: BenchOptions = {}) {
    super({ hardware: 'real', irqchip: true, ...options });
    this.ram = this.qemu.map(RAM);
    this.setSlot(0, 0, RAM, this.ram);
    const tables = new BigUint64Array(1024);
    tables[0] = 0x3003n;
    for (let i = 0; i < 4; i++) tables[512 + i] = (BigInt(i) << 30n) | 0x83n;
    this.#put(AT.tables, new Uint8Array(tables.buffer));
    this.#put(AT.gdt, new Uint8Array(BigUint64Array.of(0n, 0n, 0x00af9b000000ffffn, 0x00cf93000000ffffn).buffer));
    this.#interruptTable();
    const code = `bits 64\norg ${AT.code}\njmp start\n${HANDLER}${END[end]}${RETURN}\nstart:\n${text}\n`;
    this.#put(AT.code, machineCode(code));
    this.#registers();
  }

  /** Vectors that arrived, in order. */
  get taken(): number[] {
    const bytes = this.qemu.user.memory.read((this.ram + AT.notes) as Hva, 256);
    return [...bytes.subarray(4, 4 + bytes[0]!)];
  }

  /** `count` bytes of guest memory. */
  bytes(at: number, count: number): number[] {
    return [...this.qemu.user.memory.read((this.ram + at) as Hva, count)];
  }

  resume(): number {
    return this.qemu.ioctl(this.vcpuFd, uapi.KVM_RUN);
  }

  setLine(irq: number, level: number): number {
    return this.qemu.pass(this.vmFd, uapi.KVM_IRQ_LINE, uapi.kvm_irq_level, { irq, level });
  }

  #put(at: number, bytes: Uint8Array): void {
    this.qemu.user.memory.write((this.ram + at) as Hva, bytes);
  }

  /** Every gate leads to a stub that pushes its vector and jumps to the handler behind the first jump of the code. */
  #interruptTable(): void {
    const gates = new DataView(new ArrayBuffer(16 * VECTORS));
    const stubs = new DataView(new ArrayBuffer(STUB_BYTES * VECTORS));
    for (let vector = 0; vector < VECTORS; vector++) {
      const stub = AT.stubs + vector * STUB_BYTES;
      gates.setUint16(16 * vector, stub & 0xffff, true);
      gates.setUint16(16 * vector + 2, 0x10, true);
      gates.setUint16(16 * vector + 4, 0x8e00, true);
      gates.setUint16(16 * vector + 6, stub >> 16, true);
      stubs.setUint8(STUB_BYTES * vector, 0x68);
      stubs.setUint32(STUB_BYTES * vector + 1, vector, true);
      stubs.setUint8(STUB_BYTES * vector + 5, 0xe9);
      stubs.setInt32(STUB_BYTES * vector + 6, AT.code + 2 - (stub + 10), true);
    }
    this.#put(AT.idt, new Uint8Array(gates.buffer));
    this.#put(AT.stubs, new Uint8Array(stubs.buffer));
  }

  #registers(): void {
    const padding = new Uint8Array(6);
    const code = { selector: 0x10, type: 11, present: 1, s: 1, l: 1, g: 1, limit: 0xffffffff, padding: 0 } as never;
    const data = { selector: 0x18, type: 3, present: 1, s: 1, db: 1, g: 1, limit: 0xffffffff, padding: 0 } as never;
    const sregs = {
      cs: code,
      ds: data,
      es: data,
      ss: data,
      fs: data,
      gs: data,
      gdt: { base: BigInt(AT.gdt), limit: 31, padding },
      idt: { base: BigInt(AT.idt), limit: 16 * VECTORS - 1, padding },
      cr0: 0x80010001n,
      cr3: BigInt(AT.tables),
      cr4: 0x20n,
      efer: 0x500n,
      apic_base: APIC_ENABLED_BOOT,
    };
    assert.equal(this.qemu.pass(this.vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, sregs), 0);
    const regs = { rip: BigInt(AT.code), rsp: BigInt(AT.stack) };
    assert.equal(this.qemu.pass(this.vcpuFd, uapi.KVM_SET_REGS, uapi.kvm_regs, regs), 0);
  }
}

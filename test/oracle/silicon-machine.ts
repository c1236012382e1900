/**
 * The model's CPU where native.c puts the host's: the same pages at the same addresses, privilege 3, and Linux's selectors.
 * Every vector leads to a handler that halts, so that a fault can be read off its frame.
 */

import { hpa, MiB, PAGE_SIZE } from '../../src/address.ts';
import { EventStream } from '../../src/event.ts';
import { PhysicalMemory } from '../../src/hardware/physical-memory.ts';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import {
  CR0_AM,
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_PAE,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
} from '../../src/hardware/vcpu/paging.ts';
import { flatCode, flatStack, nullSegment } from '../../src/hardware/vcpu/segments.ts';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { Vcpu } from '../../src/hardware/vcpu/vcpu.ts';
import { type CaseRecord, CODE, CODE_BYTES, DATA, DATA_BYTES, SECOND_PAGE } from './record.ts';

const PAGE_TABLES = 0x10000;
const SYSTEM = 0x40000;
const GDT = SYSTEM;
const IDT = SYSTEM + 0x1000;
const TSS = SYSTEM + 0x2000;
const HANDLERS = SYSTEM + 0x3000;
const STACK = SYSTEM + 0x8000;
/** The program's pages in RAM. */
const DATA_FRAMES = 0x80000;
const DATA_PAGES = 4;
const CODE_FRAME = 0x90000;
/** System structures are mapped in the kernel's half. */
const KERNEL = 0xffff800000000000n;
const WRITABLE = 2n;
const USER = 4n;
const NO_EXECUTE = 1n << 63n;
const DATA_RIGHTS = WRITABLE | USER | NO_EXECUTE;
const TSS_BYTES = 0x68;
const HLT = 0xf4;
const INT3 = 0xcc;
const BREAKPOINT = 3;
const LIMIT = 10_000;
const FREE_LIMIT = 200;
/** As in native.c. */
const MARGIN = 1024;

/** How a case ended. */
export interface Ended {
  readonly vector: number | undefined;
  readonly errorCode: number;
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly rsp: bigint;
  readonly cr2: bigint;
}

export class SiliconMachine {
  readonly memory = new PhysicalMemory(MiB(2));
  readonly cpu: Vcpu;
  #nextTable = PAGE_TABLES + 0x1000;
  #second = 0;

  /** Interpreted, or translated as `eagerness` says. */
  constructor(eagerness?: Eagerness) {
    this.cpu = new Vcpu(this.memory, hpa(0x1000), new EventStream(() => 0n));
    if (eagerness !== undefined) this.cpu.translate(eagerness);
    for (let page = 0; page < DATA_PAGES; page++)
      this.#map(BigInt(0x10000000 + page * 4096), BigInt(DATA_FRAMES + page * 4096), DATA_RIGHTS);
    this.#map(BigInt(CODE), BigInt(CODE_FRAME), WRITABLE | USER);
    for (let page = 0; page < 16; page++)
      this.#map(KERNEL + BigInt(SYSTEM + page * 4096), BigInt(SYSTEM + page * 4096), WRITABLE);
    const { view } = this.memory;
    for (const [index, descriptor] of [
      [2, 0x00af9b000000ffffn],
      [3, 0x00cf93000000ffffn],
      [5, 0x00cff3000000ffffn],
      [6, 0x00affb000000ffffn],
    ] as const)
      view.setBigUint64(GDT + index * 8, descriptor, true);
    for (let vector = 0; vector < 256; vector++) {
      const target = KERNEL + BigInt(HANDLERS + vector);
      const privilege = vector === BREAKPOINT || vector === 4 ? 0x6000n : 0n;
      view.setBigUint64(
        IDT + vector * 16,
        (target & 0xffffn) | (0x10n << 16n) | ((0x8e00n | privilege) << 32n) | (((target >> 16n) & 0xffffn) << 48n),
        true,
      );
      view.setBigUint64(IDT + vector * 16 + 8, target >> 32n, true);
      this.memory.bytes[HANDLERS + vector] = HLT;
    }
    view.setBigUint64(TSS + 4, KERNEL + BigInt(STACK), true);
    // No I/O permission bitmap: it would begin beyond the limit.
    view.setUint16(TSS + 0x66, TSS_BYTES, true);
    const { cpu } = this;
    cpu.setControl(0, CR0_PE | CR0_PG | CR0_WP | CR0_AM);
    cpu.setControl(3, BigInt(PAGE_TABLES));
    cpu.setControl(4, CR4_PAE);
    cpu.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    cpu.setDescriptorTable('gdt', { base: KERNEL + BigInt(GDT), limit: 7 * 8 - 1 });
    cpu.setDescriptorTable('idt', { base: KERNEL + BigInt(IDT), limit: 4095 });
    cpu.setSegment('tr', { ...flatCode(0x40, 0), s: 0, base: KERNEL + BigInt(TSS), limit: TSS_BYTES - 1 });
  }

  /** Map one 4 KiB page; the tables in between allow everything. */
  #map(linear: bigint, frame: bigint, rights: bigint): void {
    const { memory } = this;
    let table = PAGE_TABLES;
    for (let level = 4; level > 1; level--) {
      const at = hpa(table + Number((linear >> BigInt(12 + 9 * (level - 1))) & 511n) * 8);
      if ((memory.readEntry(at) & 1n) === 0n) {
        memory.writeEntry(at, BigInt(this.#nextTable) | USER | WRITABLE | 1n);
        this.#nextTable += 0x1000;
      }
      table = Number(memory.readEntry(at) & ~0xfffn);
    }
    memory.writeEntry(hpa(table + Number((linear >> 12n) & 511n) * 8), frame | rights | 1n);
  }

  #protect(second: number): void {
    if (second === this.#second) return;
    this.#second = second;
    const frame = BigInt(DATA_FRAMES + 0x1000);
    this.#map(BigInt(SECOND_PAGE), frame, second === 2 ? DATA_RIGHTS & ~WRITABLE : DATA_RIGHTS);
    if (second === 1) {
      const table = this.#leafOf(BigInt(SECOND_PAGE));
      this.memory.writeEntry(hpa(table), 0n);
    }
    this.cpu.setControl(3, BigInt(PAGE_TABLES));
  }

  #leafOf(linear: bigint): number {
    let table = PAGE_TABLES;
    for (let level = 4; level > 1; level--)
      table = Number(
        this.memory.readEntry(hpa(table + Number((linear >> BigInt(12 + 9 * (level - 1))) & 511n) * 8)) & ~0xfffn,
      );
    return table + Number((linear >> 12n) & 511n) * 8;
  }

  /** Bytes of the window that cases share with the host. */
  get data(): Uint8Array {
    const at = DATA_FRAMES + (DATA - 0x10000000);
    return this.memory.bytes.subarray(at, at + DATA_BYTES);
  }

  run(record: CaseRecord): Ended {
    const { cpu } = this;
    this.#prepare(record);
    const reason = cpu.run(LIMIT);
    if (reason !== EXIT_REASON.HLT)
      throw new Error(`a case left the CPU with exit reason ${reason} at 0x${cpu.rip.toString(16)}`);
    return this.#ended(Number(cpu.rip - KERNEL) - HANDLERS);
  }

  #prepare(record: CaseRecord): void {
    const { cpu, memory } = this;
    const at = DATA_FRAMES + (DATA - 0x10000000);
    memory.bytes.fill(0, at - MARGIN, at + DATA_BYTES + MARGIN);
    this.data.set(record.data);
    memory.bytes.set(record.code, CODE_FRAME);
    memory.bytes[CODE_FRAME + CODE_BYTES] = INT3;
    memory.code.changed(CODE_FRAME, PAGE_SIZE);
    this.#protect(record.second);
    cpu.setSegment('cs', flatCode(0x33, 3));
    cpu.setSegment('ss', flatStack(0x2b, 3));
    for (const name of ['ds', 'es', 'fs', 'gs'] as const) cpu.setSegment(name, nullSegment(0));
    for (let register = 0; register < 16; register++)
      cpu.setRegister(register, BigInt.asIntN(64, record.register(register)));
    cpu.rflags = record.rflags;
    cpu.setControl(2, 0n);
    cpu.rip = BigInt(CODE);
  }

  /** Run whatever it is, for so many instructions at most, whatever comes of it. */
  runFreely(record: CaseRecord): void {
    this.#prepare(record);
    this.cpu.run(FREE_LIMIT);
    for (const register of [0, 1, 2, 3, 6, 7] as const) this.cpu.setDebugRegister(register, 0n);
  }

  /**
   * Run it whole (undefined if it does not end soon), and tell all that it left. `stepwise` looks up before each instruction,
   * as the CPU does while it has breakpoints or waits for a window: here for a task priority below 1, which stays 1.
   */
  outcomeOf(record: CaseRecord, stepwise: boolean): string | undefined {
    const { cpu, memory } = this;
    // Nothing of an earlier run is in reach of this one.
    memory.bytes.fill(0, DATA_FRAMES, DATA_FRAMES + DATA_PAGES * PAGE_SIZE);
    memory.clear(hpa(CODE_FRAME));
    // Nor does its time stamp counter tell the runs apart.
    cpu.tscOffset = -cpu.retired;
    this.#prepare(record);
    cpu.setControl(8, 1n);
    cpu.tprThreshold = stepwise ? 1 : 0;
    const reason = cpu.run(LIMIT);
    const registers = Array.from({ length: 16 }, (_, number) => cpu.register(number));
    const stack = this.memory.bytes.subarray(STACK - 48, STACK);
    const outcome = [reason, cpu.rip, cpu.rflags, cpu.control(2), ...registers, cpu.interruptibility].join(' ');
    cpu.tprThreshold = 0;
    for (const register of [0, 1, 2, 3, 6, 7] as const) cpu.setDebugRegister(register, 0n);
    if (reason === EXIT_REASON.PREEMPTION_TIMER) return undefined;
    return `${outcome} ${Buffer.from(stack).toString('hex')} ${Buffer.from(this.data).toString('hex')}`;
  }

  /** All RAM that a program may not touch, in one number; the handlers' stack and accessed and dirty bits are left out. */
  systemDigest(): number {
    const { words } = this.memory;
    let digest = 0;
    const add = (from: number, to: number, mask: number) => {
      for (let word = from >> 2; word < to >> 2; word++) digest = (Math.imul(digest, 31) + (words[word]! & mask)) | 0;
    };
    this.#protect(0);
    add(PAGE_TABLES, this.#nextTable, ~0x60);
    add(SYSTEM, STACK - 0x1000, -1);
    add(STACK, DATA_FRAMES, -1);
    add(CODE_FRAME + 0x1000, this.memory.size, -1);
    return digest;
  }

  /** Read the handler's frame. */
  #ended(vector: number): Ended {
    const { cpu, memory } = this;
    const top = Number(cpu.register(4) - KERNEL);
    const hasError = STACK - top === 48;
    const quad = (index: number) => memory.view.getBigUint64(top + (index + (hasError ? 1 : 0)) * 8, true);
    const rip = quad(0);
    const ended = vector === BREAKPOINT && rip === BigInt(CODE + CODE_BYTES + 1);
    return {
      vector: ended ? undefined : vector,
      errorCode: hasError ? Number(memory.view.getBigUint64(top, true)) : 0,
      rip,
      rflags: quad(2),
      rsp: quad(3),
      cr2: cpu.control(2),
    };
  }
}

/** A vCPU in long mode without a hypervisor: RAM is mapped one to one, supervisor and writable, and there is no EPT. */

import { gva, hpa, MiB } from '../../src/address.ts';
import { EventStream } from '../../src/event.ts';
import { PhysicalMemory } from '../../src/hardware/physical-memory.ts';
import { CR0_PE, CR0_PG, CR0_WP, CR4_PAE, EFER_LMA, EFER_LME, EFER_NXE } from '../../src/hardware/vcpu/paging.ts';
import type { Segment } from '../../src/hardware/vcpu/segments.ts';
import { Vcpu } from '../../src/hardware/vcpu/vcpu.ts';

const STATE = hpa(0x1000);
const PML4 = 0x2000;
const PDPT = 0x3000;
const DIRECTORY = 0x4000;
/** Where code is put, and the top of the stack below it. */
export const CODE = 0x10_0000;
export const STACK = 0x8_0000;

const codeSegment: Segment = {
  base: 0n,
  limit: 0xffffffff,
  selector: 0x10,
  type: 11,
  present: 1,
  dpl: 0,
  db: 0,
  s: 1,
  l: 1,
  g: 1,
  avl: 0,
  unusable: 0,
};
const dataSegment: Segment = { ...codeSegment, selector: 0x18, type: 3, l: 0, db: 1 };

/** One CPU and `bytes` of RAM, with `code` at {@link CODE}; the first GiB is mapped in 2 MiB pages. */
export class FlatMachine {
  readonly memory: PhysicalMemory;
  readonly cpu: Vcpu;

  constructor(code: Uint8Array, bytes = MiB(16)) {
    this.memory = new PhysicalMemory(bytes);
    this.memory.writeEntry(hpa(PML4), BigInt(PDPT | 3));
    this.memory.writeEntry(hpa(PDPT), BigInt(DIRECTORY | 3));
    for (let index = 0; index < 512; index++)
      this.memory.writeEntry(hpa(DIRECTORY + index * 8), BigInt(index * MiB(2) + 0x83));
    this.memory.bytes.set(code, CODE);
    const stream = new EventStream(() => BigInt(this.cpu.retired));
    this.cpu = new Vcpu(this.memory, STATE, stream);
    this.cpu.setControl(0, CR0_PE | CR0_PG | CR0_WP);
    this.cpu.setControl(3, BigInt(PML4));
    this.cpu.setControl(4, CR4_PAE);
    this.cpu.efer = EFER_LME | EFER_LMA | EFER_NXE;
    this.cpu.setSegment('cs', codeSegment);
    for (const name of ['ss', 'ds', 'es', 'fs', 'gs'] as const) this.cpu.setSegment(name, dataSegment);
    this.cpu.rip = gva(BigInt(CODE));
    this.cpu.setRegister(4, BigInt(STACK));
  }
}

/** A processor with nothing around it: pages of RAM where they are asked for, long mode, privilege 0, no devices. */

import { hpa, MiB } from '../address.ts';
import { EventStream } from '../event.ts';
import { PhysicalMemory } from '../hardware/physical-memory.ts';
import {
  CR0_PE,
  CR0_PG,
  CR0_WP,
  CR4_FSGSBASE,
  CR4_PAE,
  CR4_PGE,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  EFER_SCE,
} from '../hardware/vcpu/paging.ts';
import { flatCode, flatStack } from '../hardware/vcpu/segments.ts';
import { Vcpu } from '../hardware/vcpu/vcpu.ts';

const PAGE = 4096;
const STATE = 0x1000;
const ROOT = 0x2000;
const FIRST_FREE = 0x3000;
const PRESENT_WRITABLE = 3n;
const ADDRESS = 0x000f_ffff_ffff_f000n;
/** Host RAM beside the pages asked for: the state page and page tables, generously. */
const OVERHEAD = MiB(4);

/** One CPU, and RAM for `pages` pages to be mapped. */
export class BareMachine {
  readonly memory: PhysicalMemory;
  readonly cpu: Vcpu;
  #free = FIRST_FREE;

  constructor(pages: number) {
    this.memory = new PhysicalMemory(OVERHEAD + pages * PAGE * 2);
    const { memory } = this;
    this.cpu = new Vcpu(memory, hpa(STATE), new EventStream(() => BigInt(this.cpu.retired)));
    const { cpu } = this;
    cpu.setControl(0, CR0_PE | CR0_PG | CR0_WP);
    cpu.setControl(3, BigInt(ROOT));
    cpu.setControl(4, CR4_PAE | CR4_PGE | CR4_FSGSBASE);
    cpu.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
    cpu.setSegment('cs', flatCode(0x10, 0));
    for (const name of ['ss', 'ds', 'es', 'fs', 'gs'] as const) cpu.setSegment(name, flatStack(0x18, 0));
    // No handler: an exception ends the run.
    cpu.setDescriptorTable('idt', { base: 0n, limit: 0 });
  }

  #allocate(): number {
    const page = this.#free;
    this.#free += PAGE;
    return page;
  }

  /** Host offset of the byte at linear `address`, which is mapped as zeroed RAM if it was not. */
  map(address: bigint): number {
    const { memory } = this;
    let table = ROOT;
    for (let level = 4; level > 0; level--) {
      const at = hpa(table + Number((address >> BigInt(12 + 9 * (level - 1))) & 511n) * 8);
      if ((memory.readEntry(at) & 1n) === 0n) memory.writeEntry(at, BigInt(this.#allocate()) | PRESENT_WRITABLE);
      table = Number(memory.readEntry(at) & ADDRESS);
    }
    return table + Number(address & 0xfffn);
  }

  /** Map every page of `size` bytes at `address`. */
  mapRange(address: bigint, size: bigint): void {
    for (let page = address & ~0xfffn; page < address + size; page += BigInt(PAGE)) this.map(page);
  }

  /** Put bytes at `address`, mapping what they need. */
  write(address: bigint, bytes: Uint8Array): void {
    bytes.forEach((byte, index) => {
      this.memory.bytes[this.map(address + BigInt(index))] = byte;
    });
  }
}

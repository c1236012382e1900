/** IN, OUT, INS and OUTS: every port access is a VM exit, unless the hypervisor is completing one. */

import type { DebugRegisters } from './debug-registers.ts';
import type { EmulatorPort } from './emulator-port.ts';
import { EXIT_REASON, IO_QUALIFICATION } from './exit.ts';
import { IOPL } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { Mmu } from './mmu.ts';
import { CR4_DE } from './paging.ts';
import { VECTOR } from './pending-event.ts';
import type { Processor } from './processor.ts';
import { WORD } from './state.ts';

/** Where the TSS says at what byte of it the I/O permission bitmap begins (SDM vol. 3A fig. 7-11). */
const MAP_BASE = 0x66;

/** Port accesses of one vCPU. */
export class Ports {
  readonly #cpu: Processor;
  readonly #mmu: Mmu;
  readonly #debug: DebugRegisters;
  readonly #words: Int32Array;
  readonly #data = new Uint8Array(4);
  readonly #view = new DataView(this.#data.buffer);
  readonly #slices = [1, 2, 4].map((bytes) => this.#data.subarray(0, bytes));
  /** What the last input under emulation yielded. */
  value = 0;

  constructor(cpu: Processor) {
    this.#cpu = cpu;
    this.#mmu = cpu.mmu;
    this.#debug = cpu.debug;
    this.#words = cpu.state.words;
  }

  /** 0 if the program may touch the port: up to IOPL always, above it as the TSS's permission bitmap says (SDM vol. 1 §19.5). */
  check(bytes: number, port: number): number {
    if (this.#mmu.guest.privilege > (this.#words[WORD.FLAG_CONTROL]! & IOPL) >> 12) {
      const { segments, event } = this.#cpu;
      const base = segments.taskWord(MAP_BASE);
      if (base < 0) return base === OUTCOME.FAULT ? this.#mapFault() : base;
      // Two bytes are always read, so that an access across a byte of the map is seen whole.
      const bits = segments.taskWord(base + (port >> 3));
      if (bits < 0) return bits === OUTCOME.FAULT ? this.#mapFault() : bits;
      if (((bits >> (port & 7)) & ((1 << bytes) - 1)) !== 0) return event.raise(VECTOR.GP, 0);
    }
    if (this.#debug.active && (this.#mmu.guest.cr4 & CR4_DE) !== 0n) this.#debug.touchesPort(port, bytes);
    return 0;
  }

  /** Beyond the TSS's limit every port is forbidden; a page fault on the way stays one. */
  #mapFault(): number {
    const { event } = this.#cpu;
    return event.vector === VECTOR.PF ? OUTCOME.FAULT : event.raise(VECTOR.GP, 0);
  }

  #slice(bytes: number): Uint8Array {
    return this.#slices[bytes >> 1]!;
  }

  /** `form` holds the string, repeat and immediate bits of the exit qualification. */
  input(bytes: 1 | 2 | 4, port: number, form: number): number {
    const checked = this.check(bytes, port);
    if (checked !== 0) return checked;
    const emulator: EmulatorPort | null = this.#cpu.mmu.nested.emulator;
    if (emulator === null) return this.#leave(bytes, port, form | IO_QUALIFICATION.IN);
    this.#view.setUint32(0, 0, true);
    if (emulator.readPort(port, this.#slice(bytes)) === 'later') return OUTCOME.LATER;
    this.value = this.#view.getInt32(0, true);
    return 0;
  }

  output(bytes: 1 | 2 | 4, port: number, value: number, form: number): number {
    const checked = this.check(bytes, port);
    if (checked !== 0) return checked;
    const { emulator } = this.#cpu.mmu.nested;
    if (emulator === null) return this.#leave(bytes, port, form);
    this.#view.setInt32(0, value, true);
    emulator.writePort(port, this.#slice(bytes));
    return 0;
  }

  /** A string access, which the CPU leaves before it looks at memory; the hypervisor goes on to do that. */
  leaveForString(bytes: 1 | 2 | 4, port: number, form: number): number {
    const checked = this.check(bytes, port);
    if (checked !== 0 || this.#cpu.mmu.nested.emulator !== null) return checked;
    return this.#leave(bytes, port, form);
  }

  /** The access whose exit qualification translated code has left behind; an outcome. */
  access(qualification: number): number {
    const checked = this.check(
      (qualification & IO_QUALIFICATION.SIZE_MASK) + 1,
      qualification >>> IO_QUALIFICATION.PORT_SHIFT,
    );
    if (checked !== 0) return checked;
    return this.#cpu.event.leave(EXIT_REASON.IO_INSTRUCTION, qualification);
  }

  #leave(bytes: number, port: number, form: number): number {
    return this.#cpu.event.leave(
      EXIT_REASON.IO_INSTRUCTION,
      ((port << IO_QUALIFICATION.PORT_SHIFT) | form | (bytes - 1)) >>> 0,
    );
  }
}

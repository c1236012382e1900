/** IN, OUT, INS and OUTS: every port access is a VM exit, unless the hypervisor is completing one. */

import type { EmulatorPort } from './emulator-port.ts';
import { EXIT_REASON, IO_QUALIFICATION } from './exit.ts';
import { Flags } from './flags.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { Mmu } from './mmu.ts';
import { type PendingEvent, VECTOR } from './pending-event.ts';
import type { CpuState } from './state.ts';

/** Port accesses of one vCPU. */
export class Ports {
  readonly #mmu: Mmu;
  readonly #event: PendingEvent;
  readonly #flags: Flags;
  readonly #data = new Uint8Array(4);
  readonly #view = new DataView(this.#data.buffer);
  readonly #slices = [1, 2, 4].map((bytes) => this.#data.subarray(0, bytes));
  /** What the last input under emulation yielded. */
  value = 0;

  constructor(state: CpuState, mmu: Mmu, event: PendingEvent) {
    this.#mmu = mmu;
    this.#event = event;
    this.#flags = new Flags(state);
  }

  /** Above IOPL the TSS's permission bitmap decides; this processor's guests have none, so that is #GP. */
  #allowed(): boolean {
    return this.#mmu.privilege <= ((this.#flags.read() >> 12) & 3);
  }

  #slice(bytes: number): Uint8Array {
    return this.#slices[bytes >> 1]!;
  }

  /** `form` holds the string, repeat and immediate bits of the exit qualification. */
  input(bytes: 1 | 2 | 4, port: number, form: number): number {
    if (!this.#allowed()) return this.#event.raise(VECTOR.GP, 0);
    const emulator: EmulatorPort | null = this.#mmu.emulator;
    if (emulator === null) return this.#leave(bytes, port, form | IO_QUALIFICATION.IN);
    this.#view.setUint32(0, 0, true);
    if (emulator.readPort(port, this.#slice(bytes)) === 'later') return OUTCOME.LATER;
    this.value = this.#view.getInt32(0, true);
    return 0;
  }

  output(bytes: 1 | 2 | 4, port: number, value: number, form: number): number {
    if (!this.#allowed()) return this.#event.raise(VECTOR.GP, 0);
    const emulator = this.#mmu.emulator;
    if (emulator === null) return this.#leave(bytes, port, form);
    this.#view.setInt32(0, value, true);
    emulator.writePort(port, this.#slice(bytes));
    return 0;
  }

  #leave(bytes: number, port: number, form: number): number {
    return this.#event.leave(
      EXIT_REASON.IO_INSTRUCTION,
      ((port << IO_QUALIFICATION.PORT_SHIFT) | form | (bytes - 1)) >>> 0,
    );
  }
}

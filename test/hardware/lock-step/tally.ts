/** What a run of random programs has covered, so that its record says what it is worth. */

import { exitReasonName } from '../../../src/hardware/vcpu/exit.ts';
import { VECTOR } from '../../../src/hardware/vcpu/pending-event.ts';
import type { PrivilegeMachine } from '../privilege-machine.ts';
import { ENTERED, PARTS, type RandomProgram } from './program.ts';

/** Counts of a machine when a program began. */
export interface Before {
  readonly retired: number;
  readonly regions: number;
  readonly invalidated: number;
}

/** How many programs had something, and how often there was any of it. */
interface Count {
  programs: number;
  total: number;
}

export class Tally {
  programs = 0;
  interrupts = 0;
  #exits = 0;
  readonly #counts = new Map<string, Count>();

  #add(what: string, count: number): void {
    if (count === 0) return;
    const known = this.#counts.get(what) ?? { programs: 0, total: 0 };
    this.#counts.set(what, { programs: known.programs + 1, total: known.total + count });
  }

  /** One more exit at which the states were compared. */
  exit(reason: number): void {
    this.#exits++;
    this.#add(`exit ${exitReasonName(reason)}`, 1);
  }

  /** A program is over: `machine` is the translated one. */
  program(program: RandomProgram, { cpu, memory }: PrivilegeMachine, before: Before): void {
    this.programs++;
    for (const part of PARTS) this.#add(part, program.made[part]);
    const retired = cpu.retired - before.retired;
    for (const [name, vector] of Object.entries(VECTOR)) {
      const entered = Number(memory.view.getBigUint64(ENTERED + 8 * vector, true));
      // A handler retires instructions: more of them is what a program has written there.
      if (entered <= retired) this.#add(`#${name}`, entered);
    }
    const regions = (cpu.translation?.regions ?? 0) - before.regions;
    this.#add('instructions run', retired);
    this.#add('regions translated', regions);
    this.#add('regions whose code was then written', (cpu.translation?.invalidated ?? 0) - before.invalidated);
  }

  /** Of what happened: how often. */
  total(what: string): number {
    return this.#counts.get(what)?.total ?? 0;
  }

  /** Lines for the summary. */
  lines(): readonly string[] {
    const rows = [...this.#counts]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([what, { programs, total }]) => ({
        what,
        programs: what.startsWith('exit') ? '' : String(programs),
        total,
      }));
    return [
      `${this.programs} programs, ${this.#exits} exits at which all was compared, ${this.interrupts} interrupts injected`,
      ...rows.map(
        ({ what, programs, total }) => `${what.padEnd(52)} ${programs.padStart(8)} ${String(total).padStart(12)}`,
      ),
    ];
  }
}

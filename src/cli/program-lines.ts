/** The lines of a program, without those of the guest library: what the library does is put down to who called it. */

import type { Location } from '../../lang/object/symbolize.ts';
import type { Vcpu } from '../hardware/vcpu/vcpu.ts';
import { returnAddresses } from './guest-callers.ts';
import { GuestCode } from './guest-code.ts';
import { guestLine, guestPlace } from './guest-place.ts';
import { type GuestProgram, isLibraryFile } from './guest-program.ts';

/** What the library does before it calls the program, and after. */
const LIBRARY = '(guest library)';
/** Words of each frame that are searched for the program’s call. */
const STACK_WORDS = 64;

interface Line {
  readonly text: string;
  readonly own: boolean;
}

export class ProgramLines {
  readonly #program: GuestProgram;
  readonly #code: GuestCode;
  readonly #known = new Map<bigint, Line | undefined>();

  constructor(program: GuestProgram) {
    this.#program = program;
    this.#code = new GuestCode(program);
  }

  /** `file.gasm:34`: the program's line that `cpu` is at, at `rip`, or has called the library from. */
  responsible(rip: bigint, cpu: Vcpu): string {
    const here = this.#lineAt(rip);
    if (here === undefined) return guestLine(this.#program, rip);
    return here.own ? here.text : (this.#caller(rip, cpu) ?? LIBRARY);
  }

  /** `rip 0x… probe+0x12 (file.gasm:34)`, as {@link guestPlace}; in the library, also where the program has called that. */
  place(rip: bigint, cpu: Vcpu | undefined): string {
    const place = guestPlace(this.#program, rip);
    const caller = cpu && this.#caller(rip, cpu);
    return caller === undefined ? place : `${place}, called at ${caller}`;
  }

  /** Where the program has called the library, in which `cpu` is at `rip`; undefined anywhere else. */
  #caller(rip: bigint, cpu: Vcpu): string | undefined {
    if (this.#lineAt(rip)?.own !== false) return undefined;
    for (const address of returnAddresses(cpu, this.#code, STACK_WORDS)) {
      const line = this.#lineAt(address - 1n);
      if (line?.own === true) return line.text;
    }
    return undefined;
  }

  #lineAt(rip: bigint): Line | undefined {
    if (!this.#known.has(rip)) this.#known.set(rip, this.#describe(this.#program.symbolizer().symbolize(rip)));
    return this.#known.get(rip);
  }

  #describe(at: Location | undefined): Line | undefined {
    if (at?.file === undefined) return undefined;
    return { text: `${at.file}:${at.line}`, own: !isLibraryFile(at.file, this.#program.library) };
  }
}

/** The same machine twice, once interpreted and once translated, and the comparison of all that can be seen of them. */

import { hpa } from '../../../src/address.ts';
import { EXIT_REASON, INTERRUPTION, IO_QUALIFICATION } from '../../../src/hardware/vcpu/exit.ts';
import type { Eagerness } from '../../../src/hardware/vcpu/translation.ts';
import { Generator } from '../../oracle/generator.ts';
import { PrivilegeMachine } from '../privilege-machine.ts';
import { CONTROL, DATA, FAULTS, INTERRUPTS, PROGRAM, RandomProgram, RECOVERY, STACK, WINDOW_PAGES } from './program.ts';

const HANDLERS = 0x5_0000;
const PDPT = 0x3000;
const DIRECTORY = 0xb000;
const TABLE = 0xc000;
const LOW_DIRECTORY = 0x4000;
const LOW_TABLE = 0xd000;
const STATE_PAGE = 1;
const FRAMES = 0x30_0000;
const PRESENT = 1n;
const WRITABLE = 2n;
const INTERRUPT = 0x20;
/** RAM that is compared: all behind the CPU's own state, page tables and handlers' code among it. */
const COMPARED = 0x2000;
const BYTES = 0x31_0000;
const PROGRAM_BYTES = 0x8000;
const RFLAGS_STATUS = 0x8d5n;

/** Goes on where the program said, with a fresh stack; interrupts return. */
const HANDLER_CODE = `
        inc     qword [abs ${FAULTS}]
        mov     rsp, ${STACK}
        cld
        jmp     [abs ${RECOVERY}]
        align   32
        inc     qword [abs ${INTERRUPTS}]
        iretq
`;

function machine(eagerness: Eagerness | undefined): PrivilegeMachine {
  const one = new PrivilegeMachine('nop');
  const { memory, cpu } = one;
  one.place(HANDLER_CODE, HANDLERS);
  for (let vector = 0; vector < 256; vector++)
    if (vector === INTERRUPT) one.setGate(vector, HANDLERS + 32);
    else one.setGate(vector, HANDLERS, { ist: 1 });
  // The page that holds the CPU's own state is out of the guest's reach, as it is behind a hypervisor's tables.
  for (let page = 0; page < 512; page++)
    memory.writeEntry(hpa(LOW_TABLE + page * 8), page === STATE_PAGE ? 0n : BigInt(page * 4096) | PRESENT | WRITABLE);
  memory.writeEntry(hpa(LOW_DIRECTORY), BigInt(LOW_TABLE) | PRESENT | WRITABLE);
  memory.writeEntry(hpa(PDPT + 8), BigInt(DIRECTORY) | 3n);
  memory.writeEntry(hpa(DIRECTORY), BigInt(TABLE) | 3n);
  if (eagerness !== undefined) cpu.translate(eagerness);
  return one;
}

/** Frames of the window's pages out of order, one of them read-only, one missing, one the program's own code. */
function mapWindow({ memory, cpu }: PrivilegeMachine): void {
  for (let page = 0; page < WINDOW_PAGES; page++) {
    const frame = page === 6 ? PROGRAM : FRAMES + ((page * 5) % WINDOW_PAGES) * 4096;
    const rights = page === 4 ? 0n : page === 2 ? PRESENT : PRESENT | WRITABLE;
    memory.writeEntry(hpa(TABLE + page * 8), BigInt(frame) | rights);
  }
  cpu.setControl(3, cpu.control(3));
}

/** A difference, as text; undefined where there is none. */
export type Difference = string | undefined;

/** Two machines that run the same programs. */
export class Pair {
  readonly #machines: readonly [PrivilegeMachine, PrivilegeMachine];

  constructor(eagerness: Eagerness) {
    this.#machines = [machine(undefined), machine(eagerness)];
  }

  get translated(): PrivilegeMachine {
    return this.#machines[1];
  }

  /** Run the program of `seed` on both, in `entries` VM entries of random length, and compare at every exit. */
  compare(seed: number, entries: number, last = Number.POSITIVE_INFINITY): Difference {
    const program = new RandomProgram(new Generator(seed));
    for (const each of this.#machines) this.#prepare(each, program, new Generator(seed + 1));
    const random = new Generator(seed + 2);
    for (let entry = 0; entry < entries; entry++) {
      const drawn = random.pick([1 + random.below(200), 200 + random.below(3000), 5000]);
      const limit = entry === entries - 1 ? Math.min(last, drawn) : drawn;
      const reasons = this.#machines.map(({ cpu }) => cpu.run(limit));
      const [a, b] = this.#machines.map((each, index) => this.#state(each, reasons[index]!));
      if (a !== b) return `seed ${seed}, entry ${entry}:\n  interpreted ${a}\n  translated  ${b}`;
      if (!this.#serve(reasons[0]!, random)) break;
    }
    const [a, b] = this.#machines.map(({ memory }) => memory.bytes.subarray(COMPARED, BYTES));
    if (Buffer.compare(a!, b!) === 0) return undefined;
    const at = a!.findIndex((byte, index) => byte !== b![index]);
    return `seed ${seed}: memory differs at 0x${(COMPARED + at).toString(16)}`;
  }

  #prepare(each: PrivilegeMachine, program: RandomProgram, random: Generator): void {
    const { memory, cpu } = each;
    memory.bytes.fill(0, CONTROL, STACK);
    memory.bytes.fill(0, FRAMES, BYTES);
    memory.bytes.fill(0, PROGRAM, PROGRAM + PROGRAM_BYTES);
    memory.bytes.set(program.bytes, PROGRAM);
    for (let at = PROGRAM; at < BYTES; at += 4096) memory.code.changed(at);
    for (let at = DATA; at < DATA + 0x4000; at += 8) memory.view.setBigUint64(at, random.value(), true);
    mapWindow(each);
    memory.view.setBigUint64(RECOVERY, BigInt(program.entry), true);
    for (let register = 0; register < 16; register++) cpu.setRegister(register, random.value());
    cpu.setRegister(4, BigInt(STACK));
    cpu.rflags = (random.bits() & RFLAGS_STATUS) | 0x202n;
    cpu.rip = BigInt(program.entry);
  }

  #state({ cpu }: PrivilegeMachine, reason: number): string {
    const { exit } = cpu;
    const registers = Array.from({ length: 16 }, (_, register) => cpu.register(register).toString(16));
    const about =
      reason === EXIT_REASON.IO_INSTRUCTION || reason === EXIT_REASON.PREEMPTION_TIMER
        ? `${exit.qualification} ${exit.instructionLength}`
        : `${exit.instructionLength}`;
    return `exit ${reason} ${about} rip ${cpu.rip.toString(16)} flags ${cpu.rflags.toString(16)} retired ${cpu.retired} cr2 ${cpu.control(2).toString(16)} ${registers.join(' ')}`;
  }

  /** Do what a hypervisor would; false if the program is over. */
  #serve(reason: number, random: Generator): boolean {
    const inject = random.once(3);
    const value = Number(random.bits() & 0xffffffffn);
    for (const { cpu } of this.#machines) {
      switch (reason) {
        case EXIT_REASON.PREEMPTION_TIMER:
          break;
        case EXIT_REASON.IO_INSTRUCTION: {
          const { qualification } = cpu.exit;
          const size = ((qualification & IO_QUALIFICATION.SIZE_MASK) + 1) as 1 | 2 | 4;
          if ((qualification & IO_QUALIFICATION.STRING) !== 0) return false;
          if ((qualification & IO_QUALIFICATION.IN) !== 0) cpu.writeAccumulator(size, value);
          cpu.skipInstruction();
          break;
        }
        case EXIT_REASON.CPUID:
        case EXIT_REASON.HLT:
        case EXIT_REASON.VMCALL:
          cpu.skipInstruction();
          break;
        default:
          return false;
      }
      if (inject && cpu.interruptible) cpu.inject(INTERRUPTION.VALID | INTERRUPT);
    }
    return true;
  }
}

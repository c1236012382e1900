/** The same machine twice, once interpreted and once translated, and the comparison of all that can be seen of them. */

import { hpa } from '../../../src/address.ts';
import type { CodeMemory } from '../../../src/hardware/vcpu/code-memory.ts';
import { EXIT_REASON, INTERRUPTION, IO_QUALIFICATION } from '../../../src/hardware/vcpu/exit.ts';
import type { Eagerness } from '../../../src/hardware/vcpu/translation.ts';
import { Generator } from '../../oracle/generator.ts';
import { assembled, PrivilegeMachine } from '../privilege-machine.ts';
import { ALIAS, CONTROL, DATA, ENTERED, RandomProgram, RECOVERY, STACK, WINDOW_PAGES } from './program.ts';
import type { Tally } from './tally.ts';

const HANDLERS = 0x5_0000;
/** Programs lie in slots: what runs in one may find what was made of the code that was there before. */
const SLOTS = 0x10_0000;
const SLOT_BYTES = 0x1_0000;
const SLOT_COUNT = 8;
const PDPT = 0x3000;
const DIRECTORY = 0xb000;
const TABLE = 0xc000;
const LOW_DIRECTORY = 0x4000;
const LOW_TABLE = 0xd000;
const STATE_PAGE = 1;
/** Behind it, tables and descriptors end at this page. */
const TABLES_END = 16;
const PAGE = 4096;
const FRAMES = 0x30_0000;
const PRESENT = 1n;
const WRITABLE = 2n;
const INTERRUPT = 0x20;
/** The vectors behind it have one handler. */
const OTHERS = INTERRUPT + 1;
const BYTES = 0x31_0000;
/** RAM that is compared: all but the CPU's own state, page tables and handlers' code among it. */
const COMPARED = [
  [0, STATE_PAGE * PAGE],
  [(STATE_PAGE + 1) * PAGE, BYTES],
] as const;
const RFLAGS_STATUS = 0x8d5n;
const HANDLER_BYTES = 64;
/** One program of so many goes round for longer between its exits. */
const LONG = 8;

/** Exceptions go on where the program said, with a fresh stack; the interrupt returns. Each counts itself. */
const handler = (vector: number): string => `
        align   ${HANDLER_BYTES}
        inc     qword [abs ${ENTERED + 8 * vector}]
${vector === INTERRUPT ? '        iretq' : `        mov     rsp, ${STACK}\n        cld\n        jmp     [abs ${RECOVERY}]`}`;
const HANDLER_CODE = assembled(Array.from({ length: OTHERS + 1 }, (_, vector) => handler(vector)).join(''), HANDLERS);

function machine(eagerness: Eagerness | undefined, decoded: CodeMemory | undefined): PrivilegeMachine {
  const one = new PrivilegeMachine('nop');
  const { memory, cpu } = one;
  memory.bytes.set(HANDLER_CODE, HANDLERS);
  for (let vector = 0; vector < 256; vector++)
    one.setGate(vector, HANDLERS + Math.min(vector, OTHERS) * HANDLER_BYTES, vector === INTERRUPT ? {} : { ist: 1 });
  // The page that holds the CPU's own state is out of the guest's reach, as it is behind a hypervisor's tables. What holds the
  // guest together may not be written: it would fault for ever in the handler of its faults.
  for (let page = 0; page < 512; page++) {
    const guarded = (page > STATE_PAGE && page < TABLES_END) || page === HANDLERS / PAGE;
    const entry = BigInt(page * PAGE) | PRESENT | (guarded ? 0n : WRITABLE);
    memory.writeEntry(hpa(LOW_TABLE + page * 8), page === STATE_PAGE ? 0n : entry);
  }
  memory.writeEntry(hpa(LOW_DIRECTORY), BigInt(LOW_TABLE) | PRESENT | WRITABLE);
  memory.writeEntry(hpa(PDPT + 8), BigInt(DIRECTORY) | 3n);
  memory.writeEntry(hpa(DIRECTORY), BigInt(TABLE) | 3n);
  cpu.codeMemory = decoded;
  if (eagerness !== undefined) cpu.translate(eagerness);
  return one;
}

/** Frames of the window's pages out of order, one of them read-only, one missing, one the program's own code. */
function mapWindow({ memory, cpu }: PrivilegeMachine, program: RandomProgram): void {
  for (let page = 0; page < WINDOW_PAGES; page++) {
    const frame = page === ALIAS ? program.base & ~4095 : FRAMES + ((page * 5) % WINDOW_PAGES) * 4096;
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
  #compared = 0;

  /** `decoded` is where both may find code that was decoded before. */
  constructor(eagerness: Eagerness, decoded?: CodeMemory) {
    this.#machines = [machine(undefined, decoded), machine(eagerness, decoded)];
  }

  get translated(): PrivilegeMachine {
    return this.#machines[1];
  }

  /** Run the program of `seed` on both, in `entries` VM entries of random length, and compare at every exit. What happened goes to `tally`. */
  compare(seed: number, entries: number, tally: Tally): Difference {
    const place = new Generator(seed + 3);
    const slot = SLOTS + (this.#compared++ % SLOT_COUNT) * SLOT_BYTES;
    // Many programs go on into their next page.
    const program = new RandomProgram(new Generator(seed), slot + PAGE - 1 - place.below(place.pick([PAGE, 900, 900])));
    for (const each of this.#machines) this.#prepare(each, program, new Generator(seed + 1));
    const { retired, translation } = this.translated.cpu;
    const before = { retired, regions: translation?.regions ?? 0, invalidated: translation?.invalidated ?? 0 };
    const random = new Generator(seed + 2);
    const lap = random.once(LONG) ? 5000 : 1500;
    for (let entry = 0; entry < entries; entry++) {
      const drawn = random.pick([1 + random.below(200), 1 + random.below(lap), lap]);
      const reasons = this.#machines.map(({ cpu }) => cpu.run(drawn));
      const [a, b] = this.#machines.map((each, index) => this.#state(each, reasons[index]!));
      if (a !== b) return `seed ${seed}, entry ${entry}:\n  interpreted ${a}\n  translated  ${b}`;
      tally.exit(reasons[0]!);
      if (!this.#serve(reasons[0]!, random, tally)) break;
    }
    tally.program(program, this.translated, before);
    for (const [from, to] of COMPARED) {
      const [a, b] = this.#machines.map(({ memory }) => memory.bytes.subarray(from, to));
      if (Buffer.compare(a!, b!) === 0) continue;
      const at = a!.findIndex((byte, index) => byte !== b![index]);
      return `seed ${seed}: memory differs at 0x${(from + at).toString(16)}`;
    }
    return undefined;
  }

  #prepare(each: PrivilegeMachine, program: RandomProgram, random: Generator): void {
    const { memory, cpu } = each;
    memory.bytes.fill(0, 0, STATE_PAGE * PAGE);
    memory.code.changed(0, PAGE);
    memory.bytes.fill(0, CONTROL, STACK);
    memory.bytes.fill(0, FRAMES, BYTES);
    memory.bytes.fill(0, SLOTS, SLOTS + SLOT_COUNT * SLOT_BYTES);
    memory.bytes.set(program.bytes, program.base);
    for (let at = SLOTS; at < BYTES; at += 4096) memory.code.changed(at, 4096);
    for (let at = DATA; at < DATA + 0x4000; at += 8) memory.view.setBigUint64(at, random.value(), true);
    mapWindow(each, program);
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
  #serve(reason: number, random: Generator, tally: Tally): boolean {
    const inject = random.once(3);
    const value = Number(random.bits() & 0xffffffffn);
    if (inject && this.translated.cpu.interruptible) tally.interrupts++;
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

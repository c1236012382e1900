/**
 * Random programs with loops, calls, faults and stores into their own code. Instructions are those of the oracle's forms, with
 * operands at random; what steers the program (loop counts, where to go on after a fault) is in memory, where no register
 * matters.
 */

import { type Encoded, encodeForm } from '../../oracle/encoding.ts';
import { FORMS } from '../../oracle/forms.ts';
import type { Generator } from '../../oracle/generator.ts';
import { choose, jumpThrough, repeatString, type Writer } from './transfers.ts';

/** What programs use. All is mapped one to one but {@link WINDOW}. Quads: where to go on after a fault, then loop counters. */
export const CONTROL = 0x18_0000;
export const RECOVERY = CONTROL;
const COUNTERS = CONTROL + 64;
/** Quads: how often each vector's handler was entered. In the first page, where no program aims. */
export const ENTERED = 0x100;
export const DATA = 0x20_0000;
const DATA_BYTES = 0x3000;
/** Pages of 4 KiB with rights of all kinds; see pair.ts. */
export const WINDOW = 0x4000_0000;
export const WINDOW_PAGES = 8;
/** The window's page that is the program's first one. */
export const ALIAS = 6;
export const STACK = 0x19_0000;

const RSP = 4;
const NOWHERE = [0x3000_0000_0000n, 0x0000_8000_0000_0000n, 0xffff_7fff_ffff_fff9n, 0x8000_0000_0000_0000n];

/** These end the program, or hand it to somebody else, or stop what compares it: they have places of their own, or none. */
const STEERING: ReadonlySet<string> = new Set([
  'jmp',
  'jcc',
  'jrcxz',
  'loop',
  'loope',
  'loopne',
  'call',
  'ret',
  'retf',
  'jmp-far',
  'call-far',
  'iret',
  'mov-cr',
  'mov-dr',
  'lmsw',
  'mov-sreg',
  'wrmsr',
  'lgdt',
  'lidt',
  'lldt',
  'ltr',
  'hlt',
  'swapgs',
  'monitor',
  'mwait',
]);
const forms = FORMS.filter(({ shape }) => !STEERING.has(shape.row.meaning));
/** What compilers emit most, which is what is fast and so worth most cases. */
const COMMON: ReadonlySet<string> = new Set([
  'add',
  'sub',
  'adc',
  'sbb',
  'cmp',
  'and',
  'or',
  'xor',
  'test',
  'mov',
  'movzx',
  'movsx',
  'lea',
  'inc',
  'dec',
  'neg',
  'not',
  'shl',
  'shr',
  'sar',
  'rol',
  'ror',
  'imul',
  'mul',
  'push',
  'pop',
  'cmovcc',
  'setcc',
  'cbw',
  'cwd',
  'xchg',
  'bt',
]);
const common = forms.filter(({ shape }) => COMMON.has(shape.row.meaning));
/** Registers that the addresses of a walk are made of; their low three bits say neither rsp nor rbp, which are encoded apart. */
const WALKED = [3, 6, 7, 9, 11];
const WALK_STEP = 8;
const WALK_TURNS = 15;
const MOVED = 13;
const JNZ = 0x85;
/** Of a comparison of what moves up with what it comes to: jnz, jb, jbe, jl, jle; and of the reverse. */
const ASCENDING = [JNZ, JNZ, 0x82, 0x86, 0x8c, 0x8e];
const DESCENDING = [JNZ, JNZ, 0x87, 0x83, 0x8f, 0x8d];
/** Registers whose bits a counted loop moves about, and what it counts with. */
const MIXED = [0, 1, 2, 6, 7, 10];
const COUNTED = [3, 13, 14];
const RDTSC = [0x0f, 0x31];
const OUT_DX_AL = [0xee];
const IN_EAX_DX = [0xed];

/** What a program is made of; a run's summary says how much of each there was. */
export const PARTS = [
  'loops',
  'loops of one block that walk memory',
  'counted loops',
  'calls',
  'calls and jumps to nowhere',
  'jumps through registers and returns without calls',
  'jumps through tables',
  'stores into immediates of code',
  'such stores into another page',
  'repeated strings',
  'operands across the end of a page',
  'instructions across the end of a page',
] as const;
export type Part = (typeof PARTS)[number];
const PAGE = 4096;

/** One program under construction. */
export class RandomProgram implements Writer {
  /** How often it has each part. */
  readonly made: Record<Part, number> = Object.fromEntries(PARTS.map((part) => [part, 0])) as Record<Part, number>;
  readonly base: number;
  readonly random: Generator;
  readonly #bytes: number[] = [];
  #loops = 0;
  /** Addresses of 32-bit immediates that the program may overwrite. */
  readonly #patchable: number[] = [];

  /** Code from `base` on. */
  constructor(random: Generator, base: number) {
    this.random = random;
    this.base = base;
    const routines = Array.from({ length: random.below(3) }, () => this.#routine());
    const entry = this.here;
    this.#entry = entry;
    for (let part = 2 + random.below(4); part > 0; part--) this.#part(routines, 0);
    // Round and round, until the comparison has seen enough.
    this.#jump(0xe9, entry);
  }

  readonly #entry: number;

  get entry(): number {
    return this.#entry;
  }

  get bytes(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  get here(): number {
    return this.base + this.#bytes.length;
  }

  emit(...bytes: readonly number[]): void {
    this.#bytes.push(...bytes);
  }

  patch(address: number, value: number): void {
    this.long(value).forEach((byte, index) => {
      this.#bytes[address - this.base + index] = byte;
    });
  }

  long(value: number | bigint): readonly number[] {
    const low = Number(BigInt.asUintN(32, BigInt(value)));
    return [low & 255, (low >>> 8) & 255, (low >>> 16) & 255, low >>> 24];
  }

  /** One-byte opcode with a 32-bit relative target. */
  #jump(opcode: number, target: number): void {
    this.emit(opcode, ...this.long(target - (this.here + 5)));
  }

  /** A branch forward, whose target {@link #land} gives; returns where its displacement is. */
  #forward(...opcode: readonly number[]): number {
    this.emit(...opcode, 0, 0, 0, 0);
    return this.#bytes.length - 4;
  }

  #land(at: number): void {
    this.long(this.#bytes.length - (at + 4)).forEach((byte, index) => {
      this.#bytes[at + index] = byte;
    });
  }

  /** mov register, imm64 */
  load(register: number, value: bigint): void {
    this.emit(
      0x48 | (register >> 3),
      0xb8 | (register & 7),
      ...this.long(value),
      ...this.long(BigInt.asUintN(64, value) >> 32n),
    );
  }

  /** mov qword [address], imm32 */
  #storeImmediate(address: number, value: number): void {
    this.emit(0x48, 0xc7, 0x04, 0x25, ...this.long(address), ...this.long(value));
  }

  /** What is tried, with a place behind it to go on if it faults. */
  #recoverable(body: () => void): void {
    const at = this.#bytes.length + 8;
    this.#storeImmediate(RECOVERY, 0);
    body();
    this.long(this.here).forEach((byte, index) => {
      this.#bytes[at + index] = byte;
    });
  }

  #routine(): number {
    const address = this.here;
    for (let count = 1 + this.random.below(3); count > 0; count--) this.#instruction();
    if (this.random.once(4)) this.emit(0xc2, 8, 0);
    else this.emit(0xc3);
    return address;
  }

  #part(routines: readonly number[], depth: number): void {
    const random = this.random;
    switch (random.below(13)) {
      case 0:
        this.#recoverable(() => this.#call(routines));
        break;
      case 10:
        this.made['repeated strings']++;
        this.#recoverable(() => repeatString(this, () => this.#walkPlace()));
        break;
      case 11:
        this.made['jumps through registers and returns without calls']++;
        this.#recoverable(() => jumpThrough(this, () => this.#instruction()));
        break;
      case 12:
        this.made['jumps through tables']++;
        // Of the loop around it, if there is one.
        this.#recoverable(() => choose(this, COUNTERS + 8 * Math.max(0, this.#loops - 1), () => this.#instruction()));
        break;
      case 8:
        this.#recoverable(() => this.#walk());
        break;
      case 9:
        this.#recoverable(() => this.#counted());
        break;
      case 1: {
        // A branch over something.
        const skip = this.#forward(0x0f, 0x80 | random.below(16));
        this.#part(routines, depth + 1);
        this.#land(skip);
        break;
      }
      case 2:
      case 3:
      case 4:
        if (depth < 3) {
          this.#loop(routines, depth);
          break;
        }
        this.#several();
        break;
      case 5:
        this.#patch();
        break;
      default:
        this.#several();
    }
  }

  #several(): void {
    this.#recoverable(() => {
      for (let count = 1 + this.random.below(6); count > 0; count--) this.#instruction();
    });
  }

  #loop(routines: readonly number[], depth: number): void {
    const random = this.random;
    this.made.loops++;
    const counter = COUNTERS + 8 * this.#loops++;
    this.#storeImmediate(counter, 2 + random.below(depth === 0 ? 40 : 6));
    const head = this.here;
    for (let part = 1 + random.below(2); part > 0; part--) this.#part(routines, depth + 1);
    // dec qword [counter]; jnz head
    this.emit(0x48, 0xff, 0x0c, 0x25, ...this.long(counter));
    this.emit(0x0f, 0x85, ...this.long(head - (this.here + 6)));
  }

  /** A loop of one block whose addresses go through memory step by step: over pages, into those that are none, into its code. */
  #walk(): void {
    const random = this.random;
    this.made['loops of one block that walk memory']++;
    const index = random.pick(WALKED);
    const bases = WALKED.filter((number) => number !== index);
    const scale = random.below(4);
    const start = random.pick([0n, BigInt(random.below(2000)), 0xffff_ff80n, 0x7fff_ffc0n, -64n]);
    this.load(index, start);
    for (const base of bases) this.load(base, this.#walkPlace() - BigInt.asUintN(64, start) * BigInt(1 << scale));
    this.load(WALK_STEP, BigInt(random.below(random.pick([9, 400, 9000])) - random.below(random.pick([9, 400]))));
    const end = random.pick([() => this.#countingEnd(), () => this.#comparingEnd(), () => this.#dataEnd()])();
    const head = this.here;
    const changes = 1 + random.below(3);
    const accesses = 1 + random.below(4);
    for (let each = 0; each < accesses + changes; each++)
      if (random.below(accesses + changes) < accesses) this.#walkedAccess(random.pick(bases), index, scale);
      else this.#walkedChange(random.once(2) ? index : random.pick(bases));
    this.emit(0x0f, end(), ...this.long(head - (this.here + 6)));
  }

  /** Ends of a walk: each prepares it, and gives what makes the flags of its branch and tells the branch's opcode. */
  #countingEnd(): () => number {
    const random = this.random;
    this.load(WALK_TURNS, BigInt(2 + random.below(random.pick([20, 200, 1000]))));
    return () => {
      // dec turns
      this.emit(0x49, 0xff, 0xc8 | (WALK_TURNS & 7));
      return JNZ;
    };
  }

  /** A register that moves, up or down, by a constant or by another register, and is compared with one that does not. */
  #comparingEnd(): () => number {
    const random = this.random;
    const step = random.pick([1, 1, 2, 3, 8, 100]);
    const up = random.once(2);
    const start = random.pick([
      0n,
      BigInt(random.below(2000)),
      0xffff_ff80n,
      0x7fff_ffc0n,
      -64n,
      0x7fff_ffff_ffff_ffc0n,
    ]);
    const distance = BigInt(step * random.below(random.pick([9, 60, 500])) + (random.once(4) ? 1 : 0));
    this.load(MOVED, start);
    this.load(WALK_TURNS, BigInt.asUintN(64, start + (up ? distance : -distance)));
    const byRegister = up && random.once(4);
    const reversed = random.once(2);
    const wide = random.once(2) ? 8 : 0;
    const condition = random.pick(up === reversed ? DESCENDING : ASCENDING);
    return () => {
      // add or sub moved, step; or add moved, the step's register
      if (byRegister) this.emit(0x45 | wide, 0x01, 0xc0 | ((WALK_STEP & 7) << 3) | (MOVED & 7));
      else this.emit(0x41 | wide, 0x83, (up ? 0xc0 : 0xe8) | (MOVED & 7), step);
      const [a, b] = reversed ? [WALK_TURNS, MOVED] : [MOVED, WALK_TURNS];
      // cmp a, b
      this.emit(0x45 | wide, 0x39, 0xc0 | ((b & 7) << 3) | (a & 7));
      return condition;
    };
  }

  /** A register that the walk may have loaded. */
  #dataEnd(): () => number {
    const condition = this.random.pick([JNZ, 0x88, 0x89, 0x8a, 0x8e]);
    return () => {
      // test eax, eax
      this.emit(0x85, 0xc0);
      return condition;
    };
  }

  /** A loop that fixes how often it goes round just before it begins, as a checksum's over the bits of a byte; perhaps one more around it. */
  #counted(): void {
    const random = this.random;
    this.made['counted loops']++;
    const outer = random.once(4) ? undefined : this.#byteLoop();
    const counter = random.pick(COUNTED);
    const turns = 1 + random.below(random.pick([4, 12, 40]));
    const downwards = random.once(2);
    const wide = random.once(2) ? 8 : 0;
    const rex = 0x40 | wide | (counter >> 3);
    const low = counter & 7;
    // xor counter, counter or mov counter, turns
    if (downwards) this.emit(0x40 | (counter >> 3), 0xb8 | low, ...this.long(turns));
    else this.emit(0x40 | (5 * (counter >> 3)), 0x31, 0xc0 | (9 * low));
    if (random.once(3)) this.#mixed();
    const head = this.here;
    for (let each = 1 + random.below(5); each > 0; each--)
      if (random.once(3)) this.#checksumStep();
      else this.#mixed();
    if (downwards) this.emit(rex, 0xff, 0xc8 | low);
    else this.emit(rex, 0x83, 0xc0 | low, 1, rex, 0x83, 0xf8 | low, turns);
    const condition = downwards ? 0x85 : random.pick([0x85, 0x82, 0x8c]);
    this.emit(0x0f, condition, ...this.long(head - (this.here + 6)));
    outer?.();
  }

  /** A loop over bytes that go into a register one by one; what is returned ends it. */
  #byteLoop(): () => void {
    const random = this.random;
    const from = this.#walkPlace();
    this.load(11, from);
    this.load(12, from + BigInt(1 + random.below(random.pick([9, 60, 300]))));
    const head = this.here;
    // movzx edx, byte [r11]; xor eax, edx
    this.emit(0x41, 0x0f, 0xb6, 0x13, 0x31, 0xd0);
    // inc r11; cmp r11, r12; jne head
    return () => {
      this.emit(0x49, 0xff, 0xc3, 0x4d, 0x39, 0xe3);
      this.emit(0x0f, 0x85, ...this.long(head - (this.here + 6)));
    };
  }

  /** to = to >> n ^ (mask & -(to & 2^k - 1)), by way of `from`, of 32 bits or 64. */
  #checksumStep(): void {
    const random = this.random;
    const to = random.pick(MIXED);
    const from = random.pick(MIXED.filter((number) => number !== to));
    const wide = random.once(3) ? 8 : 0;
    const [rex, other] = [0x40 | wide | (to >> 3), 0x40 | wide | (from >> 3)];
    this.emit(other | ((to >> 3) << 2), 0x89, 0xc0 | ((to & 7) << 3) | (from & 7));
    this.emit(rex, 0x83, 0xe0 | (to & 7), random.pick([1, 1, 1, 3, 7]));
    if (random.once(2)) this.emit(rex, 0xf7, 0xd8 | (to & 7));
    this.emit(other, 0xc1, 0xe8 | (from & 7), random.pick([1, 1, 1, 2, 3]));
    this.emit(rex, 0x81, 0xe0 | (to & 7), ...this.long(random.pick([0xedb88320, 0x82f63b78, 0x10210, 0x7fffff00])));
    this.emit(rex | ((from >> 3) << 2), random.pick([0x31, 0x09]), 0xc0 | ((from & 7) << 3) | (to & 7));
  }

  /** An instruction that moves bits, masks them or joins them. */
  #mixed(): void {
    const random = this.random;
    const [to, from] = [random.pick(MIXED), random.pick(MIXED)];
    const wide = random.once(3) ? 8 : 0;
    const rex = 0x40 | wide | (to >> 3);
    const both = rex | ((from >> 3) << 2);
    const pair = 0xc0 | ((from & 7) << 3) | (to & 7);
    switch (random.below(9)) {
      case 0:
        // shr, sar, shl to, 1 … 12
        this.emit(rex, 0xc1, random.pick([0xe8, 0xf8, 0xe0]) | (to & 7), random.below(13));
        break;
      case 1:
      case 2:
        // and to, mask: a few low bits, or without them
        this.emit(
          rex,
          0x81,
          0xe0 | (to & 7),
          ...this.long(random.pick([1, 1, 2, 15, 0xedb88320, 0x82f63b78, 0xff00ff00])),
        );
        break;
      case 3:
        // neg, not to
        this.emit(rex, 0xf7, random.pick([0xd8, 0xd8, 0xd0]) | (to & 7));
        break;
      case 4:
        // mov to, from
        this.emit(both, 0x89, pair);
        break;
      case 5:
        // or, and, add, sub to, from
        this.emit(both, random.pick([0x09, 0x21, 0x01, 0x29]), pair);
        break;
      case 6:
        // mov to, a constant; or to, a sign-extended byte
        if (random.once(2)) this.emit(0x40 | (to >> 3), 0xb8 | (to & 7), ...this.long(random.bits()));
        else this.emit(rex, 0x83, 0xc8 | (to & 7), random.below(256));
        break;
      default:
        this.emit(both, 0x31, pair);
    }
  }

  /** Mostly a little before the end of a page; often where code is. */
  #walkPlace(): bigint {
    const random = this.random;
    const before = random.below(random.pick([64, 600, PAGE]));
    switch (random.below(6)) {
      case 0:
        return this.#place();
      case 1:
        return BigInt(this.base + random.below(this.#bytes.length + 64));
      case 2:
        return BigInt(WINDOW + ALIAS * PAGE + (this.base % PAGE) + random.below(this.#bytes.length + 64));
      case 3:
        return BigInt(WINDOW + PAGE * (1 + random.below(WINDOW_PAGES)) - before);
      default:
        return BigInt(DATA + PAGE * (1 + random.below(3)) - before);
    }
  }

  /** An instruction on [base + index * 2^scale + some bytes]. */
  #walkedAccess(base: number, index: number, scale: number): void {
    const random = this.random;
    const register = random.pick([0, 1, 2, WALK_STEP, WALK_TURNS]);
    const wide = random.once(2) ? 8 : 0;
    const rex = 0x40 | wide | ((register >> 3) << 2) | ((index >> 3) << 1) | (base >> 3);
    // mov, add, adc, xor to memory; mov, add, cmp from it; mov and add of a byte; movzx; lea
    const opcode = random.pick([
      [0x89],
      [0x01],
      [0x11],
      [0x31],
      [0x8b],
      [0x03],
      [0x3b],
      [0x88],
      [0x00],
      [0x0f, 0xb6],
      [0x8d],
    ]);
    const from = [0x8b, 0x03, 0xb6, 0x8d].includes(opcode.at(-1)!);
    const steers = register === WALK_STEP || register === WALK_TURNS;
    if (from && steers) return;
    const displacement = random.pick([0, 8, -8, random.below(600), random.below(5000) - 2500]);
    const sib = (scale << 6) | ((index & 7) << 3) | (base & 7);
    this.emit(rex, ...opcode, 0x84 | ((register & 7) << 3), sib, ...this.long(displacement));
  }

  /** Move a register on, of 32 bits or 64. */
  #walkedChange(register: number): void {
    const random = this.random;
    const rex = 0x40 | (random.once(2) ? 0 : 8);
    const low = register & 7;
    const high = register >> 3;
    switch (random.below(7)) {
      case 0:
        // add register, imm8
        this.emit(rex | high, 0x83, 0xc0 | low, random.below(256));
        break;
      case 1:
        // sub register, imm8
        this.emit(rex | high, 0x83, 0xe8 | low, random.below(64));
        break;
      case 2:
        // inc register
        this.emit(rex | high, 0xff, 0xc0 | low);
        break;
      case 3:
      case 6:
        // add register, step
        this.emit(rex | 4 | high, 0x01, 0xc0 | ((WALK_STEP & 7) << 3) | low);
        break;
      case 4:
        // lea register, [register + disp8]
        this.emit(rex | (high * 5), 0x8d, 0x40 | (low << 3) | low, random.below(256));
        break;
      default:
        // mov edx, register; movsxd rcx, edx
        this.emit(0x40 | (high << 2), 0x89, 0xc2 | (low << 3), 0x48, 0x63, 0xca);
    }
  }

  #call(routines: readonly number[]): void {
    const random = this.random;
    if (routines.length === 0 || random.once(12)) {
      this.made['calls and jumps to nowhere']++;
      this.load(1, random.pick([...NOWHERE, BigInt(DATA)]));
      this.emit(0xff, random.pick([0xd1, 0xe1]));
      return;
    }
    this.made.calls++;
    const target = random.pick(routines);
    if (random.once(3)) {
      this.load(2, BigInt(target));
      this.emit(0xff, 0xd2);
    } else this.#jump(0xe8, target);
  }

  /** mov eax, imm32, whose immediate another store changes. */
  #patch(): void {
    this.#recoverable(() => {
      this.#patchable.push(this.here + 1);
      this.emit(0xb8, ...this.long(this.random.bits()));
      const target = this.random.pick(this.#patchable);
      // add dword [target], imm8
      if (!this.random.once(2)) return;
      this.made['stores into immediates of code']++;
      if (pageOf(target) !== pageOf(this.here)) this.made['such stores into another page']++;
      this.emit(0x83, 0x04, 0x25, ...this.long(target), this.random.below(128));
    });
  }

  #instruction(): void {
    const random = this.random;
    if (random.once(40)) this.emit(...random.pick([RDTSC, OUT_DX_AL, IN_EAX_DX]));
    if (random.once(12)) this.load(RSP, BigInt(STACK - 8 * random.below(8)));
    const form = random.pick(random.once(3) ? forms : common);
    const encoded = encodeForm(form, random, () => random.value());
    if (encoded.address) this.#aim(encoded);
    const end = this.here + encoded.bytes.length;
    if (pageOf(this.here) !== pageOf(end - 1)) this.made['instructions across the end of a page']++;
    this.emit(...encoded.bytes);
  }

  /** Make the address of a memory operand come to a place. */
  #aim({ bytes, address }: Encoded): void {
    const { base, index, scale, displacement, ripRelative, at } = address!;
    const target = this.#place();
    if (base === undefined) {
      const from = ripRelative ? this.here + bytes.length : 0;
      this.long(target - BigInt(from)).forEach((byte, each) => {
        bytes[at + each] = byte;
      });
      return;
    }
    const scaled = BigInt(this.random.below(64));
    if (index !== undefined) this.load(index, scaled);
    this.load(base, target - BigInt(displacement) - (index === undefined ? 0n : scaled * BigInt(scale)));
  }

  #place(): bigint {
    const random = this.random;
    switch (random.below(24)) {
      case 0:
        return random.pick(NOWHERE);
      case 1:
        return BigInt(this.base + random.below(this.#bytes.length + 64));
      case 2:
        this.made['operands across the end of a page']++;
        return BigInt(DATA + PAGE - 1 - random.below(7));
      case 3:
      case 4:
      case 5:
      case 6:
        return BigInt(WINDOW + random.below(WINDOW_PAGES * PAGE));
      case 7:
        this.made['operands across the end of a page']++;
        return BigInt(WINDOW + PAGE * random.below(WINDOW_PAGES) - 1 - random.below(7));
      default:
        return BigInt(DATA + random.below(DATA_BYTES));
    }
  }
}

const pageOf = (address: number): number => address >>> 12;

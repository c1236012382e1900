/**
 * Running decoded code: from block to block of a page, and one by one the instructions that no block holds, because they cross
 * into another page or are none.
 */

import { decode } from '../../../lang/isa/decode.ts';
import { FWAIT, x87Opcode } from '../../../lang/isa/x87.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import { type Block, type CodeCache, type CodePage, MAX_INSTRUCTION_BYTES, type Undecodable } from './code-cache.ts';
import type { Unsupported } from './diagnosis.ts';
import type { EmulatorPort } from './emulator-port.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { Records } from './interpreter/records.ts';
import type { Mmu } from './mmu.ts';
import { CR0_EM, CR0_MP, CR0_TS } from './paging.ts';
import { type PendingEvent, VECTOR } from './pending-event.ts';
import type { Processor } from './processor.ts';
import { type CpuState, SLOT } from './state.ts';

const TWO_TO_32 = 2 ** 32;
/** A {@link HotTier.threshold} beyond what is counted. */
export const NEVER_HOT = 2 ** 31;

/** An instruction that stands alone: its record, and its length. */
interface Single {
  readonly at: number;
  readonly length: number;
}

/** Outcome of a {@link HotTier}: go on at SLOT.RIP without a look at events, as between two batches of a repeated instruction. */
export const RESUME = -6;
/** Outcome of a {@link HotTier}: the instruction at SLOT.RIP is the interpreter's to do, and nothing of it has been done. */
export const INTERPRET = -7;

/** Outcome of translated code alone: SLOT.RIP is at an access to a port, of which nothing has been done. */
export const PORT = -8;
/** Outcome of translated code alone: the hypervisor has served an exit on the spot, and has to look around before the guest goes on at SLOT.RIP. */
export const SERVED = -9;

/** A faster way to run what is run often. */
export interface HotTier {
  /** How often a block is entered before it is asked for. */
  readonly threshold: number;
  /**
   * Run from `address`, which is `offset` of `page` and begins `block`, as {@link Execution.runPage} does; 0 if the block is
   * left to the interpreter; {@link RESUME}, {@link INTERPRET}.
   */
  run(address: number, page: CodePage, offset: number, block: Block, limit: number): number;
  /** As {@link run} from SLOT.RIP, if that is where code of this tier was lately run from; else 0. */
  again(limit: number): number;
}

/** Execution of one vCPU's code. */
export class Execution {
  /** Guest instructions retired since start. A repeated string instruction counts once a batch. */
  retired = 0;
  /** The last instruction met that is not implemented: for the report when the guest dies of it. */
  unsupported: Unsupported | undefined;
  readonly #memory: PhysicalMemory;
  readonly #state: CpuState;
  /** The state's words, the one view that the hot path goes through: each has a base and a bound to be loaded. */
  readonly #words: Int32Array;
  readonly #mmu: Mmu;
  readonly #event: PendingEvent;
  readonly #code: CodeCache;
  readonly #records: Records;
  readonly #single = new Uint8Array(MAX_INSTRUCTION_BYTES);
  #page: CodePage | undefined;
  #hot: HotTier | undefined;
  /** A block entered more often than this is hot: a small integer for the engine, as the count is, which only `| 0` makes sure of. */
  #tolerated = (NEVER_HOT - 1) | 0;

  constructor({ memory, state, mmu, event }: Processor, code: CodeCache) {
    this.#memory = memory;
    this.#state = state;
    this.#words = state.words;
    this.#mmu = mmu;
    this.#event = event;
    this.#code = code;
    this.#records = code.records;
  }

  /** From now on `tier` runs what is hot. */
  set hotTier(tier: HotTier) {
    this.#hot = tier;
    this.#tolerated = (tier.threshold - 1) | 0;
  }

  /** Run from SLOT.RIP until the code leaves its page or something happens; SLOT.RIP is exact on return. */
  runPage(limit: number): number {
    let outcome = this.#hot === undefined ? 0 : this.#hot.again(limit);
    if (outcome === 0) outcome = this.#runBlocks(limit, true);
    while (outcome === RESUME || outcome === INTERPRET) {
      if (this.retired >= limit) return OUTCOME.STOP;
      outcome = this.#runBlocks(limit, outcome === RESUME);
    }
    return outcome;
  }

  /** `mayHeat`: whether the first block may be the hot tier's. */
  #runBlocks(limit: number, mayHeat: boolean): number {
    const words = this.#words;
    // Hot: every entry comes here, so no bigint is made of an address on its way in and out of the state.
    const low = words[2 * SLOT.RIP]!;
    const address = words[2 * SLOT.RIP + 1]! * TWO_TO_32 + (low >>> 0);
    // `| 0` here and below: a small integer from there on, which the engine cannot tell by itself.
    const host = this.#mmu.fetch(address) | 0;
    if (host < 0) {
      this.#event.exit.instructionLength = 0;
      return host;
    }
    let heats = mayHeat;
    let offset = host & 4095;
    const page = this.#pageAt(host - offset);
    const base = address - offset;
    words[2 * SLOT.PAGE_BASE] = low - offset;
    words[2 * SLOT.PAGE_BASE + 1] = words[2 * SLOT.RIP + 1]!;
    for (;;) {
      let block: Block | Undecodable | undefined = page.blocks[offset];
      if (block === undefined) block = this.#code.block(page, offset);
      if ('failure' in block) {
        this.#setRip(offset);
        return this.#runUncached(page, offset, block);
      }
      block.heat = (block.heat + 1) | 0;
      if (block.heat > this.#tolerated && heats) {
        const outcome = this.#hot!.run(base + offset, page, offset, block, limit);
        if (outcome !== 0) return outcome;
      }
      heats = true;
      const { first } = block;
      const { steps } = this.#records;
      const last = Math.min(block.last, first + (limit - this.retired));
      let at = first;
      let outcome = 0;
      // The hot loop: one call an instruction. Measured: 80 million simple instructions a second on a 2.x GHz core.
      while (at < last) {
        outcome = steps[at]!(at) | 0;
        at++;
        if (outcome !== 0) break;
      }
      if (outcome < 0 && outcome !== OUTCOME.JUMP && outcome !== OUTCOME.STOP) {
        this.retired += at - first - 1;
        return this.#stopped(this.#records.offsetOf(at - 1), this.#records.lengthOf(at - 1), outcome);
      }
      this.retired += at - first;
      if (outcome > 0) offset = (outcome - 1) | 0;
      else if (outcome === OUTCOME.JUMP) return OUTCOME.JUMP;
      else {
        offset = at < block.last ? this.#records.offsetOf(at) : block.end;
        if (offset >= 4096 || outcome === OUTCOME.STOP) {
          this.#setRip(offset);
          return OUTCOME.STOP;
        }
      }
      if (this.retired >= limit) {
        this.#setRip(offset);
        return OUTCOME.STOP;
      }
    }
  }

  /** The code page at `host`; after an exit it is mostly the one before. */
  #pageAt(host: number): CodePage {
    if (this.#page === undefined || this.#page.host !== host) this.#page = this.#code.page(host);
    return this.#page;
  }

  #setRip(offset: number): void {
    const words = this.#words;
    if (offset < 4096) {
      words[2 * SLOT.RIP] = words[2 * SLOT.PAGE_BASE]! + offset;
      words[2 * SLOT.RIP + 1] = words[2 * SLOT.PAGE_BASE + 1]!;
    } else {
      const { quads } = this.#state;
      quads[SLOT.RIP] = quads[SLOT.PAGE_BASE]! + BigInt(offset);
    }
  }

  /** An instruction faulted or exited: rip is its own, and the exit knows its length. */
  #stopped(offset: number, length: number, outcome: number): number {
    this.#setRip(offset);
    this.#event.exit.instructionLength = length;
    return outcome;
  }

  /** An instruction that is in no block: it crosses a page, or is none. */
  #runUncached(page: CodePage, offset: number, why: Undecodable): number {
    if (why.failure !== 'truncated')
      return this.#undefined(why, this.#memory.bytes.subarray(page.host + offset, page.host + offset + why.length));
    const single = this.#crossing(page, offset);
    if (typeof single === 'number') return single;
    return this.#runSingle(single.at, single.length, offset);
  }

  /** Run one instruction at `offset` and leave SLOT.RIP exact. */
  #runSingle(at: number, length: number, offset: number): number {
    const outcome = this.#records.steps[at]!(at);
    if (outcome < 0 && outcome !== OUTCOME.JUMP && outcome !== OUTCOME.STOP) {
      // An element counts, as a batch of them does.
      if (outcome === OUTCOME.PAUSED) this.retired++;
      return this.#stopped(offset, length, outcome);
    }
    this.retired++;
    if (outcome > 0) this.#setRip(outcome - 1);
    else if (outcome !== OUTCOME.JUMP) this.#setRip(offset + length);
    return OUTCOME.STOP;
  }

  /** Decode an instruction that begins at `offset` and ends in the next page, whose frame may be anywhere. */
  #crossing(page: CodePage, offset: number): Single | number {
    const first = 4096 - offset;
    this.#single.set(
      this.#memory.bytes.subarray(page.host + offset, page.host + 4096).subarray(0, MAX_INSTRUCTION_BYTES),
    );
    const next = Number(this.#state.quads[SLOT.PAGE_BASE]!) + 4096;
    const host = this.#mmu.fetch(next);
    if (host < 0) {
      this.#event.exit.instructionLength = 0;
      return host;
    }
    this.#single.set(this.#memory.bytes.subarray(host, host + MAX_INSTRUCTION_BYTES - first), first);
    return this.#singleStep(offset);
  }

  /** The instruction in #single, or an outcome. */
  #singleStep(offset: number): Single | number {
    const instruction = decode(this.#single, 0, MAX_INSTRUCTION_BYTES, 'long');
    if ('failure' in instruction) return this.#undefined(instruction, this.#single.subarray(0, instruction.length));
    const plan = this.#code.plan(instruction, offset);
    if ('failure' in plan) return this.#undefined(plan, this.#single.subarray(0, plan.length));
    return { at: this.#code.alone(plan), length: instruction.length };
  }

  #undefined(why: Undecodable, bytes: Uint8Array): number {
    this.#event.exit.instructionLength = 0;
    if (why.failure === 'too-long' || why.failure === 'truncated') return this.#event.raise(VECTOR.GP, 0);
    if (why.failure === 'unsupported' && this.#unavailable(bytes)) return this.#event.raise(VECTOR.NM);
    if (why.failure !== 'undefined') {
      this.unsupported = {
        rip: BigInt.asUintN(64, this.#state.quads[SLOT.RIP]!),
        bytes: bytes.slice(),
        text: 'text' in why ? why.text : undefined,
      };
    }
    return this.#event.raise(VECTOR.UD);
  }

  /** Whether #NM comes before #UD: x87 with CR0.EM or TS, WAIT with MP and TS (SDM vol. 3A §2.5 and table 9-3). */
  #unavailable(bytes: Uint8Array): boolean {
    const { cr0 } = this.#mmu.guest;
    if ((cr0 & (CR0_EM | CR0_TS)) === 0n) return false;
    const opcode = x87Opcode(bytes);
    if (opcode !== FWAIT) return opcode !== undefined;
    return (cr0 & CR0_TS) !== 0n && (cr0 & CR0_MP) !== 0n;
  }

  /**
   * Run the instruction at SLOT.RIP alone, with `port` serving what leaves RAM. Its outcome; EXIT as well where there is no
   * instruction to be had. `known` as {@link Mmu.beginEmulation} has it.
   */
  complete(port: EmulatorPort, known: boolean): number {
    this.#mmu.beginEmulation(port, known);
    const outcome = this.#completeOne();
    this.#mmu.endEmulation();
    return outcome;
  }

  #completeOne(): number {
    const words = this.#words;
    const low = words[2 * SLOT.RIP]!;
    const host = this.#mmu.fetch(words[2 * SLOT.RIP + 1]! * TWO_TO_32 + (low >>> 0)) | 0;
    if (host < 0) return host;
    const offset = host & 4095;
    words[2 * SLOT.PAGE_BASE] = low - offset;
    words[2 * SLOT.PAGE_BASE + 1] = words[2 * SLOT.RIP + 1]!;
    const page = this.#pageAt(host - offset);
    const block = page.blocks[offset] ?? this.#code.block(page, offset);
    if (!('failure' in block)) return this.#runSingle(block.first, this.#records.lengthOf(block.first), offset);
    if (block.failure !== 'truncated') return OUTCOME.EXIT;
    const single = this.#crossing(page, offset);
    return typeof single === 'number' ? single : this.#runSingle(single.at, single.length, offset);
  }
}

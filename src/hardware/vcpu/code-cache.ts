/**
 * Decoded guest code: straight runs of instructions, kept by the page frame that they were decoded from and dropped when the
 * frame is written.
 */

import { format } from '../../../lang/isa/format.ts';
import type { DecodeFailure, Instruction } from '../../../lang/isa/instruction.ts';
import type { CodeKeeper } from '../code-frames.ts';
import type { PhysicalMemory } from '../physical-memory.ts';
import type { CodeMemory } from './code-memory.ts';
import type { FormCompiler } from './interpreter/form.ts';
import type { Plan } from './interpreter/plan.ts';
import { type Placed, Records } from './interpreter/records.ts';

/** A run of instructions that are executed one after the other unless one of them says otherwise. */
export class Block {
  /** Records of its instructions: the first, and the one behind the last. */
  readonly first: number;
  readonly last: number;
  /** Page offset of what follows it. */
  readonly end: number;
  /** How often it was entered: what is hot is worth translating. */
  heat = 0;

  constructor(first: number, instructions: readonly Placed[]) {
    const { offset, length } = instructions[instructions.length - 1]!;
    this.first = first;
    this.last = first + instructions.length;
    this.end = offset + length;
  }
}

/** Blocks of one page frame, by the page offset of their first instruction. */
export interface CodePage {
  readonly host: number;
  readonly blocks: (Block | undefined)[];
  /** How many there are: a store into the frame is cheap where there are none. */
  count: number;
}

/** Why there is no block: the decoder's word, or an instruction of the table that this vCPU cannot execute. */
export type Undecodable =
  | DecodeFailure
  | { readonly failure: 'unimplemented'; readonly length: number; readonly text: string };

/** Longest instruction (SDM vol. 2 §2.3.11). */
export const MAX_INSTRUCTION_BYTES = 15;
const MAX_BLOCK = 32;
const MAX_BLOCK_BYTES = MAX_BLOCK * MAX_INSTRUCTION_BYTES;

/** Instructions after which the next one is not simply the one behind. */
export const ENDS_BLOCK: ReadonlySet<string> = new Set([
  'jmp',
  'jcc',
  'jrcxz',
  'jecxz',
  'loop',
  'loope',
  'loopne',
  'call',
  'ret',
  'retf',
  'int',
  'int3',
  'int1',
  'iret',
  'hlt',
  'ud2',
  'ud0',
  'ud1',
  'jmp-far',
  'call-far',
  'syscall',
  'sysret',
  'sysenter',
  'sysexit',
]);
/** These look at the count of retired instructions, which is exact between blocks: they stand alone. */
const STANDS_ALONE: ReadonlySet<string> = new Set(['rdtsc', 'rdtscp', 'rdmsr']);

/** All decoded code of one vCPU. */
export class CodeCache implements CodeKeeper {
  readonly records = new Records();
  readonly #memory: PhysicalMemory;
  readonly #pages = new Map<number, CodePage>();
  #forms: FormCompiler | undefined;
  #guard: () => void = () => {};
  readonly #stop: () => void;
  /** Where blocks are looked up before they are decoded; undefined for a processor that is the only one of its process. */
  memory: CodeMemory | undefined;
  /** Called when so many bytes of code at a host offset have been written. */
  onWritten: (host: number, bytes: number) => void = () => {};

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
    this.#stop = memory.code.keep(this);
  }

  /** The compiler's code reads this: it is handed in once both exist. `guard` is what {@link CodeKeeper.guard} does. */
  connect(forms: FormCompiler, guard: () => void): void {
    this.#forms = forms;
    this.#guard = guard;
  }

  guard(): void {
    this.#guard();
  }

  /** The processor is gone: nobody has to tell it of changes. */
  release(): void {
    this.#stop();
  }

  written(host: number, bytes: number): void {
    const offset = host & 4095;
    const page = this.#pages.get(host - offset);
    if (page !== undefined && page.count > 0) drop(page, offset, bytes);
    this.onWritten(host, bytes);
  }

  /** The page of frame `host` (page-aligned host offset). */
  page(host: number): CodePage {
    const known = this.#pages.get(host);
    if (known) return known;
    const page: CodePage = { host, blocks: new Array(4096).fill(undefined), count: 0 };
    this.#pages.set(host, page);
    this.#memory.code.add(host);
    return page;
  }

  /** The block at `offset` of `page`, or why its first instruction cannot run; 'truncated' if it crosses into the next page. */
  block(page: CodePage, offset: number): Block | Undecodable {
    const known = page.blocks[offset];
    if (known) return known;
    const decoded = this.#decode(page, offset);
    if ('failure' in decoded) return decoded;
    if (!this.records.hasRoom(decoded.length)) this.#dropAll();
    const block = new Block(this.records.add(decoded), decoded);
    page.blocks[offset] = block;
    page.count++;
    this.#memory.code.decoded(page.host + offset, block.end - offset);
    return block;
  }

  /** The instructions from `start` on, at least one. */
  #decode(page: CodePage, start: number): readonly Placed[] | Undecodable {
    const known = this.memory?.recall(this.#memory.bytes, page.host, start);
    if (known !== undefined) {
      const { plans, offsets } = known;
      return plans.map((plan, index) => this.#placed(plan, offsets[index]!, offsets[index + 1]! - offsets[index]!));
    }
    const instructions: Placed[] = [];
    const plans: Plan[] = [];
    const offsets = [start];
    const end = page.host + 4096;
    for (let offset = start; offset < 4096 && instructions.length < MAX_BLOCK; ) {
      const planned = this.#forms!.planAt(this.#memory.bytes, page.host + offset, end, offset);
      if ('failure' in planned) return instructions.length > 0 ? instructions : planned;
      if (planned.plan === undefined)
        return instructions.length > 0 ? instructions : unimplemented(planned.instruction);
      const { plan, meaning, length } = planned;
      if (instructions.length > 0 && STANDS_ALONE.has(meaning)) break;
      instructions.push(this.#placed(plan, offset, length));
      plans.push(plan);
      offset += length;
      offsets.push(offset);
      if (ENDS_BLOCK.has(meaning) || STANDS_ALONE.has(meaning)) {
        this.memory?.remember(this.#memory.bytes, page.host, { plans, offsets });
        break;
      }
    }
    return instructions;
  }

  #placed(plan: Plan, offset: number, length: number): Placed {
    return { step: this.#forms!.bind(plan.form), plan, offset, length };
  }

  /** More has been decoded than is kept: begin anew. In place, as where a page is written. */
  #dropAll(): void {
    this.records.clear();
    for (const page of this.#pages.values()) {
      page.blocks.fill(undefined);
      page.count = 0;
    }
  }

  /** The plan of one instruction at `offset` of its page. */
  plan(instruction: Instruction, offset: number): Plan | Undecodable {
    return this.#forms!.plan(instruction, offset) ?? unimplemented(instruction);
  }

  /** The record of an instruction in no block, until this is asked for another. */
  alone(plan: Plan): number {
    return this.records.alone(this.#forms!.bind(plan.form), plan);
  }
}

/**
 * Drop the blocks that hold some of the bytes at `offset`. In place: whoever runs code of this page holds the same array, and
 * sees that they are gone.
 */
function drop(page: CodePage, offset: number, bytes: number): void {
  const { blocks } = page;
  for (let start = Math.max(0, offset - MAX_BLOCK_BYTES + 1); start < offset + bytes && page.count > 0; start++) {
    const block = blocks[start];
    if (block === undefined || block.end <= offset) continue;
    blocks[start] = undefined;
    page.count--;
  }
}

const unimplemented = (instruction: Instruction): Undecodable => ({
  failure: 'unimplemented',
  length: instruction.length,
  text: format(instruction),
});

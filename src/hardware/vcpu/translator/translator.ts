/**
 * The translator of one vCPU: hot code becomes WebAssembly, a region at a time, and runs as that. What it computes, where it
 * faults and how many instructions it retires is the interpreter's to the last one; the interpreter does all the rest.
 */

import { decode } from '../../../../lang/isa/decode.ts';
import type { Instruction } from '../../../../lang/isa/instruction.ts';
import { type Block, type CodeCache, type CodePage, ENDS_BLOCK } from '../code-cache.ts';
import { type Execution, PORT } from '../execution.ts';
import { meanings } from '../meanings.ts';
import type { Ports } from '../ports.ts';
import type { Processor } from '../processor.ts';
import type { QuickPort } from '../quick-port.ts';
import { SLOT } from '../state.ts';
import { TLB_MASK } from '../tlb.ts';
import type { Eagerness, TranslationStatistics } from '../translation.ts';
import { dispatcherModule } from './dispatcher.ts';
import type { Places } from './frame.ts';
import { RecentRegions } from './recent-regions.ts';
import { type CodeSource, ENTRY_BUDGET, findRegion, LARGE_REGION, type Region } from './region.ts';
import { RegionCache, type Translated } from './region-cache.ts';
import { regionModule } from './region-writer.ts';
import { type InterpretedProcessor, Runtime } from './runtime.ts';
import { LinearTlb } from './tlb-mirror.ts';
import { turnsOf } from './unroll.ts';

/**
 * Instructions that translated code runs at a time, before it comes back to JavaScript: the engine puts better machine code in
 * the place of a function only when that is entered again.
 */
const SLICE = 1 << 20;
const TABLE_SLACK = 1;
/**
 * Going into WebAssembly and out again costs as much as this many interpreted instructions. A region that has done less each
 * time, of so many times, because its code leaves the guest at once, is left alone until its block has been entered so often.
 */
const WORTH = 16;
const TRIAL = 256;
const REST = 1 << 16;
/** A heat from which no block comes up: still a small integer, as all heats are, so that blocks stay alike for the engine. */
const NEVER = -(2 ** 30);
/**
 * Each time that translated code of a page is written, code of that page has to become twice as hot as before to be translated,
 * up to so many doublings: by then the interpreter has taken as long over it as its translation takes. So a page that is written
 * all the time costs no more than twice what it costs the interpreter.
 */
const MOST_DOUBLINGS = 5;

/** What a translator needs of a vCPU. */
export interface TranslatedProcessor extends InterpretedProcessor {
  readonly ports: Ports;
}

export class Translator {
  readonly statistics: TranslationStatistics = {
    regions: 0,
    instructions: 0,
    bytes: 0,
    milliseconds: 0,
    longest: 0,
    evicted: 0,
    invalidated: 0,
  };
  readonly #cpu: Processor;
  readonly #execution: Execution;
  readonly #code: CodeCache;
  readonly #places: Places;
  readonly #runtime: Runtime;
  readonly #regions: RegionCache;
  readonly #recent: RecentRegions;
  readonly #ports: Ports;
  readonly #words: Int32Array;
  readonly #table: WebAssembly.Table;
  readonly #imports: Readonly<Record<string, unknown>>;
  readonly #drive: (index: number, budget: number) => number;
  readonly #nothing: unknown;
  /** Places in the table that are free. */
  readonly #free: number[] = [];
  /** Whether to follow branches that have not been taken yet. */
  readonly #eager: boolean;
  readonly #threshold: number;
  /** Doublings of heat, by page frame. */
  readonly #doublings = new Map<number, number>();
  /** Blocks that have reached the heat that their page asks for. */
  readonly #hotEnough = new WeakSet<Block>();

  /** `storage` is `STORAGE.SIZE` bytes of linear memory; `quickPort` serves port accesses where they stand, if anybody does. */
  constructor(cpu: TranslatedProcessor, storage: number, eagerness: Eagerness, quickPort?: QuickPort) {
    const { execution, code } = cpu;
    this.#cpu = cpu;
    this.#execution = execution;
    this.#code = code;
    this.#ports = cpu.ports;
    this.#words = cpu.state.words;
    this.#eager = eagerness.eager;
    this.#threshold = eagerness.threshold;
    const { memory, state, mmu } = cpu;
    const { buffer } = memory.wasm;
    this.#places = { state: state.at, storage };
    new LinearTlb(mmu.tlb, buffer, storage);
    this.#runtime = new Runtime(cpu, quickPort, storage);
    this.#recent = new RecentRegions(mmu.tlb);
    this.#regions = new RegionCache(buffer, storage, this.statistics, (region) => this.#dropped(region));
    this.#table = new WebAssembly.Table({ element: 'anyfunc', initial: TABLE_SLACK });
    const dispatcher = new WebAssembly.Instance(new WebAssembly.Module(dispatcherModule(this.#places)), {
      host: { memory: memory.wasm, table: this.#table, ...this.#runtime.functions },
    }).exports;
    this.#imports = { memory: memory.wasm, ...dispatcher, port: this.#runtime.functions['port'] };
    this.#drive = dispatcher['drive'] as (index: number, budget: number) => number;
    this.#nothing = dispatcher['nothing'];
    code.onWritten = (host, bytes) => this.#written(host, bytes);
  }

  #written(host: number, bytes: number): void {
    const regions = this.#regions.written(host, bytes);
    if (regions.length === 0) return;
    for (const region of regions) this.#regions.drop(region);
    this.statistics.invalidated += regions.length;
    const frame = host - pageOffset(host);
    this.#doublings.set(frame, Math.min((this.#doublings.get(frame) ?? 0) + 1, MOST_DOUBLINGS));
  }

  /** Whether `block` has to become hotter before it is translated, because of how often code of its page was written. */
  #mustWait(host: number, block: Block): boolean {
    const doublings = this.#doublings.get(host - pageOffset(host));
    if (doublings === undefined || this.#hotEnough.has(block)) return false;
    this.#hotEnough.add(block);
    block.heat = this.#threshold - (this.#threshold << doublings);
    return true;
  }

  #dropped(region: Translated): void {
    const { index, steps, host } = region;
    this.#recent.forget(region);
    this.#cool(host);
    this.#table.set(index, this.#nothing);
    this.#free.push(index);
    this.#runtime.forget(steps);
  }

  /**
   * Run translated code from `address`, at `offset` of `page`, until something happens, as {@link Execution.runPage} does; 0 if
   * there is none to run.
   */
  run(address: number, page: CodePage, offset: number, block: Block, limit: number): number {
    const execution = this.#execution;
    const budget = Math.min(limit - execution.retired, SLICE);
    if (budget < ENTRY_BUDGET) return 0;
    const host = page.host + offset;
    const region = this.#regions.find(address, host) ?? this.#translate(address, host, block);
    if (region === undefined) return 0;
    this.#recent.keep(region);
    const outcome = this.#enter(region, budget);
    if (region.entries >= TRIAL) this.#judge(region, block);
    return outcome;
  }

  /** As {@link run} from SLOT.RIP, if a region that begins there was run not long ago and is not to be judged; else 0. */
  again(limit: number): number {
    const words = this.#words;
    const region = this.#recent.find(words[2 * SLOT.RIP]!, words[2 * SLOT.RIP + 1]!);
    if (region === undefined || region.entries >= TRIAL) return 0;
    const budget = Math.min(limit - this.#execution.retired, SLICE);
    return budget < ENTRY_BUDGET ? 0 : this.#enter(region, budget);
  }

  #enter(region: Translated, budget: number): number {
    const execution = this.#execution;
    const runtime = this.#runtime;
    this.#regions.announce(region);
    const before = execution.retired;
    runtime.begin(before + budget);
    const outcome = this.#drive(region.index, budget);
    runtime.end(outcome);
    // The guest is left for good reason, and was entered at no more than the interpreter's cost.
    if (outcome === PORT) return this.#ports.access(runtime.port);
    region.retired += execution.retired - before;
    region.entries++;
    return outcome;
  }

  /** The block at `host` has to become hot once more. */
  #cool(host: number): void {
    const block = this.#code.page(host - pageOffset(host)).blocks[pageOffset(host)];
    if (block === undefined) return;
    block.heat = Math.min(block.heat, 0);
    this.#hotEnough.delete(block);
  }

  /** A region has been tried {@link TRIAL} times. */
  #judge(region: Translated, block: Block): void {
    if (!this.#eager && region.retired < WORTH * TRIAL) {
      block.heat = -REST;
      this.#recent.forget(region);
    }
    region.entries = 0;
    region.retired = 0;
  }

  #translate(address: number, host: number, block: Block): Translated | undefined {
    if (!this.#regions.hasRoom(this.#execution.retired)) {
      block.heat = 0;
      return undefined;
    }
    if (this.#mustWait(host, block)) return undefined;
    const start = performance.now();
    const region = findRegion(address, this.#source(), ENDS_BLOCK);
    const translated = region === undefined ? undefined : this.#install(region, host);
    if (translated === undefined) block.heat = NEVER;
    const elapsed = performance.now() - start;
    this.statistics.milliseconds += elapsed;
    this.statistics.longest = Math.max(this.statistics.longest, elapsed);
    return translated;
  }

  #install(region: Region, host: number): Translated {
    const steps: number[] = [];
    const bytes = regionModule(region, {
      meanings,
      places: this.#places,
      frameOf: (address) => this.#frameOf(address)!,
      interpret: (address, { instructions }) => {
        const { instruction } = instructions.find((each) => each.address === address)!;
        const plan = this.#code.plan(instruction, pageOffset(address));
        if ('failure' in plan) throw new Error('a region holds an instruction that cannot be carried out');
        const number = this.#runtime.remember({ address, length: instruction.length, plan });
        steps.push(number);
        return number;
      },
    });
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), { host: this.#imports });
    const index = this.#free.pop() ?? this.#table.grow(1);
    this.#table.set(index, instance.exports['region']);
    const code = region.blocks.map(({ address, next }) => {
      const from = this.#frameOf(address)! + pageOffset(address);
      // What goes on in the middle of it, behind the end of a budget, say, is no reason to make another region of the same code.
      if (from !== host && this.#regions.find(address, from) === undefined) this.#cool(from);
      return [from, from + next - address] as const;
    });
    const instructions = region.blocks.reduce((sum, block) => sum + block.instructions.length, 0);
    const translated = {
      address: region.blocks[0]!.address,
      host,
      index,
      code,
      steps,
      instructions,
      bytes: bytes.length,
      entries: 0,
      retired: 0,
    };
    for (const [from, to] of translated.code) this.#cpu.memory.code.decoded(from, to - from);
    this.#regions.add(translated);
    this.statistics.regions++;
    this.statistics.bytes += bytes.length;
    this.statistics.instructions += instructions;
    return translated;
  }

  /**
   * Host offset of the frame that `address` was fetched from, if that is known without a walk. A frame from which nothing has
   * been decoded yet does not count: to make it one of code would show, in how far a repeated store into it gets at a time.
   */
  #frameOf(address: number): number | undefined {
    const host = this.#cpu.mmu.tlb.fetchHost(address - pageOffset(address));
    return host >= 0 && this.#cpu.memory.code.holds(host) ? host : undefined;
  }

  #source(): CodeSource {
    const { bytes } = this.#cpu.memory;
    return {
      instruction: (address): Instruction | undefined => {
        const frame = this.#frameOf(address);
        if (frame === undefined) return undefined;
        const instruction = decode(bytes, frame + pageOffset(address), frame + 4096, 'long');
        return 'failure' in instruction || meanings[instruction.row.meaning] === undefined ? undefined : instruction;
      },
      word: (address) => {
        const { readTags, readHosts } = this.#cpu.mmu.tlb;
        const within = pageOffset(address);
        const entry = (address >>> 12) & TLB_MASK;
        if (readTags[entry] !== address - within || within > 4096 - 8) return undefined;
        return Number(this.#cpu.memory.view.getBigInt64(readHosts[entry]! + within, true));
      },
      turns: (before, loop, most) => turnsOf(before, loop, most, meanings, this.#places),
      follow: (address) => {
        const frame = this.#frameOf(address);
        if (frame === undefined) return false;
        const known = this.#regions.find(address, frame + pageOffset(address));
        if (known !== undefined && known.instructions >= LARGE_REGION) return false;
        return this.#eager || this.#code.page(frame).blocks[pageOffset(address)] !== undefined;
      },
    };
  }
}

const pageOffset = (address: number): number => (address | 0) & 4095;

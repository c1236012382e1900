/** A region's code: its blocks nested as their flow allows, the edges between them, and the way out wherever one leads outside. */

import type { Meaning, Ops } from '../ops.ts';
import { TLB_MASK } from '../tlb.ts';
import { Emitter } from './emitter.ts';
import { examine, type RegionFacts } from './flag-liveness.ts';
import { FlowGraph } from './flow-graph.ts';
import { type Places, PORT_FUNCTION, REGION, RUNTIME_FUNCTIONS, STEP } from './frame.ts';
import { STORAGE, TLB_ENTRY } from './layout.ts';
import type { Place } from './place.ts';
import { GOES_ON, type Region, type RegionBlock } from './region.ts';
import { RegisterValues } from './register-values.ts';
import { beginStretch, finishStretch, leaveStretch, movePointers, pushStretchIsSure } from './stretch.ts';
import { Strip, type StripPlan } from './strip.ts';
import { giveBackStrip } from './strip-entry.ts';
import { type StrippedLoop, tryStrip } from './stripped-loop.ts';
import { type FlagState, SETTLED, valuesOf } from './wasm-flags.ts';
import { ACCESS, type Label, OP } from './wasm-function.ts';
import { wasmModule } from './wasm-module.ts';
import { type Branches, WasmOps } from './wasm-ops.ts';
import { I32 } from './wasm-types.ts';
import { constant, type WasmValue } from './wasm-value.ts';
import { writeSums } from './written-sums.ts';

/** What a region's code depends on beyond its instructions. */
export interface Surroundings {
  readonly meanings: Readonly<Record<string, Meaning>>;
  readonly places: Places;
  /** Host offset of the page frame that the code at a linear address was read from. */
  frameOf(address: number): number;
  /** Have the interpreter ready for the instruction at `address`: the number by which the code asks for it. */
  interpret(address: number, block: RegionBlock): number;
}

/** The binary of the module whose function `region` runs the region. */
export function regionModule(region: Region, surroundings: Surroundings): Uint8Array {
  const facts = examine(region, surroundings.meanings, surroundings.places);
  const body = new RegionWriter(region, facts, surroundings).write();
  const accessesPorts = region.blocks.some(({ ending }) => ending === 'port');
  return wasmModule({
    functions: accessesPorts ? [...RUNTIME_FUNCTIONS, PORT_FUNCTION] : RUNTIME_FUNCTIONS,
    defined: [{ signature: REGION, body, name: 'region' }],
  });
}

/** So many comparisons in a row are no slower than a choice by digits. */
const FEW = 4;

/** Bits of an address that tell some addresses apart. */
interface Digits {
  readonly shift: number;
  readonly mask: number;
}

/** The fewest digits in which all the addresses differ, if there are such among the low bits. */
function distinctDigits(addresses: readonly number[]): Digits | undefined {
  for (let bits = Math.ceil(Math.log2(addresses.length)); bits <= 8; bits++)
    for (let shift = 0; shift < 12; shift++) {
      const mask = (1 << bits) - 1;
      if (new Set(addresses.map((address) => (address >>> shift) & mask)).size === addresses.length)
        return { shift, mask };
    }
  return undefined;
}

/** For instructions of which none branches. */
const NO_BRANCHES: Branches = { direct: () => {}, indirect: () => {} };

const pageOf = (address: number): number => Math.floor(address / 4096);

class RegionWriter {
  readonly #blocks: RegionBlock[];
  readonly #indexes: ReadonlyMap<number, number>;
  readonly #facts: RegionFacts;
  readonly #surroundings: Surroundings;
  readonly #graph: FlowGraph;
  readonly #emitter: Emitter;
  /** Labels of blocks: their beginnings for edges back, what stands before them for edges forward. */
  readonly #back = new Map<number, Label>();
  readonly #forward = new Map<number, Label>();
  /** Values that code after the one being written still needs. */
  readonly #held: WasmValue[][] = [];
  /** Stripped loops by their block, and by their copies. */
  readonly #loops = new Map<number, StrippedLoop>();
  readonly #copies = new Map<number, StrippedLoop>();
  readonly #stretches = new Map<number, StrippedLoop>();

  constructor(region: Region, facts: RegionFacts, surroundings: Surroundings) {
    this.#blocks = [...region.blocks];
    this.#indexes = region.indexes;
    this.#facts = facts;
    this.#surroundings = surroundings;
    this.#emitter = new Emitter(surroundings.places, facts);
    for (const [block, { plan, needsFlags }] of facts.strips) this.#addStrip(block, plan, needsFlags);
    this.#graph = new FlowGraph(this.#blocks.map(({ successors }) => successors));
  }

  #addStrip(block: number, plan: StripPlan, needsFlags: boolean): void {
    const { frame } = this.#emitter;
    const original = this.#blocks[block]!;
    const copy = this.#blocks.length;
    const successors = [...original.successors, copy];
    this.#blocks[block] = { ...original, successors };
    this.#blocks.push({ ...original, successors });
    const strip = new Strip(frame.code, plan, original.instructions.length);
    const stretch = plan.stretch === 0 ? undefined : this.#blocks.length;
    if (stretch !== undefined) {
      this.#blocks.push({ ...original, successors: [stretch, copy, ...original.successors] });
      this.#blocks[block] = { ...original, successors: [...successors, stretch] };
    }
    const loop = { block, copy, stretch, strip, needsFlags, wait: frame.code.local(I32) };
    this.#loops.set(block, loop);
    this.#copies.set(copy, loop);
    if (stretch !== undefined) this.#stretches.set(stretch, loop);
  }

  write(): Emitter['frame']['code'] {
    const { frame } = this.#emitter;
    frame.begin();
    this.#takeBudget(this.#blocks[0]!.instructions.length);
    this.#tree(0);
    frame.finish();
    return frame.code;
  }

  #takeBudget(count: number): void {
    const { code, left } = this.#emitter.frame;
    code.get(left);
    code.i32(count);
    code.op(OP.I32_SUB);
    code.set(left);
  }

  /** Block `index` and all that it dominates. */
  #tree(index: number): void {
    const { code } = this.#emitter.frame;
    const merges = this.#graph.children[index]!.filter((child) => this.#graph.isMerge(child));
    const isLoop = this.#graph.isLoopHeader(index);
    if (isLoop) this.#back.set(index, code.loop());
    this.#within(index, merges);
    if (isLoop) code.end();
  }

  /** Block `index`, and behind it those of its children that several paths lead to, the last one outermost. */
  #within(index: number, merges: readonly number[]): void {
    const { code } = this.#emitter.frame;
    const last = merges.at(-1);
    if (last === undefined) {
      const stretched = this.#stretches.get(index);
      if (stretched !== undefined) this.#stretch(index, stretched);
      else this.#block(index);
      return;
    }
    this.#forward.set(last, code.block());
    this.#within(index, merges.slice(0, -1));
    code.end();
    this.#emitter.flags.state = SETTLED;
    this.#tree(last);
  }

  #block(index: number): void {
    const block = this.#blocks[index]!;
    const { flags, frame } = this.#emitter;
    const outer = frame.values;
    frame.values = new RegisterValues();
    let following: number | undefined;
    const branches: Branches = {
      direct: (target) => {
        // A turn of an unrolled loop goes on into the next one.
        if (following === undefined) this.#direct(index, Number(target));
        else if (following !== Number(target)) throw new Error('an unrolled loop goes another way than was found out');
      },
      indirect: (target) => this.#indirect(index, target),
    };
    if (this.#graph.isLoopHeader(index)) flags.state = SETTLED;
    const strip = this.#copies.get(index)?.strip;
    if (strip !== undefined) this.#beginTurn(strip);
    frame.strip = strip;
    block.instructions.forEach((each, at) => {
      following = block.instructions[at + 1]?.address;
      if (following === undefined) writeSums(this.#emitter);
      this.#instruction(each, block, block.instructions.length - at, branches);
    });
    const interpreted = this.#facts.interpreted.has(block.instructions.at(-1)!.address);
    if (GOES_ON.has(block.ending) || interpreted) this.#edge(index, block.next);
    frame.values = outer;
  }

  /** One instruction, which `unretired` ones of its block begin with. */
  #instruction(
    { address, instruction }: RegionBlock['instructions'][number],
    block: RegionBlock,
    unretired: number,
    branches: Branches,
  ): void {
    const { flags, frame } = this.#emitter;
    frame.temporaries.keepOnly(valuesOf(flags.state), frame.values.values(), ...this.#held);
    const place = { rip: BigInt(address), length: instruction.length, unretired };
    if (this.#facts.interpreted.has(address)) this.#interpret(place, address, block);
    else {
      const ops: Ops<WasmValue> = new WasmOps(this.#emitter, instruction, place, branches);
      this.#surroundings.meanings[instruction.row.meaning]!(ops);
    }
  }

  /** Turns of a strip one after another, without their branches if they surely go on; then as many again, or what of the strip is left, or the loop. */
  #stretch(index: number, { block: loop, copy, strip, needsFlags }: StrippedLoop): void {
    const { flags, frame } = this.#emitter;
    const { code } = frame;
    const block = this.#blocks[index]!;
    const turns = strip.plan.stretch;
    const body = block.instructions.slice(0, -1);
    const outer = frame.values;
    frame.values = new RegisterValues();
    flags.state = SETTLED;
    beginStretch(frame, strip);
    frame.strip = strip;
    for (let turn = 0; turn < turns; turn++) {
      strip.begin(turn);
      const unretired = (turns - turn) * strip.length;
      body.forEach((each, at) => {
        this.#instruction(each, block, unretired - at, NO_BRANCHES);
      });
      if (strip.plan.bound === undefined) this.#stretchBranch(index, strip, turn);
      movePointers(frame, strip);
    }
    finishStretch(frame, strip);
    frame.strip = undefined;
    if (needsFlags) flags.settle();
    pushStretchIsSure(frame, strip);
    code.brIf(this.#back.get(index)!);
    code.get(strip.remaining);
    code.brIf(this.#forward.get(copy)!);
    this.#edgeWithin(index, loop);
    frame.values = outer;
  }

  /** On to the next turn of a stretch, or out of the loop. */
  #stretchBranch(index: number, strip: Strip, turn: number): void {
    const { frame } = this.#emitter;
    const { code } = frame;
    const block = this.#blocks[index]!;
    const on = code.block();
    this.#instruction(block.instructions.at(-1)!, block, 1, { ...NO_BRANCHES, direct: () => code.br(on) });
    this.#aside([], () => {
      leaveStretch(frame, strip, turn);
      this.#edge(index, block.next);
    });
    code.end();
  }

  #beginTurn(strip: Strip): void {
    const { code } = this.#emitter.frame;
    strip.begin();
    code.get(strip.remaining);
    code.i32(1);
    code.op(OP.I32_SUB);
    code.set(strip.remaining);
  }

  /** An instruction that has no translation, between a look-out of everything to the state page and a look-in. */
  #interpret(place: Place, address: number, block: RegionBlock): void {
    const { frame, flags, exits } = this.#emitter;
    const { code, temporaries, places } = frame;
    flags.settled();
    frame.storeState();
    code.i32(this.#surroundings.interpret(address, block));
    code.get(frame.left);
    code.i32(place.unretired);
    code.op(OP.I32_ADD);
    code.call(STEP);
    const outcome = temporaries.result(32).local!;
    frame.loadState();
    frame.values.forgetAll();
    flags.state = { rule: 'settled', entry: false };
    code.get(outcome);
    code.if();
    exits.interpreted(place, outcome, () => {
      code.i32(0);
      code.access(ACCESS.I64_LOAD, places.storage + STORAGE.NEXT);
    });
    code.end();
  }

  /** Write `then` with the state of the flags kept for what follows it. */
  #aside(held: readonly WasmValue[], then: () => void): void {
    const { flags, frame } = this.#emitter;
    const before: FlagState = flags.state;
    this.#held.push([...valuesOf(before), ...held]);
    then();
    this.#held.pop();
    // Their locals may be others' by now.
    frame.values.forgetAll();
    flags.state = before;
  }

  #direct(from: number, target: number): void {
    this.#aside([], () => this.#edge(from, target));
  }

  /** To one of the places that the block is known to lead to, or outside. */
  #indirect(from: number, target: WasmValue): void {
    const known = this.#blocks[from]!.successors.filter((index) => this.#graph.hasEdge(from, index));
    const addresses = known.map((index) => this.#blocks[index]!.address);
    const digits = addresses.length > FEW ? distinctDigits(addresses) : undefined;
    if (digits === undefined) for (const address of addresses) this.#edgeIf(from, target, address);
    else this.#choose(from, target, addresses, digits);
    this.#emitter.exits.goOnAt(this.#local(target));
  }

  #edgeIf(from: number, target: WasmValue, address: number): void {
    const { frame, arithmetic } = this.#emitter;
    frame.temporaries.push(arithmetic.compare('equal', target, constant(64, BigInt(address))));
    frame.code.if();
    this.#aside([target], () => this.#edge(from, address));
    frame.code.end();
  }

  /** One of many: the digits of the target choose the only one that it can be. */
  #choose(from: number, target: WasmValue, addresses: readonly number[], { shift, mask }: Digits): void {
    const { code, temporaries } = this.#emitter.frame;
    const none = code.block();
    const labels = addresses.map(() => code.block()).reverse();
    temporaries.pushLow(target);
    code.i32(shift);
    code.op(OP.I32_SHR_U);
    code.i32(mask);
    code.op(OP.I32_AND);
    const byDigits: Label[] = new Array(mask + 1).fill(none);
    addresses.forEach((address, index) => {
      byDigits[(address >>> shift) & mask] = labels[index]!;
    });
    code.brTable(byDigits, none);
    for (const address of addresses) {
      code.end();
      this.#edgeIf(from, target, address);
      code.br(none);
    }
    code.end();
  }

  #local(value: WasmValue): number {
    if (value.local !== undefined) return value.local;
    const { temporaries } = this.#emitter.frame;
    temporaries.push(value);
    return temporaries.result(64).local!;
  }

  /** On to the code at `target`, in the region or outside. */
  #edge(from: number, target: number): void {
    const { frame } = this.#emitter;
    const { strip } = frame;
    // The code beyond the edge is none of the strip's.
    frame.strip = undefined;
    const to = this.#indexes.get(target);
    const loop = this.#copies.get(from);
    if (loop !== undefined) this.#leaveStrip(loop, to);
    if (to !== undefined && this.#graph.hasEdge(from, to)) this.#edgeWithin(from, to);
    else this.#emitter.exits.goOn(BigInt(target));
    frame.strip = strip;
  }

  /** Behind a turn of a strip: the next one if there is one, and it is to be had. */
  #leaveStrip({ block, copy, strip, needsFlags }: StrippedLoop, to: number | undefined): void {
    const { frame, flags } = this.#emitter;
    if (to !== block) {
      giveBackStrip(frame, strip);
      return;
    }
    frame.code.get(strip.remaining);
    frame.code.if();
    if (needsFlags) flags.settle();
    frame.code.br(this.#back.get(copy)!);
    frame.code.end();
  }

  #edgeWithin(from: number, to: number): void {
    const { exits, flags, frame } = this.#emitter;
    const { code } = frame;
    const { address } = this.#blocks[to]!;
    if (pageOf(address) !== pageOf(this.#blocks[from]!.instructions.at(-1)!.address)) this.#checkPage(address);
    const loop = this.#loops.get(to);
    if (loop !== undefined) tryStrip(frame, loop, from, () => this.#enterStrip(loop));
    const count = this.#blocks[to]!.instructions.length;
    this.#takeBudget(count);
    code.get(frame.left);
    code.i32(0);
    code.op(OP.I32_LT_S);
    code.unlikelyIf();
    exits.goOn(BigInt(address), count);
    code.end();
    const isBack = this.#graph.isBackEdge(from, to);
    if (!isBack && !this.#graph.isMerge(to)) {
      if (this.#graph.isLoopHeader(to)) this.#settleFor(to);
      this.#tree(to);
      return;
    }
    this.#settleFor(to);
    code.br((isBack ? this.#back : this.#forward).get(to)!);
    flags.state = SETTLED;
  }

  /** Into a strip: a stretch of it if that is sure to go on. */
  #enterStrip({ copy, stretch, strip, needsFlags }: StrippedLoop): void {
    const { frame, flags } = this.#emitter;
    this.#aside([], () => {
      if (needsFlags) flags.settle();
      if (stretch !== undefined) {
        pushStretchIsSure(frame, strip);
        frame.code.if();
        this.#aside([], () => this.#tree(stretch));
        frame.code.end();
      }
      if (this.#graph.isMerge(copy)) frame.code.br(this.#forward.get(copy)!);
      else this.#tree(copy);
    });
  }

  #settleFor(to: number): void {
    if (this.#facts.needsFlags[to]) this.#emitter.flags.settle();
  }

  /** Leave unless the page of `target` is the one that its code was read from: as the interpreter, which fetches there. */
  #checkPage(target: number): void {
    const { frame, exits } = this.#emitter;
    const { code, places } = frame;
    const page = target - (((target % 4096) + 4096) % 4096);
    const at = places.storage + STORAGE.FETCH_TLB + (((page / 4096) & TLB_MASK) << TLB_ENTRY.SHIFT);
    code.i32(0);
    code.access(ACCESS.I64_LOAD, at + TLB_ENTRY.TAG);
    code.i64(BigInt(page));
    code.op(OP.I64_NE);
    code.i32(0);
    code.access(ACCESS.I32_LOAD, at + TLB_ENTRY.ADDEND);
    code.i32((this.#surroundings.frameOf(target) - (page | 0)) | 0);
    code.op(OP.I32_NE, OP.I32_OR);
    code.unlikelyIf();
    exits.goOn(BigInt(target));
    code.end();
  }
}

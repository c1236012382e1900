/**
 * Which blocks need the flags that they are entered with. Every edge between blocks is a place where the budget may end, and
 * every access to memory one where the guest may be left, so a block needs them unless it sets all six before either; what
 * is needed on the edge itself, the block before has at hand.
 *
 * The first pass over a region, whose code is thrown away, finds this out, and which registers are named and changed, and
 * which instructions have no translation.
 */

import type { Meaning, Ops } from '../ops.ts';
import { Emitter } from './emitter.ts';
import type { Places } from './frame.ts';
import { LoopTrace } from './loop-trace.ts';
import type { Region, RegionBlock } from './region.ts';
import { RegisterValues } from './register-values.ts';
import { planStrip, Strip, type StripPlan } from './strip.ts';
import { loopEndOf, SETTLED, valuesOf } from './wasm-flags.ts';
import { NotTranslated, WasmOps } from './wasm-ops.ts';
import type { WasmValue } from './wasm-value.ts';

/** What the first pass finds. */
export interface RegionFacts {
  /** Whether block n needs the flags it is entered with. */
  readonly needsFlags: readonly boolean[];
  /** Addresses of instructions that the interpreter has to carry out. */
  readonly interpreted: ReadonlySet<number>;
  /** Registers named, and changed, as bits. */
  readonly used: number;
  readonly changed: number;
  /** Loops of one block that can be run in strips, by block. */
  readonly strips: ReadonlyMap<number, StripFacts>;
}

/** What is known of a strip. */
export interface StripFacts {
  readonly plan: StripPlan;
  /** Whether its turns need the flags they begin with. */
  readonly needsFlags: boolean;
}

/** Instructions that the strips of one region, and the turns that are made several at a time, may hold: it would take too long to make. */
const MAX_STRIPPED = 600;

const NOWHERE = { direct: () => {}, indirect: () => {} };

export function examine(region: Region, meanings: Readonly<Record<string, Meaning>>, places: Places): RegionFacts {
  const emitter = new Emitter(places, { used: 0, changed: 0 });
  const interpreted = new Set<number>();
  const { frame } = emitter;
  const strips = new Map<number, StripFacts>();
  let room = MAX_STRIPPED;
  const needsFlags = region.blocks.map((block, index) => {
    const isLoop = block.ending === 'conditional' && block.successors.includes(index);
    frame.trace = isLoop ? new LoopTrace() : undefined;
    const needed = needsEntryFlags(block, emitter, meanings, interpreted);
    const last = block.instructions.at(-1)!.instruction;
    const end = last.row.meaning === 'jcc' ? loopEndOf(last.condition!, emitter.flags.state) : undefined;
    const plan =
      frame.trace &&
      !block.instructions.some(({ address }) => interpreted.has(address)) &&
      planStrip(frame.trace, block.instructions.length, end);
    frame.trace = undefined;
    const size = plan ? block.instructions.length * (1 + plan.stretch) : 0;
    if (plan && size <= room) {
      room -= size;
      frame.strip = new Strip(frame.code, plan, block.instructions.length);
      strips.set(index, { plan, needsFlags: needsEntryFlags(block, emitter, meanings, interpreted) });
      frame.strip = undefined;
    }
    return needed;
  });
  const { used, changed } = frame;
  return { needsFlags, interpreted, used, changed, strips };
}

function needsEntryFlags(
  { instructions }: RegionBlock,
  emitter: Emitter,
  meanings: Readonly<Record<string, Meaning>>,
  interpreted: Set<number>,
): boolean {
  const { flags } = emitter;
  flags.state = SETTLED;
  flags.entryNeeded = false;
  emitter.frame.values = new RegisterValues();
  for (const { address, instruction } of instructions) {
    emitter.frame.temporaries.keepOnly(valuesOf(flags.state), emitter.frame.values.values());
    const place = { rip: BigInt(address), length: instruction.length, unretired: 1 };
    try {
      const ops: Ops<WasmValue> = new WasmOps(emitter, instruction, place, NOWHERE);
      meanings[instruction.row.meaning]!(ops);
    } catch (error) {
      if (!(error instanceof NotTranslated)) throw error;
      interpreted.add(address);
      emitter.frame.values = new RegisterValues();
      flags.settled();
    }
  }
  flags.settle();
  return flags.entryNeeded;
}

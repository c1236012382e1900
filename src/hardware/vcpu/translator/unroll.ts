/** Loops that go round a number of times which is known where they are entered: found out by making their code, and throwing it away. */

import type { Meaning, Ops } from '../ops.ts';
import { Emitter } from './emitter.ts';
import type { Places } from './frame.ts';
import type { RegionBlock } from './region.ts';
import { valuesOf } from './wasm-flags.ts';
import { NotTranslated, WasmOps } from './wasm-ops.ts';
import type { WasmValue } from './wasm-value.ts';

/** Where a block goes on behind its last instruction, as far as what it has done tells. */
type Way = 'branch' | 'next' | 'unknown';

class Follower {
  readonly #emitter: Emitter;
  readonly #meanings: Readonly<Record<string, Meaning>>;

  constructor(meanings: Readonly<Record<string, Meaning>>, places: Places) {
    this.#emitter = new Emitter(places, { used: 0, changed: 0 });
    this.#meanings = meanings;
  }

  follow({ instructions }: RegionBlock): Way {
    const { frame, flags } = this.#emitter;
    let way: Way = 'next';
    const branches = {
      direct: () => {
        way = frame.values.conditional ? 'unknown' : 'branch';
      },
      indirect: () => {
        way = 'unknown';
      },
    };
    for (const { address, instruction } of instructions) {
      frame.temporaries.keepOnly([...valuesOf(flags.state), ...frame.values.values()]);
      const place = { rip: BigInt(address), length: instruction.length, unretired: 1 };
      const ops: Ops<WasmValue> = new WasmOps(this.#emitter, instruction, place, branches);
      this.#meanings[instruction.row.meaning]!(ops);
    }
    return way;
  }
}

/** How often `loop` goes round when it is entered from `before`; undefined if that is not known, or more than `most`. */
export function turnsOf(
  before: RegionBlock,
  loop: RegionBlock,
  most: number,
  meanings: Readonly<Record<string, Meaning>>,
  places: Places,
): number | undefined {
  const follower = new Follower(meanings, places);
  try {
    if (follower.follow(before) !== 'next') return undefined;
    for (let turns = 1; turns <= most; turns++) {
      const way = follower.follow(loop);
      if (way !== 'branch') return way === 'next' ? turns : undefined;
    }
  } catch (error) {
    if (!(error instanceof NotTranslated)) throw error;
  }
  return undefined;
}

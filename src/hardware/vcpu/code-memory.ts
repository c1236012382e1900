/**
 * Decoded code that outlives its processor. Guest after guest of a process runs the same library at the same addresses; its
 * blocks are known again by their bytes, and only bound to the new processor's registers and memory.
 */

import type { Plan } from './interpreter/plan.ts';

/** A block as any processor of the process may have it. It ends with the jump or the like that its bytes end with. */
export interface PlannedBlock {
  readonly plans: readonly Plan[];
  /** Page offset of each instruction, and of what follows the last. */
  readonly offsets: readonly number[];
}

interface Remembered {
  readonly block: PlannedBlock;
  readonly bytes: Uint8Array;
}

/** Blocks kept at most: more than the library has, and a bound for who runs program after program for hours. */
const MOST = 20_000;
/** Those that begin alike, at the same offset: code that changes itself further on would make any number of them. */
const MOST_ALIKE = 8;

export class CodeMemory {
  /** By page offset and first bytes; those that begin alike in a row. */
  readonly #known = new Map<number, Remembered[]>();
  #blocks = 0;

  /** The block that lies at `offset` of the page at `host`, if it was met before. */
  recall(memory: Uint8Array, host: number, offset: number): PlannedBlock | undefined {
    const candidates = this.#known.get(keyOf(memory, host, offset));
    if (candidates === undefined) return undefined;
    for (const { block, bytes } of candidates) if (liesAt(memory, host + offset, bytes)) return block;
    return undefined;
  }

  /** Keep what was decoded at the page at `host`. */
  remember(memory: Uint8Array, host: number, block: PlannedBlock): void {
    if (this.#blocks === MOST) {
      this.#known.clear();
      this.#blocks = 0;
    }
    const [offset, end] = [block.offsets[0]!, block.offsets.at(-1)!];
    const key = keyOf(memory, host, offset);
    const others = this.#known.get(key);
    if (others !== undefined && others.length >= MOST_ALIKE) return;
    const remembered = { block, bytes: memory.slice(host + offset, host + end) };
    if (others === undefined) this.#known.set(key, [remembered]);
    else others.push(remembered);
    this.#blocks++;
  }
}

/** Twelve bits of offset and four bytes of code: an integer that a number holds exactly. What lies behind the page counts as 0. */
function keyOf(memory: Uint8Array, host: number, offset: number): number {
  let key = offset;
  for (let at = offset; at < offset + 4; at++) key = key * 256 + (at < 4096 ? memory[host + at]! : 0);
  return key;
}

function liesAt(memory: Uint8Array, at: number, bytes: Uint8Array): boolean {
  for (let index = 0; index < bytes.length; index++) if (memory[at + index] !== bytes[index]) return false;
  return true;
}

/** A loop of one block beside its copies: a strip's turn, and a stretch of such turns. When which of them is gone to. */

import type { Frame } from './frame.ts';
import type { Strip } from './strip.ts';
import { enterStrip } from './strip-entry.ts';
import { OP } from './wasm-function.ts';

/** Indexes are of the region's blocks. */
export interface StrippedLoop {
  readonly block: number;
  /** The copy that is a strip's turn. */
  readonly copy: number;
  /** The copy that is a stretch, if there is one. */
  readonly stretch: number | undefined;
  readonly strip: Strip;
  /** Whether a strip's turn needs the flags it begins with. */
  readonly needsFlags: boolean;
  /** Local: turns until a strip is tried. */
  readonly wait: number;
}

/** Turns of a loop before a strip is tried, and before it is tried again where that was not worth it. */
const FIRST_WAIT = 3;
const NEXT_WAIT = 16;

/** On the way from block `from` to a turn of the loop: into a strip, which `enter` goes to, when it is time to try. */
export function tryStrip(frame: Frame, loop: StrippedLoop, from: number, enter: () => void): void {
  const { code } = frame;
  const { block, strip, wait } = loop;
  if (from === block) {
    code.get(wait);
    code.i32(1);
    code.op(OP.I32_SUB);
    code.tee(wait);
    code.i32(0);
    code.op(OP.I32_LT_S);
    code.if();
    const no = code.block();
    enterStrip(frame, strip, no);
    enter();
    code.end();
  }
  code.i32(from === loop.copy || from === loop.stretch ? 0 : from === block ? NEXT_WAIT : FIRST_WAIT);
  code.set(wait);
  if (from === block) code.end();
}

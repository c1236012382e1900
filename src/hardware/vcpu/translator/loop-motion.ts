/** How the turns of a loop move what they compute: by the same distance each time, or not. */

import {
  type Atom,
  combined,
  extended,
  keyOf,
  knownForm,
  type LinearForm,
  lowHalf,
  registerForm,
  scaled,
} from './linear-form.ts';
import type { LoopTrace } from './loop-trace.ts';

/** 32 bits that move and are extended to an address: they must not wrap around within the strip. */
export interface WrapGuard {
  readonly value: LinearForm;
  readonly signed: boolean;
}

/** How a turn changes a register: not at all, by the same distance each time, or otherwise. `narrow`: in its low half, the upper cleared. */
export type Change = 'none' | 'unknown' | { readonly step: LinearForm; readonly narrow: boolean };

export class Changes {
  readonly #ends: (number: number) => LinearForm | undefined;

  constructor(trace: LoopTrace) {
    this.#ends = (number) => trace.register(number);
  }

  isConstant(number: number): boolean {
    const end = this.#ends(number);
    return end !== undefined && end.constant === 0n && keyOf(end) === keyOf(registerForm(number));
  }

  /** No turn changes any register of it. */
  isInvariant(value: LinearForm): boolean {
    return [...value.terms.values()].every(({ atom }) => this.isInvariantAtom(atom));
  }

  isInvariantAtom(atom: Atom): boolean {
    return atom.kind === 'register' ? this.isConstant(atom.number) : this.isInvariant(atom.of);
  }

  of(number: number): Change {
    if (this.isConstant(number)) return 'none';
    const end = this.#ends(number);
    if (end === undefined) return 'unknown';
    const wide = combined(end, registerForm(number), -1n);
    if (this.isInvariant(wide)) return { step: wide, narrow: false };
    const [only, ...others] = end.terms.values();
    if (only === undefined || others.length > 0 || end.constant !== 0n || only.coefficient !== 1n) return 'unknown';
    if (only.atom.kind !== 'extended' || only.atom.signed) return 'unknown';
    const narrow = combined(only.atom.of, lowHalf(registerForm(number)), -1n);
    return this.isInvariant(narrow) ? { step: narrow, narrow: true } : 'unknown';
  }
}

export interface Motion {
  readonly step: LinearForm;
  readonly guards: readonly WrapGuard[];
}

const STILL: Motion = { step: knownForm(64, 0n), guards: [] };

/** How a turn moves one part of an address; undefined if not by a fixed distance. */
function motionOfAtom(atom: Atom, changes: Changes): Motion | undefined {
  if (changes.isInvariantAtom(atom)) return STILL;
  if (atom.kind === 'register') {
    const change = changes.of(atom.number);
    if (typeof change === 'string') return undefined;
    // A strip begins behind a turn, which has cleared the upper half.
    if (change.narrow)
      return motionOfAtom({ kind: 'extended', signed: false, of: lowHalf(registerForm(atom.number)) }, changes);
    return { step: change.step, guards: [] };
  }
  let step = knownForm(32, 0n);
  for (const { coefficient, atom: inner } of atom.of.terms.values()) {
    if (changes.isInvariantAtom(inner)) continue;
    const change = inner.kind === 'register' ? changes.of(inner.number) : 'unknown';
    if (typeof change === 'string') return undefined;
    step = combined(step, lowHalf(change.step), coefficient);
  }
  return { step: extended(step, true), guards: [{ value: atom.of, signed: atom.signed }] };
}

/** How a turn moves an address. */
export function motionOf(address: LinearForm, changes: Changes): Motion | undefined {
  let step = knownForm(64, 0n);
  const guards: WrapGuard[] = [];
  let moving = 0;
  for (const { coefficient, atom } of address.terms.values()) {
    const motion = motionOfAtom(atom, changes);
    if (motion === undefined) return undefined;
    if (motion !== STILL) moving++;
    step = combined(step, scaled(motion.step, coefficient), 1n);
    guards.push(...motion.guards);
  }
  // The page bounds how far the address goes, and so the only part of it that moves.
  return guards.length > 0 && moving > 1 ? undefined : { step, guards };
}

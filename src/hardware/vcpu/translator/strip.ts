/**
 * Strips: turns of a loop of one block that are run without a look at the TLB or at the budget, because before the first of
 * them it is known that they stay within pages that the TLB has, and within the budget. An address qualifies if each turn moves
 * it by the same distance.
 */

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
import type { LoopTrace, TracedAccess } from './loop-trace.ts';
import type { WasmFunction } from './wasm-function.ts';
import { I32 } from './wasm-types.ts';

/** Accesses near each other that move together. */
export interface AccessGroup {
  /** Address of the lowest byte, in the first turn. */
  readonly address: LinearForm;
  /** From the lowest byte to behind the highest one. */
  readonly span: number;
  readonly writes: boolean;
  /** How far a turn moves it: a form of registers that no turn changes. */
  readonly step: LinearForm;
}

/** 32 bits that move and are extended to an address: they must not wrap around within the strip. */
export interface WrapGuard {
  readonly value: LinearForm;
  readonly signed: boolean;
}

export interface StripPlan {
  readonly groups: readonly AccessGroup[];
  readonly guards: readonly WrapGuard[];
  /** For each access of a turn its group; undefined if it is to be looked up every time. */
  readonly groupOf: readonly (number | undefined)[];
}

/** Accesses further apart are looked up apart: else few strips would find them in one page. */
const MAX_SPAN = 512n;
/** More than these would take longer to look up than they save. */
const MAX_GROUPS = 10;

/** How a turn changes a register: not at all, by the same distance each time, or otherwise. `narrow`: in its low half, the upper cleared. */
type Change = 'none' | 'unknown' | { readonly step: LinearForm; readonly narrow: boolean };

class Changes {
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

interface Motion {
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
function motionOf(address: LinearForm, changes: Changes): Motion | undefined {
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

interface Candidate {
  readonly index: number;
  readonly access: TracedAccess & { readonly address: LinearForm };
  readonly motion: Motion;
}

/** The plan for a loop whose turn has been traced; undefined if there is nothing to be gained. */
export function planStrip(trace: LoopTrace): StripPlan | undefined {
  const changes = new Changes(trace);
  const byForm = new Map<string, Candidate[]>();
  trace.accesses.forEach((access, index) => {
    const { address } = access;
    const motion = address && motionOf(address, changes);
    if (address === undefined || motion === undefined) return;
    const key = keyOf(address);
    const candidate = { index, access: { ...access, address }, motion };
    const alike = byForm.get(key);
    if (alike === undefined) byForm.set(key, [candidate]);
    else alike.push(candidate);
  });
  const groups: AccessGroup[] = [];
  const guards = new Map<string, WrapGuard>();
  const groupOf: (number | undefined)[] = trace.accesses.map(() => undefined);
  for (const alike of byForm.values())
    for (const near of clusters(alike)) {
      for (const { index } of near) groupOf[index] = groups.length;
      for (const guard of near[0]!.motion.guards)
        guards.set(`${guard.signed} ${guard.value.constant} ${keyOf(guard.value)}`, guard);
      groups.push(groupOfCluster(near));
    }
  if (groups.length === 0 || groups.length > MAX_GROUPS) return undefined;
  return { groups, guards: [...guards.values()], groupOf };
}

const endOf = ({ access }: Candidate): bigint => access.address.constant + BigInt(access.bytes);

function clusters(candidates: readonly Candidate[]): Candidate[][] {
  const sorted = [...candidates].sort((a, b) => Number(a.access.address.constant - b.access.address.constant));
  const result: Candidate[][] = [];
  for (const candidate of sorted) {
    const last = result.at(-1);
    if (last !== undefined && endOf(candidate) - last[0]!.access.address.constant <= MAX_SPAN) last.push(candidate);
    else result.push([candidate]);
  }
  return result;
}

function groupOfCluster(near: readonly Candidate[]): AccessGroup {
  const { address } = near[0]!.access;
  const end = near.map(endOf).reduce((a, b) => (a > b ? a : b));
  return {
    address,
    span: Number(end - address.constant),
    writes: near.some(({ access }) => access.kind === 'write'),
    step: near[0]!.motion.step,
  };
}

/** What a strip keeps while it runs. */
export class Strip {
  readonly plan: StripPlan;
  /** Instructions of one turn. */
  readonly length: number;
  /** Local: turns that have not begun. */
  readonly remaining: number;
  /** For each group the local of its page's addend. */
  readonly addends: readonly number[];
  #access = 0;

  constructor(code: WasmFunction, plan: StripPlan, length: number) {
    this.plan = plan;
    this.length = length;
    this.remaining = code.local(I32);
    this.addends = plan.groups.map(() => code.local(I32));
  }

  /** The code of a turn is about to be made. */
  begin(): void {
    this.#access = 0;
  }

  /** The next access of the turn: the local of its page's addend, undefined if that is to be looked up. */
  nextAddend(): number | undefined {
    const { groupOf } = this.plan;
    if (this.#access === groupOf.length) throw new Error('a strip makes another access than the turn that was traced');
    const group = groupOf[this.#access++];
    return group === undefined ? undefined : this.addends[group];
  }
}

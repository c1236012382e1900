/**
 * Strips: turns of a loop of one block that are run without a look at the TLB or at the budget, because before the first of
 * them it is known that they stay within pages that the TLB has, and within the budget. An address qualifies if each turn moves
 * it by the same distance.
 */

import { keyOf, type LinearForm } from './linear-form.ts';
import { boundOf, type LoopEnd, type TurnBound } from './loop-bound.ts';
import { Changes, type Motion, motionOf, type WrapGuard } from './loop-motion.ts';
import type { LoopTrace, TracedAccess } from './loop-trace.ts';
import type { WasmFunction } from './wasm-function.ts';
import { I32 } from './wasm-types.ts';

/** How an access of a turn is found: in the page of which group, how far from its lowest byte. */
export interface GroupedAccess {
  readonly group: number;
  readonly offset: number;
}

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

export interface StripPlan {
  readonly groups: readonly AccessGroup[];
  readonly guards: readonly WrapGuard[];
  /** For each access of a turn where it is; undefined if it is to be looked up every time. */
  readonly accesses: readonly (GroupedAccess | undefined)[];
  /** How long the loop surely goes on, if that can be told. */
  readonly bound: TurnBound | undefined;
  /** So many turns are run at a time; 0 if that is not worth it. */
  readonly stretch: number;
}

/** Instructions of the turns that are run at a time. */
const STRETCH = 48;
const MOST_TURNS = 8;
const PAGE = 4096;
/** Accesses further apart are looked up apart: else few strips would find them in one page. */
const MAX_SPAN = 512n;
/** More than these would take longer to look up than they save. */
const MAX_GROUPS = 10;

interface Candidate {
  readonly index: number;
  readonly access: TracedAccess & { readonly address: LinearForm };
  readonly motion: Motion;
}

/** The plan for a loop whose turn of `length` instructions has been traced; undefined if there is nothing to be gained. */
export function planStrip(trace: LoopTrace, length: number, end: LoopEnd | undefined): StripPlan | undefined {
  const changes = new Changes(trace);
  const bound = end && boundOf(end, changes);
  const turns = Math.min(MOST_TURNS, Math.floor(STRETCH / length));
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
  const accesses: (GroupedAccess | undefined)[] = trace.accesses.map(() => undefined);
  for (const alike of byForm.values())
    for (const near of clusters(alike)) {
      const lowest = near[0]!.access.address.constant;
      for (const { index, access } of near)
        accesses[index] = { group: groups.length, offset: Number(access.address.constant - lowest) };
      for (const guard of near[0]!.motion.guards)
        guards.set(`${guard.signed} ${guard.value.constant} ${keyOf(guard.value)}`, guard);
      groups.push(groupOfCluster(near));
    }
  const stretch = turns > 1 && groups.every((group) => Math.abs(fixedStep(group)) < PAGE) ? turns : 0;
  if ((groups.length === 0 && (stretch === 0 || bound === undefined)) || groups.length > MAX_GROUPS) return undefined;
  return { groups, guards: [...guards.values()], accesses, bound, stretch };
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

/**
 * Where an access of a strip is: beyond the addend of its page, or at an offset from where its group stands; or to be looked up,
 * where the addend is likely to be the last one's.
 */
type StripPlace =
  | { readonly kind: 'page'; readonly addend: number }
  | { readonly kind: 'pointer'; readonly pointer: number; readonly offset: number }
  | { readonly kind: 'likely'; readonly addend: number };

/** What a strip keeps while it runs. */
export class Strip {
  readonly plan: StripPlan;
  /** Instructions of one turn. */
  readonly length: number;
  /** Local: turns that have not begun. */
  readonly remaining: number;
  /** Local: those of them that can be run in stretches. */
  readonly sure: number;
  /** For each group the local of its page's addend. */
  readonly addends: readonly number[];
  /** For each group, in a stretch, the local of the host offset that its accesses are counted from. */
  readonly pointers: readonly number[];
  /** For each access that is looked up the local of the addend that it had last. */
  readonly #lastAddends: readonly (number | undefined)[];
  #access = 0;
  #turn: number | undefined;

  constructor(code: WasmFunction, plan: StripPlan, length: number) {
    this.plan = plan;
    this.length = length;
    this.remaining = code.local(I32);
    this.sure = code.local(I32);
    this.addends = plan.groups.map(() => code.local(I32));
    this.#lastAddends = plan.accesses.map((access) => (access === undefined ? code.local(I32) : undefined));
    this.pointers = plan.stretch === 0 ? [] : plan.groups.map(() => code.local(I32));
  }

  /** The code of a turn is about to be made; of a stretch, its turn `turn`. */
  begin(turn?: number): void {
    this.#access = 0;
    this.#turn = turn;
  }

  /** Where the next access of the turn is. */
  nextPlace(): StripPlace {
    const { accesses, groups } = this.plan;
    if (this.#access === accesses.length) throw new Error('a strip makes another access than the turn that was traced');
    const index = this.#access++;
    const access = accesses[index];
    if (access === undefined) return { kind: 'likely', addend: this.#lastAddends[index]! };
    const { group, offset } = access;
    if (this.#turn === undefined) return { kind: 'page', addend: this.addends[group]! };
    const moved = stretchStart(groups[group]!, this.plan.stretch) + this.#turn * fixedStep(groups[group]!);
    return { kind: 'pointer', pointer: this.pointers[group]!, offset: offset + moved };
  }
}

/** How far a turn moves a group, if that is the same whatever registers hold; else 0, and its pointer is moved every turn. */
export const fixedStep = ({ step }: AccessGroup): number => (step.terms.size === 0 ? Number(step.constant) : 0);

/** How far above its pointer a group is in a stretch's first turn: offsets from the pointer cannot be negative. */
export const stretchStart = (group: AccessGroup, turns: number): number => Math.max(0, -fixedStep(group) * (turns - 1));

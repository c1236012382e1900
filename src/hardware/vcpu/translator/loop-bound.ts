/**
 * How many turns a loop surely goes on for, where its branch compares what each turn moves by the same distance with what none
 * changes: as many turns need no look at the branch.
 */

import { CONDITION } from '../ops.ts';
import { combined, knownForm, type LinearForm, lowHalf } from './linear-form.ts';
import type { Changes } from './loop-motion.ts';

/** The loop goes on as long as `moving`, at the end of a turn, has not come to `still`. */
export interface TurnBound {
  /** At the end of the first turn, as a form of the registers that it begins with. */
  readonly moving: LinearForm;
  readonly still: LinearForm;
  /** How far a turn moves it; a form of registers that no turn changes. */
  readonly step: LinearForm;
  readonly up: boolean;
  /** By which order it must not be beyond `still` already; none where it is compared for equality, so that it may come round to it. */
  readonly order: 'none' | 'unsigned' | 'signed';
}

const MOST = 2n ** 31n;
/** By which order a condition, or its contrary, compares. */
const ORDERS: ReadonlyMap<number, 'unsigned' | 'signed'> = new Map([
  [CONDITION.B, 'unsigned'],
  [CONDITION.BE, 'unsigned'],
  [CONDITION.L, 'signed'],
  [CONDITION.LE, 'signed'],
]);

/** How far a turn moves the form; undefined if not by a fixed distance. */
function stepOf({ width, terms }: LinearForm, changes: Changes): LinearForm | undefined {
  let step = knownForm(width, 0n);
  for (const { coefficient, atom } of terms.values()) {
    if (changes.isInvariantAtom(atom)) continue;
    const change = atom.kind === 'register' ? changes.of(atom.number) : 'unknown';
    if (typeof change === 'string' || (width === 64 && change.narrow)) return undefined;
    step = combined(step, width === 32 ? lowHalf(change.step) : change.step, coefficient);
  }
  return step;
}

function bound(
  moving: LinearForm,
  still: LinearForm,
  wanted: 'up' | 'down' | 'either',
  order: TurnBound['order'],
  changes: Changes,
): TurnBound | undefined {
  const step = stepOf(moving, changes);
  if (step === undefined || !changes.isInvariant(still)) return undefined;
  if (step.terms.size > 0) return wanted === 'down' ? undefined : { moving, still, step, up: true, order };
  const distance = step.constant;
  if (distance === 0n || distance >= MOST || distance <= -MOST) return undefined;
  const up = distance > 0n;
  return wanted === (up ? 'down' : 'up') ? undefined : { moving, still, step, up, order };
}

/** What a loop's branch looks at. */
export interface LoopEnd {
  readonly condition: number;
  /** The operands of a comparison; or, of other flags, their result alone. */
  readonly a: LinearForm;
  readonly b: LinearForm | undefined;
}

/** The bound of a loop that goes on while the condition holds of the flags that its turn ends with. */
export function boundOf({ condition, a, b }: LoopEnd, changes: Changes): TurnBound | undefined {
  if (condition === CONDITION.NZ) {
    const zero = knownForm(a.width, 0n);
    return bound(b === undefined ? a : combined(a, b, -1n), zero, 'either', 'none', changes);
  }
  const order = ORDERS.get(condition & ~1);
  if (b === undefined || order === undefined) return undefined;
  const [lesser, greater] = (condition & 1) === 0 ? [a, b] : [b, a];
  return bound(lesser, greater, 'up', order, changes) ?? bound(greater, lesser, 'down', order, changes);
}

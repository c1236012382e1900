/**
 * Stretches: several turns of a strip one after another. Where the loop surely goes on, they do not look at its branch; and
 * accesses whose distance is fixed are at fixed offsets from where the stretch began.
 */

import type { Frame } from './frame.ts';
import { lowHalf } from './linear-form.ts';
import type { TurnBound } from './loop-bound.ts';
import { pushForm } from './pushed-form.ts';
import { fixedStep, type Strip, stretchStart } from './strip.ts';
import { OP } from './wasm-function.ts';
import { I32, I64 } from './wasm-types.ts';

const MOST = 0x7fff_ffff;

/** Set the strip's `sure` to as many of its remaining turns as can be run in stretches. */
export function findSureTurns(frame: Frame, { remaining, sure, plan }: Strip): void {
  const { code } = frame;
  if (plan.bound === undefined) {
    code.get(remaining);
    code.set(sure);
  } else boundTurns(frame, remaining, sure, plan.bound);
}

function boundTurns(frame: Frame, remaining: number, sure: number, bound: TurnBound): void {
  const { code } = frame;
  const { moving, still, step, up, order } = bound;
  const wide = moving.width === 64;
  const [from, to] = wide ? [code.local(I64), code.local(I64)] : [code.local(I32), code.local(I32)];
  const [turns, distance] = [code.local(I32), code.local(I64)];
  code.i32(0);
  code.set(sure);
  const none = code.block();
  pushForm(frame, up ? moving : still);
  code.set(from);
  pushForm(frame, up ? still : moving);
  code.set(to);
  if (order !== 'none') {
    code.get(from);
    code.get(to);
    if (order === 'signed') code.op(wide ? OP.I64_LE_S : OP.I32_LE_S);
    else code.op(wide ? OP.I64_LE_U : OP.I32_LE_U);
    code.op(OP.I32_EQZ);
    code.brIf(none);
  }
  code.get(to);
  code.get(from);
  if (wide) {
    // What exceeds 31 bits is more than any strip has.
    code.op(OP.I64_SUB);
    code.set(distance);
    code.get(distance);
    code.i64(BigInt(MOST));
    code.get(distance);
    code.i64(BigInt(MOST));
    code.op(OP.I64_LT_U, OP.SELECT, OP.I32_WRAP_I64);
  } else code.op(OP.I32_SUB);
  code.set(turns);
  if (step.terms.size > 0) {
    const by = code.local(I32);
    pushForm(frame, step);
    if (wide) {
      code.set(distance);
      code.get(distance);
      code.i64(1n);
      code.op(OP.I64_SUB);
      code.i64(BigInt(MOST));
      code.op(OP.I64_LT_U, OP.I32_EQZ);
      code.brIf(none);
      code.get(distance);
      code.op(OP.I32_WRAP_I64);
      code.set(by);
    } else {
      code.tee(by);
      code.i32(1);
      code.op(OP.I32_LT_S);
      code.brIf(none);
    }
    code.get(turns);
    code.get(by);
    code.op(OP.I32_DIV_U);
    code.set(turns);
  } else if (step.constant !== 1n && step.constant !== -1n) {
    code.get(turns);
    code.i32(Math.abs(Number(step.constant)));
    code.op(OP.I32_DIV_U);
    code.set(turns);
  }
  code.get(turns);
  code.get(remaining);
  code.get(turns);
  code.get(remaining);
  code.op(OP.I32_LT_U, OP.SELECT);
  code.set(sure);
  code.end();
}

/** Put on the stack whether another stretch is sure to go on. */
export function pushStretchIsSure({ code }: Frame, { sure, plan }: Strip): void {
  code.get(sure);
  code.i32(plan.stretch);
  code.op(OP.I32_LT_U, OP.I32_EQZ);
}

/** At the beginning of a stretch: its turns are none of those that remain. */
export function beginStretch({ code }: Frame, { sure, remaining, plan }: Strip): void {
  for (const local of [sure, remaining]) {
    code.get(local);
    code.i32(plan.stretch);
    code.op(OP.I32_SUB);
    code.set(local);
  }
}

/** Behind a turn of a stretch: pointers move on by what registers say. */
export function movePointers(frame: Frame, { plan, pointers }: Strip): void {
  const { code } = frame;
  plan.groups.forEach(({ step }, index) => {
    if (step.terms.size === 0) return;
    pushForm(frame, lowHalf(step));
    code.get(pointers[index]!);
    code.op(OP.I32_ADD);
    code.set(pointers[index]!);
  });
}

/** Behind a stretch: the other pointers move on. */
export function finishStretch({ code }: Frame, { plan, pointers }: Strip): void {
  plan.groups.forEach((group, index) => {
    const distance = fixedStep(group) * plan.stretch;
    if (distance === 0) return;
    code.get(pointers[index]!);
    code.i32(distance);
    code.op(OP.I32_ADD);
    code.set(pointers[index]!);
  });
}

/** Behind turn `turn` of a stretch, which was the last one of the loop: its other turns are given back, and those behind it. */
export function leaveStretch({ code, left }: Frame, { remaining, length, plan }: Strip, turn: number): void {
  code.get(left);
  code.get(remaining);
  code.i32(plan.stretch - 1 - turn);
  code.op(OP.I32_ADD);
  code.i32(length);
  code.op(OP.I32_MUL, OP.I32_ADD);
  code.set(left);
}

/** Put the pointer of a group on the stack, given its address and the addend of its page. */
export function pushPointer({ code }: Frame, strip: Strip, group: number, address: number): void {
  code.get(address);
  code.op(OP.I32_WRAP_I64);
  code.get(strip.addends[group]!);
  code.op(OP.I32_ADD);
  const start = stretchStart(strip.plan.groups[group]!, strip.plan.stretch);
  if (start === 0) return;
  code.i32(start);
  code.op(OP.I32_SUB);
}

/** The way into a strip: how many turns of the loop stay within the pages of their first accesses, and where those pages are. */

import { TLB_MASK } from '../tlb.ts';
import type { Frame } from './frame.ts';
import { STORAGE, TLB_ENTRY } from './layout.ts';
import type { WrapGuard } from './loop-motion.ts';
import { pushForm } from './pushed-form.ts';
import { findSureTurns, pushPointer, pushStretchIsSure } from './stretch.ts';
import type { AccessGroup, Strip } from './strip.ts';
import { ACCESS, type Label, OP } from './wasm-function.ts';
import { I32, I64 } from './wasm-types.ts';

const PAGE = 4096;
const PAGE_SHIFT = 12;
/** With fewer turns a strip does not make up for its beginning. */
const FEWEST_TURNS = 6;
const ALL = 2n ** 32n;
const HALF = 2n ** 31n;

/** 32 bits near where they would wrap: the strip, which moves them by a page at most, is not for them. */
function refuseWrap(frame: Frame, { value, signed }: WrapGuard, no: Label): void {
  const { code } = frame;
  pushForm(frame, value);
  code.i32(Number(BigInt.asIntN(32, (signed ? HALF : 0n) - BigInt(PAGE))));
  code.op(OP.I32_ADD);
  code.i32(Number(BigInt.asIntN(32, ALL - BigInt(2 * PAGE))));
  code.op(OP.I32_LT_U, OP.I32_EQZ);
  code.brIf(no);
}

/** Look a group's page up, and bound the turns by what is left of it. */
function enterGroup(frame: Frame, strip: Strip, index: number, no: Label): void {
  const { code, places } = frame;
  const turns = strip.remaining;
  const group = strip.plan.groups[index]!;
  const [address, low, within, count] = [code.local(I64), code.local(I32), code.local(I32), code.local(I32)];
  const tlb = places.storage + (group.writes ? STORAGE.WRITE_TLB : STORAGE.READ_TLB);
  pushForm(frame, group.address);
  code.tee(address);
  code.op(OP.I32_WRAP_I64);
  code.tee(low);
  code.i32(PAGE - 1);
  code.op(OP.I32_AND);
  code.tee(within);
  code.i32(PAGE - group.span);
  code.op(OP.I32_LE_U, OP.I32_EQZ);
  code.brIf(no);
  code.get(low);
  code.i32(PAGE_SHIFT - TLB_ENTRY.SHIFT);
  code.op(OP.I32_SHR_U);
  code.i32(TLB_MASK << TLB_ENTRY.SHIFT);
  code.op(OP.I32_AND);
  code.tee(low);
  code.access(ACCESS.I64_LOAD, tlb + TLB_ENTRY.TAG);
  code.get(address);
  code.i64(BigInt(-PAGE));
  code.op(OP.I64_AND, OP.I64_NE);
  code.brIf(no);
  code.get(low);
  code.access(ACCESS.I32_LOAD, tlb + TLB_ENTRY.ADDEND);
  code.set(strip.addends[index]!);
  if (strip.plan.stretch > 0) {
    pushPointer(frame, strip, index, address);
    code.set(strip.pointers[index]!);
  }
  if (!pushTurns(frame, group, within, no)) return;
  code.tee(count);
  code.get(turns);
  code.get(count);
  code.get(turns);
  code.op(OP.I32_LT_U, OP.SELECT);
  code.set(turns);
}

/** Put the number of turns that stay in the page on the stack, the first access being `within` it; false if all do. */
function pushTurns(frame: Frame, { step, span }: AccessGroup, within: number, no: Label): boolean {
  const { code } = frame;
  const beyond = () => {
    code.i32(PAGE - span);
    code.get(within);
    code.op(OP.I32_SUB);
  };
  if (step.terms.size === 0) {
    const distance = Number(step.constant);
    if (distance === 0) return false;
    if (distance > 0) beyond();
    else code.get(within);
    code.i32(Math.min(Math.abs(distance), PAGE));
    code.op(OP.I32_DIV_U);
  } else {
    const [wide, distance, zero] = [code.local(I64), code.local(I32), code.local(I32)];
    pushForm(frame, step);
    code.tee(wide);
    code.i64(BigInt(PAGE));
    code.op(OP.I64_ADD);
    code.i64(BigInt(2 * PAGE));
    code.op(OP.I64_LT_U, OP.I32_EQZ);
    code.brIf(no);
    // Whichever way it goes; a distance of 0 counts as 1.
    code.get(within);
    beyond();
    code.get(wide);
    code.op(OP.I32_WRAP_I64);
    code.tee(distance);
    code.i32(0);
    code.op(OP.I32_LT_S, OP.SELECT);
    code.get(distance);
    code.i32(31);
    code.op(OP.I32_SHR_S);
    code.tee(zero);
    code.get(distance);
    code.op(OP.I32_XOR);
    code.get(zero);
    code.op(OP.I32_SUB);
    code.tee(distance);
    code.get(distance);
    code.op(OP.I32_EQZ, OP.I32_OR, OP.I32_DIV_U);
  }
  code.i32(1);
  code.op(OP.I32_ADD);
  return true;
}

/** Set the strip's locals, and take its turns off the budget; to `no`, with nothing changed but the strip's locals, if it is not worth it. */
export function enterStrip(frame: Frame, strip: Strip, no: Label): void {
  const { code, left } = frame;
  const { plan, length, remaining } = strip;
  code.get(left);
  code.i32(length);
  code.op(OP.I32_DIV_U);
  code.set(remaining);
  for (const guard of plan.guards) refuseWrap(frame, guard, no);
  plan.groups.forEach((_, index) => {
    enterGroup(frame, strip, index, no);
  });
  code.get(remaining);
  code.i32(FEWEST_TURNS);
  code.op(OP.I32_LT_U);
  code.brIf(no);
  if (plan.stretch > 0) findSureTurns(frame, strip);
  if (plan.groups.length === 0) {
    // Nothing else is saved.
    pushStretchIsSure(frame, strip);
    code.op(OP.I32_EQZ);
    code.brIf(no);
  }
  code.get(left);
  code.get(remaining);
  code.i32(length);
  code.op(OP.I32_MUL, OP.I32_SUB);
  code.set(left);
}

/** Give the budget back that turns not begun have taken. */
export function giveBackStrip({ code, left }: Frame, { remaining, length }: Strip): void {
  code.get(left);
  code.get(remaining);
  code.i32(length);
  code.op(OP.I32_MUL, OP.I32_ADD);
  code.set(left);
}

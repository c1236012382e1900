/** Moves: SDM vol. 2, MOV MOVZX MOVSX MOVSXD LEA XCHG CMOVcc SETcc PUSH POP LEAVE, CBW family, CMPXCHG XADD, MOVBE, ENTER. */

import type { Meaning } from '../ops.ts';

const RAX = 0;
const RDX = 2;
const RSP = 4;
const RBP = 5;

const mov: Meaning = (o) => {
  o.write(0, o.read(1, o.widthOf(0)));
};
const movzx: Meaning = (o) => {
  o.write(0, o.zeroExtend(o.widthOf(0), o.read(1)));
};
const movsx: Meaning = (o) => {
  o.write(0, o.signExtend(o.widthOf(0), o.read(1)));
};
const lea: Meaning = (o) => o.write(0, o.effectiveAddress(1, o.widthOf(0)));

const xchg: Meaning = (o) => {
  const memory = o.isMemory(0) ? 0 : 1;
  const a = o.readForUpdate(memory);
  const b = o.read(1 - memory);
  o.write(memory, b);
  o.write(1 - memory, a);
};

/** A 32-bit cmov clears the upper half even when the condition is false, so the destination is always written. */
const cmovcc: Meaning = (o) => {
  const source = o.read(1);
  o.write(0, o.select(o.holds(o.condition!), source, o.read(0)));
};
const setcc: Meaning = (o) => {
  o.write(0, o.fromBoolean(8, o.holds(o.condition!)));
};

const push: Meaning = (o) => {
  const value = o.read(0);
  o.push(o.width === 64 && o.widthOf(0) !== 64 ? o.signExtend(64, value) : value);
};

/** `pop [rsp+n]` computes its address with rsp already moved; a fault on the store puts rsp back. */
const pop: Meaning = (o) => {
  if (!o.isMemory(0)) {
    const value = o.load(o.widthOf(0), o.register(RSP, 64));
    o.setRegister(RSP, o.add(o.register(RSP, 64), o.constant(64, BigInt(o.widthOf(0) / 8))));
    o.write(0, value);
    return;
  }
  o.popToMemory(0);
};

const leave: Meaning = (o) => {
  const frame = o.register(RBP, 64);
  const saved = o.load(64, frame);
  o.setRegister(RSP, o.add(frame, o.constant(64, 8n)));
  o.setRegister(RBP, saved);
};

/** cbw, cwde, cdqe: the lower half of the accumulator, sign-extended over the whole of it. */
const cbw: Meaning = (o) => {
  const half = { 16: 8, 32: 16, 64: 32 } as const;
  o.setRegister(RAX, o.signExtend(o.width, o.register(RAX, half[o.width as 16 | 32 | 64])));
};

/** cwd, cdq, cqo: the accumulator's sign, over all of rdx. */
const cwd: Meaning = (o) =>
  o.setRegister(RDX, o.shiftRightArithmetic(o.register(RAX, o.width), o.constant(8, BigInt(o.width - 1))));

/** xlatb: the table at rbx is the implied memory operand; al indexes it. */
const xlat: Meaning = (o) => o.setRegister(RAX, o.load(8, o.linearAddress(1, o.zeroExtend(64, o.register(RAX, 8)))));

/** A memory destination is written in either case, with its old value on failure; a register then keeps even its upper half. */
const cmpxchg: Meaning = (o) => {
  const width = o.widthOf(0);
  const replacement = o.read(1);
  const current = o.readForUpdate(0);
  const expected = o.register(RAX, width);
  const equal = o.equal(expected, current);
  if (o.isMemory(0)) o.write(0, o.select(equal, replacement, current));
  o.flagsOfSubtract(expected, current, o.subtract(expected, current), false);
  o.when(
    equal,
    () => {
      if (!o.isMemory(0)) o.write(0, replacement);
    },
    () => o.setRegister(RAX, current),
  );
};

const xadd: Meaning = (o) => {
  const b = o.read(1);
  const a = o.readForUpdate(0);
  const sum = o.add(a, b);
  if (o.isMemory(0)) {
    o.write(0, sum);
    o.write(1, a);
  } else {
    o.write(1, a);
    o.write(0, sum);
  }
  o.flagsOfAdd(a, b, sum, false);
};

/** MOVBE: a move between a register and memory that turns the bytes round. */
const movbe: Meaning = (o) => {
  const value = o.read(1);
  if (o.widthOf(0) !== 16) {
    o.write(0, o.byteSwap(value));
    return;
  }
  const eight = o.constant(8, 8n);
  o.write(0, o.or(o.shiftLeft(value, eight), o.shiftRight(value, eight)));
};

const RBX = 3;
const RCX = 1;

/** The memory operand is written in either case, as with CMPXCHG; only ZF changes. */
const cmpxchg8b: Meaning = (o) => {
  const thirtyTwo = o.constant(8, 32n);
  const pair = (high: number, low: number) =>
    o.or(o.shiftLeft(o.zeroExtend(64, o.register(high, 32)), thirtyTwo), o.zeroExtend(64, o.register(low, 32)));
  const current = o.readForUpdate(0);
  const expected = pair(RDX, RAX);
  const equal = o.equal(expected, current);
  o.write(0, o.select(equal, pair(RCX, RBX), current));
  o.setFlag('ZF', equal);
  o.when(o.not1(equal), () => {
    o.setRegister(RAX, o.truncate(32, current));
    o.setRegister(RDX, o.truncate(32, o.shiftRight(current, thirtyTwo)));
  });
};

/** #GP(0) unless the operand lies on a 16-byte boundary. */
const cmpxchg16b: Meaning = (o) => {
  const address = o.linearAddress(0, o.constant(64, 0n));
  const upper = o.linearAddress(0, o.constant(64, 8n));
  o.service('checkAlignment', address, o.constant(32, 16n));
  o.probeStore(64, address);
  o.probeStore(64, upper);
  const low = o.load(64, address);
  const high = o.load(64, upper);
  const equal = o.and1(o.equal(o.register(RAX, 64), low), o.equal(o.register(RDX, 64), high));
  o.store(address, o.select(equal, o.register(RBX, 64), low));
  o.store(upper, o.select(equal, o.register(RCX, 64), high));
  o.setFlag('ZF', equal);
  o.when(o.not1(equal), () => {
    o.setRegister(RAX, low);
    o.setRegister(RDX, high);
  });
};

/** ENTER: the nesting level, modulo 32, says how many frame pointers are copied. */
const enter: Meaning = (o) => {
  o.service(
    'enterFrame',
    o.zeroExtend(32, o.read(0, 16)),
    o.zeroExtend(32, o.read(1, 8)),
    o.constant(32, BigInt(o.width)),
  );
};

export const moves = {
  mov,
  movzx,
  movsx,
  lea,
  xchg,
  cmovcc,
  setcc,
  push,
  pop,
  leave,
  cbw,
  cwd,
  xlat,
  cmpxchg,
  xadd,
  movbe,
  cmpxchg8b,
  cmpxchg16b,
  enter,
} as const;

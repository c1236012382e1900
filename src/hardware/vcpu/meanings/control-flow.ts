/** Branches: SDM vol. 2, JMP Jcc JRCXZ LOOP CALL RET INT INT3 IRET, NOP, UD2, HLT. */

import { CONDITION, type Meaning, type Ops } from '../ops.ts';

const RCX = 1;
const RSP = 4;
const VECTOR_UD = 6;

const jmp: Meaning = (o) => {
  if (o.isRelative(0)) {
    o.jumpRelative(0);
    return;
  }
  const target = o.read(0);
  o.checkTarget(target);
  o.jumpTo(target);
};
const jcc: Meaning = (o) => {
  o.when(o.holds(o.condition!), () => o.jumpRelative(0));
};
const jrcxz: Meaning = (o) => {
  const zero = o.constant(o.addressWidth, 0n);
  o.when(o.equal(o.register(RCX, o.addressWidth), zero), () => o.jumpRelative(0));
};

const loopWhile = <V>(o: Ops<V>, condition: V | undefined): void => {
  const width = o.addressWidth;
  const count = o.subtract(o.register(RCX, width), o.constant(width, 1n));
  o.setRegister(RCX, count);
  const more = o.not1(o.equal(count, o.constant(width, 0n)));
  o.when(condition === undefined ? more : o.and1(more, condition), () => o.jumpRelative(0));
};
const loop: Meaning = (o) => loopWhile(o, undefined);
const loope: Meaning = (o) => loopWhile(o, o.holds(CONDITION.Z));
const loopne: Meaning = (o) => loopWhile(o, o.holds(CONDITION.NZ));

const call: Meaning = (o) => {
  const target = o.isRelative(0) ? undefined : o.read(0);
  if (target !== undefined) o.checkTarget(target);
  o.push(o.next());
  if (target === undefined) o.jumpRelative(0);
  else o.jumpTo(target);
};

const ret: Meaning = (o) => {
  const target = o.load(64, o.register(RSP, 64));
  o.checkTarget(target);
  const released =
    o.operandCount === 1 ? o.add(o.constant(64, 8n), o.zeroExtend(64, o.read(0, 16))) : o.constant(64, 8n);
  o.setRegister(RSP, o.add(o.register(RSP, 64), released));
  o.jumpTo(target);
};

const int: Meaning = (o) => o.service('interrupt', o.zeroExtend(32, o.read(0, 8)));
const int3: Meaning = (o) => o.service('breakpoint');
const int1: Meaning = (o) => o.service('debugTrap');
const iret: Meaning = (o) => o.service('interruptReturn', o.constant(32, BigInt(o.width)));
const ud2: Meaning = (o) => o.fault(VECTOR_UD);
const nop: Meaning = () => {};

export const controlFlow = {
  jmp,
  jcc,
  jrcxz,
  jecxz: jrcxz,
  loop,
  loope,
  loopne,
  call,
  ret,
  int,
  int3,
  int1,
  iret,
  ud0: ud2,
  ud1: ud2,
  ud2,
  nop,
  endbr32: nop,
  endbr64: nop,
} as const;

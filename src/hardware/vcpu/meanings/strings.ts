/** String instructions: SDM vol. 2, MOVS STOS LODS CMPS SCAS INS OUTS, with and without a repeat prefix. */

import { CONDITION, type Meaning, type Ops } from '../ops.ts';

const RAX = 0;
const RDX = 2;
const RSI = 6;
const RDI = 7;

/** Step rsi or rdi by one element in DF's direction. */
const advance = <V>(o: Ops<V>, register: number): void => {
  const width = o.addressWidth;
  const size = BigInt(o.width / 8);
  const step = o.select(o.flag('DF'), o.constant(width, -size), o.constant(width, size));
  o.setRegister(register, o.add(o.register(register, width), step));
};

const movs: Meaning = (o) =>
  o.repeatString(() => {
    o.store(o.stringAddress('destination'), o.load(o.width, o.stringAddress('source')));
    advance(o, RSI);
    advance(o, RDI);
  }, 'move');

const stos: Meaning = (o) =>
  o.repeatString(() => {
    o.store(o.stringAddress('destination'), o.register(RAX, o.width));
    advance(o, RDI);
  }, 'store');

const lods: Meaning = (o) =>
  o.repeatString(() => {
    const value = o.load(o.width, o.stringAddress('source'));
    o.setRegister(RAX, value);
    advance(o, RSI);
  });

/** repe stops at the first difference, repne at the first match. */
const untilDecided = <V>(o: Ops<V>, stopIf: (condition: V) => void): void => {
  if (o.repeat === 'rep') stopIf(o.holds(CONDITION.NZ));
  if (o.repeat === 'repne') stopIf(o.holds(CONDITION.Z));
};

const cmps: Meaning = (o) =>
  o.repeatString((stopIf) => {
    // Silicon reads the destination first, which shows where both fault.
    const b = o.load(o.width, o.stringAddress('destination'));
    const a = o.load(o.width, o.stringAddress('source'));
    advance(o, RSI);
    advance(o, RDI);
    o.flagsOfSubtract(a, b, o.subtract(a, b), false);
    untilDecided(o, stopIf);
  });

const scas: Meaning = (o) =>
  o.repeatString((stopIf) => {
    const a = o.register(RAX, o.width);
    const b = o.load(o.width, o.stringAddress('destination'));
    advance(o, RDI);
    o.flagsOfSubtract(a, b, o.subtract(a, b), false);
    untilDecided(o, stopIf);
  });

const portWidth = <V>(o: Ops<V>): 8 | 16 | 32 => (o.width === 64 ? 32 : o.width);

const ins: Meaning = (o) => {
  const width = portWidth(o);
  o.checkPort(width, o.register(RDX, 16));
  o.repeatString(() => {
    o.leaveForString(width, o.register(RDX, 16), 'in');
    o.store(o.stringAddress('destination'), o.portIn(width, o.register(RDX, 16), 'string'));
    advance(o, RDI);
  });
};

const outs: Meaning = (o) => {
  const width = portWidth(o);
  o.checkPort(width, o.register(RDX, 16));
  o.repeatString(() => {
    o.leaveForString(width, o.register(RDX, 16), 'out');
    o.portOut(o.register(RDX, 16), o.load(width, o.stringAddress('source')), 'string');
    advance(o, RSI);
  });
};

export const strings = { movs, stos, lods, cmps, scas, ins, outs } as const;

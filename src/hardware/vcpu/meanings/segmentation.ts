/** Segment registers, descriptor tables and far transfers: SDM vol. 2 and vol. 3A ch. 3, 5.8 and 7. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import type { Meaning, Ops } from '../ops.ts';

const RSP = 4;
const SS = 2;
const FS = 4;
const GS = 5;

const number = <V>(o: Ops<V>, value: number): V => o.constant(32, BigInt(value));
const selectorOf = <V>(o: Ops<V>, k: number): V => o.zeroExtend(32, o.read(k, 16));

const movSegment: Meaning = (o) => {
  if (!o.isGeneral(0) && !o.isMemory(0)) {
    if (o.registerNumber(0) === SS) o.service('loadStackSegment', selectorOf(o, 1));
    else o.service('loadSegment', number(o, o.registerNumber(0)), selectorOf(o, 1));
    return;
  }
  storeSelector(o, o.query('readSegment', number(o, o.registerNumber(1))));
};

/** A selector is 16 bits in memory, and zero-extended in a register. */
const storeSelector = <V>(o: Ops<V>, value: V): void => {
  const width = o.isMemory(0) ? 16 : o.widthOf(0);
  o.write(0, width === 64 ? value : o.truncate(width, value));
};

const pushSegment: Meaning = (o) => {
  const selector = o.query('readSegment', number(o, o.registerNumber(0)));
  o.push(o.width === 16 ? o.truncate(16, selector) : selector);
};
/** rsp moves only when the segment has been loaded. */
const popSegment: Meaning = (o) => {
  const width = o.width === 16 ? 16 : 64;
  const value = o.load(width, o.register(RSP, 64));
  o.service('loadSegment', number(o, o.registerNumber(0)), o.zeroExtend(32, o.truncate(16, value)));
  o.setRegister(RSP, o.add(o.register(RSP, 64), o.constant(64, BigInt(width / 8))));
};

/** The far pointer that memory operand `k` holds: an offset of `width`, zero-extended, and a selector. */
const farPointer = <V>(o: Ops<V>, k: number, width: Width): { offset: V; selector: V } => {
  const offset = o.load(width, o.linearAddress(k, o.constant(64, 0n)));
  const selector = o.load(16, o.linearAddress(k, o.constant(64, BigInt(width / 8))));
  return { offset: o.zeroExtend(64, offset), selector: o.zeroExtend(32, selector) };
};

const loadFar =
  (segment: number): Meaning =>
  (o) => {
    const width = o.widthOf(0);
    const offset = o.load(width, o.linearAddress(1, o.constant(64, 0n)));
    const selector = o.load(16, o.linearAddress(1, o.constant(64, BigInt(width / 8))));
    o.service('loadSegment', number(o, segment), o.zeroExtend(32, selector));
    o.write(0, offset);
  };

const jmpFar: Meaning = (o) => {
  const { offset, selector } = farPointer(o, 0, o.widthOf(0));
  o.service('farJump', offset, selector);
};
const callFar: Meaning = (o) => {
  const { offset, selector } = farPointer(o, 0, o.widthOf(0));
  o.service('farCall', offset, selector, o.next(), number(o, o.widthOf(0)));
};
const retf: Meaning = (o) => {
  o.service('farReturn', o.operandCount === 1 ? selectorOf(o, 0) : number(o, 0), number(o, o.width));
};

const tableAddress = <V>(o: Ops<V>): V => o.linearAddress(0, o.constant(64, 0n));
const lgdt: Meaning = (o) => o.service('loadGdt', tableAddress(o));
const lidt: Meaning = (o) => o.service('loadIdt', tableAddress(o));
const sgdt: Meaning = (o) => o.service('storeGdt', tableAddress(o));
const sidt: Meaning = (o) => o.service('storeIdt', tableAddress(o));
/** The privilege is looked at before the operand. */
const loadSystem =
  (service: 'loadTask' | 'loadLocalTable'): Meaning =>
  (o) => {
    o.service('checkPrivilege');
    o.service(service, selectorOf(o, 0));
  };
const ltr = loadSystem('loadTask');
const lldt = loadSystem('loadLocalTable');
const str: Meaning = (o) => storeSelector(o, o.query('readTask'));
const sldt: Meaning = (o) => storeSelector(o, o.query('readLocalTable'));

const verr: Meaning = (o) => verify(o, 0);
const verw: Meaning = (o) => verify(o, 1);
const verify = <V>(o: Ops<V>, write: number): void => {
  const answer = o.query('verifySegment', selectorOf(o, 0), number(o, write));
  o.setFlag('ZF', o.not1(o.equal(answer, o.constant(64, 0n))));
};

/** LAR and LSL leave the destination alone, and clear ZF, where the selector names nothing that may be looked at. */
const describe = <V>(o: Ops<V>, what: 'segmentRights' | 'segmentLimit'): void => {
  const width = o.widthOf(0);
  const answer = o.query(what, selectorOf(o, 1));
  const found = o.not1(o.equal(answer, o.constant(64, -1n)));
  o.when(found, () => o.write(0, width === 64 ? answer : o.truncate(width, answer)));
  o.setFlag('ZF', found);
};
const lar: Meaning = (o) => describe(o, 'segmentRights');
const lsl: Meaning = (o) => describe(o, 'segmentLimit');

export const segmentation = {
  'mov-sreg': movSegment,
  'push-sreg': pushSegment,
  'pop-sreg': popSegment,
  lss: loadFar(SS),
  lfs: loadFar(FS),
  lgs: loadFar(GS),
  'jmp-far': jmpFar,
  'call-far': callFar,
  retf,
  lgdt,
  lidt,
  sgdt,
  sidt,
  ltr,
  lldt,
  str,
  sldt,
  verr,
  verw,
  lar,
  lsl,
} as const;

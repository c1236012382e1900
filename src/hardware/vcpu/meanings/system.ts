/** Flags, ports and system instructions: SDM vol. 2 and vol. 3 ch. 2 and 5–6. What they do beyond moving values is a service of the vCPU. */

import type { Meaning, Ops } from '../ops.ts';

const RAX = 0;

const setFlagTo =
  (name: 'CF' | 'DF', value: bigint): Meaning =>
  (o) =>
    o.setFlag(name, o.equal(o.constant(8, value), o.constant(8, 1n)));
const clc = setFlagTo('CF', 0n);
const stc = setFlagTo('CF', 1n);
const cld = setFlagTo('DF', 0n);
const std = setFlagTo('DF', 1n);
const cmc: Meaning = (o) => o.setFlag('CF', o.not1(o.flag('CF')));

/** CF PF AF ZF SF, in ah. */
const LAHF_MASK = 0xd5;
const lahf: Meaning = (o) => {
  const low = o.or(o.and(o.statusFlags(), o.constant(32, BigInt(LAHF_MASK))), o.constant(32, 2n));
  const kept = o.and(o.register(RAX, 16), o.constant(16, 0xffn));
  o.setRegister(RAX, o.or(kept, o.shiftLeft(o.truncate(16, low), o.constant(8, 8n))));
};
const sahf: Meaning = (o) => {
  o.setStatusFlags(o.zeroExtend(32, o.shiftRight(o.register(RAX, 16), o.constant(8, 8n))), LAHF_MASK);
};

const portNumber = <V>(o: Ops<V>, k: number): V => (o.isImmediate(k) ? o.zeroExtend(16, o.read(k, 8)) : o.read(k, 16));
const portIn: Meaning = (o) => {
  const width = o.widthOf(0) as 8 | 16 | 32;
  o.write(0, o.portIn(width, portNumber(o, 1), o.isImmediate(1) ? 'immediate' : 'dx'));
};
const portOut: Meaning = (o) => {
  o.portOut(portNumber(o, 0), o.read(1), o.isImmediate(0) ? 'immediate' : 'dx');
};

const cli: Meaning = (o) => o.service('clearInterruptFlag');
const sti: Meaning = (o) => o.service('setInterruptFlag');
const hlt: Meaning = (o) => o.service('halt');
const pause: Meaning = (o) => o.service('pause');
const cpuid: Meaning = (o) => o.service('cpuid');
const rdtsc: Meaning = (o) => o.service('readTimestamp');
const rdmsr: Meaning = (o) => o.service('readMsr');
const wrmsr: Meaning = (o) => o.service('writeMsr');
const vmcall: Meaning = (o) => o.service('vmcall');
const swapgs: Meaning = (o) => o.service('swapGs');
const wbinvd: Meaning = (o) => o.service('flushCaches');

const pushf: Meaning = (o) => {
  const flags = o.query('pushFlags');
  o.push(o.width === 16 ? o.truncate(16, flags) : flags);
};
const popf: Meaning = (o) => {
  const value = o.pop(o.width === 16 ? 16 : 64);
  o.service('popFlags', o.zeroExtend(64, value), o.constant(32, BigInt(o.width)));
};

const invlpg: Meaning = (o) => o.service('invalidatePage', o.linearAddress(0, o.constant(64, 0n)));
const lgdt: Meaning = (o) => o.service('loadGdt', o.linearAddress(0, o.constant(64, 0n)));
const lidt: Meaning = (o) => o.service('loadIdt', o.linearAddress(0, o.constant(64, 0n)));
const sgdt: Meaning = (o) => o.service('storeGdt', o.linearAddress(0, o.constant(64, 0n)));
const sidt: Meaning = (o) => o.service('storeIdt', o.linearAddress(0, o.constant(64, 0n)));
const ltr: Meaning = (o) => o.service('loadTask', o.zeroExtend(32, o.read(0, 16)));

/** mov to and from control and segment registers: the special register's number is a constant of the instruction. */
const movControl: Meaning = (o) => {
  if (o.isGeneral(0)) o.write(0, o.query('readControl', o.constant(32, BigInt(o.registerNumber(1)))));
  else o.service('writeControl', o.constant(32, BigInt(o.registerNumber(0))), o.read(1));
};
const movSegment: Meaning = (o) => {
  if (!o.isGeneral(0) && !o.isMemory(0)) {
    o.service('loadSegment', o.constant(32, BigInt(o.registerNumber(0))), o.zeroExtend(32, o.read(1, 16)));
    return;
  }
  const selector = o.query('readSegment', o.constant(32, BigInt(o.registerNumber(1))));
  const width = o.isMemory(0) ? 16 : o.widthOf(0);
  o.write(0, width === 64 ? selector : o.truncate(width, selector));
};
const retf: Meaning = (o) => {
  o.service(
    'farReturn',
    o.operandCount === 1 ? o.zeroExtend(32, o.read(0, 16)) : o.constant(32, 0n),
    o.constant(32, BigInt(o.width)),
  );
};

/** Ordering and cache hints: memory is sequentially consistent here and caches are not modeled. */
const hint: Meaning = () => {};

export const system = {
  clc,
  stc,
  cld,
  std,
  cmc,
  lahf,
  sahf,
  in: portIn,
  out: portOut,
  cli,
  sti,
  hlt,
  pause,
  cpuid,
  rdtsc,
  rdmsr,
  wrmsr,
  vmcall,
  swapgs,
  wbinvd,
  pushf,
  popf,
  invlpg,
  lgdt,
  lidt,
  sgdt,
  sidt,
  ltr,
  'mov-cr': movControl,
  'mov-sreg': movSegment,
  retf,
  mfence: hint,
  lfence: hint,
  sfence: hint,
  prefetch: hint,
} as const;

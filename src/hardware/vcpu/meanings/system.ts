/** Flags, ports and system instructions: SDM vol. 2 and vol. 3 ch. 2 and 5–6. What they do beyond moving values is a service of the vCPU. */

import type { Meaning, Ops } from '../ops.ts';

const RAX = 0;
const FS = 4;
const GS = 5;
const VECTOR_UD = 6;

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
/** mov to and from control and debug registers: the special register's number is a constant of the instruction. */
const movControl: Meaning = (o) => {
  if (o.isGeneral(0)) o.write(0, o.query('readControl', o.constant(32, BigInt(o.registerNumber(1)))));
  else o.service('writeControl', o.constant(32, BigInt(o.registerNumber(0))), o.read(1));
};
const movDebug: Meaning = (o) => {
  if (o.isGeneral(0)) o.write(0, o.query('readDebug', o.constant(32, BigInt(o.registerNumber(1)))));
  else o.service('writeDebug', o.constant(32, BigInt(o.registerNumber(0))), o.read(1));
};
/** SMSW stores CR0 at the width of its operand; memory gets 16 bits. */
const smsw: Meaning = (o) => {
  const value = o.query('readMachineStatus');
  const width = o.isMemory(0) ? 16 : o.widthOf(0);
  o.write(0, width === 64 ? value : o.truncate(width, value));
};
const lmsw: Meaning = (o) => {
  o.service('checkPrivilege');
  o.service('writeMachineStatus', o.zeroExtend(32, o.read(0, 16)));
};
const clts: Meaning = (o) => o.service('clearTaskSwitched');
const invpcid: Meaning = (o) => {
  const kind = o.read(0);
  o.service('checkPrivilege');
  const pcid = o.load(64, o.linearAddress(1, o.constant(64, 0n)));
  const address = o.load(64, o.linearAddress(1, o.constant(64, 8n)));
  o.service('invalidatePcid', kind, pcid, address);
};

const syscall: Meaning = (o) => o.service('systemCall', o.next());
const sysret: Meaning = (o) => o.service('systemReturn', o.constant(32, BigInt(o.width)));
const sysenter: Meaning = (o) => o.service('systemEnter');
const sysexit: Meaning = (o) => o.service('systemExit', o.constant(32, BigInt(o.width)));

const rdtscp: Meaning = (o) => o.service('readTimestampAndProcessor');
const rdpid: Meaning = (o) => o.write(0, o.query('readProcessor'));
const rdpmc: Meaning = (o) => o.service('readPerformanceCounter');

const base = <V>(o: Ops<V>, segment: number): V => o.query('readBase', o.constant(32, BigInt(segment)));
const readBase =
  (segment: number): Meaning =>
  (o) => {
    const value = base(o, segment);
    o.write(0, o.widthOf(0) === 64 ? value : o.truncate(32, value));
  };
const writeBase =
  (segment: number): Meaning =>
  (o) =>
    o.service('writeBase', o.constant(32, BigInt(segment)), o.zeroExtend(64, o.read(0)));

const clac: Meaning = (o) => o.service('setAccessCheck', o.constant(32, 0n));
const stac: Meaning = (o) => o.service('setAccessCheck', o.constant(32, 1n));
const monitor: Meaning = (o) => o.service('monitor');
const mwait: Meaning = (o) => o.service('monitorWait');
/** Left out of CPUID, so undefined: XSAVE's control registers (there is no x87 or vector state to save), AMD's VMMCALL. */
const undefinedHere: Meaning = (o) => o.fault(VECTOR_UD);

/** Cache-line instructions check the line as a read does; the line itself is not modeled. */
const touchLine: Meaning = (o) => {
  o.load(8, o.linearAddress(0, o.constant(64, 0n)));
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
  'mov-cr': movControl,
  'mov-dr': movDebug,
  smsw,
  lmsw,
  clts,
  invpcid,
  syscall,
  sysret,
  sysenter,
  sysexit,
  rdtscp,
  rdpid,
  rdpmc,
  rdfsbase: readBase(FS),
  rdgsbase: readBase(GS),
  wrfsbase: writeBase(FS),
  wrgsbase: writeBase(GS),
  clac,
  stac,
  monitor,
  mwait,
  xgetbv: undefinedHere,
  xsetbv: undefinedHere,
  vmmcall: undefinedHere,
  mfence: hint,
  lfence: hint,
  sfence: hint,
  prefetch: hint,
  serialize: hint,
  cldemote: hint,
  clflush: touchLine,
  clflushopt: touchLine,
  clwb: touchLine,
  wbnoinvd: wbinvd,
  invd: wbinvd,
} as const;

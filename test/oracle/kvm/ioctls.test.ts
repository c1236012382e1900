/**
 * Random ioctls of a VM and of its vCPU, on the model and on the host's own KVM: the same results, the same structures. What the two have a
 * reason to differ in is left out, each with its reason. GVM_KVM_CASES makes a longer run, GVM_SEED another.
 */

import { expect, test } from 'vitest';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import { kvm_sregs } from '../../../src/linux/uapi/kvm.ts';
import { kvmVcpuIoctls, kvmVmIoctls } from '../../../src/linux/uapi/tables.ts';
import { Draws } from '../../linux/syscalls/draws.ts';
import { type Belongings, NUMBERS, usualInteger, usualStruct, usualTail } from '../../linux/syscalls/usual.ts';
import { type Fd, ModelKvm } from './model-kvm.ts';
import { askRealKvm, buildMachine, hex, lineAt, REAL, realKvmMissing, settledLapic } from './real-kvm.ts';

const CASES = Number(process.env['GVM_KVM_CASES'] ?? 60);
const SEED = Number(process.env['GVM_SEED'] ?? 1);
const CALLS = 40;
const CR4_AT = kvm_sregs.offsets.cr4;
const CR4_PCIDE = 1 << 17;

/** Ioctls of which more than the code that the two share decides. */
const LEFT_OUT: Readonly<Record<string, string>> = {
  KVM_CREATE_XCHE: 'gvm’s own',
  KVM_SET_IOREGION: 'gvm’s own',
  KVM_ENABLE_CAP: 'what may be switched on grows with Linux, and gvm has one of its own',
  KVM_CREATE_PIT2: 'Linux 6.18 wants interrupt controllers for it, 6.1 does not',
  KVM_SET_TSS_ADDR: 'a matter of VMX, and the host may have none',
  KVM_RESET_DIRTY_RINGS: 'a machine of its own, with dirty rings',
  KVM_INTERRUPT: 'a second vector is refused, as its documentation has it; Linux does so with a split irqchip alone',
  KVM_GET_CLOCK: 'time',
  KVM_GET_MSRS: 'the processors have different ones',
  KVM_SET_MSRS: 'the processors have different ones',
  KVM_GET_XSAVE: 'the model’s processor has no XSAVE',
  KVM_SET_XSAVE: 'the model’s processor has no XSAVE',
  KVM_GET_XCRS: 'the model’s processor has no XSAVE',
  KVM_SET_XCRS: 'the model’s processor has no XSAVE',
  KVM_GET_TSC_KHZ: 'the processors’ own',
  KVM_SET_TSC_KHZ: 'the processors’ own',
  KVM_SET_CPUID2: 'the processors have different features',
  KVM_CHECK_EXTENSION: 'Linux has gained some since 6.1',
  KVM_CREATE_VCPU: 'returns a descriptor',
  KVM_CREATE_DEVICE: 'returns a descriptor',
  KVM_GET_STATS_FD: 'returns a descriptor',
  KVM_RUN: 'not of this test',
};
/** Of which the results are compared, not what is filled in. */
const RESULT_ALONE: Readonly<Record<string, string>> = {
  KVM_GET_REGS: 'RFLAGS are kept without the bits that there are not',
  KVM_GET_SREGS: 'segments that no program loads are kept as VMX has them',
  KVM_GET_DEBUGREGS: 'DR6 and DR7 are kept without the bits that are always set',
  KVM_CLEAR_DIRTY_LOG: 'it fills nothing in, and says where the bitmap is',
  KVM_TRANSLATE: 'what becomes of addresses that no processor has',
  KVM_GET_VCPU_EVENTS: 'what an exception would have had that there is not',
};
const compared = (ioctls: readonly Ioctl[]) => ioctls.filter(({ name }) => LEFT_OUT[name] === undefined);
const IOCTLS: Readonly<Record<Fd, readonly Ioctl[]>> = { vm: compared(kvmVmIoctls), vcpu: compared(kvmVcpuIoctls) };

/** Small numbers might name a descriptor that one of the two has. */
const RARE = NUMBERS.filter((number) => number >= 4095n);
/** RAM ends sooner below the end of user space in one of the two, and only one may have a second address space, from slot 0x10000 on. */
const RARE_OF_SLOTS = RARE.filter((number) => number < 0x10000n);
const real: Belongings = { ...REAL, descriptor: (_kind, draws) => draws.pick(REAL.eventfds) };

interface Asked {
  readonly line: string;
  readonly mine: string;
  /** Which of the answer's words are compared: the result alone, or the structure too. */
  readonly words: 1 | 2;
  readonly what: string;
}

function argumentOf(ioctl: Ioctl, seed: number, own: Belongings): Uint8Array {
  const draws = new Draws(seed);
  if (!('struct' in ioctl.argument)) return new Uint8Array();
  const rare = 'slot' in ioctl.argument.struct.members ? RARE_OF_SLOTS : RARE;
  const struct = usualStruct(ioctl.name, ioctl.argument.struct, draws, own, () => draws.pick(rare));
  return Uint8Array.of(...struct, ...usualTail(ioctl.name, draws, own));
}

/** The structure that GET gives, with one byte changed. */
function changed(model: ModelKvm, fd: Fd, ioctl: Ioctl, draws: Draws): Uint8Array | undefined {
  const get = IOCTLS[fd].find((other) => other !== ioctl && other.name === ioctl.name.replace('_SET_', '_GET_'));
  if (get === undefined || !('struct' in ioctl.argument) || draws.once(6)) return undefined;
  const { result, bytes } = model.callAt(fd, get, argumentOf(ioctl, draws.next(2 ** 31), model));
  if (result !== 0) return undefined;
  if (!draws.once(3)) bytes[draws.next(ioctl.argument.struct.size)] = draws.next(256);
  return bytes;
}

function ask(model: ModelKvm, draws: Draws): Asked {
  if (draws.once(8)) {
    const index = draws.next(REAL.eventfds.length);
    return {
      line: `signal ${REAL.eventfds[index]!.toString(16)}`,
      mine: `${model.signal(index)}`,
      words: 1,
      what: `signal ${index}`,
    };
  }
  if (draws.once(8)) {
    const index = draws.next(REAL.eventfds.length);
    const line = `count ${REAL.eventfds[index]!.toString(16)}`;
    return { line, mine: model.count(index), words: 2, what: `count ${index}` };
  }
  const fd = draws.pick(['vm', 'vcpu'] as const);
  const ioctl = draws.pick(IOCTLS[fd]);
  const { argument, name, number } = ioctl;
  if (argument.kind === 'none' || argument.kind === 'int') {
    const value = draws.once(12) ? Number(draws.pick(RARE) & 0xffffffffn) : usualInteger(name, draws, model);
    const line = `int ${REAL[fd].toString(16)} ${number.toString(16)} ${value.toString(16)}`;
    return { line, mine: `${model.call(fd, ioctl, value)}`, words: 1, what: `${name} ${value}` };
  }
  const seed = draws.next(2 ** 31);
  const again = changed(model, fd, ioctl, draws);
  const sent = again ?? argumentOf(ioctl, seed, model);
  const { result, bytes } = model.callAt(fd, ioctl, sent);
  const line = lineAt(REAL[fd], ioctl, again ?? argumentOf(ioctl, seed, real));
  const filled = argument.kind === 'out' || argument.kind === 'inout';
  const words = filled && result === 0 && RESULT_ALONE[name] === undefined ? 2 : 1;
  return { line, mine: `${result} ${hex(bytes)}`, words, what: `${name} ${hex(sent)}` };
}

function comparable(what: string, [result, bytes]: readonly string[]): string {
  // Since 6.3 the map of local APICs says 0 where 6.1 has asked them all, and nobody was meant.
  if (what.startsWith('KVM_SIGNAL_MSI ') && result === '-1') return '0';
  // The host's module refuses PCIDE of processors that have it.
  if (what.startsWith('KVM_SET_SREGS ') && Buffer.from(what.slice(14), 'hex').readUInt32LE(CR4_AT) & CR4_PCIDE)
    return '';
  if (bytes === undefined) return result!;
  return `${result} ${what.startsWith('KVM_GET_LAPIC ') ? settledLapic(bytes) : bytes}`;
}

/** The results; where they are alike, the bytes that are not. */
function difference(own: string, theirs: string): string {
  const [[result, bytes = ''], [other, others = '']] = [own.split(' '), theirs.split(' ')] as [string[], string[]];
  if (result !== other) return `the model: ${result}, the host: ${other}`;
  const pairs = [bytes, others].map((text) => text.match(/../g) ?? []);
  const unlike = pairs[0]!.flatMap((byte, at) => (byte === pairs[1]![at] ? [] : [`${at}: ${byte}, ${pairs[1]![at]}`]));
  return `bytes of the model and of the host: ${unlike.join('; ')}`;
}

const missing = realKvmMissing();
test.skipIf(missing !== undefined)(
  `${CASES} sequences${missing === undefined ? '' : `: ${missing}`}`,
  { timeout: 60_000 + CASES * 2000 },
  () => {
    const model = new ModelKvm();
    const asked: Asked[] = [];
    for (let number = 0; number < CASES; number++) {
      const draws = new Draws((SEED + number) * 7919 + 13);
      const irqchip = !draws.once(4);
      model.begin(irqchip);
      asked.push({ line: `new ${Number(irqchip)}`, mine: 'new', words: 1, what: `new irqchip=${irqchip}` });
      for (let call = 0; call < CALLS; call++) asked.push(ask(model, draws));
    }
    const answers = askRealKvm(
      buildMachine(),
      asked.map(({ line }) => line),
    );
    const differences = asked.flatMap(({ what, mine, words }, at) => {
      const [own, theirs] = [mine, answers[at]!].map((answer) => comparable(what, answer.split(' ').slice(0, words)));
      return own === theirs ? [] : [`#${at} ${what.slice(0, 1500)}\n  ${difference(own!, theirs!)}`];
    });
    expect(differences.join('\n')).toBe('');
  },
);

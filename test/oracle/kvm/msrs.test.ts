/**
 * Random RDMSR and WRMSR of a guest whose MSRs are user space's wherever KVM refuses or filters them: what it reads, which accesses user
 * space gets to see and why, are the host's own KVM's.
 */

import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import type { Draws } from '../../linux/syscalls/draws.ts';
import { OVER, PAGE } from './exit-guest.ts';
import { testGuests } from './guests.ts';
import { Pair } from './pair.ts';

const SHOWN = 0x80;
const ACCESSES = 40;
const REASONS = 7n;

/**
 * What processors of either make leave to KVM alike, and Linux has not changed since 6.1. Not MISC_ENABLE, of which QEMU sets a bit, nor the PAT, which
 * is the host's module's own.
 */
const MSRS = [
  0x1b, 0x3b, 0x174, 0x2ff, 0xfe, 0x200, 0x201, 0x20f, 0x250, 0x258, 0x268, 0x26f, 0x179, 0x17a, 0x400, 0x401, 0x402,
  0x47f, 0xdeadbeef, 0x4b564d7f, 0x8ff, 0, 1, 0x17, 0x34, 0xcd, 0xce, 0x11e, 0x186, 0xc1, 0x198, 0x199, 0x1db, 0x1fc,
  0x606, 0x6e0, 0x2c, 0x9e, 0x17b, 0x210, 0x280, 0x29f,
];

function value(draws: Draws): readonly [number, number] {
  const any = () => draws.next(2 ** 31) * 2 + draws.next(2);
  const bytes = () => Number.parseInt([0, 0, 0, 0].map(() => `0${draws.pick([0, 1, 4, 5, 6, 7, 2])}`).join(''), 16);
  return draws.pick([
    [0, 0],
    [1 << draws.next(31), 0],
    [0, 1 << draws.next(31)],
    [bytes(), bytes()],
    [0xfee00900, draws.pick([0, 0, 1])],
    [any(), draws.pick([0, 0xffffffff, any()])],
    [0xffffffff, 0xffffffff],
    [draws.next(0x1000), 0],
  ] as const);
}

function access(draws: Draws): string[] {
  const select = `mov ecx, ${draws.pick(MSRS)}`;
  if (draws.once(2))
    return [
      select,
      'rdmsr',
      'xchg eax, ecx',
      `out ${SHOWN}, eax`,
      'mov eax, ecx',
      `out ${SHOWN}, eax`,
      'mov eax, edx',
      `out ${SHOWN}, eax`,
    ];
  const [low, high] = value(draws);
  return [select, `mov eax, ${low >>> 0}`, `mov edx, ${high >>> 0}`, 'wrmsr'];
}

function play(draws: Draws): Pair {
  const lines = Array.from({ length: ACCESSES }, () => access(draws)).flat();
  const pair = new Pair(['bits 64', ...lines, `out ${OVER}, al`, 'hlt'].join('\n'), PAGE);
  const cap = { cap: KVM_CAP.X86_USER_SPACE_MSR, arg0: REASONS };
  pair.ioctl('vm', uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, cap);
  if (draws.once(2)) {
    pair.put(
      'buffer',
      0,
      Uint8Array.from({ length: 8 }, () => draws.next(256)),
    );
    pair.filterMsrs(draws.pick([0x170, 0x250, 0xc0000080, 0x1a0]), 64, draws.pick([1, 2, 3]), 0);
  }
  for (;;) {
    const exit = pair.run();
    if (exit.startsWith('rdmsr ')) pair.answerMsr(BigInt(draws.next(2 ** 31)));
    else if (!exit.startsWith('wrmsr ') && !exit.startsWith(`out ${SHOWN.toString(16)} `)) break;
  }
  return pair;
}

testGuests(30, play);

/**
 * Random accesses to the registers of PIC, I/O APIC and local APIC, and random interrupt lines between them: what the guest reads, what the
 * lines lead to, and the controllers' state in the end are those of the host's own KVM. GVM_KVM_CASES makes a longer run, GVM_SEED another.
 */

import { expect, test } from 'vitest';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_EXIT_IO, RUN_EXIT_REASON, RUN_IO_DIRECTION } from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from '../../linux/kvm/guest.ts';
import { Draws } from '../../linux/syscalls/draws.ts';
import { protectedMode } from './protected-mode.ts';
import { askRealKvm, buildMachine, hex, lineAt, REAL, realKvmMissing, settledLapic } from './real-kvm.ts';
import { OVER, registerProgram, TURN } from './register-guest.ts';

const CASES = Number(process.env['GVM_KVM_CASES'] ?? 40);
const SEED = Number(process.env['GVM_SEED'] ?? 1);
const CODE_AT = 0x8000;
const PINS = 24;
const CHIPS = [0, 1, 2];
interface Asked {
  readonly line: string;
  readonly mine: string;
}

/** One KVM_RUN of the model, in machine.c's words. */
function run(guest: Guest): string {
  expect(guest.resume()).toBe(0);
  expect(guest.run.getUint32(RUN_EXIT_REASON, true)).toBe(KVM_EXIT_IO);
  const [size, port] = [guest.run.getUint8(RUN_IO_DIRECTION + 1), guest.run.getUint16(RUN_IO_DIRECTION + 2, true)];
  return `out ${port.toString(16)} ${size} 1 ${hex(guest.pioData.subarray(0, size))}`;
}

/** An ioctl on the model with the bytes that the host gets as well. */
function both(guest: Guest, fd: 'vm' | 'vcpu', ioctl: Ioctl, argument: Uint8Array): Asked {
  const { scratch, user } = guest.qemu;
  user.memory.write(scratch, argument);
  const result = guest.qemu.ioctl(fd === 'vm' ? guest.vmFd : guest.vcpuFd, ioctl, scratch);
  return {
    line: lineAt(REAL[fd], ioctl, argument),
    mine: `${result} ${hex(user.memory.read(scratch, argument.length))}`,
  };
}

function play(number: number): Asked[] {
  const draws = new Draws((SEED + number) * 7919 + 13);
  const program = registerProgram(draws);
  const guest = new Guest(program, 'none');
  // What these answer is not compared.
  const asked: Asked[] = protectedMode(program, CODE_AT, true).map((line) => ({ line, mine: '' }));
  for (;;) {
    const mine = run(guest);
    asked.push({ line: 'run', mine });
    if (mine.startsWith(`out ${OVER.toString(16)} `)) break;
    if (!mine.startsWith(`out ${TURN.toString(16)} `)) continue;
    for (let moves = draws.next(3); moves > 0; moves--) {
      const line = uapi.kvm_irq_level.encode({ irq: draws.next(PINS), level: draws.next(2) });
      asked.push(both(guest, 'vm', uapi.KVM_IRQ_LINE_STATUS, line));
    }
  }
  for (const chip_id of CHIPS)
    asked.push(both(guest, 'vm', uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip.encode({ chip_id })));
  asked.push(both(guest, 'vcpu', uapi.KVM_GET_LAPIC, new Uint8Array(uapi.kvm_lapic_state.size)));
  return asked;
}

/** An answer without what each of the two works out at a time of its own. */
function settled(line: string, answer: string): string {
  if (!line.includes(uapi.KVM_GET_LAPIC.number.toString(16))) return answer;
  const [result, bytes = ''] = answer.split(' ');
  return `${result} ${settledLapic(bytes)}`;
}

const missing = realKvmMissing();
test.skipIf(missing !== undefined)(
  `${CASES} guests${missing === undefined ? '' : `: ${missing}`}`,
  { timeout: 60_000 + CASES * 2000 },
  () => {
    const asked = Array.from({ length: CASES }, (_, number) => play(number)).flat();
    const answers = askRealKvm(
      buildMachine(),
      asked.map(({ line }) => line),
    );
    const differences = asked.flatMap(({ line, mine }, i) => {
      const [own, theirs] = [mine, answers[i]!].map((answer) => settled(line, answer));
      return mine === '' || own === theirs
        ? []
        : [`#${i} ${line.slice(0, 80)}\n  the model: ${own}\n  the host:  ${theirs}`];
    });
    expect(differences.join('\n')).toBe('');
  },
);

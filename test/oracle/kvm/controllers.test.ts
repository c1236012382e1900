/**
 * Random accesses to the registers of PIC, I/O APIC and local APIC, and random interrupt lines between them: what the guest reads, what the
 * lines lead to, and the controllers' state in the end are those of the host's own KVM.
 */

import * as uapi from '../../../src/linux/uapi/kvm.ts';
import type { Draws } from '../../linux/syscalls/draws.ts';
import { testGuests } from './guests.ts';
import { Pair } from './pair.ts';
import { settledLapic } from './real-kvm.ts';
import { OVER, registerProgram, TURN } from './register-guest.ts';

const PINS = 24;
const CHIPS = [0, 1, 2];
const NO_BUFFER = 4096;

function play(draws: Draws): Pair {
  const pair = new Pair(registerProgram(draws), NO_BUFFER, true);
  for (;;) {
    const exit = pair.run();
    if (exit.startsWith(`out ${OVER.toString(16)} `)) break;
    if (!exit.startsWith(`out ${TURN.toString(16)} `)) continue;
    for (let moves = draws.next(3); moves > 0; moves--) {
      const line = { irq: draws.next(PINS), level: draws.next(2) };
      pair.ioctl('vm', uapi.KVM_IRQ_LINE_STATUS, uapi.kvm_irq_level, line);
    }
  }
  for (const chip_id of CHIPS) pair.ioctl('vm', uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, { chip_id });
  pair.ioctl('vcpu', uapi.KVM_GET_LAPIC, uapi.kvm_lapic_state, {});
  return pair;
}

/** An answer without what each of the two works out at a time of its own. */
function settled(line: string, answer: string): string {
  if (!line.includes(uapi.KVM_GET_LAPIC.number.toString(16))) return answer;
  const [result, bytes = ''] = answer.split(' ');
  return `${result} ${settledLapic(bytes)}`;
}

testGuests(40, play, settled);

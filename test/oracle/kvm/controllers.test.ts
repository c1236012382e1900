/**
 * Random accesses to the registers of PIC, I/O APIC and local APIC, and random interrupt lines between them: what the guest reads, what the
 * lines lead to, and the controllers' state in the end are those of the host's own KVM. GVM_KVM_CASES makes a longer run, GVM_SEED another.
 */

import { expect, test } from 'vitest';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_EXIT_IO, RUN_EXIT_REASON, RUN_IO_DIRECTION } from '../../../src/linux/uapi/kvm-run.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import { Guest, machineCode } from '../../linux/kvm/guest.ts';
import { Draws } from '../../linux/syscalls/draws.ts';
import { askRealKvm, buildMachine, hex, lineAt, REAL, realKvmMissing, settledLapic } from './real-kvm.ts';
import { OVER, registerProgram, TURN } from './register-guest.ts';

const CASES = Number(process.env['GVM_KVM_CASES'] ?? 40);
const SEED = Number(process.env['GVM_SEED'] ?? 1);
const CODE_AT = 0x8000;
const GDT_AT = 0x5000;
const CODE_SELECTOR = 0x10;
const DATA_SELECTOR = 0x18;
const PINS = 24;
const CHIPS = [0, 1, 2];
interface Asked {
  readonly line: string;
  readonly mine: string;
}

/** What brings the host's vCPU to the program: flat segments, protection on, no paging; CPUID's leaf 1, without which its timer has one mode. */
function hostBegins(program: string): Asked[] {
  const segment = (type: number, selector: number) =>
    ({ base: 0n, limit: 0xffffffff, selector, type, present: 1, db: 1, s: 1, g: 1 }) as StructValue<
      typeof uapi.kvm_segment.members
    >;
  const data = segment(3, DATA_SELECTOR);
  const table = { base: BigInt(GDT_AT), limit: 31, padding: new Uint8Array(6) };
  const sregs = {
    cs: segment(11, CODE_SELECTOR),
    ds: data,
    es: data,
    ss: data,
    fs: data,
    gs: data,
    gdt: table,
    cr0: 0x11n,
  };
  const cpuid = new Uint8Array(uapi.kvm_cpuid2.size + uapi.kvm_cpuid_entry2.size);
  cpuid.set(uapi.kvm_cpuid2.encode({ nent: 1 }));
  cpuid.set(uapi.kvm_cpuid_entry2.encode({ function: 1, eax: 0x600, edx: 1 << 9 }), uapi.kvm_cpuid2.size);
  const set = <M extends Members>(
    ioctl: { readonly number: number },
    struct: Struct<M>,
    value: Partial<StructValue<M>>,
  ) => lineAt(REAL.vcpu, ioctl, struct.encode(value));
  const lines = [
    'new 1',
    `ram ${CODE_AT.toString(16)} ${hex(machineCode(program))}`,
    `ram ${(GDT_AT + CODE_SELECTOR).toString(16)} ${hex(new Uint8Array(BigUint64Array.of(0x00cf9b000000ffffn, 0x00cf93000000ffffn).buffer))}`,
    lineAt(REAL.vcpu, uapi.KVM_SET_CPUID2, cpuid),
    set(uapi.KVM_SET_SREGS, uapi.kvm_sregs, { ...sregs, apic_base: 0xfee00900n }),
    set(uapi.KVM_SET_REGS, uapi.kvm_regs, { rip: BigInt(CODE_AT), rsp: 0x10000n, rflags: 2n }),
  ];
  // What these answer is not compared.
  return lines.map((line) => ({ line, mine: '' }));
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
  const asked = hostBegins(program);
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

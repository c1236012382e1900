/** The registers that QEMU prints when a vCPU cannot go on (target/i386/cpu-dump.c: x86_cpu_dump_state), 64-bit form. */

import { PAGE_SIZE } from '../../../address.ts';
import {
  KVM_GET_DEBUGREGS,
  KVM_GET_MP_STATE,
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_GET_VCPU_EVENTS,
  KVM_MP_STATE_HALTED,
  kvm_debugregs,
  kvm_mp_state,
  kvm_regs,
  type kvm_segment,
  kvm_sregs,
  kvm_vcpu_events,
} from '../../../linux/uapi/kvm.ts';
import type { StructOf } from '../../../linux/uapi/struct.ts';
import { MEMTX_OK } from '../../memory/access.ts';
import type { AddressSpace } from '../../memory/address-space.ts';
import type { System } from '../../system.ts';
import { physicalAddress } from './page-walk.ts';

type Segment = StructOf<typeof kvm_segment>;

const CODE_BYTES = 50;
const CODE_BEFORE = 20;
/** Bits of RFLAGS, in the order in which they are printed. */
const FLAGS = [
  ['D', 10],
  ['O', 11],
  ['S', 7],
  ['Z', 6],
  ['A', 4],
  ['P', 2],
  ['C', 0],
] as const;
/** What a system segment of each type is in long mode. */
const SYSTEM_TYPES = [
  '<hiword>',
  'Reserved',
  'LDT',
  ...Array<string>(6).fill('Reserved'),
  'TSS64-avl',
  'Reserved',
  'TSS64-busy',
  'CallGate64',
  'Reserved',
  'IntGate64',
  'TrapGate64',
] as const;

const hex = (value: bigint | number, digits: number) => value.toString(16).padStart(digits, '0');
const general = (...row: readonly (readonly [string, bigint])[]): string =>
  row.map(([name, value]) => `${name}=${hex(value, 16)}`).join(' ');

/** Ask KVM for the registers and print them on stderr, with the code at RIP as `memory` has it; nothing if KVM refuses. */
export function dumpState(system: System, vcpuFd: number, memory: AddressSpace): void {
  const events = system.exchange(vcpuFd, KVM_GET_VCPU_EVENTS, kvm_vcpu_events, {});
  const state = system.exchange(vcpuFd, KVM_GET_MP_STATE, kvm_mp_state, {});
  const { result, value: r } = system.exchange(vcpuFd, KVM_GET_REGS, kvm_regs, {});
  const { result: special, value: s } = system.exchange(vcpuFd, KVM_GET_SREGS, kvm_sregs, {});
  const debug = system.exchange(vcpuFd, KVM_GET_DEBUGREGS, kvm_debugregs, {});
  if (result < 0 || special < 0) return;
  const flags = FLAGS.map(([letter, bit]) => ((r.rflags >> BigInt(bit)) & 1n ? letter : '-')).join('');
  const shadow = events.value.interrupt_shadow === 0 ? 0 : 1;
  const halted = state.value.mp_state === KVM_MP_STATE_HALTED ? 1 : 0;
  const db = new DataView(debug.value.db.buffer, debug.value.db.byteOffset);
  const lines = [
    general(['RAX', r.rax], ['RBX', r.rbx], ['RCX', r.rcx], ['RDX', r.rdx]),
    general(['RSI', r.rsi], ['RDI', r.rdi], ['RBP', r.rbp], ['RSP', r.rsp]),
    general(['R8 ', r.r8], ['R9 ', r.r9], ['R10', r.r10], ['R11', r.r11]),
    general(['R12', r.r12], ['R13', r.r13], ['R14', r.r14], ['R15', r.r15]),
    `RIP=${hex(r.rip, 16)} RFL=${hex(r.rflags, 8)} [${flags}] CPL=${s.ss.dpl} II=${shadow} A20=1 SMM=0 HLT=${halted}`,
    ...(['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldt', 'tr'] as const).map((name) => segment(name, s[name])),
    `GDT=     ${hex(s.gdt.base, 16)} ${hex(s.gdt.limit, 8)}`,
    `IDT=     ${hex(s.idt.base, 16)} ${hex(s.idt.limit, 8)}`,
    `CR0=${hex(s.cr0, 8)} CR2=${hex(s.cr2, 16)} CR3=${hex(s.cr3, 16)} CR4=${hex(s.cr4, 8)}`,
    [0, 1, 2, 3].map((n) => `DR${n}=${hex(db.getBigUint64(8 * n, true), 16)} `).join(''),
    `DR6=${hex(debug.value.dr6, 16)} DR7=${hex(debug.value.dr7, 16)}`,
    `EFER=${hex(s.efer, 16)}`,
    `Code=${code(memory, s.cr3, r.rip)}`,
  ];
  system.print(`${lines.join('\n')}\n`);
}

/** cpu_x86_dump_seg_cache. */
function segment(name: string, { selector, base, limit, unusable, ...of }: Segment): string {
  const present = of.present !== 0 && unusable === 0;
  const attributes =
    (of.type << 8) |
    (of.s << 12) |
    (of.dpl << 13) |
    (Number(present) << 15) |
    (of.avl << 20) |
    (of.l << 21) |
    (of.db << 22) |
    (of.g << 23);
  const line = `${name.toUpperCase().padEnd(3)}=${hex(selector, 4)} ${hex(base, 16)} ${hex(limit, 8)} ${hex(attributes, 8)}`;
  return present ? `${line} DPL=${of.dpl} ${kindOf(of)}` : line;
}

function kindOf({ type, s, l, db }: Pick<Segment, 'type' | 's' | 'l' | 'db'>): string {
  if (s === 0) return SYSTEM_TYPES[type]!;
  const isCode = (type & 8) !== 0;
  const name = isCode ? (l !== 0 ? 'CS64' : db !== 0 ? 'CS32' : 'CS16') : 'DS  ';
  const [second, third] = isCode ? ['C', 'R'] : ['E', 'W'];
  return `${name} [${type & 4 ? second : '-'}${type & 2 ? third : '-'}${type & 1 ? 'A' : '-'}]`;
}

/** The bytes around RIP (CPU_DUMP_CODE), `??` where nothing answers. It is not the guest that looks. */
function code(memory: AddressSpace, cr3: bigint, rip: bigint): string {
  const { onOddAccess } = memory;
  memory.onOddAccess = undefined;
  const before = rip < CODE_BEFORE ? Number(rip) : CODE_BEFORE;
  const byte = new DataView(new ArrayBuffer(8));
  const bytes = Array.from({ length: CODE_BYTES }, (_, i) => {
    const at = BigInt.asUintN(64, rip - BigInt(before - i));
    const page = physicalAddress(memory, cr3, at);
    if (page === undefined) return '??';
    const result = memory.read(page + Number(at % BigInt(PAGE_SIZE)), byte, 0, 1);
    return result === MEMTX_OK ? hex(byte.getUint8(0), 2) : '??';
  });
  memory.onOddAccess = onOddAccess;
  return bytes.map((text, i) => (i === before ? `<${text}>` : text)).join(' ');
}

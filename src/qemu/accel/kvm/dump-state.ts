/** The registers that QEMU prints when a vCPU cannot go on (target/i386/cpu-dump.c: x86_cpu_dump_state), 64-bit form. */

import { KVM_GET_REGS, KVM_GET_SREGS, kvm_regs, kvm_sregs } from '../../../linux/uapi/kvm.ts';
import type { System } from '../../system.ts';

const hex = (value: bigint | number, digits: number) => value.toString(16).padStart(digits, '0');

/** Ask KVM for the registers and print them on stderr; nothing if KVM refuses. */
export function dumpState(system: System, vcpuFd: number): void {
  const { result, value: r } = system.exchange(vcpuFd, KVM_GET_REGS, kvm_regs, {});
  const { result: special, value: s } = system.exchange(vcpuFd, KVM_GET_SREGS, kvm_sregs, {});
  if (result < 0 || special < 0) return;
  const general = (row: readonly (readonly [string, bigint])[]) =>
    row.map(([name, value]) => `${name}=${hex(value, 16)}`).join(' ');
  const lines = [
    general([
      ['RAX', r.rax],
      ['RBX', r.rbx],
      ['RCX', r.rcx],
      ['RDX', r.rdx],
    ]),
    general([
      ['RSI', r.rsi],
      ['RDI', r.rdi],
      ['RBP', r.rbp],
      ['RSP', r.rsp],
    ]),
    general([
      ['R8 ', r.r8],
      ['R9 ', r.r9],
      ['R10', r.r10],
      ['R11', r.r11],
    ]),
    general([
      ['R12', r.r12],
      ['R13', r.r13],
      ['R14', r.r14],
      ['R15', r.r15],
    ]),
    `RIP=${hex(r.rip, 16)} RFL=${hex(r.rflags, 8)} CPL=${s.cs.selector & 3}`,
    ...(['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const).map(
      (name) => `${name.toUpperCase()} =${hex(s[name].selector, 4)} ${hex(s[name].base, 16)} ${hex(s[name].limit, 8)}`,
    ),
    `GDT=     ${hex(s.gdt.base, 16)} ${hex(s.gdt.limit, 8)}`,
    `IDT=     ${hex(s.idt.base, 16)} ${hex(s.idt.limit, 8)}`,
    `CR0=${hex(s.cr0, 8)} CR2=${hex(s.cr2, 16)} CR3=${hex(s.cr3, 16)} CR4=${hex(s.cr4, 8)}`,
    `EFER=${hex(s.efer, 16)}`,
  ];
  system.print(`${lines.join('\n')}\n`);
}

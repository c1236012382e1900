/** The registers of a vCPU after power-on and after INIT (arch/x86/kvm/x86.c: kvm_vcpu_reset; vmx/vmx.c: vmx_vcpu_reset; SDM vol. 3A table 9-1). */

import { type Cpu, RDX, type SegmentName, type SegmentState } from './cpu.ts';

const GENERAL_REGISTERS = 16;
/** Family 6: what EDX says of the processor where no CPUID leaf does. */
const SIGNATURE = 0x600n;
const RESET_VECTOR = 0xfff0n;
const RFLAGS_FIXED = 2n;
const CR0_PE = 1n << 0n;
const CR0_ET = 1n << 4n;
/** Caches off: CR0.CD and NW, which INIT leaves as they are. */
const CR0_CACHING = 3n << 29n;
const DR6 = 0xffff0ff0n;
const DR7 = 0x400n;
const LIMIT = 0xffff;

const READ_WRITE_DATA = 3;
const READ_EXECUTE_CODE = 11;
const LDT = 2;
const BUSY_TSS = 11;

const realMode = (type: number, s: 0 | 1, selector = 0, base = 0n): SegmentState => ({
  base,
  limit: LIMIT,
  selector,
  type,
  present: 1,
  dpl: 0,
  db: 0,
  s,
  l: 0,
  g: 0,
  avl: 0,
  unusable: 0,
});
const data = realMode(READ_WRITE_DATA, 1);
const SEGMENTS: Readonly<Record<SegmentName, SegmentState>> = {
  cs: realMode(READ_EXECUTE_CODE, 1, 0xf000, 0xffff_0000n),
  ds: data,
  es: data,
  fs: data,
  gs: data,
  ss: data,
  tr: realMode(BUSY_TSS, 0),
  ldt: realMode(LDT, 0),
};

/** The CPU as it comes out of power-on, or of INIT: in real mode, at the reset vector 16 bytes below 4 GiB. */
export function resetCpu(cpu: Cpu, init: boolean): void {
  const caching = init ? cpu.control(0) & CR0_CACHING : CR0_CACHING;
  for (let register = 0; register < GENERAL_REGISTERS; register++) cpu.setRegister(register, 0n);
  cpu.setRegister(RDX, SIGNATURE);
  cpu.rip = RESET_VECTOR;
  cpu.rflags = RFLAGS_FIXED;
  cpu.setControl(0, caching | CR0_ET);
  cpu.setControl(4, 0n);
  cpu.efer = 0n;
  for (const register of [2, 3, 8] as const) cpu.setControl(register, 0n);
  for (const [name, segment] of Object.entries(SEGMENTS)) cpu.setSegment(name as SegmentName, segment);
  for (const table of ['gdt', 'idt'] as const) cpu.setDescriptorTable(table, { base: 0n, limit: LIMIT });
  for (const register of [0, 1, 2, 3] as const) cpu.setDebugRegister(register, 0n);
  cpu.setDebugRegister(6, DR6);
  cpu.setDebugRegister(7, DR7);
}

/** Whether the CPU stands in real mode where it begins. */
export function isAtReset(cpu: Cpu): boolean {
  const { selector, base } = cpu.segment('cs');
  const beginning = selector === SEGMENTS.cs.selector && base === SEGMENTS.cs.base;
  return beginning && cpu.rip === RESET_VECTOR && (cpu.control(0) & CR0_PE) === 0n;
}

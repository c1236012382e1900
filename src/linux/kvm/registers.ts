/**
 * KVM_GET/SET_REGS and KVM_GET/SET_SREGS: the guest's registers between the modeled CPU and the uapi structures
 * (arch/x86/kvm/x86.c: __get_regs, __set_sregs_common, kvm_is_valid_sregs).
 */

import { CR4_KNOWN } from '../../hardware/vcpu/control-services.ts';
import { GENERAL_REGISTERS } from '../../hardware/vcpu/state.ts';
import type { RefusingContext } from '../core/uaccess.ts';
import { EINVAL } from '../uapi/errno.ts';
import { KVM_MP_STATE_RUNNABLE, type kvm_regs, type kvm_segment, type kvm_sregs } from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import type { SegmentName, SegmentState } from './cpu.ts';
import { maxPhysicalBits } from './cpuid.ts';
import { guestFlags, setGuestFlags } from './guest-debug.ts';
import { validApicBase } from './msr-table.ts';
import { isAtReset } from './reset.ts';
import type { KvmVcpu } from './vcpu.ts';

type Regs = StructOf<typeof kvm_regs>;
type Sregs = StructOf<typeof kvm_sregs>;
type Filling<T> = { -readonly [K in keyof T]?: T[K] };
type Segment = StructOf<typeof kvm_segment>;

const SEGMENTS: readonly SegmentName[] = ['cs', 'ds', 'es', 'fs', 'gs', 'ss', 'tr', 'ldt'];
const RFLAGS_FIXED = 2n;

export function getRegs(vcpu: KvmVcpu): Partial<Regs> {
  const { cpu } = vcpu;
  const regs: Filling<Regs> = { rip: cpu.rip, rflags: guestFlags(vcpu) };
  for (const [number, name] of GENERAL_REGISTERS.entries()) regs[name] = cpu.register(number);
  return regs;
}

/** Bit 1 of RFLAGS is always set; a pending exception is dropped. */
export function setRegs(vcpu: KvmVcpu, regs: Regs): number {
  const { cpu } = vcpu;
  for (const [number, name] of GENERAL_REGISTERS.entries()) cpu.setRegister(number, regs[name]);
  cpu.rip = regs.rip;
  setGuestFlags(vcpu, regs.rflags | RFLAGS_FIXED);
  vcpu.clearException();
  vcpu.requestEvent();
  return 0;
}

export function getSregs(vcpu: KvmVcpu): Partial<Sregs> {
  const { cpu } = vcpu;
  const sregs: Filling<Sregs> = {
    gdt: { ...cpu.descriptorTable('gdt'), padding: new Uint8Array(6) },
    idt: { ...cpu.descriptorTable('idt'), padding: new Uint8Array(6) },
    cr0: cpu.control(0),
    cr2: cpu.control(2),
    cr3: cpu.control(3),
    cr4: cpu.control(4),
    cr8: vcpu.lapic === undefined ? cpu.control(8) : BigInt(vcpu.lapic.taskPriorityClass),
    efer: cpu.efer,
    apic_base: vcpu.apicBase,
    interrupt_bitmap: new Uint8Array(32),
  };
  const interrupt = vcpu.queuedInterrupt;
  if (interrupt >= 0) sregs.interrupt_bitmap![interrupt >> 3] = 1 << (interrupt & 7);
  for (const name of SEGMENTS) sregs[name] = { ...cpu.segment(name), padding: 0 };
  return sregs;
}

/** -EINVAL for a mode that no x86 CPU can be in. */
export function setSregs(vcpu: KvmVcpu, sregs: Sregs): number {
  const { cpu, kernel } = vcpu;
  const error = checkSregs(kernel, sregs, maxPhysicalBits(vcpu));
  if (error < 0) return error;
  vcpu.apicBase = sregs.apic_base;
  const queued = sregs.interrupt_bitmap.findIndex((byte) => byte !== 0);
  if (queued >= 0)
    vcpu.queueInterrupt(
      queued * 8 + 31 - Math.clz32(sregs.interrupt_bitmap[queued]! & -sregs.interrupt_bitmap[queued]!),
    );
  cpu.setDescriptorTable('idt', { base: sregs.idt.base, limit: sregs.idt.limit });
  cpu.setDescriptorTable('gdt', { base: sregs.gdt.base, limit: sregs.gdt.limit });
  cpu.efer = sregs.efer;
  cpu.setControl(0, sregs.cr0);
  cpu.setControl(4, sregs.cr4);
  cpu.setControl(3, sregs.cr3);
  cpu.setControl(2, sregs.cr2);
  // kvm_set_cr8 refuses more than four bits, and nobody asks whether it has.
  if (sregs.cr8 <= 0xfn) vcpu.setCr8(Number(sregs.cr8));
  for (const name of SEGMENTS) cpu.setSegment(name, segmentState(sregs[name]));
  // Old user space resets the boot processor, and does not say that it runs again.
  if (vcpu.isBoot && isAtReset(cpu)) vcpu.mpState = KVM_MP_STATE_RUNNABLE;
  return 0;
}

const segmentState = ({ padding: _, ...state }: Segment): SegmentState => state;

const CR0_PE = 1n << 0n;
const CR0_NW = 1n << 29n;
const CR0_CD = 1n << 30n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const EFER_LME = 1n << 8n;
const EFER_LMA = 1n << 10n;
/** __cr4_reserved_bits: what the processor has, and VME and PVI, about which none is asked. */
const CR4_VALID = CR4_KNOWN | 3n;

/** kvm_is_valid_sregs and kvm_is_valid_cr0: 0 or -EINVAL. */
function checkSregs(kernel: Pick<RefusingContext, 'refuse'>, sregs: Sregs, physicalBits: number): number {
  const { cr0, cr3, cr4, efer, cs } = sregs;
  const has = (value: bigint, bit: bigint) => (value & bit) !== 0n;
  if (cr0 >> 32n !== 0n) return kernel.refuse(EINVAL, 'CR0 has 32 bits');
  if (has(cr0, CR0_NW) && !has(cr0, CR0_CD)) return kernel.refuse(EINVAL, 'CR0.NW needs CR0.CD');
  if (has(cr0, CR0_PG) && !has(cr0, CR0_PE))
    return kernel.refuse(EINVAL, 'paging (CR0.PG) needs protected mode (CR0.PE)');
  if (has(efer, EFER_LME) && has(cr0, CR0_PG)) {
    if (!has(cr4, CR4_PAE)) return kernel.refuse(EINVAL, 'long mode needs CR4.PAE');
    if (!has(efer, EFER_LMA)) return kernel.refuse(EINVAL, 'EFER.LME with CR0.PG is long mode: EFER.LMA must be set');
    if (cr3 >> BigInt(physicalBits) !== 0n)
      return kernel.refuse(EINVAL, 'CR3 points above the highest physical address');
  } else if (has(efer, EFER_LMA) || cs.l !== 0) {
    return kernel.refuse(EINVAL, 'outside long mode EFER.LMA and CS.L must be clear');
  }
  if (has(cr4, ~CR4_VALID)) return kernel.refuse(EINVAL, 'CR4 has bits that the processor has not');
  if (!validApicBase(sregs.apic_base, physicalBits))
    return kernel.refuse(EINVAL, 'the APIC base has reserved bits, or x2APIC, which there is not');
  return 0;
}

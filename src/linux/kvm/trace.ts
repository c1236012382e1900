/**
 * The kvm:* tracepoints of kvm.ko's run loop and I/O paths, with the kernel's own text (arch/x86/kvm/trace.h,
 * include/trace/events/kvm.h of Linux 6.1). The MMU's events are in trace-mmu.ts.
 */

import { event } from '../../event.ts';
import { exitReasonName } from '../../hardware/vcpu/exit.ts';
import { EINTR } from '../uapi/errno.ts';
import { kvmExitName } from '../uapi/kvm-run.ts';

const hex = (value: number | bigint) => value.toString(16);
const hexPadded = (value: number | bigint, digits: number) => hex(value).padStart(digits, '0');

export const kvmEntry = event(
  'kvm_entry',
  'kvm',
  { vcpu: 'u32', rip: 'u64', immediateExit: 'bool' },
  (e) => `vcpu ${e.vcpu}, rip 0x${hex(e.rip)}${e.immediateExit ? '[immediate exit]' : ''}`,
  'The vCPU enters guest mode.',
);

export const kvmExit = event(
  'kvm_exit',
  'kvm',
  { vcpu: 'u32', reason: 'u32', rip: 'u64', info1: 'address', info2: 'address', intrInfo: 'u32', errorCode: 'u32' },
  (e) =>
    `vcpu ${e.vcpu} reason ${exitReasonName(e.reason)} rip 0x${hex(e.rip)} info1 0x${hexPadded(e.info1, 16)} ` +
    `info2 0x${hexPadded(e.info2, 16)} intr_info 0x${hexPadded(e.intrInfo, 8)} error_code 0x${hexPadded(e.errorCode, 8)}`,
  'The vCPU left guest mode; info1 is the exit qualification, info2 the IDT-vectoring information.',
);

export const kvmUserspaceExit = event(
  'kvm_userspace_exit',
  'kvm',
  { reason: 'u32', result: 's32' },
  (e) => {
    if (e.result >= 0) return `reason ${kvmExitName(e.reason)} (${e.reason})`;
    return `reason ${e.result === -EINTR ? 'restart' : 'error'} (${-e.result})`;
  },
  'KVM_RUN returns to user space, for an exit reason or with an errno.',
);

export const kvmPio = event(
  'kvm_pio',
  'kvm',
  { write: 'bool', port: 'u16', size: 'u8', count: 'u32', value: 'u32' },
  (e) =>
    `pio_${e.write ? 'write' : 'read'} at 0x${hex(e.port)} size ${e.size} count ${e.count} val 0x${hex(e.value)} ` +
    (e.count > 1 ? '(...)' : ''),
  'A port access left the guest; for a read, once its value is known.',
);

export const kvmMmio = event(
  'kvm_mmio',
  'kvm',
  { type: 'string', length: 'u32', gpa: 'address', value: 'u64' },
  (e) => `mmio ${e.type} len ${e.length} gpa 0x${hex(e.gpa)} val 0x${hex(e.value)}`,
  'A memory access that no RAM serves: write, read (value known), or unsatisfied-read (user space has to answer).',
);

export const kvmFastMmio = event(
  'kvm_fast_mmio',
  'kvm',
  { gpa: 'address' },
  (e) => `fast mmio at gpa 0x${hex(e.gpa)}`,
  'An EPT misconfiguration hit the fast MMIO bus; the instruction was not decoded.',
);

export const kvmEmulateInsn = event(
  'kvm_emulate_insn',
  'kvm',
  { csBase: 'u64', rip: 'u64', bytes: 'string', mode: 'string', failed: 'bool' },
  (e) => `${hex(e.csBase)}:${hex(e.rip)}:${e.bytes} (${e.mode})${e.failed ? ' failed' : ''}`,
  'The emulator decoded an instruction; "failed" when it cannot carry it out.',
);

export const vcpuMatchMmio = event(
  'vcpu_match_mmio',
  'kvm',
  { gva: 'u64', gpa: 'address', write: 'bool', gpaMatch: 'bool' },
  (e) => `gva 0x${hex(e.gva)} gpa 0x${hex(e.gpa)} ${e.write ? 'Write' : 'Read'} ${e.gpaMatch ? 'GPA' : 'GVA'}`,
  "The access hit the vCPU's cache of the last MMIO page.",
);

export const kvmCpuid = event(
  'kvm_cpuid',
  'kvm',
  {
    function: 'u32',
    index: 'u32',
    rax: 'u32',
    rbx: 'u32',
    rcx: 'u32',
    rdx: 'u32',
    found: 'bool',
    outOfRange: 'bool',
  },
  (e) =>
    `func ${hex(e.function)} idx ${hex(e.index)} rax ${hex(e.rax)} rbx ${hex(e.rbx)} rcx ${hex(e.rcx)} ` +
    `rdx ${hex(e.rdx)}, cpuid entry ${e.found ? 'found' : 'not found'}${e.outOfRange ? ' (out of range)' : ''}`,
  'The guest executed CPUID.',
);

export const kvmMsr = event(
  'kvm_msr',
  'kvm',
  { write: 'bool', index: 'u32', data: 'u64', fault: 'bool' },
  (e) => `msr_${e.write ? 'write' : 'read'} ${hex(e.index)} = 0x${hex(e.data)}${e.fault ? ' (#GP)' : ''}`,
  'An MSR access that the CPU does not do by itself.',
);

export const kvmHypercall = event(
  'kvm_hypercall',
  'kvm',
  { nr: 'u64', a0: 'u64', a1: 'u64', a2: 'u64', a3: 'u64' },
  (e) => `nr 0x${hex(e.nr)} a0 0x${hex(e.a0)} a1 0x${hex(e.a1)} a2 0x${hex(e.a2)} a3 0x${hex(e.a3)}`,
  'The guest executed VMCALL.',
);

const exceptionNames: Readonly<Record<number, string>> = {
  0: '#DE',
  1: '#DB',
  3: '#BP',
  4: '#OF',
  5: '#BR',
  6: '#UD',
  7: '#NM',
  8: '#DF',
  10: '#TS',
  11: '#NP',
  12: '#SS',
  13: '#GP',
  14: '#PF',
  16: '#MF',
  17: '#AC',
  18: '#MC',
};
export const kvmInjException = event(
  'kvm_inj_exception',
  'kvm',
  { vector: 'u8', hasErrorCode: 'bool', errorCode: 'u32', reinjected: 'bool' },
  (e) => {
    const name = exceptionNames[e.vector] ?? `0x${hex(e.vector)}`;
    return `${name}${e.hasErrorCode ? ` (0x${hex(e.errorCode)})` : ''}${e.reinjected ? ' [reinjected]' : ''}`;
  },
  'KVM raises an exception in the guest.',
);

const ringText = (e: { vcpu: number; dirty: number; reset: number }) =>
  `ring ${e.vcpu}: dirty 0x${hex(e.dirty)} reset 0x${hex(e.reset)}`;

export const kvmDirtyRingPush = event(
  'kvm_dirty_ring_push',
  'kvm',
  { vcpu: 'u32', dirty: 'u32', reset: 'u32', used: 'u32', slot: 'u32', offset: 'u64' },
  (e) => `${ringText(e)} slot ${e.slot} offset 0x${hex(e.offset)} (used ${e.used})`,
  'A page that the guest has written goes into the dirty ring of its vCPU.',
);

export const kvmDirtyRingReset = event(
  'kvm_dirty_ring_reset',
  'kvm',
  { vcpu: 'u32', dirty: 'u32', reset: 'u32', used: 'u32' },
  (e) => `${ringText(e)} (used ${e.used})`,
  'Entries of a dirty ring that user space has taken were given back.',
);

export const kvmDirtyRingExit = event(
  'kvm_dirty_ring_exit',
  'kvm',
  { vcpu: 'u32' },
  (e) => `vcpu ${e.vcpu}`,
  'The dirty ring is nearly full: the vCPU stays out of the guest until user space has emptied it.',
);

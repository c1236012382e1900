/** The vCPU fd: its mapping and its ioctls (virt/kvm/kvm_main.c: kvm_vcpu_ioctl; arch/x86/kvm/x86.c: kvm_arch_vcpu_ioctl). */

import type { Hpa } from '../../address.ts';
import { gva, PAGE_SIZE } from '../../address.ts';
import type { FileOperations, OpenFile } from '../core/file.ts';
import { copyFromUser, copyToUser, getStruct, putStruct, refusePointer } from '../core/uaccess.ts';
import type { Vma } from '../core/vma.ts';
import { E2BIG, EFAULT, EINVAL, EIO, ENOMEM } from '../uapi/errno.ts';
import {
  KVM_DIRTY_LOG_PAGE_OFFSET,
  KVM_ENABLE_CAP,
  KVM_GET_CPUID2,
  KVM_GET_FPU,
  KVM_GET_MP_STATE,
  KVM_GET_MSRS,
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_GET_STATS_FD,
  KVM_GET_XCRS,
  KVM_GET_XSAVE,
  KVM_MP_STATE_HALTED,
  KVM_MP_STATE_INIT_RECEIVED,
  KVM_MP_STATE_RUNNABLE,
  KVM_MP_STATE_SIPI_RECEIVED,
  KVM_RUN,
  KVM_SET_CPUID2,
  KVM_SET_FPU,
  KVM_SET_MP_STATE,
  KVM_SET_MSRS,
  KVM_SET_REGS,
  KVM_SET_SIGNAL_MASK,
  KVM_SET_SREGS,
  KVM_SET_XCRS,
  KVM_SET_XSAVE,
  KVM_TRANSLATE,
  kvm_cpuid_entry2,
  kvm_cpuid2,
  kvm_enable_cap,
  kvm_mp_state,
  kvm_msr_entry,
  kvm_msrs,
  kvm_regs,
  kvm_signal_mask,
  kvm_sregs,
  kvm_translation,
} from '../uapi/kvm.ts';
import { type StructOf, struct, u64 } from '../uapi/struct.ts';
import { PROT_EXEC } from '../uapi/syscalls.ts';
import { acceptApicEvents } from './apic-events.ts';
import { tscIoctls } from './clock-ioctl.ts';
import { ADDRESS_SIZES, findCpuid, MAX_CPUID_ENTRIES } from './cpuid.ts';
import { eventIoctls } from './event-ioctl.ts';
import { fpuIoctls } from './fpu-ioctl.ts';
import { debugIoctls } from './guest-debug.ts';
import { translate } from './guest-paging.ts';
import { IoctlTable } from './ioctl-table.ts';
import { readMsr, writeMsr } from './msrs.ts';
import { getRegs, getSregs, setRegs, setSregs } from './registers.ts';
import { runVcpu } from './run-loop.ts';
import { vcpuStatsFd } from './stats-fd.ts';
import type { CpuidEntry, KvmVcpu } from './vcpu.ts';

/** MAX_IO_MSRS. */
const MAX_MSRS = 256;
/** kvm_check_cpuid: with four levels of page tables, with five, or not told. */
const LINEAR_BITS = [0, 48, 57];
/** sigset_t: 64 signals. */
const signalSet = struct('sigset_t', { value: u64 });

const large = new IoctlTable<KvmVcpu>().copies(
  ...[KVM_GET_REGS, KVM_SET_REGS, KVM_GET_SREGS, KVM_SET_SREGS, KVM_GET_FPU, KVM_SET_FPU],
  ...[KVM_GET_XSAVE, KVM_SET_XSAVE, KVM_GET_XCRS, KVM_SET_XCRS],
);
const table = tscIoctls(fpuIoctls(debugIoctls(eventIoctls(large))))
  .gives(KVM_GET_REGS, kvm_regs, getRegs)
  .takes(KVM_SET_REGS, kvm_regs, setRegs)
  .gives(KVM_GET_SREGS, kvm_sregs, getSregs)
  .takes(KVM_SET_SREGS, kvm_sregs, setSregs)
  .plain(KVM_GET_MSRS, getMsrs)
  .plain(KVM_SET_MSRS, setMsrs)
  .plain(KVM_SET_CPUID2, setCpuid)
  .plain(KVM_GET_CPUID2, getCpuid)
  .gives(KVM_GET_MP_STATE, kvm_mp_state, (vcpu) => {
    acceptApicEvents(vcpu);
    return { mp_state: vcpu.mpState === KVM_MP_STATE_HALTED && vcpu.unhalted ? KVM_MP_STATE_RUNNABLE : vcpu.mpState };
  })
  .takes(KVM_SET_MP_STATE, kvm_mp_state, setMpState)
  .updates(KVM_TRANSLATE, kvm_translation, (vcpu, translation) => {
    const found = translate(vcpu, gva(translation.linear_address));
    return {
      ...translation,
      physical_address: found === undefined ? ~0n : BigInt(found.gpa),
      valid: found === undefined ? 0 : 1,
      // kvm_arch_vcpu_ioctl_translate says so of every address.
      writeable: 1,
      usermode: 0,
    };
  })
  .plain(KVM_SET_SIGNAL_MASK, setSignalMask)
  .plain(KVM_GET_STATS_FD, vcpuStatsFd)
  // kvm_vcpu_ioctl_enable_cap: all that can be switched on here is Hyper-V's.
  .takes(KVM_ENABLE_CAP, kvm_enable_cap, ({ kernel }, { cap }) =>
    kernel.refuse(EINVAL, `capability ${cap} cannot be switched on for a vCPU`),
  );

/** kvm_vcpu_ioctl_set_sigmask: which signals are blocked during KVM_RUN; no mask, no change. */
function setSignalMask(vcpu: KvmVcpu, argument: number): number {
  const { kernel } = vcpu;
  if (argument === 0) {
    vcpu.signalMask = undefined;
    return 0;
  }
  const header = getStruct(kernel, kvm_signal_mask, argument);
  if (typeof header === 'number') return header;
  if (header.len !== signalSet.size) return kernel.refuse(EINVAL, 'a signal mask has 8 bytes');
  const set = getStruct(kernel, signalSet, argument + kvm_signal_mask.size);
  if (typeof set === 'number') return set;
  vcpu.signalMask = set.value;
  return 0;
}

/** Without an in-kernel local APIC a vCPU can only be runnable: user space keeps the rest. */
function setMpState(vcpu: KvmVcpu, { mp_state }: { mp_state: number }): number {
  if (vcpu.lapic === undefined && mp_state !== KVM_MP_STATE_RUNNABLE)
    return vcpu.kernel.refuse(EINVAL, 'without an in-kernel local APIC a vCPU is RUNNABLE');
  if (mp_state > KVM_MP_STATE_SIPI_RECEIVED) return vcpu.kernel.refuse(EINVAL, `there is no state ${mp_state}`);
  const starts = mp_state === KVM_MP_STATE_SIPI_RECEIVED;
  vcpu.mpState = starts ? KVM_MP_STATE_INIT_RECEIVED : mp_state;
  vcpu.apicEvents.startup ||= starts;
  vcpu.requestEvent();
  return 0;
}

function getMsrs(vcpu: KvmVcpu, argument: number): number {
  return eachMsr(vcpu, argument, true, (entry) => {
    const value = readMsr(vcpu, entry.index, true);
    if (value === undefined) return false;
    entry.data = value;
    return true;
  });
}

function setMsrs(vcpu: KvmVcpu, argument: number): number {
  return eachMsr(vcpu, argument, false, (entry) => writeMsr(vcpu, entry.index, entry.data, true));
}

/** msr_io: how many entries were processed before one was refused; -E2BIG, -EFAULT. */
export function eachMsr(
  { kernel }: Pick<KvmVcpu, 'kernel'>,
  argument: number,
  writeBack: boolean,
  process: (entry: { index: number; data: bigint }) => boolean,
): number {
  const header = getStruct(kernel, kvm_msrs, argument);
  if (typeof header === 'number') return header;
  if (header.nmsrs >= MAX_MSRS) return kernel.refuse(E2BIG, `at most ${MAX_MSRS - 1} MSRs at once`);
  if (header.nmsrs > 0 && !kernel.kmalloc('struct kvm_msr_entry[]')) return -ENOMEM;
  const bytes = new Uint8Array(header.nmsrs * kvm_msr_entry.size);
  const user = argument + kvm_msrs.size;
  if (copyFromUser(kernel, bytes, user) < 0) return refusePointer(kernel, user, bytes.length);
  const view = new DataView(bytes.buffer);
  let done = 0;
  for (; done < header.nmsrs; done++) {
    const at = done * kvm_msr_entry.size;
    const entry = kvm_msr_entry.read(view, at);
    if (!process(entry)) break;
    kvm_msr_entry.write(view, entry, at);
  }
  if (writeBack && copyToUser(kernel, user, bytes) < 0) return refusePointer(kernel, user, bytes.length);
  return done;
}

function setCpuid(vcpu: KvmVcpu, argument: number): number {
  const { kernel } = vcpu;
  const header = getStruct(kernel, kvm_cpuid2, argument);
  if (typeof header === 'number') return header;
  if (header.nent > MAX_CPUID_ENTRIES) return kernel.refuse(E2BIG, `at most ${MAX_CPUID_ENTRIES} CPUID entries`);
  if (header.nent > 0 && !kernel.kmalloc('struct kvm_cpuid_entry2[]')) return -ENOMEM;
  const entries: CpuidEntry[] = [];
  for (let i = 0; i < header.nent; i++) {
    const entry = getStruct(kernel, kvm_cpuid_entry2, argument + kvm_cpuid2.size + i * kvm_cpuid_entry2.size);
    if (typeof entry === 'number') return entry;
    entries.push(entry);
  }
  // kvm_set_cpuid: what a processor is does not change once it has run.
  if (vcpu.stats.exits > 0)
    return sameCpuid(vcpu.cpuid, entries) ? 0 : kernel.refuse(EINVAL, 'the vCPU has run with another CPUID');
  const linearBits = ((findCpuid(entries, ADDRESS_SIZES, 0)?.eax ?? 0) >> 8) & 0xff;
  if (!LINEAR_BITS.includes(linearBits))
    return kernel.refuse(EINVAL, `linear addresses have 48 or 57 bits, not ${linearBits}`);
  vcpu.cpuid = entries;
  return 0;
}

/** kvm_cpuid_check_equal. */
const sameCpuid = (before: readonly CpuidEntry[], entries: readonly CpuidEntry[]): boolean =>
  before.length === entries.length &&
  before.every((entry, at) =>
    (['function', 'index', 'flags', 'eax', 'ebx', 'ecx', 'edx'] as const).every(
      (member) => entry[member] === entries[at]![member],
    ),
  );

/** kvm_vcpu_ioctl_get_cpuid2: -E2BIG says nothing of how many there are. */
function getCpuid(vcpu: KvmVcpu, argument: number): number {
  const header = getStruct(vcpu.kernel, kvm_cpuid2, argument);
  return typeof header === 'number' ? header : giveCpuid(vcpu, argument, header, vcpu.cpuid);
}

/** kvm_dev_ioctl_get_cpuid: the processor's own entries, made in memory of their size. */
export function getSupportedCpuid(
  module: Pick<KvmVcpu, 'kernel'>,
  argument: number,
  entries: readonly CpuidEntry[],
): number {
  const { kernel } = module;
  const header = getStruct(kernel, kvm_cpuid2, argument);
  if (typeof header === 'number') return header;
  if (header.nent > 0 && !kernel.kmalloc('struct kvm_cpuid_entry2[]')) return -ENOMEM;
  return giveCpuid(module, argument, header, entries);
}

/** Copy CPUID entries behind `struct kvm_cpuid2`, and their number into it; -E2BIG if user space left room for fewer. */
function giveCpuid(
  { kernel }: Pick<KvmVcpu, 'kernel'>,
  argument: number,
  header: StructOf<typeof kvm_cpuid2>,
  entries: readonly CpuidEntry[],
): number {
  const nent = entries.length;
  if (header.nent < nent) return kernel.refuse(E2BIG, `there are ${nent} CPUID entries, room for ${header.nent}`);
  for (const [i, entry] of entries.entries()) {
    const at = argument + kvm_cpuid2.size + i * kvm_cpuid_entry2.size;
    if (putStruct(kernel, kvm_cpuid_entry2, at, entry) < 0) return -EFAULT;
  }
  return putStruct(kernel, kvm_cpuid2, argument, { ...header, nent });
}

/** File operations of a vCPU fd. */
export const vcpuOperations: FileOperations = {
  ioctl(file, request, argument) {
    const vcpu = vcpuOf(file);
    const { kernel } = vcpu;
    if (kernel.current.mm !== vcpu.vm.mm) return kernel.refuse(EIO, 'the vCPU belongs to another process');
    // Hot: a Map is not asked for what nearly all calls are.
    if (request === KVM_RUN.number) return runVcpu(vcpu, argument);
    kernel.attention.call();
    const result = table.dispatch(vcpu, request, argument);
    return result ?? kernel.refuse(EINVAL, 'no such vCPU ioctl');
  },
  mmap(file, vma) {
    const vcpu = vcpuOf(file);
    const frames: readonly Hpa[] = [vcpu.run.frame, vcpu.run.pioFrame, vcpu.vm.ringFrame];
    const ring = vcpu.dirtyRing?.frames ?? [];
    // kvm_vcpu_mmap: a private copy of a ring would show nothing, and there is no code in it.
    const [first, last] = [vma.offset, vma.offset + vma.length - PAGE_SIZE].map(
      (at) => at / PAGE_SIZE - KVM_DIRTY_LOG_PAGE_OFFSET,
    );
    if ((!vma.shared || vma.protection & PROT_EXEC) && (first! in ring || last! in ring))
      return vcpu.vm.kernel.refuse(EINVAL, 'a dirty ring is mapped shared, and not to be executed');
    mapFrames(vma, frames, ring);
    return 0;
  },
  release(file) {
    vcpuOf(file).vm.put();
  },
};

const vcpuOf = (file: OpenFile) => file.privateData as KvmVcpu;

/** kvm_vcpu_fault: kvm_run, the port data, the coalesced ring, further on the dirty ring; beyond them a touch is SIGBUS. */
function mapFrames(vma: Vma, frames: readonly Hpa[], ring: readonly Hpa[]): void {
  vma.fault = (page) => frames[page] ?? ring[page - KVM_DIRTY_LOG_PAGE_OFFSET] ?? -EFAULT;
}

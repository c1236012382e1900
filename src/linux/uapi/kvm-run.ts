/**
 * `struct kvm_run`: page 0 of the mapping of a vCPU fd, shared between KVM and user space, and the exit reasons in it
 * (include/uapi/linux/kvm.h). Page 1 holds the data of port accesses, page 2 the coalesced-MMIO ring.
 *
 * The structures describe the layout; the RUN_* constants are the same offsets from the start of `kvm_run`, for code on
 * the exit path that reads the shared page with a DataView and allocates nothing.
 */

import { kvm_regs, kvm_sregs, kvm_vcpu_events } from './kvm.ts';
import { bytes, nested, type Struct, s32, struct, u8, u16, u32, u64 } from './struct.ts';

/** Register sets that `kvm_valid_regs` and `kvm_dirty_regs` name; their places are {@link kvm_sync_regs}. */
export const KVM_SYNC_X86_REGS = 1;
export const KVM_SYNC_X86_SREGS = 2;
export const KVM_SYNC_X86_EVENTS = 4;
/** Reasons of KVM_EXIT_X86_RDMSR and KVM_EXIT_X86_WRMSR. */
export const KVM_MSR_EXIT_REASON_INVAL = 1;
export const KVM_MSR_EXIT_REASON_UNKNOWN = 2;
export const KVM_MSR_EXIT_REASON_FILTER = 4;

export const KVM_RUN_SIZE = 2352;
export const KVM_VCPU_MMAP_SIZE = 3 * 4096;
/** Where the data of KVM_EXIT_IO lies, from the start of `kvm_run`. */
export const KVM_PIO_PAGE_OFFSET = 0x1000;
export const KVM_COALESCED_RING_OFFSET = 0x2000;
export const KVM_COALESCED_MMIO_MAX = 170;
/** Start of the union that `exit_reason` selects. */
export const KVM_RUN_UNION = 32;

export const kvm_run = struct('kvm_run', {
  request_interrupt_window: u8,
  immediate_exit: u8,
  padding1: bytes(6),
  exit_reason: u32,
  ready_for_interrupt_injection: u8,
  if_flag: u8,
  flags: u16,
  cr8: u64,
  apic_base: u64,
  exit: bytes(256),
  kvm_valid_regs: u64,
  kvm_dirty_regs: u64,
  s: bytes(2048),
});

export const KVM_EXIT_IO_IN = 0;
export const KVM_EXIT_IO_OUT = 1;
/** Union member of KVM_EXIT_IO. */
export const kvm_run_io = struct('kvm_run.io', { direction: u8, size: u8, port: u16, count: u32, data_offset: u64 });
/** Union member of KVM_EXIT_MMIO; for a read, `data` is the answer at re-entry. */
export const kvm_run_mmio = struct('kvm_run.mmio', { phys_addr: u64, data: bytes(8), len: u32, is_write: u8 });
/** Union member of KVM_EXIT_UNKNOWN. */
export const kvm_run_hw = struct('kvm_run.hw', { hardware_exit_reason: u64 });
/** Union member of KVM_EXIT_FAIL_ENTRY. */
export const kvm_run_fail_entry = struct('kvm_run.fail_entry', { hardware_entry_failure_reason: u64, cpu: u32 });
/** Union member of KVM_EXIT_HYPERCALL. */
export const kvm_run_hypercall = struct('kvm_run.hypercall', {
  nr: u64,
  args: bytes(48),
  ret: u64,
  longmode: u32,
  pad: u32,
});
export const KVM_INTERNAL_ERROR_EMULATION = 1;
export const KVM_INTERNAL_ERROR_SIMUL_EX = 2;
export const KVM_INTERNAL_ERROR_DELIVERY_EV = 3;
export const KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON = 4;
/** Union member of KVM_EXIT_INTERNAL_ERROR; `data` is 16 64-bit words. */
export const kvm_run_internal = struct('kvm_run.internal', { suberror: u32, ndata: u32, data: bytes(128) });
/** Union member of KVM_EXIT_X86_RDMSR and KVM_EXIT_X86_WRMSR. */
export const kvm_run_msr = struct('kvm_run.msr', { error: u8, pad: bytes(7), reason: u32, index: u32, data: u64 });
export const KVM_SYSTEM_EVENT_SHUTDOWN = 1;
export const KVM_SYSTEM_EVENT_RESET = 2;
export const KVM_SYSTEM_EVENT_CRASH = 3;
/** Union member of KVM_EXIT_SYSTEM_EVENT. */
export const kvm_run_system_event = struct('kvm_run.system_event', { type: u32, ndata: u32, data: bytes(128) });
/** Header of the coalesced ring; {@link kvm_coalesced_mmio} entries follow. */
export const kvm_coalesced_mmio_ring = struct('kvm_coalesced_mmio_ring', { first: u32, last: u32 });
export const kvm_coalesced_mmio = struct('kvm_coalesced_mmio', { phys_addr: u64, len: u32, pio: s32, data: bytes(8) });

export const RUN_REQUEST_INTERRUPT_WINDOW = kvm_run.offsets.request_interrupt_window;
export const RUN_IMMEDIATE_EXIT = kvm_run.offsets.immediate_exit;
export const RUN_EXIT_REASON = kvm_run.offsets.exit_reason;
export const RUN_READY_FOR_INTERRUPT_INJECTION = kvm_run.offsets.ready_for_interrupt_injection;
export const RUN_IF_FLAG = kvm_run.offsets.if_flag;
export const RUN_FLAGS = kvm_run.offsets.flags;
export const RUN_CR8 = kvm_run.offsets.cr8;
export const RUN_APIC_BASE = kvm_run.offsets.apic_base;
export const RUN_VALID_REGS = kvm_run.offsets.kvm_valid_regs;
export const RUN_DIRTY_REGS = kvm_run.offsets.kvm_dirty_regs;
export const RUN_IO_DIRECTION = KVM_RUN_UNION + kvm_run_io.offsets.direction;
export const RUN_IO_SIZE = KVM_RUN_UNION + kvm_run_io.offsets.size;
export const RUN_IO_PORT = KVM_RUN_UNION + kvm_run_io.offsets.port;
/** Where a field of one or two bytes stands in its 32-bit word: the exit path reads and writes fields that lie together as one. */
export const shiftInWord = (offset: number): number => (offset & 3) * 8;
export const IO_SIZE_SHIFT = shiftInWord(RUN_IO_SIZE);
export const IO_PORT_SHIFT = shiftInWord(RUN_IO_PORT);
export const RUN_IO_COUNT = KVM_RUN_UNION + kvm_run_io.offsets.count;
export const RUN_IO_DATA_OFFSET = KVM_RUN_UNION + kvm_run_io.offsets.data_offset;
export const RUN_MMIO_PHYS_ADDR = KVM_RUN_UNION + kvm_run_mmio.offsets.phys_addr;
export const RUN_MMIO_DATA = KVM_RUN_UNION + kvm_run_mmio.offsets.data;
export const RUN_MMIO_LEN = KVM_RUN_UNION + kvm_run_mmio.offsets.len;
export const RUN_MMIO_IS_WRITE = KVM_RUN_UNION + kvm_run_mmio.offsets.is_write;
export const RUN_HARDWARE_EXIT_REASON = KVM_RUN_UNION + kvm_run_hw.offsets.hardware_exit_reason;
export const RUN_FAIL_ENTRY_REASON = KVM_RUN_UNION + kvm_run_fail_entry.offsets.hardware_entry_failure_reason;
export const RUN_MSR_ERROR = KVM_RUN_UNION + kvm_run_msr.offsets.error;
export const RUN_MSR_DATA = KVM_RUN_UNION + kvm_run_msr.offsets.data;
/** struct kvm_sync_regs: the register sets in `kvm_run.s`. */
export const kvm_sync_regs = struct('kvm_sync_regs', {
  regs: nested(kvm_regs),
  sregs: nested(kvm_sregs),
  events: nested(kvm_vcpu_events),
});
export const RUN_SYNC_REGS = kvm_run.offsets.s;
export const RUN_INTERNAL_SUBERROR = KVM_RUN_UNION + kvm_run_internal.offsets.suberror;
export const RUN_INTERNAL_NDATA = KVM_RUN_UNION + kvm_run_internal.offsets.ndata;
export const RUN_INTERNAL_DATA = KVM_RUN_UNION + kvm_run_internal.offsets.data;

export const KVM_EXIT_UNKNOWN = 0;
export const KVM_EXIT_EXCEPTION = 1;
export const KVM_EXIT_IO = 2;
export const KVM_EXIT_HYPERCALL = 3;
export const KVM_EXIT_DEBUG = 4;
export const KVM_EXIT_HLT = 5;
export const KVM_EXIT_MMIO = 6;
export const KVM_EXIT_IRQ_WINDOW_OPEN = 7;
export const KVM_EXIT_SHUTDOWN = 8;
export const KVM_EXIT_FAIL_ENTRY = 9;
export const KVM_EXIT_INTR = 10;
export const KVM_EXIT_SET_TPR = 11;
export const KVM_EXIT_TPR_ACCESS = 12;
export const KVM_EXIT_NMI = 16;
export const KVM_EXIT_INTERNAL_ERROR = 17;
export const KVM_EXIT_SYSTEM_EVENT = 24;
export const KVM_EXIT_IOAPIC_EOI = 26;
export const KVM_EXIT_HYPERV = 27;
export const KVM_EXIT_X86_RDMSR = 29;
export const KVM_EXIT_X86_WRMSR = 30;
export const KVM_EXIT_DIRTY_RING_FULL = 31;
export const KVM_EXIT_X86_BUS_LOCK = 33;
export const KVM_EXIT_NOTIFY = 37;

const exitNames: Readonly<Record<number, string>> = {
  [KVM_EXIT_UNKNOWN]: 'KVM_EXIT_UNKNOWN',
  [KVM_EXIT_EXCEPTION]: 'KVM_EXIT_EXCEPTION',
  [KVM_EXIT_IO]: 'KVM_EXIT_IO',
  [KVM_EXIT_HYPERCALL]: 'KVM_EXIT_HYPERCALL',
  [KVM_EXIT_DEBUG]: 'KVM_EXIT_DEBUG',
  [KVM_EXIT_HLT]: 'KVM_EXIT_HLT',
  [KVM_EXIT_MMIO]: 'KVM_EXIT_MMIO',
  [KVM_EXIT_IRQ_WINDOW_OPEN]: 'KVM_EXIT_IRQ_WINDOW_OPEN',
  [KVM_EXIT_SHUTDOWN]: 'KVM_EXIT_SHUTDOWN',
  [KVM_EXIT_FAIL_ENTRY]: 'KVM_EXIT_FAIL_ENTRY',
  [KVM_EXIT_INTR]: 'KVM_EXIT_INTR',
  [KVM_EXIT_SET_TPR]: 'KVM_EXIT_SET_TPR',
  [KVM_EXIT_TPR_ACCESS]: 'KVM_EXIT_TPR_ACCESS',
  [KVM_EXIT_NMI]: 'KVM_EXIT_NMI',
  [KVM_EXIT_INTERNAL_ERROR]: 'KVM_EXIT_INTERNAL_ERROR',
  [KVM_EXIT_SYSTEM_EVENT]: 'KVM_EXIT_SYSTEM_EVENT',
  [KVM_EXIT_IOAPIC_EOI]: 'KVM_EXIT_IOAPIC_EOI',
  [KVM_EXIT_HYPERV]: 'KVM_EXIT_HYPERV',
  [KVM_EXIT_X86_RDMSR]: 'KVM_EXIT_X86_RDMSR',
  [KVM_EXIT_X86_WRMSR]: 'KVM_EXIT_X86_WRMSR',
  [KVM_EXIT_DIRTY_RING_FULL]: 'KVM_EXIT_DIRTY_RING_FULL',
  [KVM_EXIT_X86_BUS_LOCK]: 'KVM_EXIT_X86_BUS_LOCK',
  [KVM_EXIT_NOTIFY]: 'KVM_EXIT_NOTIFY',
};
/** Members of kvm_run's union, by the exit reason that they belong to. */
const exitStructs: Readonly<Record<number, Struct>> = {
  [KVM_EXIT_UNKNOWN]: kvm_run_hw,
  [KVM_EXIT_IO]: kvm_run_io,
  [KVM_EXIT_MMIO]: kvm_run_mmio,
  [KVM_EXIT_FAIL_ENTRY]: kvm_run_fail_entry,
  [KVM_EXIT_HYPERCALL]: kvm_run_hypercall,
  [KVM_EXIT_INTERNAL_ERROR]: kvm_run_internal,
  [KVM_EXIT_X86_RDMSR]: kvm_run_msr,
  [KVM_EXIT_X86_WRMSR]: kvm_run_msr,
  [KVM_EXIT_SYSTEM_EVENT]: kvm_run_system_event,
};
/** All exit reasons with names, and the structure that tells more, where one is declared. */
export const kvmExits = (): readonly {
  readonly name: string;
  readonly number: number;
  readonly struct: Struct | undefined;
}[] =>
  Object.entries(exitNames).map(([number, name]) => ({
    name,
    number: Number(number),
    struct: exitStructs[Number(number)],
  }));
/** `KVM_EXIT_IO` for 2, as the event kvm_userspace_exit prints it; the bare number for one without a name. */
export const kvmExitName = (reason: number): string => exitNames[reason] ?? String(reason);

/**
 * KVM's user API: structures and ioctls of /dev/kvm, VM, vCPU and device fds (include/uapi/linux/kvm.h and
 * arch/x86/include/uapi/asm/kvm.h of Linux 6.1). `struct kvm_run` is in kvm-run.ts, capabilities in kvm-capability.ts.
 */

import { _IO, _IOR, ioctl } from './ioctl.ts';
import { both, gives, int, KVMIO, none, plain, takes } from './kvm-declare.ts';
import { bytes, nested, s32, struct, u8, u16, u32, u64 } from './struct.ts';

export const KVM_API_VERSION = 12;

// --- memory slots -----------------------------------------------------------------------------------------------

export const KVM_MEM_LOG_DIRTY_PAGES = 1;
export const KVM_MEM_READONLY = 2;
/** `slot` holds the slot id in its low and the address space (0 normal, 1 SMM) in its high 16 bits. */
export const kvm_userspace_memory_region = struct('kvm_userspace_memory_region', {
  slot: u32,
  flags: u32,
  guest_phys_addr: u64,
  memory_size: u64,
  userspace_addr: u64,
});
export const kvm_dirty_log = struct('kvm_dirty_log', { slot: u32, padding1: u32, dirty_bitmap: u64 });
/** One entry of a dirty ring, which begins at page KVM_DIRTY_LOG_PAGE_OFFSET of the vCPU's mapping. */
export const kvm_dirty_gfn = struct('kvm_dirty_gfn', { flags: u32, slot: u32, offset: u64 });
export const KVM_DIRTY_GFN_F_DIRTY = 1;
export const KVM_DIRTY_GFN_F_RESET = 2;
export const KVM_DIRTY_LOG_PAGE_OFFSET = 64;
export const kvm_clear_dirty_log = struct('kvm_clear_dirty_log', {
  slot: u32,
  num_pages: u32,
  first_page: u64,
  dirty_bitmap: u64,
});

// --- registers --------------------------------------------------------------------------------------------------

export const kvm_regs = struct('kvm_regs', {
  rax: u64,
  rbx: u64,
  rcx: u64,
  rdx: u64,
  rsi: u64,
  rdi: u64,
  rsp: u64,
  rbp: u64,
  r8: u64,
  r9: u64,
  r10: u64,
  r11: u64,
  r12: u64,
  r13: u64,
  r14: u64,
  r15: u64,
  rip: u64,
  rflags: u64,
});
export const kvm_segment = struct('kvm_segment', {
  base: u64,
  limit: u32,
  selector: u16,
  type: u8,
  present: u8,
  dpl: u8,
  db: u8,
  s: u8,
  l: u8,
  g: u8,
  avl: u8,
  unusable: u8,
  padding: u8,
});
export const kvm_dtable = struct('kvm_dtable', { base: u64, limit: u16, padding: bytes(6) });
export const kvm_sregs = struct('kvm_sregs', {
  cs: nested(kvm_segment),
  ds: nested(kvm_segment),
  es: nested(kvm_segment),
  fs: nested(kvm_segment),
  gs: nested(kvm_segment),
  ss: nested(kvm_segment),
  tr: nested(kvm_segment),
  ldt: nested(kvm_segment),
  gdt: nested(kvm_dtable),
  idt: nested(kvm_dtable),
  cr0: u64,
  cr2: u64,
  cr3: u64,
  cr4: u64,
  cr8: u64,
  efer: u64,
  apic_base: u64,
  interrupt_bitmap: bytes(32),
});
export const kvm_translation = struct('kvm_translation', {
  linear_address: u64,
  physical_address: u64,
  valid: u8,
  writeable: u8,
  usermode: u8,
  pad: bytes(5),
});
export const kvm_interrupt = struct('kvm_interrupt', { irq: u32 });
export const kvm_signal_mask = struct('kvm_signal_mask', { len: u32 });
/** Header of KVM_GET/SET_MSRS; `nmsrs` entries of {@link kvm_msr_entry} follow. */
export const kvm_msrs = struct('kvm_msrs', { nmsrs: u32, pad: u32 });
export const kvm_msr_entry = struct('kvm_msr_entry', { index: u32, reserved: u32, data: u64 });
/** Header of the MSR lists; `nmsrs` indexes of 4 bytes follow. */
export const kvm_msr_list = struct('kvm_msr_list', { nmsrs: u32 });
/** Header of the CPUID calls; `nent` entries of {@link kvm_cpuid_entry2} follow. */
export const kvm_cpuid2 = struct('kvm_cpuid2', { nent: u32, padding: u32 });
export const KVM_CPUID_FLAG_SIGNIFCANT_INDEX = 1;
export const kvm_cpuid_entry2 = struct('kvm_cpuid_entry2', {
  function: u32,
  index: u32,
  flags: u32,
  eax: u32,
  ebx: u32,
  ecx: u32,
  edx: u32,
  padding: bytes(12),
});
export const kvm_fpu = struct('kvm_fpu', {
  fpr: bytes(128),
  fcw: u16,
  fsw: u16,
  ftwx: u8,
  pad1: u8,
  last_opcode: u16,
  last_ip: u64,
  last_dp: u64,
  xmm: bytes(256),
  mxcsr: u32,
  pad2: u32,
});
export const kvm_lapic_state = struct('kvm_lapic_state', { regs: bytes(1024) });
export const kvm_xsave = struct('kvm_xsave', { region: bytes(4096) });
export const kvm_xcrs = struct('kvm_xcrs', { nr_xcrs: u32, flags: u32, xcrs: bytes(256), padding: bytes(128) });
export const kvm_debugregs = struct('kvm_debugregs', {
  db: bytes(32),
  dr6: u64,
  dr7: u64,
  flags: u64,
  reserved: bytes(72),
});
export const KVM_VCPUEVENT_VALID_NMI_PENDING = 1;
export const KVM_VCPUEVENT_VALID_SIPI_VECTOR = 2;
export const KVM_VCPUEVENT_VALID_SHADOW = 4;
export const KVM_VCPUEVENT_VALID_SMM = 8;
export const kvm_vcpu_events = struct('kvm_vcpu_events', {
  exception_injected: u8,
  exception_nr: u8,
  exception_has_error_code: u8,
  exception_pending: u8,
  exception_error_code: u32,
  interrupt_injected: u8,
  interrupt_nr: u8,
  interrupt_soft: u8,
  interrupt_shadow: u8,
  nmi_injected: u8,
  nmi_pending: u8,
  nmi_masked: u8,
  nmi_pad: u8,
  sipi_vector: u32,
  flags: u32,
  smi: bytes(4),
  triple_fault_pending: u8,
  reserved: bytes(26),
  exception_has_payload: u8,
  exception_payload: u64,
});
export const KVM_MP_STATE_RUNNABLE = 0;
export const KVM_MP_STATE_UNINITIALIZED = 1;
export const KVM_MP_STATE_INIT_RECEIVED = 2;
export const KVM_MP_STATE_HALTED = 3;
export const KVM_MP_STATE_SIPI_RECEIVED = 4;
export const kvm_mp_state = struct('kvm_mp_state', { mp_state: u32 });

// --- devices, eventfds, interrupts ------------------------------------------------------------------------------

export const KVM_DEV_TYPE_VFIO = 4;
export const KVM_CREATE_DEVICE_TEST = 1;
export const kvm_create_device = struct('kvm_create_device', { type: u32, fd: u32, flags: u32 });
export const KVM_DEV_VFIO_GROUP = 1;
export const KVM_DEV_VFIO_GROUP_ADD = 1;
export const KVM_DEV_VFIO_GROUP_DEL = 2;
/** What the three are called since 6.6, where the file may be a device as well. */
export const KVM_DEV_VFIO_FILE = KVM_DEV_VFIO_GROUP;
export const KVM_DEV_VFIO_FILE_ADD = KVM_DEV_VFIO_GROUP_ADD;
export const KVM_DEV_VFIO_FILE_DEL = KVM_DEV_VFIO_GROUP_DEL;
export const kvm_device_attr = struct('kvm_device_attr', { flags: u32, group: u32, attr: u64, addr: u64 });
export const kvm_enable_cap = struct('kvm_enable_cap', {
  cap: u32,
  flags: u32,
  arg0: u64,
  arg1: u64,
  arg2: u64,
  arg3: u64,
  pad: bytes(64),
});
export const KVM_IOEVENTFD_FLAG_DATAMATCH = 1;
export const KVM_IOEVENTFD_FLAG_PIO = 2;
export const KVM_IOEVENTFD_FLAG_DEASSIGN = 4;
export const KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY = 8;
export const kvm_ioeventfd = struct('kvm_ioeventfd', {
  datamatch: u64,
  addr: u64,
  len: u32,
  fd: s32,
  flags: u32,
  pad: bytes(36),
});
export const KVM_IRQFD_FLAG_DEASSIGN = 1;
export const KVM_IRQFD_FLAG_RESAMPLE = 2;
export const kvm_irqfd = struct('kvm_irqfd', { fd: u32, gsi: u32, flags: u32, resamplefd: u32, pad: bytes(16) });
export const kvm_irq_level = struct('kvm_irq_level', { irq: u32, level: u32 });
export const KVM_IRQCHIP_PIC_MASTER = 0;
export const KVM_IRQCHIP_PIC_SLAVE = 1;
export const KVM_IRQCHIP_IOAPIC = 2;
/** `chip` of {@link kvm_irqchip} for a PIC. */
export const kvm_pic_state = struct('kvm_pic_state', {
  last_irr: u8,
  irr: u8,
  imr: u8,
  isr: u8,
  priority_add: u8,
  irq_base: u8,
  read_reg_select: u8,
  poll: u8,
  special_mask: u8,
  init_state: u8,
  auto_eoi: u8,
  rotate_on_auto_eoi: u8,
  special_fully_nested_mode: u8,
  init4: u8,
  elcr: u8,
  elcr_mask: u8,
});
/** `chip` of {@link kvm_irqchip} for the I/O APIC; the table has 24 entries of 8 bytes. */
export const kvm_ioapic_state = struct('kvm_ioapic_state', {
  base_address: u64,
  ioregsel: u32,
  id: u32,
  irr: u32,
  pad: u32,
  redirtbl: bytes(24 * 8),
});
export const kvm_irqchip = struct('kvm_irqchip', { chip_id: u32, pad: u32, chip: bytes(512) });
export const KVM_PIT_SPEAKER_DUMMY = 1;
export const kvm_reinject_control = struct('kvm_reinject_control', { pit_reinject: u8, reserved: bytes(31) });
export const kvm_pit_config = struct('kvm_pit_config', { flags: u32, pad: bytes(60) });
export const KVM_IRQ_ROUTING_IRQCHIP = 1;
export const KVM_IRQ_ROUTING_MSI = 2;
export const KVM_MSI_VALID_DEVID = 1;
/** Header of KVM_SET_GSI_ROUTING; `nr` entries of {@link kvm_irq_routing_entry} follow. */
export const kvm_irq_routing = struct('kvm_irq_routing', { nr: u32, flags: u32 });
/** `u` is {irqchip u32, pin u32} for type 1 and {address_lo, address_hi, data, devid} for type 2 (MSI). */
export const kvm_irq_routing_entry = struct('kvm_irq_routing_entry', {
  gsi: u32,
  type: u32,
  flags: u32,
  pad: u32,
  u: bytes(32),
});
export const kvm_msi = struct('kvm_msi', {
  address_lo: u32,
  address_hi: u32,
  data: u32,
  flags: u32,
  devid: u32,
  pad: bytes(12),
});
export const kvm_coalesced_mmio_zone = struct('kvm_coalesced_mmio_zone', { addr: u64, size: u32, pio: u32 });
export const KVM_IOREGION_PIO = 1;
export const KVM_IOREGION_DEASSIGN = 2;
/**
 * A range of guest addresses that a file serves: an access at `guest_paddr + n` is a pread or pwrite of the file at
 * `file_offset + n`, made by KVM in the vCPU's thread. Needs KVM_CAP_IOREGIONFD to be switched on.
 */
export const kvm_ioregion = struct('kvm_ioregion', {
  guest_paddr: u64,
  memory_size: u64,
  file_offset: u64,
  fd: s32,
  flags: u32,
  pad: bytes(32),
});
export const KVM_CLOCK_TSC_STABLE = 2;
export const KVM_CLOCK_REALTIME = 4;
export const KVM_CLOCK_HOST_TSC = 8;
export const kvm_clock_data = struct('kvm_clock_data', {
  clock: u64,
  flags: u32,
  pad0: u32,
  realtime: u64,
  host_tsc: u64,
  pad: bytes(16),
});
/** `ranges` are 16 of {@link kvm_msr_filter_range}. */
export const kvm_msr_filter = struct('kvm_msr_filter', { flags: u32, pad: u32, ranges: bytes(384) });
export const KVM_MSR_FILTER_DEFAULT_DENY = 1;
export const KVM_MSR_FILTER_READ = 1;
export const KVM_MSR_FILTER_WRITE = 2;
/** `bitmap` points to a bit an MSR from `base` on: 1 allows. */
export const kvm_msr_filter_range = struct('kvm_msr_filter_range', { flags: u32, nmsrs: u32, base: u32, bitmap: u64 });
const u64Pointee = struct('u64', { value: u64 });

// --- ioctls -----------------------------------------------------------------------------------------------------

// /dev/kvm
export const KVM_GET_API_VERSION = plain('KVM_GET_API_VERSION', 0x00, none, 'Returns 12.');
export const KVM_CREATE_VM = plain(
  'KVM_CREATE_VM',
  0x01,
  int,
  'Makes a VM of the given machine type (0); returns its fd.',
);
export const KVM_GET_MSR_INDEX_LIST = both(
  'KVM_GET_MSR_INDEX_LIST',
  0x02,
  kvm_msr_list,
  'Which MSRs GET/SET_MSRS know.',
);
export const KVM_CHECK_EXTENSION = plain('KVM_CHECK_EXTENSION', 0x03, int, 'Value of a capability, 0 if absent.');
export const KVM_GET_VCPU_MMAP_SIZE = plain('KVM_GET_VCPU_MMAP_SIZE', 0x04, none, 'Bytes to mmap of a vCPU fd: 12288.');
export const KVM_GET_SUPPORTED_CPUID = both('KVM_GET_SUPPORTED_CPUID', 0x05, kvm_cpuid2, 'CPUID leaves KVM can offer.');
export const KVM_GET_MSR_FEATURE_INDEX_LIST = both(
  'KVM_GET_MSR_FEATURE_INDEX_LIST',
  0x0a,
  kvm_msr_list,
  'Which feature MSRs exist.',
);

// VM
export const KVM_CREATE_VCPU = plain('KVM_CREATE_VCPU', 0x41, int, 'Makes the vCPU with the given id; returns its fd.');
export const KVM_GET_DIRTY_LOG = takes(
  'KVM_GET_DIRTY_LOG',
  0x42,
  kvm_dirty_log,
  'Fetches and clears the dirty bitmap.',
);
export const KVM_SET_NR_MMU_PAGES = plain('KVM_SET_NR_MMU_PAGES', 0x44, int, 'Limits the shadow pages of the VM.');
export const KVM_SET_USER_MEMORY_REGION = takes(
  'KVM_SET_USER_MEMORY_REGION',
  0x46,
  kvm_userspace_memory_region,
  'Makes, moves, changes or (size 0) deletes a memory slot.',
);
export const KVM_SET_TSS_ADDR = plain('KVM_SET_TSS_ADDR', 0x47, int, 'Where VMX may put its real-mode TSS.');
export const KVM_SET_IDENTITY_MAP_ADDR = takes(
  'KVM_SET_IDENTITY_MAP_ADDR',
  0x48,
  u64Pointee,
  'Where VMX may put its identity-map page.',
);
export const KVM_CREATE_IRQCHIP = plain('KVM_CREATE_IRQCHIP', 0x60, none, 'Makes PIC, IOAPIC and default GSI routes.');
export const KVM_IRQ_LINE = takes('KVM_IRQ_LINE', 0x61, kvm_irq_level, 'Sets the level of a GSI.');
export const KVM_GET_IRQCHIP = both('KVM_GET_IRQCHIP', 0x62, kvm_irqchip, 'Reads an in-kernel interrupt controller.');
// Declared _IOR in the kernel although the kernel reads it: the number is part of the ABI.
export const KVM_SET_IRQCHIP = ioctl(
  'KVM_SET_IRQCHIP',
  _IOR(KVMIO, 0x63, kvm_irqchip.size),
  { kind: 'in', struct: kvm_irqchip },
  'Writes an in-kernel interrupt controller.',
);
export const KVM_IRQ_LINE_STATUS = both(
  'KVM_IRQ_LINE_STATUS',
  0x67,
  kvm_irq_level,
  'KVM_IRQ_LINE that tells the outcome.',
);
export const KVM_REGISTER_COALESCED_MMIO = takes(
  'KVM_REGISTER_COALESCED_MMIO',
  0x67,
  kvm_coalesced_mmio_zone,
  'Batches writes to a range in the ring.',
);
export const KVM_UNREGISTER_COALESCED_MMIO = takes(
  'KVM_UNREGISTER_COALESCED_MMIO',
  0x68,
  kvm_coalesced_mmio_zone,
  'Ends the batching of a range.',
);
export const KVM_SET_GSI_ROUTING = takes(
  'KVM_SET_GSI_ROUTING',
  0x6a,
  kvm_irq_routing,
  'Replaces the GSI routing table.',
);
// Declared _IO in the kernel although the kernel reads a structure.
export const KVM_REINJECT_CONTROL = ioctl(
  'KVM_REINJECT_CONTROL',
  _IO(KVMIO, 0x71),
  { kind: 'in', struct: kvm_reinject_control },
  'Whether lost PIT ticks are re-injected.',
);
export const KVM_IRQFD = takes('KVM_IRQFD', 0x76, kvm_irqfd, 'Ties an eventfd to a GSI.');
export const KVM_CREATE_PIT2 = takes('KVM_CREATE_PIT2', 0x77, kvm_pit_config, 'Makes the in-kernel PIT.');
export const KVM_SET_BOOT_CPU_ID = plain('KVM_SET_BOOT_CPU_ID', 0x78, int, 'Which vCPU is the bootstrap processor.');
export const KVM_IOEVENTFD = takes('KVM_IOEVENTFD', 0x79, kvm_ioeventfd, 'Ties a guest write to an eventfd.');
export const KVM_SET_CLOCK = takes('KVM_SET_CLOCK', 0x7b, kvm_clock_data, 'Sets kvmclock.');
export const KVM_GET_CLOCK = gives('KVM_GET_CLOCK', 0x7c, kvm_clock_data, 'Reads kvmclock.');
export const KVM_ENABLE_CAP = takes('KVM_ENABLE_CAP', 0xa3, kvm_enable_cap, 'Switches a capability on.');
export const KVM_SIGNAL_MSI = takes('KVM_SIGNAL_MSI', 0xa5, kvm_msi, 'Delivers one message-signalled interrupt.');
export const KVM_CLEAR_DIRTY_LOG = both(
  'KVM_CLEAR_DIRTY_LOG',
  0xc0,
  kvm_clear_dirty_log,
  'Clears dirty bits of a range.',
);
export const KVM_X86_SET_MSR_FILTER = takes(
  'KVM_X86_SET_MSR_FILTER',
  0xc6,
  kvm_msr_filter,
  'Which MSRs the guest may use.',
);
export const KVM_RESET_DIRTY_RINGS = plain(
  'KVM_RESET_DIRTY_RINGS',
  0xc7,
  none,
  'Gives back the entries of the dirty rings that user space has taken.',
);
export const KVM_GET_STATS_FD = plain('KVM_GET_STATS_FD', 0xce, none, 'A file of binary statistics.');
/**
 * The seed's ioctl (no mainline kernel has it): makes the in-kernel port device `xche`. The number is the model's own, from
 * a range that Linux 6.1 does not use.
 */
export const KVM_CREATE_XCHE = plain('KVM_CREATE_XCHE', 0xf8, none, 'Makes the in-kernel device xche; not in Linux.');
/** Experimental, after a proposal of 2020 that was never merged: see {@link kvm_ioregion}. */
export const KVM_SET_IOREGION = takes(
  'KVM_SET_IOREGION',
  0x49,
  kvm_ioregion,
  'Lets a file serve a range of addresses; experimental.',
);
export const KVM_CREATE_DEVICE = both(
  'KVM_CREATE_DEVICE',
  0xe0,
  kvm_create_device,
  'Makes an in-kernel device; `fd` is filled.',
);

// device fd
export const KVM_SET_DEVICE_ATTR = takes(
  'KVM_SET_DEVICE_ATTR',
  0xe1,
  kvm_device_attr,
  'Writes an attribute of a device.',
);
export const KVM_GET_DEVICE_ATTR = takes(
  'KVM_GET_DEVICE_ATTR',
  0xe2,
  kvm_device_attr,
  'Reads an attribute of a device.',
);
export const KVM_HAS_DEVICE_ATTR = takes(
  'KVM_HAS_DEVICE_ATTR',
  0xe3,
  kvm_device_attr,
  'Whether a device has an attribute.',
);

// vCPU
export const KVM_RUN = plain('KVM_RUN', 0x80, int, 'Runs the guest until it needs user space; see kvm_run.');
export const KVM_GET_REGS = gives('KVM_GET_REGS', 0x81, kvm_regs, 'Reads the general registers.');
export const KVM_SET_REGS = takes('KVM_SET_REGS', 0x82, kvm_regs, 'Writes the general registers.');
export const KVM_GET_SREGS = gives('KVM_GET_SREGS', 0x83, kvm_sregs, 'Reads segments, tables and control registers.');
export const KVM_SET_SREGS = takes('KVM_SET_SREGS', 0x84, kvm_sregs, 'Writes segments, tables and control registers.');
export const KVM_TRANSLATE = both('KVM_TRANSLATE', 0x85, kvm_translation, "Walks the guest's page tables.");
export const KVM_INTERRUPT = takes('KVM_INTERRUPT', 0x86, kvm_interrupt, 'Queues an external interrupt.');
export const KVM_GET_MSRS = both('KVM_GET_MSRS', 0x88, kvm_msrs, 'Reads MSRs; returns how many.');
export const KVM_SET_MSRS = takes('KVM_SET_MSRS', 0x89, kvm_msrs, 'Writes MSRs; returns how many.');
export const KVM_SET_SIGNAL_MASK = takes(
  'KVM_SET_SIGNAL_MASK',
  0x8b,
  kvm_signal_mask,
  'Signals blocked during KVM_RUN.',
);
export const KVM_GET_FPU = gives('KVM_GET_FPU', 0x8c, kvm_fpu, 'Reads the x87 and SSE state.');
export const KVM_SET_FPU = takes('KVM_SET_FPU', 0x8d, kvm_fpu, 'Writes the x87 and SSE state.');
export const KVM_GET_LAPIC = gives('KVM_GET_LAPIC', 0x8e, kvm_lapic_state, 'Reads the local APIC page.');
export const KVM_SET_LAPIC = takes('KVM_SET_LAPIC', 0x8f, kvm_lapic_state, 'Writes the local APIC page.');
export const KVM_SET_CPUID2 = takes('KVM_SET_CPUID2', 0x90, kvm_cpuid2, 'Defines what the guest sees by CPUID.');
export const KVM_GET_CPUID2 = both('KVM_GET_CPUID2', 0x91, kvm_cpuid2, 'Reads what the guest sees by CPUID.');
export const KVM_GET_MP_STATE = gives('KVM_GET_MP_STATE', 0x98, kvm_mp_state, 'Running, halted or waiting for INIT.');
export const KVM_SET_MP_STATE = takes('KVM_SET_MP_STATE', 0x99, kvm_mp_state, 'Sets the multiprocessing state.');
export const KVM_NMI = plain('KVM_NMI', 0x9a, none, 'Queues a non-maskable interrupt.');
export const KVM_GET_VCPU_EVENTS = gives('KVM_GET_VCPU_EVENTS', 0x9f, kvm_vcpu_events, 'Reads pending events.');
export const KVM_SET_VCPU_EVENTS = takes('KVM_SET_VCPU_EVENTS', 0xa0, kvm_vcpu_events, 'Writes pending events.');
export const KVM_GET_DEBUGREGS = gives('KVM_GET_DEBUGREGS', 0xa1, kvm_debugregs, 'Reads the debug registers.');
export const KVM_SET_DEBUGREGS = takes('KVM_SET_DEBUGREGS', 0xa2, kvm_debugregs, 'Writes the debug registers.');
export const KVM_GET_XSAVE = gives('KVM_GET_XSAVE', 0xa4, kvm_xsave, 'Reads the XSAVE area.');
export const KVM_SET_XSAVE = takes('KVM_SET_XSAVE', 0xa5, kvm_xsave, 'Writes the XSAVE area.');
export const KVM_GET_XCRS = gives('KVM_GET_XCRS', 0xa6, kvm_xcrs, 'Reads the extended control registers.');
export const KVM_SET_XCRS = takes('KVM_SET_XCRS', 0xa7, kvm_xcrs, 'Writes the extended control registers.');
export const KVM_KVMCLOCK_CTRL = plain('KVM_KVMCLOCK_CTRL', 0xad, none, 'Tells the guest that it was paused.');
export const KVM_SET_TSC_KHZ = plain('KVM_SET_TSC_KHZ', 0xa2, int, 'Sets the rate of the time-stamp counter.');
export const KVM_GET_TSC_KHZ = plain('KVM_GET_TSC_KHZ', 0xa3, none, 'Rate of the time-stamp counter, in kHz.');
export const KVM_SMI = plain('KVM_SMI', 0xb7, none, 'Queues a system management interrupt.');

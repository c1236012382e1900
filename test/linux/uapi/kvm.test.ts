import { expect, test } from 'vitest';
import * as kvm from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';

// Numbers printed by a program compiled against the uapi headers of Linux 6.1 on x86-64.
const numbers: readonly (readonly [string, number])[] = [
  ['KVM_GET_API_VERSION', 0x0000ae00],
  ['KVM_CREATE_VM', 0x0000ae01],
  ['KVM_GET_MSR_INDEX_LIST', 0xc004ae02],
  ['KVM_CHECK_EXTENSION', 0x0000ae03],
  ['KVM_GET_VCPU_MMAP_SIZE', 0x0000ae04],
  ['KVM_GET_SUPPORTED_CPUID', 0xc008ae05],
  ['KVM_GET_MSR_FEATURE_INDEX_LIST', 0xc004ae0a],
  ['KVM_CREATE_VCPU', 0x0000ae41],
  ['KVM_GET_DIRTY_LOG', 0x4010ae42],
  ['KVM_SET_NR_MMU_PAGES', 0x0000ae44],
  ['KVM_SET_USER_MEMORY_REGION', 0x4020ae46],
  ['KVM_SET_TSS_ADDR', 0x0000ae47],
  ['KVM_SET_IDENTITY_MAP_ADDR', 0x4008ae48],
  ['KVM_CREATE_IRQCHIP', 0x0000ae60],
  ['KVM_IRQ_LINE', 0x4008ae61],
  ['KVM_GET_IRQCHIP', 0xc208ae62],
  ['KVM_SET_IRQCHIP', 0x8208ae63],
  ['KVM_IRQ_LINE_STATUS', 0xc008ae67],
  ['KVM_REGISTER_COALESCED_MMIO', 0x4010ae67],
  ['KVM_UNREGISTER_COALESCED_MMIO', 0x4010ae68],
  ['KVM_SET_GSI_ROUTING', 0x4008ae6a],
  ['KVM_REINJECT_CONTROL', 0x0000ae71],
  ['KVM_IRQFD', 0x4020ae76],
  ['KVM_CREATE_PIT2', 0x4040ae77],
  ['KVM_SET_BOOT_CPU_ID', 0x0000ae78],
  ['KVM_IOEVENTFD', 0x4040ae79],
  ['KVM_SET_CLOCK', 0x4030ae7b],
  ['KVM_GET_CLOCK', 0x8030ae7c],
  ['KVM_RUN', 0x0000ae80],
  ['KVM_GET_REGS', 0x8090ae81],
  ['KVM_SET_REGS', 0x4090ae82],
  ['KVM_GET_SREGS', 0x8138ae83],
  ['KVM_SET_SREGS', 0x4138ae84],
  ['KVM_TRANSLATE', 0xc018ae85],
  ['KVM_INTERRUPT', 0x4004ae86],
  ['KVM_GET_MSRS', 0xc008ae88],
  ['KVM_SET_MSRS', 0x4008ae89],
  ['KVM_SET_SIGNAL_MASK', 0x4004ae8b],
  ['KVM_GET_FPU', 0x81a0ae8c],
  ['KVM_SET_CPUID2', 0x4008ae90],
  ['KVM_NMI', 0x0000ae9a],
  ['KVM_ENABLE_CAP', 0x4068aea3],
  ['KVM_SIGNAL_MSI', 0x4020aea5],
  ['KVM_KVMCLOCK_CTRL', 0x0000aead],
  ['KVM_SMI', 0x0000aeb7],
  ['KVM_CLEAR_DIRTY_LOG', 0xc018aec0],
  ['KVM_X86_SET_MSR_FILTER', 0x4188aec6],
  ['KVM_GET_STATS_FD', 0x0000aece],
  ['KVM_CREATE_DEVICE', 0xc00caee0],
  ['KVM_SET_DEVICE_ATTR', 0x4018aee1],
  ['KVM_GET_DEVICE_ATTR', 0x4018aee2],
  ['KVM_HAS_DEVICE_ATTR', 0x4018aee3],
];
test.each(numbers)('%s', (name, number) => {
  expect(new Map<string, unknown>(Object.entries(kvm)).get(name)).toMatchObject({ name, number });
});

test('kvm structures have the sizes and offsets of the headers', () => {
  expect(kvm.kvm_userspace_memory_region.offsets).toEqual({
    slot: 0,
    flags: 4,
    guest_phys_addr: 8,
    memory_size: 16,
    userspace_addr: 24,
  });
  expect(kvm.kvm_segment.size).toBe(24);
  expect(kvm.kvm_segment.offsets).toMatchObject({ base: 0, limit: 8, selector: 12, type: 14, present: 15, dpl: 16 });
  expect(kvm.kvm_segment.offsets).toMatchObject({ db: 17, s: 18, l: 19, g: 20, avl: 21, unusable: 22 });
  expect(kvm.kvm_sregs.offsets).toMatchObject({ cs: 0, ss: 120, tr: 144, ldt: 168, gdt: 192, idt: 208, cr0: 224 });
  expect(kvm.kvm_sregs.offsets).toMatchObject({ cr8: 256, efer: 264, apic_base: 272, interrupt_bitmap: 280 });
  expect(kvm.kvm_regs.offsets).toMatchObject({ rax: 0, rsi: 32, rsp: 48, r8: 64, rip: 128, rflags: 136 });
  expect(kvm.kvm_ioeventfd.offsets).toMatchObject({ datamatch: 0, addr: 8, len: 16, fd: 20, flags: 24, pad: 28 });
  expect(kvm.kvm_irqfd.offsets).toMatchObject({ fd: 0, gsi: 4, flags: 8, resamplefd: 12 });
  expect(kvm.kvm_cpuid_entry2.size).toBe(40);
  expect(kvm.kvm_msr_entry.size).toBe(16);
  expect(kvm.kvm_irq_routing_entry.size).toBe(48);
  expect(kvm.kvm_translation.offsets).toMatchObject({ valid: 16, writeable: 17, usermode: 18 });
});

test('kvm_run has the layout of the headers', () => {
  expect(run.kvm_run.size).toBe(run.KVM_RUN_SIZE);
  expect(run.kvm_run.offsets).toMatchObject({
    exit_reason: 8,
    if_flag: 13,
    flags: 14,
    cr8: 16,
    apic_base: 24,
    exit: 32,
  });
  expect(run.kvm_run.offsets).toMatchObject({ kvm_valid_regs: 288, kvm_dirty_regs: 296, s: 304 });
  const io = [run.RUN_IO_DIRECTION, run.RUN_IO_SIZE, run.RUN_IO_PORT, run.RUN_IO_COUNT, run.RUN_IO_DATA_OFFSET];
  expect(io).toEqual([32, 33, 34, 36, 40]);
  const mmio = [run.RUN_MMIO_PHYS_ADDR, run.RUN_MMIO_DATA, run.RUN_MMIO_LEN, run.RUN_MMIO_IS_WRITE];
  expect(mmio).toEqual([32, 40, 48, 52]);
  expect([run.RUN_INTERNAL_SUBERROR, run.RUN_INTERNAL_NDATA, run.RUN_INTERNAL_DATA]).toEqual([32, 36, 40]);
  expect(run.kvm_run_msr.offsets).toMatchObject({ error: 0, reason: 8, index: 12, data: 16 });
  expect(run.kvm_coalesced_mmio.size).toBe(24);
});

test('exit reasons have the names that kvm_userspace_exit prints', () => {
  expect(run.kvmExitName(2)).toBe('KVM_EXIT_IO');
  expect(run.kvmExitName(6)).toBe('KVM_EXIT_MMIO');
  expect(run.kvmExitName(17)).toBe('KVM_EXIT_INTERNAL_ERROR');
  expect(run.kvmExitName(99)).toBe('99');
});

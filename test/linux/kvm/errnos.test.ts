/**
 * Every errno of KVM's ioctls, provoked through the system call: one line an ioctl, an errno and the rule, in the order of
 * KVM's API documentation. What holds of all ioctls of a kind of fd (EIO, EFAULT) is tried on all that are declared.
 */

import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { Kernel } from '../../../src/linux/core/kernel.ts';
import {
  E2BIG,
  EAGAIN,
  EBADF,
  EBUSY,
  EEXIST,
  EFAULT,
  EINTR,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOMEM,
  ENOSPC,
  ENOTTY,
  ENXIO,
  EPERM,
  errnoName,
} from '../../../src/linux/uapi/errno.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import * as debug from '../../../src/linux/uapi/kvm-debug.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import { O_RDWR } from '../../../src/linux/uapi/syscalls.ts';
import { type FdKind, ioctlsOf } from '../../../src/linux/uapi/tables.ts';
import { Bench, User } from './bench.ts';
import { memoryAccess } from './scripted-cpu.ts';

const BAD_POINTER = 0x10;
const NOT_OPEN = 999;
const TWO_TO_64 = 2n ** 64n;
/** More than a board of PAGES of the modeled host. */
const TOO_MANY = 100_000;

interface Setting extends Bench {
  readonly irqchip?: true;
}
/** Which fd, ioctl, errno, the rule, and a call that breaks it; the call gets a VM with one vCPU. */
type Line = readonly [on: FdKind, ioctl: Ioctl, errno: number, rule: string, provoke: (bench: Setting) => number];

const vmCall =
  (ioctl: Ioctl, argument: number) =>
  ({ qemu, vmFd }: Bench) =>
    qemu.ioctl(vmFd, ioctl, argument);
const kvmCall =
  (ioctl: Ioctl, argument: number) =>
  ({ qemu, kvmFd }: Bench) =>
    qemu.ioctl(kvmFd, ioctl, argument);
const vcpuCall =
  (ioctl: Ioctl, argument: number) =>
  ({ qemu, vcpuFd }: Bench) =>
    qemu.ioctl(vcpuFd, ioctl, argument);
const passVm =
  <M extends Members>(ioctl: Ioctl, struct: Struct<M>, value: Partial<StructValue<M>>) =>
  ({ qemu, vmFd }: Bench) =>
    qemu.pass(vmFd, ioctl, struct, value);
const passVcpu =
  <M extends Members>(ioctl: Ioctl, struct: Struct<M>, value: Partial<StructValue<M>>) =>
  ({ qemu, vcpuFd }: Bench) =>
    qemu.pass(vcpuFd, ioctl, struct, value);

/** The host has no page frame left. */
function exhaust(bench: Bench): void {
  const { pages } = bench.kernel;
  for (let n = 0; n < TOO_MANY && pages.allocate() !== undefined; n++);
}
/** A VM without a vCPU. */
const emptyVm = (bench: Bench) => bench.qemu.ioctl(bench.kvmFd, uapi.KVM_CREATE_VM);
const eventfd = ({ qemu }: Bench) => qemu.user.syscalls.eventfd(0, 0);

const slot =
  (region: Partial<StructValue<(typeof uapi.kvm_userspace_memory_region)['members']>>) =>
  (bench: Bench): number =>
    passVm(uapi.KVM_SET_USER_MEMORY_REGION, uapi.kvm_userspace_memory_region, {
      memory_size: 4096n,
      userspace_addr: BigInt(bench.qemu.scratch),
      ...region,
    })(bench);
/** Slot 0: two pages at 0, or as told. */
const withSlot =
  (flags: number, next: (bench: Bench) => number) =>
  (bench: Bench): number => {
    expect(slot({ memory_size: 0x80000n, flags })(bench)).toBe(0);
    return next(bench);
  };
const dirtyLog = (value: object) => passVm(uapi.KVM_GET_DIRTY_LOG, uapi.kvm_dirty_log, value);
const clearLog = (value: object) => passVm(uapi.KVM_CLEAR_DIRTY_LOG, uapi.kvm_clear_dirty_log, value);
const LOG = uapi.KVM_MEM_LOG_DIRTY_PAGES;

const ioeventfd =
  (value: object, twice = false) =>
  (bench: Bench): number => {
    const args = { addr: 0x1000n, len: 4, fd: eventfd(bench), ...value };
    const call = passVm(uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, args);
    if (twice) expect(call(bench)).toBe(0);
    return call(bench);
  };
const irqfd =
  (value: object) =>
  (bench: Bench): number =>
    passVm(uapi.KVM_IRQFD, uapi.kvm_irqfd, { fd: eventfd(bench), gsi: 5, ...value })(bench);
const zone = (value: object) =>
  passVm(uapi.KVM_REGISTER_COALESCED_MMIO, uapi.kvm_coalesced_mmio_zone, { addr: 0x1000n, size: 4, ...value });
const fillBus = (bench: Bench) => {
  for (let n = 0; n < 1000; n++) expect(zone({ addr: BigInt(n * 4), pio: 1 })(bench)).toBe(0);
};

const routing =
  (header: object, ...entries: readonly object[]) =>
  (bench: Bench): number => {
    const bytes = new Uint8Array(uapi.kvm_irq_routing.size + entries.length * uapi.kvm_irq_routing_entry.size);
    bytes.set(uapi.kvm_irq_routing.encode({ nr: entries.length, ...header }));
    for (const [index, entry] of entries.entries())
      bytes.set(
        uapi.kvm_irq_routing_entry.encode(entry),
        uapi.kvm_irq_routing.size + index * uapi.kvm_irq_routing_entry.size,
      );
    bench.qemu.user.memory.write(bench.qemu.scratch, bytes);
    return bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_GSI_ROUTING, bench.qemu.scratch);
  };
const toChip = (gsi: number, chip: number, pin: number) => ({
  gsi,
  type: uapi.KVM_IRQ_ROUTING_IRQCHIP,
  u: new Uint8Array(Uint32Array.of(chip, pin, 0, 0, 0, 0, 0, 0).buffer),
});
const toMsi = (gsi: number) => ({
  gsi,
  type: uapi.KVM_IRQ_ROUTING_MSI,
  u: new Uint8Array(Uint32Array.of(0xfee00000, 0, 0x31, 0, 0, 0, 0, 0).buffer),
});
const enableCap = (value: object) => passVm(uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, value);
const ring = (bytes: bigint) => enableCap({ cap: KVM_CAP.DIRTY_LOG_RING, arg0: bytes });
/** On a VM without a vCPU; then also one whose dirty pages go into rings. */
const withoutVcpu = (next: (bench: Bench) => number) => (bench: Bench) =>
  next({ ...bench, qemu: bench.qemu, vmFd: emptyVm(bench) } as Bench);
const withRings = (next: (bench: Bench) => number) =>
  withoutVcpu((bench) => {
    expect(ring(65536n)(bench)).toBe(0);
    return next(bench);
  });
const msrs =
  (ioctl: Ioctl, fd: 'kvmFd' | 'vcpuFd', nmsrs: number, at?: number) =>
  (bench: Bench): number =>
    at === undefined
      ? bench.qemu.pass(bench[fd], ioctl, uapi.kvm_msrs, { nmsrs })
      : bench.qemu.ioctl(bench[fd], ioctl, at);
const filter =
  (flags: number, ...ranges: readonly object[]) =>
  (bench: Bench): number => {
    const bytes = new Uint8Array(16 * uapi.kvm_msr_filter_range.size);
    for (const [index, range] of ranges.entries())
      bytes.set(uapi.kvm_msr_filter_range.encode(range), index * uapi.kvm_msr_filter_range.size);
    return passVm(uapi.KVM_X86_SET_MSR_FILTER, uapi.kvm_msr_filter, { flags, ranges: bytes })(bench);
  };

const deviceFd = (bench: Bench) => {
  expect(passVm(uapi.KVM_CREATE_DEVICE, uapi.kvm_create_device, { type: uapi.KVM_DEV_TYPE_VFIO })(bench)).toBe(0);
  return bench.qemu.answer(uapi.kvm_create_device).fd;
};
const groupAttribute =
  (attr: bigint, groupFd: (bench: Bench, group: number) => number, group = uapi.KVM_DEV_VFIO_GROUP, twice = false) =>
  (bench: Bench): number => {
    const fd = deviceFd(bench);
    const groupFile = bench.qemu.user.syscalls.open('/dev/null', O_RDWR);
    const file = bench.qemu.process.files.get(groupFile);
    bench.kernel.symbols.set('vfio_file_is_valid', (candidate: unknown) => candidate === file);
    bench.kernel.symbols.set('vfio_file_set_kvm', () => {});
    const at = (bench.qemu.scratch + 512) as Hva;
    bench.qemu.user.memory.write(at, new Uint8Array(Int32Array.of(groupFd(bench, groupFile)).buffer));
    const call = () =>
      bench.qemu.pass(fd, uapi.KVM_SET_DEVICE_ATTR, uapi.kvm_device_attr, { group, attr, addr: BigInt(at) });
    if (twice) expect(call()).toBe(0);
    return call();
  };
const theGroup = (_bench: Bench, group: number) => group;

const events = (value: object) => passVcpu(uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, value);
const sregs = (value: object) => passVcpu(uapi.KVM_SET_SREGS, uapi.kvm_sregs, value);
const kvmRun =
  (offset: number, value: number) =>
  (bench: Bench): number => {
    bench.run.setUint32(offset, value, true);
    return bench.enter();
  };
const inject = debug.KVM_GUESTDBG_ENABLE | debug.KVM_GUESTDBG_INJECT_DB;
const guestDebug = passVcpu(debug.KVM_SET_GUEST_DEBUG, debug.kvm_guest_debug, { control: inject });

/** On a VM with its interrupt controllers in the kernel. */
const withIrqchip = (...lines: readonly Line[]): readonly Line[] =>
  lines.map(([on, ioctl, name, rule, provoke]) => [
    on,
    ioctl,
    name,
    `${rule} (in-kernel irqchip)`,
    () => provoke(new Bench({ irqchip: true })),
  ]);

const system: readonly Line[] = [
  ['kvm', uapi.KVM_GET_API_VERSION, EINVAL, 'the argument is 0', kvmCall(uapi.KVM_GET_API_VERSION, 1)],
  ['kvm', uapi.KVM_CREATE_VM, EINVAL, 'x86 has one machine type', kvmCall(uapi.KVM_CREATE_VM, 1)],
  [
    'kvm',
    uapi.KVM_CREATE_VM,
    ENOMEM,
    'no page frame',
    (bench) => {
      exhaust(bench);
      return kvmCall(uapi.KVM_CREATE_VM, 0)(bench);
    },
  ],
  ['kvm', uapi.KVM_GET_VCPU_MMAP_SIZE, EINVAL, 'the argument is 0', kvmCall(uapi.KVM_GET_VCPU_MMAP_SIZE, 1)],
  [
    'kvm',
    uapi.KVM_GET_MSR_INDEX_LIST,
    E2BIG,
    'too little room',
    ({ qemu, kvmFd }) => qemu.pass(kvmFd, uapi.KVM_GET_MSR_INDEX_LIST, uapi.kvm_msr_list, { nmsrs: 1 }),
  ],
  [
    'kvm',
    uapi.KVM_GET_MSR_FEATURE_INDEX_LIST,
    E2BIG,
    'too little room',
    ({ qemu, kvmFd }) => qemu.pass(kvmFd, uapi.KVM_GET_MSR_FEATURE_INDEX_LIST, uapi.kvm_msr_list, { nmsrs: 0 }),
  ],
  [
    'kvm',
    uapi.KVM_GET_SUPPORTED_CPUID,
    E2BIG,
    'too little room',
    ({ qemu, kvmFd }) => qemu.pass(kvmFd, uapi.KVM_GET_SUPPORTED_CPUID, uapi.kvm_cpuid2, { nent: 1 }),
  ],
  ['kvm', uapi.KVM_GET_MSRS, E2BIG, 'at most 255 at once', msrs(uapi.KVM_GET_MSRS, 'kvmFd', 256)],
];

const vm: readonly Line[] = [
  ['kvm-vm', uapi.KVM_CREATE_VCPU, EINVAL, 'ids are below 4096', vmCall(uapi.KVM_CREATE_VCPU, 4096)],
  ['kvm-vm', uapi.KVM_CREATE_VCPU, EEXIST, 'the id is taken', vmCall(uapi.KVM_CREATE_VCPU, 0)],
  [
    'kvm-vm',
    uapi.KVM_CREATE_VCPU,
    EINVAL,
    'a VM has 1024 vCPUs',
    (bench) => {
      // 1024 vCPUs are more than a process has file descriptors for, unless it closes them.
      for (let id = 1; id < 1024; id++) {
        const fd = bench.qemu.ioctl(bench.vmFd, uapi.KVM_CREATE_VCPU, id);
        expect(fd).toBeGreaterThan(0);
        bench.qemu.user.syscalls.close(fd);
      }
      return vmCall(uapi.KVM_CREATE_VCPU, 1024)(bench);
    },
  ],
  [
    'kvm-vm',
    uapi.KVM_CREATE_VCPU,
    ENOMEM,
    'no page frame',
    (bench) => {
      exhaust(bench);
      return vmCall(uapi.KVM_CREATE_VCPU, 1)(bench);
    },
  ],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'slot ids are below 32764', slot({ slot: 32764 })],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'unknown flags', slot({ flags: 4 })],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'whole pages', slot({ memory_size: 100n })],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'at a page of the guest', slot({ guest_phys_addr: 8n })],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'at a page of user space', slot({ userspace_addr: 8n })],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'in user space', slot({ userspace_addr: 1n << 63n })],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'two address spaces', slot({ slot: 2 << 16 })],
  [
    'kvm-vm',
    uapi.KVM_SET_USER_MEMORY_REGION,
    EINVAL,
    'no wrap',
    slot({ guest_phys_addr: TWO_TO_64 - 4096n, memory_size: 8192n }),
  ],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'at most 2^31 − 1 pages', slot({ memory_size: 2n ** 43n })],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'nothing to delete', slot({ memory_size: 0n })],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EINVAL, 'another size', withSlot(0, slot({ memory_size: 8192n }))],
  [
    'kvm-vm',
    uapi.KVM_SET_USER_MEMORY_REGION,
    EINVAL,
    'other memory',
    withSlot(0, slot({ memory_size: 0x80000n, userspace_addr: 0x10000n })),
  ],
  [
    'kvm-vm',
    uapi.KVM_SET_USER_MEMORY_REGION,
    EINVAL,
    'READONLY does not change',
    withSlot(0, slot({ memory_size: 0x80000n, flags: uapi.KVM_MEM_READONLY })),
  ],
  ['kvm-vm', uapi.KVM_SET_USER_MEMORY_REGION, EEXIST, 'no overlap', withSlot(0, slot({ slot: 1 }))],
  [
    'kvm-vm',
    uapi.KVM_SET_USER_MEMORY_REGION,
    EINVAL,
    'below the highest guest frame',
    slot({ guest_phys_addr: 1n << 51n }),
  ],
  [
    'kvm-vm',
    uapi.KVM_SET_USER_MEMORY_REGION,
    ENOMEM,
    'no page frame for a dirty bitmap',
    withSlot(0, (bench) => {
      exhaust(bench);
      return slot({ memory_size: 0x80000n, flags: LOG })(bench);
    }),
  ],
  [
    'kvm-vm',
    uapi.KVM_SET_USER_MEMORY_REGION,
    ENOMEM,
    'a dirty bitmap larger than the host',
    slot({ memory_size: 2n ** 42n, userspace_addr: 0x10000n, flags: LOG }),
  ],
  ['kvm-vm', uapi.KVM_GET_DIRTY_LOG, EINVAL, 'no such address space', dirtyLog({ slot: 2 << 16 })],
  ['kvm-vm', uapi.KVM_GET_DIRTY_LOG, EINVAL, 'slot ids are below 32764', dirtyLog({ slot: 32764 })],
  ['kvm-vm', uapi.KVM_CLEAR_DIRTY_LOG, EINVAL, 'slot ids are below 32764', clearLog({ slot: 32764 })],
  ['kvm-vm', uapi.KVM_GET_DIRTY_LOG, ENOENT, 'no such slot', dirtyLog({ slot: 0 })],
  ['kvm-vm', uapi.KVM_GET_DIRTY_LOG, ENOENT, 'the slot does not log', withSlot(0, dirtyLog({ slot: 0 }))],
  [
    'kvm-vm',
    uapi.KVM_GET_DIRTY_LOG,
    EFAULT,
    'the bitmap cannot be written',
    withSlot(LOG, dirtyLog({ slot: 0, dirty_bitmap: BigInt(BAD_POINTER) })),
  ],
  ['kvm-vm', uapi.KVM_GET_DIRTY_LOG, ENXIO, 'dirty pages are in rings', withRings(dirtyLog({ slot: 0 }))],
  ['kvm-vm', uapi.KVM_CLEAR_DIRTY_LOG, ENXIO, 'dirty pages are in rings', withRings(clearLog({ first_page: 1n }))],
  ['kvm-vm', uapi.KVM_RESET_DIRTY_RINGS, EINVAL, 'no rings', vmCall(uapi.KVM_RESET_DIRTY_RINGS, 0)],
  ['kvm-vm', uapi.KVM_ENABLE_CAP, EINVAL, 'a ring before the first vCPU', ring(65536n)],
  ['kvm-vm', uapi.KVM_ENABLE_CAP, EINVAL, 'a ring of a power of two', withoutVcpu(ring(65537n))],
  ['kvm-vm', uapi.KVM_ENABLE_CAP, EINVAL, 'a ring of a page', withoutVcpu(ring(2048n))],
  ['kvm-vm', uapi.KVM_ENABLE_CAP, E2BIG, 'a ring of 65536 entries', withoutVcpu(ring(2n ** 21n))],
  ['kvm-vm', uapi.KVM_ENABLE_CAP, EINVAL, 'the size of rings once', withRings(ring(65536n))],
  ['kvm-vm', uapi.KVM_CLEAR_DIRTY_LOG, EINVAL, 'no such address space', clearLog({ slot: 2 << 16 })],
  ['kvm-vm', uapi.KVM_CLEAR_DIRTY_LOG, EINVAL, 'from a multiple of 64', clearLog({ first_page: 1n })],
  ['kvm-vm', uapi.KVM_CLEAR_DIRTY_LOG, EINVAL, 'a multiple of 64 pages', withSlot(LOG, clearLog({ num_pages: 63 }))],
  [
    'kvm-vm',
    uapi.KVM_CLEAR_DIRTY_LOG,
    EINVAL,
    'inside the slot',
    withSlot(LOG, clearLog({ first_page: 128n, num_pages: 64 })),
  ],
  ['kvm-vm', uapi.KVM_CLEAR_DIRTY_LOG, ENOENT, 'the slot does not log', withSlot(0, clearLog({ num_pages: 64 }))],
  [
    'kvm-vm',
    uapi.KVM_CLEAR_DIRTY_LOG,
    EFAULT,
    'the bitmap cannot be read',
    withSlot(LOG, clearLog({ num_pages: 64, dirty_bitmap: BigInt(BAD_POINTER) })),
  ],
  ['kvm-vm', uapi.KVM_SET_NR_MMU_PAGES, EINVAL, 'at least 64', vmCall(uapi.KVM_SET_NR_MMU_PAGES, 63)],
  ['kvm-vm', uapi.KVM_SET_TSS_ADDR, EINVAL, 'three pages below 4 GiB', vmCall(uapi.KVM_SET_TSS_ADDR, 0xffffe000)],
  [
    'kvm-vm',
    uapi.KVM_SET_IDENTITY_MAP_ADDR,
    EINVAL,
    'before the first vCPU',
    ({ qemu, vmFd }) => qemu.ioctl(vmFd, uapi.KVM_SET_IDENTITY_MAP_ADDR, qemu.scratch),
  ],
  ['kvm-vm', uapi.KVM_CREATE_IRQCHIP, EINVAL, 'before the first vCPU', vmCall(uapi.KVM_CREATE_IRQCHIP, 0)],
  [
    'kvm-vm',
    uapi.KVM_CREATE_IRQCHIP,
    EEXIST,
    'once',
    (bench) => {
      const fd = emptyVm(bench);
      expect(bench.qemu.ioctl(fd, uapi.KVM_CREATE_IRQCHIP)).toBe(0);
      return bench.qemu.ioctl(fd, uapi.KVM_CREATE_IRQCHIP);
    },
  ],
  ['kvm-vm', uapi.KVM_IRQ_LINE, ENXIO, 'no irqchip', passVm(uapi.KVM_IRQ_LINE, uapi.kvm_irq_level, {})],
  ['kvm-vm', uapi.KVM_IRQ_LINE_STATUS, ENXIO, 'no irqchip', passVm(uapi.KVM_IRQ_LINE_STATUS, uapi.kvm_irq_level, {})],
  ['kvm-vm', uapi.KVM_GET_IRQCHIP, ENXIO, 'no irqchip', passVm(uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, {})],
  ['kvm-vm', uapi.KVM_SET_IRQCHIP, ENXIO, 'no irqchip', passVm(uapi.KVM_SET_IRQCHIP, uapi.kvm_irqchip, {})],
  ...withIrqchip(
    [
      'kvm-vm',
      uapi.KVM_GET_IRQCHIP,
      EINVAL,
      'chips 0 to 2',
      passVm(uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, { chip_id: 3 }),
    ],
    [
      'kvm-vm',
      uapi.KVM_SET_IRQCHIP,
      EINVAL,
      'chips 0 to 2',
      passVm(uapi.KVM_SET_IRQCHIP, uapi.kvm_irqchip, { chip_id: 3 }),
    ],
  ),
  [
    'kvm-vm',
    uapi.KVM_CREATE_PIT2,
    EEXIST,
    'once',
    (bench) => {
      const call = passVm(uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, {});
      expect(call(bench)).toBe(0);
      return call(bench);
    },
  ],
  [
    'kvm-vm',
    uapi.KVM_REINJECT_CONTROL,
    ENXIO,
    'no PIT',
    passVm(uapi.KVM_REINJECT_CONTROL, uapi.kvm_reinject_control, {}),
  ],
  ['kvm-vm', uapi.KVM_REINJECT_CONTROL, EFAULT, 'no structure', vmCall(uapi.KVM_REINJECT_CONTROL, 1)],
  ['kvm-vm', uapi.KVM_SET_BOOT_CPU_ID, EBUSY, 'before the first vCPU', vmCall(uapi.KVM_SET_BOOT_CPU_ID, 0)],
  ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'no irqchip', routing({})],
  ...withIrqchip(
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'at most 4096 routes', routing({ nr: 4097 })],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'no flags', routing({ flags: 1 })],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'GSIs below 4096', routing({}, toChip(4096, 0, 0))],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'a PIC has 8 pins', routing({}, toChip(0, 0, 8))],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'the I/O APIC has 24', routing({}, toChip(0, 2, 24))],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'a chip once', routing({}, toChip(5, 2, 5), toChip(5, 2, 6))],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'an MSI is alone', routing({}, toChip(5, 2, 5), toMsi(5))],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'chips 0 to 2', routing({}, toChip(5, 3, 0))],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'no flags of a chip', routing({}, { ...toChip(5, 2, 5), flags: 1 })],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'unknown flags of an MSI', routing({}, { ...toMsi(5), flags: 2 })],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EINVAL, 'types 1 and 2', routing({}, { ...toMsi(5), type: 3 })],
    ['kvm-vm', uapi.KVM_SET_GSI_ROUTING, EFAULT, 'the entries cannot be read', routing({ nr: 4096 })],
  ),
  ['kvm-vm', uapi.KVM_IRQFD, EINVAL, 'no irqchip', irqfd({})],
  ...withIrqchip(
    ['kvm-vm', uapi.KVM_IRQFD, EINVAL, 'unknown flags', irqfd({ flags: 4 })],
    ['kvm-vm', uapi.KVM_IRQFD, EBADF, 'not open', irqfd({ fd: NOT_OPEN })],
    ['kvm-vm', uapi.KVM_IRQFD, EINVAL, 'no eventfd', irqfd({ fd: 0 })],
    ['kvm-vm', uapi.KVM_IRQFD, EBADF, 'resamplefd not open', irqfd({ flags: 2, resamplefd: NOT_OPEN })],
    ['kvm-vm', uapi.KVM_IRQFD, EINVAL, 'resamplefd no eventfd', irqfd({ flags: 2, resamplefd: 0 })],
    ['kvm-vm', uapi.KVM_IRQFD, EBADF, 'DEASSIGN: not open', irqfd({ fd: NOT_OPEN, flags: 1 })],
    ['kvm-vm', uapi.KVM_IRQFD, EINVAL, 'DEASSIGN: no eventfd', (b) => irqfd({ fd: b.kvmFd, flags: 1 })(b)],
    [
      'kvm-vm',
      uapi.KVM_IRQFD,
      EBUSY,
      'an eventfd once',
      (bench) => {
        const fd = eventfd(bench);
        expect(irqfd({ fd })(bench)).toBe(0);
        return irqfd({ fd, gsi: 6 })(bench);
      },
    ],
  ),
  ['kvm-vm', uapi.KVM_IOEVENTFD, EINVAL, 'lengths 0, 1, 2, 4, 8', ioeventfd({ len: 3 })],
  ['kvm-vm', uapi.KVM_IOEVENTFD, EINVAL, 'no wrap', ioeventfd({ addr: TWO_TO_64 - 2n })],
  ['kvm-vm', uapi.KVM_IOEVENTFD, EINVAL, 'unknown flags', ioeventfd({ flags: 32 })],
  [
    'kvm-vm',
    uapi.KVM_IOEVENTFD,
    EINVAL,
    'length 0 matches no data',
    ioeventfd({ len: 0, flags: uapi.KVM_IOEVENTFD_FLAG_DATAMATCH }),
  ],
  ['kvm-vm', uapi.KVM_IOEVENTFD, EBADF, 'not open', ioeventfd({ fd: NOT_OPEN })],
  ['kvm-vm', uapi.KVM_IOEVENTFD, EINVAL, 'no eventfd', ioeventfd({ fd: 0 })],
  ['kvm-vm', uapi.KVM_IOEVENTFD, EEXIST, 'the same writes', ioeventfd({}, true)],
  [
    'kvm-vm',
    uapi.KVM_IOEVENTFD,
    ENOSPC,
    '1000 devices on the bus',
    (bench) => {
      fillBus(bench);
      return ioeventfd({ flags: uapi.KVM_IOEVENTFD_FLAG_PIO })(bench);
    },
  ],
  ['kvm-vm', uapi.KVM_IOEVENTFD, EBADF, 'DEASSIGN: not open', ioeventfd({ fd: NOT_OPEN, flags: 4 })],
  ['kvm-vm', uapi.KVM_IOEVENTFD, EINVAL, 'DEASSIGN: no eventfd', (b) => ioeventfd({ fd: b.kvmFd, flags: 4 })(b)],
  ['kvm-vm', uapi.KVM_IOEVENTFD, ENOENT, 'nothing to deassign', ioeventfd({ flags: uapi.KVM_IOEVENTFD_FLAG_DEASSIGN })],
  ['kvm-vm', uapi.KVM_SIGNAL_MSI, EINVAL, 'no irqchip', passVm(uapi.KVM_SIGNAL_MSI, uapi.kvm_msi, {})],
  ...withIrqchip(
    ['kvm-vm', uapi.KVM_SIGNAL_MSI, EINVAL, 'unknown flags', passVm(uapi.KVM_SIGNAL_MSI, uapi.kvm_msi, { flags: 2 })],
    [
      'kvm-vm',
      uapi.KVM_SIGNAL_MSI,
      EPERM,
      'no logical destinations at all (−1)',
      passVm(uapi.KVM_SIGNAL_MSI, uapi.kvm_msi, { address_lo: 0xfee07004, data: 0x41 }),
    ],
  ),
  ['kvm-vm', uapi.KVM_REGISTER_COALESCED_MMIO, EINVAL, 'pio is 0 or 1', zone({ pio: 2 })],
  [
    'kvm-vm',
    uapi.KVM_REGISTER_COALESCED_MMIO,
    ENOSPC,
    '1000 devices on the bus',
    (bench) => {
      fillBus(bench);
      return zone({ pio: 1 })(bench);
    },
  ],
  [
    'kvm-vm',
    uapi.KVM_UNREGISTER_COALESCED_MMIO,
    EINVAL,
    'pio is 0 or 1',
    passVm(uapi.KVM_UNREGISTER_COALESCED_MMIO, uapi.kvm_coalesced_mmio_zone, { pio: 2 }),
  ],
  [
    'kvm-vm',
    uapi.KVM_CREATE_DEVICE,
    ENODEV,
    'unknown type',
    passVm(uapi.KVM_CREATE_DEVICE, uapi.kvm_create_device, { type: 77 }),
  ],
  [
    'kvm-vm',
    uapi.KVM_CREATE_DEVICE,
    EBUSY,
    'one kvm-vfio a VM',
    (bench) => {
      deviceFd(bench);
      return passVm(uapi.KVM_CREATE_DEVICE, uapi.kvm_create_device, { type: uapi.KVM_DEV_TYPE_VFIO })(bench);
    },
  ],
  ['kvm-vm', uapi.KVM_ENABLE_CAP, EINVAL, 'no such capability', enableCap({ cap: KVM_CAP.IRQCHIP })],
  [
    'kvm-vm',
    uapi.KVM_ENABLE_CAP,
    EINVAL,
    'INITIALLY_SET needs MANUAL_PROTECT',
    enableCap({ cap: KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2, arg0: 2n }),
  ],
  [
    'kvm-vm',
    uapi.KVM_ENABLE_CAP,
    EINVAL,
    'unknown reasons of MSR exits',
    enableCap({ cap: KVM_CAP.X86_USER_SPACE_MSR, arg0: 8n }),
  ],
  [
    'kvm-vm',
    uapi.KVM_SET_CLOCK,
    EINVAL,
    'unknown flags',
    passVm(uapi.KVM_SET_CLOCK, uapi.kvm_clock_data, { flags: 1 }),
  ],
  ['kvm-vm', uapi.KVM_X86_SET_MSR_FILTER, EINVAL, 'unknown flags', filter(2)],
  ['kvm-vm', uapi.KVM_X86_SET_MSR_FILTER, EINVAL, 'deny all without ranges', filter(1)],
  ['kvm-vm', uapi.KVM_X86_SET_MSR_FILTER, EINVAL, 'unknown flags of a range', filter(0, { nmsrs: 1, flags: 4 })],
  ['kvm-vm', uapi.KVM_X86_SET_MSR_FILTER, EINVAL, 'at most 12288 MSRs a range', filter(0, { nmsrs: 12289, flags: 1 })],
  [
    'kvm-vm',
    uapi.KVM_X86_SET_MSR_FILTER,
    EFAULT,
    'the bitmap cannot be read',
    filter(0, { nmsrs: 8, flags: 1, bitmap: BigInt(BAD_POINTER) }),
  ],
  [
    'kvm-vm',
    uapi.KVM_CREATE_XCHE,
    EEXIST,
    'once',
    (bench) => {
      expect(vmCall(uapi.KVM_CREATE_XCHE, 0)(bench)).toBe(0);
      return vmCall(uapi.KVM_CREATE_XCHE, 0)(bench);
    },
  ],
];

const vcpu: readonly Line[] = [
  ['kvm-vcpu', uapi.KVM_RUN, EINVAL, 'the argument is 0', vcpuCall(uapi.KVM_RUN, 1)],
  ['kvm-vcpu', uapi.KVM_RUN, EINVAL, 'unknown kvm_valid_regs', kvmRun(run.RUN_VALID_REGS, 8)],
  ['kvm-vcpu', uapi.KVM_RUN, EINVAL, 'unknown kvm_dirty_regs', kvmRun(run.RUN_DIRTY_REGS, 8)],
  ['kvm-vcpu', uapi.KVM_RUN, EINVAL, 'CR8 has four bits', kvmRun(run.RUN_CR8, 16)],
  ['kvm-vcpu', uapi.KVM_RUN, EINTR, 'immediate_exit', kvmRun(run.RUN_IMMEDIATE_EXIT, 1)],
  [
    'kvm-vcpu',
    uapi.KVM_RUN,
    EINTR,
    'a signal',
    (bench) => {
      bench.qemu.process.pendingSignal = 'SIGINT';
      return bench.enter();
    },
  ],
  [
    'kvm-vcpu',
    uapi.KVM_RUN,
    EFAULT,
    'memory of a slot is not there',
    (bench) => {
      expect(slot({ userspace_addr: 0x20000n })(bench)).toBe(0);
      return bench.enter(memoryAccess(0, false, () => 'undecodable'));
    },
  ],
  ...withIrqchip([
    'kvm-vcpu',
    uapi.KVM_RUN,
    EAGAIN,
    'an application processor that nobody has started',
    (bench) => bench.qemu.ioctl(bench.qemu.ioctl(bench.vmFd, uapi.KVM_CREATE_VCPU, 1), uapi.KVM_RUN),
  ]),
  ['kvm-vcpu', uapi.KVM_SET_SREGS, EINVAL, 'paging without protection', sregs({ cr0: 0x80000000n })],
  [
    'kvm-vcpu',
    uapi.KVM_INTERRUPT,
    EINVAL,
    'vectors below 256',
    passVcpu(uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 256 }),
  ],
  ...withIrqchip([
    'kvm-vcpu',
    uapi.KVM_INTERRUPT,
    ENXIO,
    'the PIC is in the kernel',
    passVcpu(uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 32 }),
  ]),
  [
    'kvm-vcpu',
    uapi.KVM_INTERRUPT,
    EEXIST,
    'one at a time',
    (bench) => {
      const call = passVcpu(uapi.KVM_INTERRUPT, uapi.kvm_interrupt, { irq: 32 });
      expect(call(bench)).toBe(0);
      return call(bench);
    },
  ],
  ['kvm-vcpu', uapi.KVM_GET_MSRS, E2BIG, 'at most 255 at once', msrs(uapi.KVM_GET_MSRS, 'vcpuFd', 256)],
  ['kvm-vcpu', uapi.KVM_SET_MSRS, E2BIG, 'at most 255 at once', msrs(uapi.KVM_SET_MSRS, 'vcpuFd', 256)],
  [
    'kvm-vcpu',
    uapi.KVM_SET_CPUID2,
    E2BIG,
    'at most 256 entries',
    passVcpu(uapi.KVM_SET_CPUID2, uapi.kvm_cpuid2, { nent: 257 }),
  ],
  [
    'kvm-vcpu',
    uapi.KVM_GET_CPUID2,
    E2BIG,
    'too little room',
    (bench) => {
      expect(passVcpu(uapi.KVM_SET_CPUID2, uapi.kvm_cpuid2, { nent: 1 })(bench)).toBe(0);
      return passVcpu(uapi.KVM_GET_CPUID2, uapi.kvm_cpuid2, { nent: 0 })(bench);
    },
  ],
  [
    'kvm-vcpu',
    uapi.KVM_SET_SIGNAL_MASK,
    EINVAL,
    'a mask has 8 bytes',
    passVcpu(uapi.KVM_SET_SIGNAL_MASK, uapi.kvm_signal_mask, { len: 4 }),
  ],
  [
    'kvm-vcpu',
    uapi.KVM_GET_LAPIC,
    EINVAL,
    'no irqchip',
    ({ qemu, vcpuFd }) => qemu.ioctl(vcpuFd, uapi.KVM_GET_LAPIC, qemu.scratch),
  ],
  ['kvm-vcpu', uapi.KVM_SET_LAPIC, EINVAL, 'no irqchip', passVcpu(uapi.KVM_SET_LAPIC, uapi.kvm_lapic_state, {})],
  [
    'kvm-vcpu',
    uapi.KVM_SET_MP_STATE,
    EINVAL,
    'RUNNABLE only without an irqchip',
    passVcpu(uapi.KVM_SET_MP_STATE, uapi.kvm_mp_state, { mp_state: 3 }),
  ],
  ...withIrqchip([
    'kvm-vcpu',
    uapi.KVM_SET_MP_STATE,
    EINVAL,
    'no such state',
    passVcpu(uapi.KVM_SET_MP_STATE, uapi.kvm_mp_state, { mp_state: 99 }),
  ]),
  ['kvm-vcpu', uapi.KVM_SET_VCPU_EVENTS, EINVAL, 'unknown flags', events({ flags: 0x40 })],
  [
    'kvm-vcpu',
    uapi.KVM_SET_VCPU_EVENTS,
    EINVAL,
    '2 is no exception',
    events({ exception_injected: 1, exception_nr: 2 }),
  ],
  [
    'kvm-vcpu',
    uapi.KVM_SET_DEBUGREGS,
    EINVAL,
    'no flags',
    passVcpu(uapi.KVM_SET_DEBUGREGS, uapi.kvm_debugregs, { flags: 1n }),
  ],
  [
    'kvm-vcpu',
    uapi.KVM_SET_DEBUGREGS,
    EINVAL,
    'DR6 has 32 bits',
    passVcpu(uapi.KVM_SET_DEBUGREGS, uapi.kvm_debugregs, { dr6: 1n << 32n }),
  ],
  [
    'kvm-vcpu',
    uapi.KVM_SET_DEBUGREGS,
    EINVAL,
    'DR7 has 32 bits',
    passVcpu(uapi.KVM_SET_DEBUGREGS, uapi.kvm_debugregs, { dr7: 1n << 32n }),
  ],
  [
    'kvm-vcpu',
    uapi.KVM_SET_XSAVE,
    EINVAL,
    'state that the CPU has not',
    (bench) => {
      const region = new Uint8Array(4096);
      region[512] = 4;
      return passVcpu(uapi.KVM_SET_XSAVE, uapi.kvm_xsave, { region })(bench);
    },
  ],
  [
    'kvm-vcpu',
    uapi.KVM_SET_XSAVE,
    EINVAL,
    'reserved bits of MXCSR',
    (bench) => {
      const region = new Uint8Array(4096);
      region[26] = 1;
      return passVcpu(uapi.KVM_SET_XSAVE, uapi.kvm_xsave, { region })(bench);
    },
  ],
  ['kvm-vcpu', uapi.KVM_SET_XCRS, EINVAL, 'the CPU has no XSAVE', passVcpu(uapi.KVM_SET_XCRS, uapi.kvm_xcrs, {})],
  [
    'kvm-vcpu',
    debug.KVM_SET_GUEST_DEBUG,
    EBUSY,
    'an exception is queued',
    (bench) => {
      expect(guestDebug(bench)).toBe(0);
      return guestDebug(bench);
    },
  ],
  ['kvm-vcpu', uapi.KVM_SET_TSC_KHZ, EINVAL, 'no scaling', vcpuCall(uapi.KVM_SET_TSC_KHZ, 500_000)],
  ['kvm-vcpu', uapi.KVM_KVMCLOCK_CTRL, EINVAL, 'kvmclock is off', vcpuCall(uapi.KVM_KVMCLOCK_CTRL, 0)],
  ['kvm-vcpu', uapi.KVM_ENABLE_CAP, EINVAL, 'none for a vCPU', passVcpu(uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, {})],
  ['kvm-vcpu', uapi.KVM_SMI, ENOTTY, 'a kernel without system management mode', vcpuCall(uapi.KVM_SMI, 0)],
];

const device: readonly Line[] = [
  ['kvm-device', uapi.KVM_SET_DEVICE_ATTR, EBADF, 'ADD: not open', groupAttribute(1n, () => NOT_OPEN)],
  ['kvm-device', uapi.KVM_SET_DEVICE_ATTR, EINVAL, 'ADD: no VFIO group', groupAttribute(1n, ({ kvmFd }) => kvmFd)],
  ['kvm-device', uapi.KVM_SET_DEVICE_ATTR, EEXIST, 'ADD: once', groupAttribute(1n, theGroup, 1, true)],
  ['kvm-device', uapi.KVM_SET_DEVICE_ATTR, EBADF, 'DEL: not open', groupAttribute(2n, () => NOT_OPEN)],
  ['kvm-device', uapi.KVM_SET_DEVICE_ATTR, ENOENT, 'DEL: was not added', groupAttribute(2n, theGroup)],
  ['kvm-device', uapi.KVM_SET_DEVICE_ATTR, ENXIO, 'no such attribute', groupAttribute(3n, theGroup)],
  ['kvm-device', uapi.KVM_SET_DEVICE_ATTR, ENXIO, 'no such group', groupAttribute(1n, theGroup, 2)],
  [
    'kvm-device',
    uapi.KVM_SET_DEVICE_ATTR,
    EFAULT,
    'the fd cannot be read',
    (bench) =>
      bench.qemu.pass(deviceFd(bench), uapi.KVM_SET_DEVICE_ATTR, uapi.kvm_device_attr, {
        group: 1,
        attr: 1n,
        addr: BigInt(BAD_POINTER),
      }),
  ],
  [
    'kvm-device',
    uapi.KVM_HAS_DEVICE_ATTR,
    ENXIO,
    'no such group',
    (bench) => bench.qemu.pass(deviceFd(bench), uapi.KVM_HAS_DEVICE_ATTR, uapi.kvm_device_attr, { group: 9 }),
  ],
  [
    'kvm-device',
    uapi.KVM_GET_DEVICE_ATTR,
    EPERM,
    'kvm-vfio has nothing to read',
    (bench) => bench.qemu.pass(deviceFd(bench), uapi.KVM_GET_DEVICE_ATTR, uapi.kvm_device_attr, {}),
  ],
];

/** What the kernel said of the calls of a test. */
const refused = vi.spyOn(Kernel.prototype, 'refuse');
beforeEach(() => refused.mockClear());

const lines = [...system, ...vm, ...vcpu, ...device];

test.each(
  lines.map(([on, ioctl, errno, rule, provoke]) => [on, ioctl.name, errnoName(errno), rule, errno, provoke] as const),
)('%s %s %s: %s', (_on, _ioctl, _name, _rule, errno, provoke) => {
  expect(provoke(new Bench())).toBe(-errno);
  // That a call was interrupted breaks no rule; everything else says which (--explain).
  if (errno !== EINTR) expect(refused.mock.calls.map(([each]) => each)).toContain(errno);
});

const KINDS = ['kvm', 'kvm-vm', 'kvm-vcpu', 'kvm-device'] as const;
const fdOf = (bench: Bench, kind: (typeof KINDS)[number]) =>
  ({
    kvm: () => bench.kvmFd,
    'kvm-vm': () => bench.vmFd,
    'kvm-vcpu': () => bench.vcpuFd,
    'kvm-device': () => deviceFd(bench),
  })[kind]();
const declared = KINDS.flatMap((kind) => ioctlsOf(kind).map((ioctl) => [kind, ioctl.name, ioctl] as const));

/** Ioctls that can be refused for their pointer, and for what holds of all, and for nothing else. */
const POINTER_ONLY: ReadonlySet<string> = new Set([
  'KVM_GET_REGS',
  'KVM_SET_REGS',
  'KVM_GET_SREGS',
  'KVM_TRANSLATE',
  'KVM_GET_FPU',
  'KVM_SET_FPU',
  'KVM_GET_MP_STATE',
  'KVM_GET_VCPU_EVENTS',
  'KVM_GET_DEBUGREGS',
  'KVM_GET_XSAVE',
  'KVM_GET_XCRS',
  'KVM_GET_CLOCK',
]);
/** And those that succeed always; KVM_SET_IOREGION, which is not Linux's, has a test file of its own. */
const NEVER_REFUSED: ReadonlySet<string> = new Set([
  'KVM_CHECK_EXTENSION',
  'KVM_NMI',
  'KVM_GET_TSC_KHZ',
  'KVM_GET_STATS_FD',
  'KVM_SET_IOREGION',
]);

describe('of all', () => {
  test.each(declared)('%s %s has its lines here', (kind, name) => {
    const has = lines.some(([on, ioctl]) => on === kind && ioctl.name === name);
    expect(has || POINTER_ONLY.has(name) || NEVER_REFUSED.has(name)).toBe(true);
  });

  /** What answers before it looks at its argument. */
  const STATE_FIRST: ReadonlySet<string> = new Set([
    'KVM_GET_LAPIC',
    'KVM_SET_LAPIC',
    'KVM_SET_IDENTITY_MAP_ADDR',
    'KVM_GET_DEVICE_ATTR',
  ]);
  test.each(declared.filter(([, name, { argument }]) => 'struct' in argument && !STATE_FIRST.has(name)))(
    '%s %s with a bad pointer is EFAULT',
    (kind, _name, ioctl) => {
      const bench = new Bench();
      const fd = fdOf(bench, kind);
      refused.mockClear();
      expect(bench.qemu.ioctl(fd, ioctl, BAD_POINTER)).toBe(-EFAULT);
      expect(refused.mock.calls.map(([errno]) => errno)).toEqual([EFAULT]);
    },
  );

  test.each(declared.filter(([kind]) => kind !== 'kvm'))('%s %s by another process is EIO', (kind, _name, ioctl) => {
    const bench = new Bench();
    const other = new User(bench.kernel, 'other');
    const fd = other.process.files.install(bench.qemu.process.files.get(fdOf(bench, kind))!.get());
    expect(other.ioctl(fd, ioctl, BAD_POINTER)).toBe(-EIO);
  });

  test.each([
    ['kvm', EINVAL],
    ['kvm-vm', ENOTTY],
    ['kvm-vcpu', EINVAL],
    ['kvm-device', ENOTTY],
  ] as const)('an unknown ioctl on %s is −%i', (kind, errno) => {
    const bench = new Bench();
    const { syscalls } = bench.qemu.user;
    const fd = fdOf(bench, kind);
    expect(syscalls.ioctl(fd, 0xaeff, 0)).toBe(-errno);
    expect(syscalls.ioctl(fd, 0x5401, 0)).toBe(-errno);
  });
});

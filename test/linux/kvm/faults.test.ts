/**
 * No memory in the kernel: every allocation of every ioctl of KVM fails once, by Linux's own fault injection. The call says
 * -ENOMEM, the next one succeeds, and when the process is gone nothing is left.
 */

import { expect, test } from 'vitest';
import { type Hva, MiB } from '../../../src/address.ts';
import { EventStream } from '../../../src/event.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import { Kernel } from '../../../src/linux/core/kernel.ts';
import { initKvm } from '../../../src/linux/kvm/kvm.ts';
import { EBADF, EMFILE, ENOMEM } from '../../../src/linux/uapi/errno.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import { O_RDWR } from '../../../src/linux/uapi/syscalls.ts';
import { Faults, failEach } from '../faults.ts';
import { watchLeaks } from '../leaks.ts';
import { Bench, type BenchOptions } from './bench.ts';
import { memoryAccess, portAccess, ScriptedCpu, store } from './scripted-cpu.ts';

const LOG = uapi.KVM_MEM_LOG_DIRTY_PAGES;

const host = () => {
  const kernel = new Kernel({ memory: new PhysicalMemory(MiB(32)), stream: new EventStream(() => 0n) });
  watchLeaks(kernel);
  return { kernel, module: initKvm(kernel, (memory) => new ScriptedCpu(memory)) };
};

const pass =
  <M extends Members>(
    fd: 'kvmFd' | 'vmFd' | 'vcpuFd',
    ioctl: Ioctl,
    struct: Struct<M>,
    value: Partial<StructValue<M>>,
  ) =>
  (bench: Bench) =>
    bench.qemu.pass(bench[fd], ioctl, struct, value);
const plain = (fd: 'kvmFd' | 'vmFd' | 'vcpuFd', ioctl: Ioctl, argument: number) => (bench: Bench) =>
  bench.qemu.ioctl(bench[fd], ioctl, argument);
/** With an array of `entries` behind the structure. */
const passMany =
  <M extends Members>(
    fd: 'kvmFd' | 'vmFd' | 'vcpuFd',
    ioctl: Ioctl,
    struct: Struct<M>,
    value: Partial<StructValue<M>>,
    entries: Uint8Array,
  ) =>
  (bench: Bench) => {
    bench.qemu.user.memory.write((bench.qemu.scratch + struct.size) as Hva, entries);
    return bench.qemu.pass(bench[fd], ioctl, struct, value);
  };
const eventfds = new WeakMap<Bench, number>();
/** One and the same for each try. */
const eventfd = (bench: Bench) => {
  const fd = eventfds.get(bench) ?? bench.qemu.user.syscalls.eventfd(0, 0);
  eventfds.set(bench, fd);
  return fd;
};
const ioeventfd = (value: object) => {
  const call = (bench: Bench) =>
    pass('vmFd', uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, { addr: 0x1000n, fd: eventfd(bench), ...value })(bench);
  return { prepare: eventfd, call };
};
const slot = (region: object) => (bench: Bench) =>
  pass('vmFd', uapi.KVM_SET_USER_MEMORY_REGION, uapi.kvm_userspace_memory_region, {
    memory_size: 0x4000n,
    userspace_addr: BigInt(bench.qemu.scratch),
    ...region,
  })(bench);
const irqchip: BenchOptions = { irqchip: true };

interface Case {
  readonly options?: BenchOptions;
  /** Before the faults. */
  readonly prepare?: (bench: Bench) => unknown;
  readonly call: (bench: Bench) => number;
}
/** How many allocations each has: those of Linux 6.1 for what the model has too. */
const cases: Readonly<Record<string, Case & { readonly allocations: number }>> = {
  'KVM_CREATE_VM: the VM, four buses, the ring, its file': {
    call: plain('kvmFd', uapi.KVM_CREATE_VM, 0),
    allocations: 7,
  },
  KVM_GET_SUPPORTED_CPUID: {
    call: pass('kvmFd', uapi.KVM_GET_SUPPORTED_CPUID, uapi.kvm_cpuid2, { nent: 100 }),
    allocations: 1,
  },
  'KVM_GET_MSRS of the system': {
    call: passMany('kvmFd', uapi.KVM_GET_MSRS, uapi.kvm_msrs, { nmsrs: 1 }, new Uint8Array(16)),
    allocations: 1,
  },
  'KVM_CREATE_VCPU: three objects, three pages, its file': {
    call: plain('vmFd', uapi.KVM_CREATE_VCPU, 1),
    allocations: 7,
  },
  'KVM_CREATE_VCPU with a local APIC and a dirty ring of 16 pages': {
    options: {
      irqchip: true,
      prepare: (bench) =>
        pass('vmFd', uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, { cap: KVM_CAP.DIRTY_LOG_RING, arg0: 65536n })(bench),
    },
    call: plain('vmFd', uapi.KVM_CREATE_VCPU, 1),
    allocations: 8 + 16,
  },
  'KVM_CREATE_IRQCHIP: two chips, four places on buses, the default routing': {
    call: (bench) => {
      const vm = bench.qemu.ioctl(bench.kvmFd, uapi.KVM_CREATE_VM);
      if (vm < 0) return vm;
      const result = bench.qemu.ioctl(vm, uapi.KVM_CREATE_IRQCHIP);
      bench.qemu.user.syscalls.close(vm);
      return result;
    },
    allocations: 7 + 2 + 4 + 1 + 40,
  },
  KVM_CREATE_PIT2: {
    options: irqchip,
    call: pass('vmFd', uapi.KVM_CREATE_PIT2, uapi.kvm_pit_config, { flags: uapi.KVM_PIT_SPEAKER_DUMMY }),
    allocations: 4,
  },
  KVM_GET_IRQCHIP: {
    options: irqchip,
    call: pass('vmFd', uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, { chip_id: 2 }),
    allocations: 1,
  },
  'KVM_SET_GSI_ROUTING: the entries as given, the table, the entries as kept': {
    options: irqchip,
    call: passMany(
      'vmFd',
      uapi.KVM_SET_GSI_ROUTING,
      uapi.kvm_irq_routing,
      { nr: 1 },
      uapi.kvm_irq_routing_entry.encode({ gsi: 1, type: uapi.KVM_IRQ_ROUTING_MSI }),
    ),
    allocations: 3,
  },
  'KVM_IRQFD with resampling': {
    options: irqchip,
    prepare: eventfd,
    call: (bench) =>
      pass('vmFd', uapi.KVM_IRQFD, uapi.kvm_irqfd, {
        fd: eventfd(bench),
        resamplefd: eventfd(bench),
        gsi: 5,
        flags: uapi.KVM_IRQFD_FLAG_RESAMPLE,
      })(bench),
    allocations: 2,
  },
  'KVM_IOEVENTFD at a port': { ...ioeventfd({ len: 4, flags: uapi.KVM_IOEVENTFD_FLAG_PIO }), allocations: 2 },
  'KVM_IOEVENTFD of any length in memory stands on two buses': { ...ioeventfd({ len: 0 }), allocations: 4 },
  KVM_REGISTER_COALESCED_MMIO: {
    call: pass('vmFd', uapi.KVM_REGISTER_COALESCED_MMIO, uapi.kvm_coalesced_mmio_zone, { addr: 0x1000n, size: 4 }),
    allocations: 2,
  },
  KVM_CREATE_XCHE: { call: plain('vmFd', uapi.KVM_CREATE_XCHE, 0), allocations: 2 },
  'KVM_SET_USER_MEMORY_REGION: a new slot': { call: slot({}), allocations: 4 },
  'KVM_SET_USER_MEMORY_REGION: a new slot with a bitmap, and room to tell it': {
    call: slot({ flags: LOG }),
    allocations: 6,
  },
  'KVM_SET_USER_MEMORY_REGION: the slot moves': {
    prepare: slot({}),
    call: slot({ guest_phys_addr: 0x10000n }),
    allocations: 5,
  },
  'KVM_SET_USER_MEMORY_REGION: the slot logs from now on': {
    prepare: slot({}),
    call: slot({ flags: LOG }),
    allocations: 3,
  },
  KVM_SET_TSS_ADDR: { call: plain('vmFd', uapi.KVM_SET_TSS_ADDR, 0xfeffd000), allocations: 4 },
  KVM_X86_SET_MSR_FILTER: {
    call: pass('vmFd', uapi.KVM_X86_SET_MSR_FILTER, uapi.kvm_msr_filter, {}),
    allocations: 1,
  },
  'KVM_CREATE_DEVICE: the device, its own part, its file': {
    call: pass('vmFd', uapi.KVM_CREATE_DEVICE, uapi.kvm_create_device, { type: uapi.KVM_DEV_TYPE_VFIO }),
    allocations: 3,
  },
  'KVM_GET_STATS_FD of a VM': { call: plain('vmFd', uapi.KVM_GET_STATS_FD, 0), allocations: 1 },
  'KVM_GET_STATS_FD of a vCPU': { call: plain('vcpuFd', uapi.KVM_GET_STATS_FD, 0), allocations: 1 },
  KVM_GET_LAPIC: {
    options: irqchip,
    call: pass('vcpuFd', uapi.KVM_GET_LAPIC, uapi.kvm_lapic_state, {}),
    allocations: 1,
  },
  KVM_SET_CPUID2: {
    call: passMany('vcpuFd', uapi.KVM_SET_CPUID2, uapi.kvm_cpuid2, { nent: 1 }, new Uint8Array(40)),
    allocations: 1,
  },
  KVM_SET_MSRS: {
    call: passMany('vcpuFd', uapi.KVM_SET_MSRS, uapi.kvm_msrs, { nmsrs: 1 }, new Uint8Array(16)),
    allocations: 1,
  },
  ...Object.fromEntries(
    (
      [
        [uapi.KVM_GET_REGS, uapi.kvm_regs],
        [uapi.KVM_SET_REGS, uapi.kvm_regs],
        [uapi.KVM_GET_SREGS, uapi.kvm_sregs],
        [uapi.KVM_GET_FPU, uapi.kvm_fpu],
        [uapi.KVM_SET_FPU, uapi.kvm_fpu],
        [uapi.KVM_GET_XSAVE, uapi.kvm_xsave],
        [uapi.KVM_GET_XCRS, uapi.kvm_xcrs],
      ] as const
    ).map(([ioctl, struct]) => [
      ioctl.name,
      { call: (bench: Bench) => bench.qemu.pass<Members>(bench.vcpuFd, ioctl, struct, {}), allocations: 1 },
    ]),
  ),
  'KVM_RUN: a root and three tables': {
    prepare: slot({}),
    call: (bench) => {
      bench.cpu.script.length = 0;
      return bench.enter(memoryAccess(0x1000, true, store(0x1000, [1])), portAccess(1, false, 0x80));
    },
    allocations: 4,
  },
};

test.each(Object.entries(cases))('%s', (_name, { options, prepare, call, allocations }) => {
  const { kernel, module } = host();
  const { used } = kernel.pages;
  let last: Bench | undefined;
  const count = failEach(() => {
    last?.qemu.process.exit();
    expect({ pages: kernel.pages.used, vms: module.vms.length }).toEqual({ pages: used, vms: 0 });
    const bench = new Bench({ ...options, host: { kernel, module } });
    last = bench;
    prepare?.(bench);
    return { faults: new Faults(bench.qemu.user, true), call: () => call(bench) };
  });
  expect(count).toBe(allocations);
});

/** A VM whose next shrinking of a bus finds no memory. */
function withFault(call: (bench: Bench) => number, prepare: (bench: Bench) => unknown) {
  const bench = new Bench();
  prepare(bench);
  const faults = new Faults(bench.qemu.user, false);
  return { bench, ...faults.nth(1, () => call(bench)) };
}
const zoneAt = (addr: bigint, ioctl: Ioctl = uapi.KVM_REGISTER_COALESCED_MMIO) =>
  pass('vmFd', ioctl, uapi.kvm_coalesced_mmio_zone, { addr, size: 4, pio: 1 });

test('a bus that cannot shrink goes whole, and the call that shrank it succeeds', () => {
  const { assign, deassign } = { assign: uapi.KVM_IOEVENTFD_FLAG_PIO, deassign: uapi.KVM_IOEVENTFD_FLAG_DEASSIGN };
  const { bench, result, injected } = withFault(zoneAt(0x1000n, uapi.KVM_UNREGISTER_COALESCED_MMIO), (fresh) => {
    expect(zoneAt(0x1000n)(fresh)).toBe(0);
    expect(zoneAt(0x2000n)(fresh)).toBe(0);
    expect(ioeventfd({ len: 4, flags: assign }).call(fresh)).toBe(0);
  });
  expect({ result, injected }).toEqual({ result: 0, injected: true });
  expect(bench.kernel.log.lines).toContain('kvm: failed to shrink bus, removing it completely');
  expect(bench.vm.pioBus.deviceCount).toBe(0);
  // What was on it is forgotten too, and nothing comes onto it any more.
  expect(ioeventfd({ len: 4, flags: assign | deassign }).call(bench)).toBeLessThan(0);
  expect(zoneAt(0x3000n)(bench)).toBe(-ENOMEM);
  expect(bench.vm.mmioBus.deviceCount).toBe(0);
  expect(ioeventfd({ len: 4 }).call(bench)).toBe(0);
});

test('a device that gets no descriptor is none', () => {
  const bench = new Bench();
  const { syscalls } = bench.qemu.user;
  while (syscalls.open('/dev/null', O_RDWR) > 0);
  const create = pass('vmFd', uapi.KVM_CREATE_DEVICE, uapi.kvm_create_device, { type: uapi.KVM_DEV_TYPE_VFIO });
  expect(create(bench)).toBe(-EMFILE);
  expect(bench.vm.devices).toEqual([]);
  syscalls.close(1000);
  expect(create(bench)).toBe(0);
  expect(syscalls.close(1001)).toBe(0);
  expect(syscalls.close(1001)).toBe(-EBADF);
});

/** The VM fd's ioctls (virt/kvm/kvm_main.c: kvm_vm_ioctl; arch/x86/kvm/x86.c: kvm_arch_vm_ioctl). */

import { PAGE_SIZE } from '../../address.ts';
import type { FileOperations, OpenFile } from '../core/file.ts';
import { getStruct, putStruct } from '../core/uaccess.ts';
import { EBUSY, EEXIST, EINVAL, EIO, ENODEV, ENOMEM, ENOTTY } from '../uapi/errno.ts';
import {
  KVM_CHECK_EXTENSION,
  KVM_CLEAR_DIRTY_LOG,
  KVM_CREATE_DEVICE,
  KVM_CREATE_DEVICE_TEST,
  KVM_CREATE_VCPU,
  KVM_CREATE_XCHE,
  KVM_DEV_TYPE_VFIO,
  KVM_ENABLE_CAP,
  KVM_GET_DIRTY_LOG,
  KVM_GET_STATS_FD,
  KVM_IOEVENTFD,
  KVM_REGISTER_COALESCED_MMIO,
  KVM_RESET_DIRTY_RINGS,
  KVM_SET_BOOT_CPU_ID,
  KVM_SET_IDENTITY_MAP_ADDR,
  KVM_SET_IOREGION,
  KVM_SET_NR_MMU_PAGES,
  KVM_SET_TSS_ADDR,
  KVM_SET_USER_MEMORY_REGION,
  KVM_UNREGISTER_COALESCED_MMIO,
  KVM_X86_SET_MSR_FILTER,
  kvm_clear_dirty_log,
  kvm_coalesced_mmio_zone,
  kvm_create_device,
  kvm_dirty_log,
  kvm_enable_cap,
  kvm_ioeventfd,
  kvm_ioregion,
  kvm_msr_filter,
  kvm_userspace_memory_region,
} from '../uapi/kvm.ts';
import { KVM_CAP } from '../uapi/kvm-capability.ts';
import { KVM_MSR_EXIT_REASON_FILTER, KVM_MSR_EXIT_REASON_INVAL, KVM_MSR_EXIT_REASON_UNKNOWN } from '../uapi/kvm-run.ts';
import { type StructOf, struct, u64 } from '../uapi/struct.ts';
import { O_CLOEXEC, O_RDWR } from '../uapi/syscalls.ts';
import { checkExtension, KVM_MAX_VCPU_IDS, KVM_MAX_VCPUS } from './capabilities.ts';
import { clockIoctls } from './clock-ioctl.ts';
import { DeviceFile, deviceOperations } from './device-ioctl.ts';
import { clearDirtyLog, getDirtyLog, setManualProtect } from './dirty-log.ts';
import { enableDirtyRing, resetDirtyRings } from './dirty-ring-ioctl.ts';
import { IoctlTable } from './ioctl-table.ts';
import { interruptIoctls } from './irqchip-ioctl.ts';
import { setMsrFilter } from './msr-filter-ioctl.ts';
import { QuickExits } from './quick-exits.ts';
import { setTssAddress } from './real-mode-tss.ts';
import { vmStatsFd } from './stats-fd.ts';
import { KvmVcpu } from './vcpu.ts';
import { vcpuOperations } from './vcpu-ioctl.ts';
import { KvmVfioDevice } from './vfio-device.ts';
import type { Vm } from './vm.ts';

/** KVM_MIN_ALLOC_MMU_PAGES. */
const MIN_MMU_PAGES = 64;
const DEFAULT_IDENTITY_MAP = 0xfffbc000n;
const USER_SPACE_MSR_REASONS = BigInt(
  KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER,
);
const address = struct('u64', { value: u64 });

const table = clockIoctls(interruptIoctls(new IoctlTable<Vm>()))
  .plain(KVM_CHECK_EXTENSION, (_vm, capability) => checkExtension(capability))
  .plain(KVM_CREATE_VCPU, createVcpu)
  .takes(KVM_SET_USER_MEMORY_REGION, kvm_userspace_memory_region, (vm, region) => vm.memslots.setUserRegion(region))
  .takes(KVM_SET_IOREGION, kvm_ioregion, (vm, args) => vm.ioregions.set(args))
  .plain(KVM_CREATE_XCHE, (vm) => vm.createXche())
  .takes(KVM_IOEVENTFD, kvm_ioeventfd, (vm, args) => vm.ioeventfds.set(args))
  .plain(KVM_CREATE_DEVICE, createDevice)
  .plain(KVM_SET_TSS_ADDR, setTssAddress)
  .plain(KVM_SET_IDENTITY_MAP_ADDR, setIdentityMap)
  .plain(KVM_SET_NR_MMU_PAGES, (vm, pages) =>
    pages < MIN_MMU_PAGES ? vm.kernel.refuse(EINVAL, `the MMU needs at least ${MIN_MMU_PAGES} pages`) : 0,
  )
  .plain(KVM_SET_BOOT_CPU_ID, (vm, id) => {
    if (vm.vcpus.length > 0) return vm.kernel.refuse(EBUSY, 'the boot CPU is chosen before the first vCPU');
    vm.bootCpuId = id >>> 0;
    return 0;
  })
  .takes(KVM_GET_DIRTY_LOG, kvm_dirty_log, getDirtyLog)
  .takes(KVM_CLEAR_DIRTY_LOG, kvm_clear_dirty_log, clearDirtyLog)
  .takes(KVM_REGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, (vm, zone) => vm.coalesced.register(zone))
  .takes(KVM_UNREGISTER_COALESCED_MMIO, kvm_coalesced_mmio_zone, (vm, zone) => vm.coalesced.unregister(zone))
  .takes(KVM_X86_SET_MSR_FILTER, kvm_msr_filter, setMsrFilter)
  .plain(KVM_RESET_DIRTY_RINGS, resetDirtyRings)
  .plain(KVM_GET_STATS_FD, vmStatsFd)
  .takes(KVM_ENABLE_CAP, kvm_enable_cap, enableCapability);

function setIdentityMap(vm: Vm, argument: number): number {
  if (vm.vcpus.length > 0) return vm.kernel.refuse(EINVAL, 'the identity map is chosen before the first vCPU');
  const given = getStruct(vm.kernel, address, argument);
  if (typeof given === 'number') return given;
  vm.identityMapAddress = given.value === 0n ? DEFAULT_IDENTITY_MAP : given.value;
  return 0;
}

/** kvm_vm_ioctl_enable_cap_generic, kvm_vm_ioctl_enable_cap. */
function enableCapability(vm: Vm, { cap, flags, arg0 }: StructOf<typeof kvm_enable_cap>): number {
  switch (cap) {
    case KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2:
      return setManualProtect(vm, flags, arg0);
    case KVM_CAP.HALT_POLL:
      if (flags !== 0 || arg0 >> 32n)
        return vm.kernel.refuse(EINVAL, 'the time of halt polling has 32 bits, and no flags');
      vm.haltPollLimit = Number(arg0);
      return 0;
    case KVM_CAP.DIRTY_LOG_RING:
    case KVM_CAP.DIRTY_LOG_RING_ACQ_REL:
      return enableDirtyRing(vm, Number(BigInt.asUintN(32, arg0)));
    case KVM_CAP.X86_USER_SPACE_MSR:
      if (flags !== 0 || arg0 & ~USER_SPACE_MSR_REASONS)
        return vm.kernel.refuse(EINVAL, 'MSRs go to user space for being invalid, unknown or filtered');
      vm.userSpaceMsrs = Number(arg0);
      return 0;
    case KVM_CAP.EXIT_ON_EMULATION_FAILURE:
      if (flags !== 0 || arg0 > 1n) return vm.kernel.refuse(EINVAL, 'KVM_CAP_EXIT_ON_EMULATION_FAILURE is 0 or 1');
      vm.exitOnEmulationFailure = arg0 === 1n;
      return 0;
    case KVM_CAP.IOREGIONFD:
      if (flags !== 0 || arg0 > 1n) return vm.kernel.refuse(EINVAL, 'KVM_CAP_IOREGIONFD is 0 or 1');
      vm.ioregions.enabled = arg0 === 1n;
      return 0;
    default:
      return vm.kernel.refuse(EINVAL, `capability ${cap} cannot be switched on`);
  }
}

/** kvm_vm_ioctl_create_vcpu. */
function createVcpu(vm: Vm, argument: number): number {
  const { kernel } = vm;
  const id = argument >>> 0;
  if (id >= KVM_MAX_VCPU_IDS) return kernel.refuse(EINVAL, `vCPU ids are below ${KVM_MAX_VCPU_IDS}`);
  if (vm.vcpus.length >= KVM_MAX_VCPUS) return kernel.refuse(EINVAL, `a VM has at most ${KVM_MAX_VCPUS} vCPUs`);
  if (vm.vcpus.some((other) => other.id === id)) return kernel.refuse(EEXIST, `vCPU ${id} exists`);
  const objects = [
    'struct kvm_vcpu',
    ...(vm.irqchip === undefined ? [] : ['struct kvm_lapic']),
    'struct x86_emulate_ctxt',
  ];
  if (!kernel.kmallocAll(...objects, 'struct fpstate')) return -ENOMEM;
  const { pages } = kernel;
  const logs = vm.features.modificationLog;
  const frames = [pages.allocate(), pages.allocate(), pages.allocate(), logs ? pages.allocate() : undefined] as const;
  const [state, run, pio, modifications] = frames;
  const asked = Array.from({ length: vm.dirtyRingBytes / PAGE_SIZE }, () => pages.allocate());
  const ring = asked.filter((frame) => frame !== undefined);
  const short = state === undefined || run === undefined || pio === undefined || ring.length < asked.length;
  if (short || (logs && modifications === undefined)) {
    for (const frame of [...frames, ...ring]) if (frame !== undefined) pages.free(frame);
    return kernel.refuse(ENOMEM, 'no page frames for a vCPU');
  }
  const vcpu = new KvmVcpu(vm, id, { state, run, pio, modifications, ring });
  const quick = new QuickExits(vcpu);
  vcpu.quick = quick;
  vcpu.cpu.quickExits = quick;
  const fd = install(vm, `kvm-vcpu:${id}`, vcpuOperations, vcpu);
  if (fd < 0) vcpu.destroy();
  else vm.addVcpu(vcpu);
  return fd;
}

/** kvm_ioctl_create_device. */
function createDevice(vm: Vm, argument: number): number {
  const { kernel } = vm;
  const asked = getStruct(kernel, kvm_create_device, argument);
  if (typeof asked === 'number') return asked;
  if (asked.type !== KVM_DEV_TYPE_VFIO) return kernel.refuse(ENODEV, `no device type ${asked.type}`);
  if (asked.flags & KVM_CREATE_DEVICE_TEST) return 0;
  if (vm.devices.some((device) => device instanceof KvmVfioDevice))
    return kernel.refuse(EBUSY, 'a VM has one kvm-vfio device');
  if (!kernel.kmallocAll('struct kvm_device', 'struct kvm_vfio')) return -ENOMEM;
  const device = new KvmVfioDevice(vm);
  const fd = install(vm, device.name, deviceOperations, new DeviceFile(vm, device));
  if (fd < 0) return fd;
  vm.devices.push(device);
  return putStruct(kernel, kvm_create_device, argument, { ...asked, fd });
}

/** A new fd that keeps the VM alive; -ENOMEM, -EMFILE. */
function install(vm: Vm, name: string, operations: FileOperations, privateData: unknown): number {
  const { kernel } = vm;
  const file = kernel.anonFile(name, operations, O_RDWR | O_CLOEXEC, privateData);
  if (typeof file === 'number') return file;
  vm.get();
  return kernel.install(file);
}

/** File operations of a VM fd. */
export const vmOperations: FileOperations = {
  ioctl(file, request, argument) {
    const vm = vmOf(file);
    const { kernel } = vm;
    if (kernel.current.mm !== vm.mm) return kernel.refuse(EIO, 'the VM belongs to another process');
    kernel.attention.call();
    return table.dispatch(vm, request, argument) ?? kernel.refuse(ENOTTY, 'no such VM ioctl');
  },
  release(file) {
    vmOf(file).release();
    vmOf(file).put();
  },
};

const vmOf = (file: OpenFile) => file.privateData as Vm;

/**
 * Which ioctls apply to which kind of fd. Numbers repeat between kinds (0x3b70 asks a container for its IOMMU and a
 * device for its reset group), so the text of a call needs to know what the fd is.
 */

import type { Ioctl } from './ioctl.ts';
import * as iommufd from './iommufd.ts';
import * as kvm from './kvm.ts';
import * as debug from './kvm-debug.ts';
import * as vfio from './vfio.ts';

/** What an fd is, as far as its ioctls are concerned. */
export type FdKind =
  | 'kvm'
  | 'kvm-vm'
  | 'kvm-vcpu'
  | 'kvm-device'
  | 'vfio-container'
  | 'vfio-group'
  | 'vfio-device'
  | 'iommufd'
  | 'other';

export const kvmSystemIoctls: readonly Ioctl[] = [
  kvm.KVM_GET_API_VERSION,
  kvm.KVM_CREATE_VM,
  kvm.KVM_GET_MSR_INDEX_LIST,
  kvm.KVM_CHECK_EXTENSION,
  kvm.KVM_GET_VCPU_MMAP_SIZE,
  kvm.KVM_GET_SUPPORTED_CPUID,
  kvm.KVM_GET_MSR_FEATURE_INDEX_LIST,
  kvm.KVM_GET_MSRS,
];

export const kvmVmIoctls: readonly Ioctl[] = [
  kvm.KVM_CHECK_EXTENSION,
  kvm.KVM_CREATE_VCPU,
  kvm.KVM_GET_DIRTY_LOG,
  kvm.KVM_SET_NR_MMU_PAGES,
  kvm.KVM_SET_IOREGION,
  kvm.KVM_SET_USER_MEMORY_REGION,
  kvm.KVM_SET_TSS_ADDR,
  kvm.KVM_SET_IDENTITY_MAP_ADDR,
  kvm.KVM_CREATE_IRQCHIP,
  kvm.KVM_IRQ_LINE,
  kvm.KVM_GET_IRQCHIP,
  kvm.KVM_SET_IRQCHIP,
  kvm.KVM_IRQ_LINE_STATUS,
  kvm.KVM_REGISTER_COALESCED_MMIO,
  kvm.KVM_UNREGISTER_COALESCED_MMIO,
  kvm.KVM_SET_GSI_ROUTING,
  kvm.KVM_REINJECT_CONTROL,
  kvm.KVM_IRQFD,
  kvm.KVM_CREATE_PIT2,
  kvm.KVM_SET_BOOT_CPU_ID,
  kvm.KVM_IOEVENTFD,
  kvm.KVM_SET_CLOCK,
  kvm.KVM_GET_CLOCK,
  kvm.KVM_ENABLE_CAP,
  kvm.KVM_SIGNAL_MSI,
  kvm.KVM_CLEAR_DIRTY_LOG,
  kvm.KVM_X86_SET_MSR_FILTER,
  kvm.KVM_RESET_DIRTY_RINGS,
  kvm.KVM_GET_STATS_FD,
  kvm.KVM_CREATE_DEVICE,
  kvm.KVM_CREATE_XCHE,
];

export const kvmDeviceIoctls: readonly Ioctl[] = [
  kvm.KVM_SET_DEVICE_ATTR,
  kvm.KVM_GET_DEVICE_ATTR,
  kvm.KVM_HAS_DEVICE_ATTR,
];

export const kvmVcpuIoctls: readonly Ioctl[] = [
  kvm.KVM_RUN,
  kvm.KVM_GET_REGS,
  kvm.KVM_SET_REGS,
  kvm.KVM_GET_SREGS,
  kvm.KVM_SET_SREGS,
  kvm.KVM_TRANSLATE,
  kvm.KVM_INTERRUPT,
  kvm.KVM_GET_MSRS,
  kvm.KVM_SET_MSRS,
  kvm.KVM_SET_SIGNAL_MASK,
  kvm.KVM_GET_FPU,
  kvm.KVM_SET_FPU,
  kvm.KVM_GET_LAPIC,
  kvm.KVM_SET_LAPIC,
  kvm.KVM_SET_CPUID2,
  kvm.KVM_GET_CPUID2,
  kvm.KVM_GET_MP_STATE,
  kvm.KVM_SET_MP_STATE,
  kvm.KVM_NMI,
  kvm.KVM_GET_VCPU_EVENTS,
  kvm.KVM_SET_VCPU_EVENTS,
  kvm.KVM_GET_DEBUGREGS,
  kvm.KVM_SET_DEBUGREGS,
  kvm.KVM_GET_XSAVE,
  kvm.KVM_SET_XSAVE,
  kvm.KVM_GET_XCRS,
  kvm.KVM_SET_XCRS,
  kvm.KVM_ENABLE_CAP,
  kvm.KVM_KVMCLOCK_CTRL,
  debug.KVM_SET_GUEST_DEBUG,
  kvm.KVM_SET_TSC_KHZ,
  kvm.KVM_GET_TSC_KHZ,
  kvm.KVM_SMI,
  kvm.KVM_GET_STATS_FD,
];

export const vfioContainerIoctls: readonly Ioctl[] = [
  vfio.VFIO_GET_API_VERSION,
  vfio.VFIO_CHECK_EXTENSION,
  vfio.VFIO_SET_IOMMU,
  vfio.VFIO_IOMMU_GET_INFO,
  vfio.VFIO_IOMMU_MAP_DMA,
  vfio.VFIO_IOMMU_UNMAP_DMA,
  vfio.VFIO_IOMMU_DIRTY_PAGES,
  vfio.VFIO_IOMMU_ENABLE,
  vfio.VFIO_IOMMU_DISABLE,
];

export const vfioGroupIoctls: readonly Ioctl[] = [
  vfio.VFIO_GROUP_GET_STATUS,
  vfio.VFIO_GROUP_SET_CONTAINER,
  vfio.VFIO_GROUP_UNSET_CONTAINER,
  vfio.VFIO_GROUP_GET_DEVICE_FD,
];

export const vfioDeviceIoctls: readonly Ioctl[] = [
  vfio.VFIO_DEVICE_GET_INFO,
  vfio.VFIO_DEVICE_GET_REGION_INFO,
  vfio.VFIO_DEVICE_GET_IRQ_INFO,
  vfio.VFIO_DEVICE_SET_IRQS,
  vfio.VFIO_DEVICE_RESET,
  vfio.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  vfio.VFIO_DEVICE_PCI_HOT_RESET,
  vfio.VFIO_DEVICE_IOEVENTFD,
  vfio.VFIO_DEVICE_FEATURE,
  vfio.VFIO_DEVICE_BIND_IOMMUFD,
  vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT,
  vfio.VFIO_DEVICE_DETACH_IOMMUFD_PT,
];

export const iommufdIoctls: readonly Ioctl[] = [
  iommufd.IOMMU_DESTROY,
  iommufd.IOMMU_IOAS_ALLOC,
  iommufd.IOMMU_IOAS_ALLOW_IOVAS,
  iommufd.IOMMU_IOAS_COPY,
  iommufd.IOMMU_IOAS_IOVA_RANGES,
  iommufd.IOMMU_IOAS_MAP,
  iommufd.IOMMU_IOAS_UNMAP,
  iommufd.IOMMU_OPTION,
  iommufd.IOMMU_HWPT_ALLOC,
];

const tables: Readonly<Record<FdKind, readonly Ioctl[]>> = {
  kvm: kvmSystemIoctls,
  'kvm-vm': kvmVmIoctls,
  'kvm-vcpu': kvmVcpuIoctls,
  'kvm-device': kvmDeviceIoctls,
  'vfio-container': vfioContainerIoctls,
  'vfio-group': vfioGroupIoctls,
  'vfio-device': vfioDeviceIoctls,
  iommufd: iommufdIoctls,
  other: [],
};

/** The ioctls of one kind of fd. An eventfd, a terminal or a plain file has none. */
export const ioctlsOf = (kind: FdKind): readonly Ioctl[] => tables[kind];

/** Kind of the file that /proc/PID/fd shows as `path`: `/dev/vfio/0`, `anon_inode:kvm-vcpu:0`. */
export function fdKindOf(path: string): FdKind {
  if (path === '/dev/kvm') return 'kvm';
  if (path === '/dev/vfio/vfio') return 'vfio-container';
  if (path === '/dev/iommu') return 'iommufd';
  if (/^\/dev\/vfio\/(noiommu-)?\d+$/.test(path)) return 'vfio-group';
  if (path === 'anon_inode:kvm-vm') return 'kvm-vm';
  if (path.startsWith('anon_inode:kvm-vcpu:')) return 'kvm-vcpu';
  if (path.startsWith('anon_inode:kvm-')) return 'kvm-device';
  if (path === 'anon_inode:[vfio-device]' || path.startsWith('/dev/vfio/devices/')) return 'vfio-device';
  return 'other';
}

/** The declaration of `request` on a file of this kind, or undefined. */
export const findIoctl = (kind: FdKind, request: number): Ioctl | undefined =>
  ioctlsOf(kind).find((candidate) => candidate.number === request >>> 0);

/** QEMU's trace events of assigned platform devices (hw/vfio/platform.c in hw/vfio/trace-events of QEMU 7.2). */

import { event } from '../../../event.ts';

const hex = (value: number): string => `0x${value.toString(16)}`;
const named = { name: 'string' } as const;
const pinAndFd = { pin: 'u8', fd: 's32' } as const;
export const vfioPlatformRealize = event(
  'vfio_platform_realize',
  'qemu',
  named,
  (e) => `vfio device ${e.name}, compat = (null)`,
  'An assigned platform device is being set up.',
);
export const vfioPlatformBaseDeviceInit = event(
  'vfio_platform_base_device_init',
  'qemu',
  { name: 'string', group: 'u32' },
  (e) => `${e.name} belongs to group #${e.group}`,
  'The IOMMU group of an assigned platform device was found.',
);
export const vfioPlatformPopulateInterrupts = event(
  'vfio_platform_populate_interrupts',
  'qemu',
  { pin: 'u8', count: 'u32', flags: 'u32' },
  (e) => `- IRQ index ${e.pin}: count ${e.count}, flags=${hex(e.flags)}`,
  'An interrupt of an assigned platform device was learned.',
);
export const vfioPlatformStartLevelIrqfd = event(
  'vfio_platform_start_level_irqfd_injection',
  'qemu',
  { index: 'u8', fd: 's32', resamplefd: 's32' },
  (e) => `IRQ index=${e.index}, fd = ${e.fd}, resamplefd = ${e.resamplefd}`,
  'A level-triggered interrupt goes from the host kernel to KVM without QEMU.',
);
export const vfioPlatformStartEdgeIrqfd = event(
  'vfio_platform_start_edge_irqfd_injection',
  'qemu',
  { index: 'u8', fd: 's32' },
  (e) => `IRQ index=${e.index}, fd = ${e.fd}`,
  'An edge-triggered interrupt goes from the host kernel to KVM without QEMU.',
);
export const vfioPlatformIntpInterrupt = event(
  'vfio_platform_intp_interrupt',
  'qemu',
  pinAndFd,
  (e) => `Inject IRQ #${e.pin} (fd = ${e.fd})`,
  'The eventfd of a platform interrupt was signalled.',
);
export const vfioIntpInterruptSetPending = event(
  'vfio_intp_interrupt_set_pending',
  'qemu',
  { pin: 'u8' },
  (e) => `irq ${e.pin} is set PENDING`,
  'A platform interrupt waits for the end of another.',
);
export const vfioPlatformIntpInjectPending = event(
  'vfio_platform_intp_inject_pending_lockheld',
  'qemu',
  pinAndFd,
  (e) => `Inject pending IRQ #${e.pin} (fd = ${e.fd})`,
  'A platform interrupt that waited has its turn.',
);
export const vfioPlatformEoi = event(
  'vfio_platform_eoi',
  'qemu',
  pinAndFd,
  (e) => `EOI IRQ pin ${e.pin} (fd=${e.fd})`,
  'An access to a region counts as the end of a platform interrupt.',
);
export const vfioPlatformIntpMmapEnable = event(
  'vfio_platform_intp_mmap_enable',
  'qemu',
  { pin: 'u8' },
  (e) => `IRQ #${e.pin} still active, stay in slow path`,
  'The regions stay trapped, because an interrupt has not ended.',
);

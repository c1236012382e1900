/**
 * How members of uapi structures are written in traces, in strace's style: addresses in hexadecimal, flags and selectors by
 * name, everything else in decimal, padding not at all.
 */

import * as iommufd from './iommufd.ts';
import * as kvm from './kvm.ts';
import { kvmCapName } from './kvm-capability.ts';
import type { Struct } from './struct.ts';
import * as vfio from './vfio.ts';

/** Writes one integer member. */
export type FieldFormat = (value: number) => string;

/** `%#x`: 0 has no prefix. */
export const hex = (value: number | bigint): string => (value === 0 || value === 0n ? '0' : `0x${value.toString(16)}`);

/** `A|B|0x40`: names of the bits, then what is left; 0 stays 0. Lowest bit first, or in the order of a map. */
export function flags(names: Readonly<Record<number, string>> | ReadonlyMap<number, string>): FieldFormat {
  const bits = [...(names instanceof Map ? names : Object.entries(names))].map(
    ([bit, name]) => [Number(bit), name] as const,
  );
  return (value) => {
    const known = bits.filter(([bit]) => (value & bit) === bit && bit !== 0);
    const rest = known.reduce((left, [bit]) => left & ~bit, value) >>> 0;
    const words = known.map(([, name]) => name);
    if (rest !== 0) words.push(hex(rest));
    return words.length === 0 ? '0' : words.join('|');
  };
}

const oneOf =
  (names: Readonly<Record<number, string>>): FieldFormat =>
  (value) =>
    names[value] ?? hex(value);

const regionIndex = oneOf({
  0: 'VFIO_PCI_BAR0_REGION_INDEX',
  1: 'VFIO_PCI_BAR1_REGION_INDEX',
  2: 'VFIO_PCI_BAR2_REGION_INDEX',
  3: 'VFIO_PCI_BAR3_REGION_INDEX',
  4: 'VFIO_PCI_BAR4_REGION_INDEX',
  5: 'VFIO_PCI_BAR5_REGION_INDEX',
  6: 'VFIO_PCI_ROM_REGION_INDEX',
  7: 'VFIO_PCI_CONFIG_REGION_INDEX',
  8: 'VFIO_PCI_VGA_REGION_INDEX',
});
const irqIndex = oneOf({
  0: 'VFIO_PCI_INTX_IRQ_INDEX',
  1: 'VFIO_PCI_MSI_IRQ_INDEX',
  2: 'VFIO_PCI_MSIX_IRQ_INDEX',
  3: 'VFIO_PCI_ERR_IRQ_INDEX',
  4: 'VFIO_PCI_REQ_IRQ_INDEX',
});

/** Integer members with a form of their own, by structure. */
const formats = new Map<Struct, Readonly<Record<string, FieldFormat>>>();
const declare = (struct: unknown, members: Readonly<Record<string, FieldFormat>>) =>
  formats.set(struct as Struct, members);

declare(kvm.kvm_userspace_memory_region, {
  flags: flags({
    [kvm.KVM_MEM_LOG_DIRTY_PAGES]: 'KVM_MEM_LOG_DIRTY_PAGES',
    [kvm.KVM_MEM_READONLY]: 'KVM_MEM_READONLY',
  }),
});
declare(kvm.kvm_create_device, {
  type: oneOf({ [kvm.KVM_DEV_TYPE_VFIO]: 'KVM_DEV_TYPE_VFIO' }),
  flags: flags({ [kvm.KVM_CREATE_DEVICE_TEST]: 'KVM_CREATE_DEVICE_TEST' }),
});
declare(kvm.kvm_device_attr, { group: oneOf({ [kvm.KVM_DEV_VFIO_GROUP]: 'KVM_DEV_VFIO_GROUP' }) });
declare(kvm.kvm_enable_cap, { cap: kvmCapName });
declare(kvm.kvm_ioeventfd, {
  flags: flags({
    [kvm.KVM_IOEVENTFD_FLAG_DATAMATCH]: 'KVM_IOEVENTFD_FLAG_DATAMATCH',
    [kvm.KVM_IOEVENTFD_FLAG_PIO]: 'KVM_IOEVENTFD_FLAG_PIO',
    [kvm.KVM_IOEVENTFD_FLAG_DEASSIGN]: 'KVM_IOEVENTFD_FLAG_DEASSIGN',
  }),
});
declare(kvm.kvm_irqfd, {
  flags: flags({
    [kvm.KVM_IRQFD_FLAG_DEASSIGN]: 'KVM_IRQFD_FLAG_DEASSIGN',
    [kvm.KVM_IRQFD_FLAG_RESAMPLE]: 'KVM_IRQFD_FLAG_RESAMPLE',
  }),
});
declare(vfio.vfio_group_status, {
  flags: flags({
    [vfio.VFIO_GROUP_FLAGS_VIABLE]: 'VFIO_GROUP_FLAGS_VIABLE',
    [vfio.VFIO_GROUP_FLAGS_CONTAINER_SET]: 'VFIO_GROUP_FLAGS_CONTAINER_SET',
  }),
});
declare(vfio.vfio_device_info, {
  flags: flags({
    [vfio.VFIO_DEVICE_FLAGS_RESET]: 'VFIO_DEVICE_FLAGS_RESET',
    [vfio.VFIO_DEVICE_FLAGS_PCI]: 'VFIO_DEVICE_FLAGS_PCI',
    [vfio.VFIO_DEVICE_FLAGS_PLATFORM]: 'VFIO_DEVICE_FLAGS_PLATFORM',
    [vfio.VFIO_DEVICE_FLAGS_CAPS]: 'VFIO_DEVICE_FLAGS_CAPS',
  }),
});
declare(vfio.vfio_region_info, {
  flags: flags({
    [vfio.VFIO_REGION_INFO_FLAG_READ]: 'VFIO_REGION_INFO_FLAG_READ',
    [vfio.VFIO_REGION_INFO_FLAG_WRITE]: 'VFIO_REGION_INFO_FLAG_WRITE',
    [vfio.VFIO_REGION_INFO_FLAG_MMAP]: 'VFIO_REGION_INFO_FLAG_MMAP',
    [vfio.VFIO_REGION_INFO_FLAG_CAPS]: 'VFIO_REGION_INFO_FLAG_CAPS',
  }),
  index: regionIndex,
});
declare(vfio.vfio_irq_info, {
  flags: flags({
    [vfio.VFIO_IRQ_INFO_EVENTFD]: 'VFIO_IRQ_INFO_EVENTFD',
    [vfio.VFIO_IRQ_INFO_MASKABLE]: 'VFIO_IRQ_INFO_MASKABLE',
    [vfio.VFIO_IRQ_INFO_AUTOMASKED]: 'VFIO_IRQ_INFO_AUTOMASKED',
    [vfio.VFIO_IRQ_INFO_NORESIZE]: 'VFIO_IRQ_INFO_NORESIZE',
  }),
  index: irqIndex,
});
declare(vfio.vfio_irq_set, {
  flags: flags({
    [vfio.VFIO_IRQ_SET_DATA_NONE]: 'VFIO_IRQ_SET_DATA_NONE',
    [vfio.VFIO_IRQ_SET_DATA_BOOL]: 'VFIO_IRQ_SET_DATA_BOOL',
    [vfio.VFIO_IRQ_SET_DATA_EVENTFD]: 'VFIO_IRQ_SET_DATA_EVENTFD',
    [vfio.VFIO_IRQ_SET_ACTION_MASK]: 'VFIO_IRQ_SET_ACTION_MASK',
    [vfio.VFIO_IRQ_SET_ACTION_UNMASK]: 'VFIO_IRQ_SET_ACTION_UNMASK',
    [vfio.VFIO_IRQ_SET_ACTION_TRIGGER]: 'VFIO_IRQ_SET_ACTION_TRIGGER',
  }),
  index: irqIndex,
});
declare(vfio.vfio_iommu_type1_info, {
  flags: flags({
    [vfio.VFIO_IOMMU_INFO_PGSIZES]: 'VFIO_IOMMU_INFO_PGSIZES',
    [vfio.VFIO_IOMMU_INFO_CAPS]: 'VFIO_IOMMU_INFO_CAPS',
  }),
});
declare(vfio.vfio_iommu_type1_dma_map, {
  flags: flags({
    [vfio.VFIO_DMA_MAP_FLAG_READ]: 'VFIO_DMA_MAP_FLAG_READ',
    [vfio.VFIO_DMA_MAP_FLAG_WRITE]: 'VFIO_DMA_MAP_FLAG_WRITE',
    [vfio.VFIO_DMA_MAP_FLAG_VADDR]: 'VFIO_DMA_MAP_FLAG_VADDR',
  }),
});
declare(vfio.vfio_iommu_type1_dma_unmap, {
  flags: flags({
    [vfio.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP]: 'VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP',
    [vfio.VFIO_DMA_UNMAP_FLAG_ALL]: 'VFIO_DMA_UNMAP_FLAG_ALL',
    [vfio.VFIO_DMA_UNMAP_FLAG_VADDR]: 'VFIO_DMA_UNMAP_FLAG_VADDR',
  }),
});

const mapFlags = flags({
  [iommufd.IOMMU_IOAS_MAP_FIXED_IOVA]: 'IOMMU_IOAS_MAP_FIXED_IOVA',
  [iommufd.IOMMU_IOAS_MAP_WRITEABLE]: 'IOMMU_IOAS_MAP_WRITEABLE',
  [iommufd.IOMMU_IOAS_MAP_READABLE]: 'IOMMU_IOAS_MAP_READABLE',
});
declare(iommufd.iommu_ioas_map, { flags: mapFlags });
declare(iommufd.iommu_ioas_copy, { flags: mapFlags });
declare(iommufd.iommu_option, {
  option_id: oneOf({
    [iommufd.IOMMU_OPTION_RLIMIT_MODE]: 'IOMMU_OPTION_RLIMIT_MODE',
    [iommufd.IOMMU_OPTION_HUGE_PAGES]: 'IOMMU_OPTION_HUGE_PAGES',
  }),
  op: oneOf({
    [iommufd.IOMMU_OPTION_OP_SET]: 'IOMMU_OPTION_OP_SET',
    [iommufd.IOMMU_OPTION_OP_GET]: 'IOMMU_OPTION_OP_GET',
  }),
});

/** Members that hold addresses, offsets or bit masks wherever they occur. */
const hexadecimal =
  /addr|^dirty_bitmap$|^vaddr$|iova$|^user_va$|^allowed_iovas$|^offset$|^iova_pgsizes$|^base$|^limit$|^selector$|^r([a-z]{2}|[0-9]+|flags)$|^cr[0-8]$|^efer$|^apic_base$|^flags$/;
const unsaid = /^pad(ding\d?)?$|^(__)?reserved$/;

/** `{slot=0, flags=0, guest_phys_addr=0, …}`; a structure that only wraps one pointed-to integer prints as `[3]`. */
export function structText(struct: Struct, value: Readonly<Record<string, unknown>>): string {
  const members = Object.entries(struct.members);
  const own = formats.get(struct);
  const text = (name: string): string => {
    const member = struct.members[name];
    const content = value[name];
    if (member === undefined) return '';
    if (member.kind === 'struct') return structText(member.struct, content as Record<string, unknown>);
    if (member.kind === 'bytes') return bytesText(content as Uint8Array);
    if (typeof content === 'number' && own?.[name] !== undefined) return own[name](content);
    const number = content as number | bigint;
    return hexadecimal.test(name) ? hex(number) : String(number);
  };
  const [only] = members;
  if (members.length === 1 && only?.[0] === 'value') return `[${text('value')}]`;
  const shown = members.filter(([name]) => !unsaid.test(name)).map(([name]) => `${name}=${text(name)}`);
  return `{${shown.join(', ')}}`;
}

function bytesText(bytes: Uint8Array): string {
  const shown = [...bytes.subarray(0, 32)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  return bytes.length > 32 ? `"${shown} "...` : `"${shown}"`;
}

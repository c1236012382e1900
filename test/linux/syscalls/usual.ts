/**
 * What the arguments of an ioctl usually hold, by the names of their members: without it a random call is refused by its first check,
 * and what lies behind is never reached.
 */

import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import type { Member, Struct } from '../../../src/linux/uapi/struct.ts';
import type { FdKind } from '../../../src/linux/uapi/tables.ts';
import type { Draws } from './draws.ts';

/** What the calling process has that an argument can name. */
export interface Belongings {
  /** The guest's RAM and 64 KiB of its own, where they are mapped. */
  readonly ram: number;
  readonly buffer: number;
  /** A page of arguments, whose second half has room for what they point to. */
  readonly scratch: number;
  /** One of its descriptors of a kind, or some other one if it has none. */
  descriptor(kind: FdKind | 'eventfd', draws: Draws): number;
}

/** Numbers that mean something to one call or another, and those at the edges of a width. */
export const NUMBERS: readonly bigint[] = [
  ...[
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 16, 20, 24, 32, 40, 63, 64, 68, 100, 168, 192, 255, 256, 1024, 4095, 4096, 4097,
    8192,
  ].map(BigInt),
  ...[0x10000n, 0x20000n, 0xfee00000n, 0xfec00000n, 0xfebc0000n, 0x7fffffffn, 0x80000000n, 0xfffff000n, 0xffffffffn],
  ...[1n << 32n, 1n << 40n, 7n << 40n, (1n << 46n) - 4096n, 1n << 47n, 0x7fffffffffffffffn, 1n << 63n],
  ...[0xfffffffffffff000n, 0xffffffffffffffffn],
];

type Draw = (draws: Draws, own: Belongings) => bigint | number;

const PAGE = 4096;
const pages: Draw = (draws) => PAGE * draws.pick([1, 1, 1, 2, 4, 16]);
const page: Draw = (draws) => PAGE * draws.next(16);
const guestPage: Draw = (draws) =>
  draws.pick([0, 0x100_0000, 0x100_0000, 0x200_0000, 0xfebc_0000, 2 ** 32]) + PAGE * draws.next(4);
const within: Draw = (draws, own) => own.buffer + PAGE * draws.next(16);
const id: Draw = (draws) => 1 + draws.next(5);
const bit: Draw = (draws) => draws.next(2);
const few: Draw = (draws) => draws.next(4);
const pin: Draw = (draws) => draws.next(24);
const somewhere: Draw = (_draws, own) => own.scratch + PAGE / 2;
const eventfd: Draw = (draws, own) => own.descriptor('eventfd', draws);
const port: Draw = (draws) => draws.pick([0x80, 0x1000, 0x1001, 0xfebc_0000, 0xfebc_0004]);
const width: Draw = (draws) => draws.pick([0, 1, 2, 4, 8]);
const CAPABILITIES = Object.values(KVM_CAP);

/** By the member's name, or by the ioctl's and the member's where one name has several meanings. */
const members: Readonly<Record<string, Draw>> = {
  flags: (draws) => (draws.once(2) ? 0 : draws.once(2) ? 1 << draws.next(5) : draws.next(8)),
  slot: few,
  guest_phys_addr: guestPage,
  guest_paddr: guestPage,
  memory_size: (draws) => PAGE * draws.pick([0, 1, 2, 16, 512]),
  userspace_addr: (draws, own) => own.ram + PAGE * draws.next(64),
  dirty_bitmap: somewhere,
  first_page: (draws) => 64 * draws.next(2),
  num_pages: (draws) => draws.pick([1, 2, 16, 64, 512]),
  file_offset: page,
  fd: eventfd,
  resamplefd: eventfd,
  gsi: pin,
  irq: pin,
  'KVM_INTERRUPT.irq': (draws) => draws.next(256),
  level: bit,
  chip_id: (draws) => draws.next(3),
  addr: port,
  len: width,
  'KVM_REGISTER_COALESCED_MMIO.size': width,
  'KVM_UNREGISTER_COALESCED_MMIO.size': width,
  pio: bit,
  pit_reinject: bit,
  datamatch: few,
  nr: few,
  'KVM_SET_GSI_ROUTING.flags': () => 0,
  cap: (draws) => draws.pick(CAPABILITIES),
  'KVM_ENABLE_CAP.flags': () => 0,
  arg0: (draws) => draws.pick([0, 1, 3, 24, PAGE, 2 * PAGE]),
  address_lo: (draws) => 0xfee0_0000 | (draws.next(4) << 12),
  data: (draws) => draws.next(256),
  type: (draws) => draws.next(8),
  nmsrs: (draws) => draws.next(5),
  nent: (draws) => draws.next(5),
  mp_state: (draws) => draws.next(5),
  linear_address: guestPage,
  group: (draws) => draws.next(3),
  attr: (draws) => draws.next(4),
  'KVM_SET_DEVICE_ATTR.addr': somewhere,
  'KVM_GET_DEVICE_ATTR.addr': somewhere,
  vaddr: within,
  user_va: within,
  iova: page,
  size: pages,
  length: pages,
  dst_iova: page,
  src_iova: page,
  index: (draws) => draws.next(draws.once(4) ? 10 : 3),
  start: (draws) => draws.next(2),
  count: few,
  // Which form the data have, and what is to be done.
  'VFIO_DEVICE_SET_IRQS.flags': (draws) => (1 << draws.next(3)) | (8 << draws.next(3)),
  // What feature, in the low half, and whether it is got, set or probed.
  'VFIO_DEVICE_FEATURE.flags': (draws) => draws.next(12) | ((1 + draws.next(7)) << 16),
  'VFIO_IOMMU_MAP_DMA.flags': (draws) => 1 + draws.next(3),
  'IOMMU_IOAS_MAP.flags': (draws) => 2 * (1 + draws.next(3)) + draws.next(2),
  'IOMMU_IOAS_COPY.flags': (draws) => 2 * (1 + draws.next(3)) + draws.next(2),
  offset: (draws) => draws.next(9) * 2 ** 40 + 4 * draws.next(16),
  iommufd: (draws, own) => own.descriptor('iommufd', draws),
  pt_id: id,
  ioas_id: id,
  dst_ioas_id: id,
  src_ioas_id: id,
  object_id: id,
  dev_id: id,
  id,
  num_iovas: few,
  allowed_iovas: somewhere,
  option_id: bit,
  op: bit,
  val64: bit,
  'VFIO_GROUP_SET_CONTAINER.value': (draws, own) => own.descriptor('vfio-container', draws),
  value: page,
};

/** Arguments that are numbers themselves. */
const integers: Readonly<Record<string, Draw>> = {
  KVM_CHECK_EXTENSION: (draws) => draws.next(250),
  KVM_CREATE_VCPU: few,
  KVM_SET_NR_MMU_PAGES: (draws) => 64 + draws.next(200),
  KVM_SET_TSS_ADDR: (draws) => 0xfffb_d000 - PAGE * draws.next(4),
  KVM_SET_BOOT_CPU_ID: bit,
  KVM_SET_TSC_KHZ: (draws) => 1_000_000 * draws.next(4),
  VFIO_CHECK_EXTENSION: (draws) => draws.next(12),
  VFIO_SET_IOMMU: (draws) => draws.pick([1, 3, 3, 3, 8]),
};

/** What the argument of `ioctl` usually is, where it is a number or nothing at all. */
export const usualInteger = (ioctl: string, draws: Draws, own: Belongings): number =>
  Number(integers[ioctl]?.(draws, own) ?? 0);

/** What a tail is counted as in a structure's own size. */
export const TAIL_BYTES = 64;

/**
 * The structure of `ioctl` as it is usually filled; zero where nothing is known of a member, and now and then what `rare` gives, or a size
 * that is none.
 */
export const usualStruct = (
  ioctl: string,
  struct: Struct,
  draws: Draws,
  own: Belongings,
  rare: () => bigint,
): Uint8Array => struct.encode(filled(ioctl, struct, draws, own, rare));

function filled(ioctl: string, struct: Struct, draws: Draws, own: Belongings, rare: () => bigint): never {
  const value = (name: string, member: Member, index: number): unknown => {
    // VFIO's structures begin with their size, and so do iommufd's.
    if (name === 'argsz') return sizeOr(struct.size + TAIL_BYTES * draws.next(2), draws);
    if (name === 'size' && index === 0 && member.bytes === 4) return sizeOr(struct.size, draws);
    switch (member.kind) {
      case 'int': {
        const usual = members[`${ioctl}.${name}`] ?? members[name];
        const drawn = draws.once(10) ? rare() : BigInt(usual?.(draws, own) ?? 0);
        return member.bytes === 8 ? BigInt.asUintN(64, drawn) : Number(BigInt.asUintN(8 * member.bytes, drawn));
      }
      case 'struct':
        return filled(ioctl, member.struct, draws, own, rare);
      case 'bytes':
        return Uint8Array.from({ length: member.bytes }, () => (draws.once(400) ? draws.next(256) : 0));
    }
  };
  const entries = Object.entries(struct.members).map(([name, member], index) => [name, value(name, member, index)]);
  return Object.fromEntries(entries) as never;
}

const sizeOr = (size: number, draws: Draws): number => (draws.once(8) ? Number(draws.pick(NUMBERS) & 0xffffn) : size);

/** A list of 32-bit words, as they lie in memory. */
const words = (...list: number[]) => new Uint8Array(Uint32Array.from(list).buffer);
const MSRS = [0x10, 0x1b, 0x3a, 0x174, 0x277, 0x6e0, 0x4b56_4d00, 0xc000_0080, 0xc000_0100];
const times = (count: number, make: (index: number) => Uint8Array) =>
  Uint8Array.from(Array.from({ length: count }, (_, i) => [...make(i)]).flat());

/** What usually follows the structure of `ioctl`: entries of its lists, descriptors; TAIL_BYTES at least. */
export function usualTail(ioctl: string, draws: Draws, own: Belongings): Uint8Array {
  switch (ioctl) {
    case 'KVM_GET_MSRS':
    case 'KVM_SET_MSRS':
      return times(4, () => words(draws.pick(MSRS), 0, draws.next(2), 0));
    case 'KVM_SET_GSI_ROUTING':
      return times(4, (i) =>
        draws.once(2)
          ? words(i, 1, 0, 0, draws.next(3), draws.next(8), 0, 0, 0, 0, 0, 0)
          : words(i, 2, 0, 0, 0xfee0_0000, 0, draws.next(256), 0, 0, 0, 0, 0),
      );
    case 'VFIO_DEVICE_SET_IRQS':
      return draws.once(4)
        ? times(16, () => words(draws.next(2)))
        : times(16, () => words(Number(eventfd(draws, own))));
    case 'VFIO_DEVICE_PCI_HOT_RESET':
      return times(16, () => words(own.descriptor('vfio-group', draws)));
    default:
      return times(16, () => words(draws.once(3) ? draws.next(256) : 0));
  }
}

/** What is usually found where an argument points: a descriptor, the limits of a range, or bits of a map. */
export const usualTarget = (draws: Draws, own: Belongings): Uint8Array =>
  draws.once(2)
    ? words(own.descriptor('vfio-group', draws), 0, 0, 0)
    : times(4, (i) => words(0x2_0000 * i, 0, 0x2_0000 * i + 0xfff * draws.next(16), 0));

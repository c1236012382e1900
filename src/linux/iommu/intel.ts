/**
 * The VT-d driver (drivers/iommu/intel/{iommu,dmar}.c): root and context tables, domains, and the log lines of faults.
 * Translation is on from boot on; a device without a domain reaches nothing.
 */

import { strict as assert } from 'node:assert';
import { type Hpa, hpa } from '../../address.ts';
import {
  CONTEXT_ENTRY,
  type DmaFault,
  entryAddress,
  FAULT_REASON,
  type Iommu,
  ROOT_ENTRY,
  sourceText,
} from '../../hardware/iommu.ts';
import type { Device } from '../core/device.ts';
import type { IommuDomain, IommuOps, ReservedRegion } from '../core/iommu.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import type { Kernel } from '../core/kernel.ts';
import { SecondLevelDomain } from './domain.ts';

/** DMA there is an interrupt message (IOAPIC_RANGE_START, _END). */
const MSI_RANGE: ReservedRegion = { start: 0xfee0_0000n, end: 0xfeef_ffffn, kind: 'msi' };
/** dma_remap_fault_reasons. */
const REASONS: Readonly<Record<number, string>> = {
  [FAULT_REASON.ROOT_NOT_PRESENT]: 'Present bit in root entry is clear',
  [FAULT_REASON.CONTEXT_NOT_PRESENT]: 'Present bit in context entry is clear',
  [FAULT_REASON.ADDRESS_BEYOND_WIDTH]: 'Access beyond MGAW',
  [FAULT_REASON.NO_WRITE]: 'PTE Write access is not set',
  [FAULT_REASON.NO_READ]: 'PTE Read access is not set',
};
/** Primary Pending Fault, the bit of the fault status register that is set with the first record. */
const FAULT_STATUS_PENDING = 2;

/** The driver of one remapping unit. */
export class IntelIommu implements IommuOps {
  readonly reserved = [MSI_RANGE];
  readonly remapsInterrupts = true;
  readonly #kernel: Kernel;
  readonly #root: Hpa;
  readonly #sources = new Map<Device, number>();
  #domains = 0;

  /** init_dmars: an empty root table, translation on, the fault interrupt taken. */
  constructor(kernel: Kernel, unit: Iommu) {
    this.#kernel = kernel;
    this.#root = this.#newTable();
    unit.rootTable = this.#root;
    unit.onFault = (fault) => this.#report(fault);
    kernel.printk('DMAR: IOMMU enabled');
  }

  /** iommu_probe_device: a device with the DMA source `source` goes into a group of its own, or into `group`. */
  probe(device: Device, source: number, group?: IommuGroup): IommuGroup {
    this.#sources.set(device, source);
    const joined = group ?? this.#kernel.iommuGroups.allocate(this);
    joined.add(device);
    if (group === undefined) joined.put();
    return joined;
  }

  /** iommu_release_device. */
  release(device: Device, group: IommuGroup): void {
    group.remove(device);
    this.#sources.delete(device);
  }

  allocateDomain(): IommuDomain | undefined {
    return SecondLevelDomain.allocate(this.#kernel.memory, this.#kernel.pages, ++this.#domains);
  }

  attach(device: Device, domain: IommuDomain): void {
    assert(domain instanceof SecondLevelDomain, 'a device behind this IOMMU takes a domain of this IOMMU');
    const at = this.#contextEntry(this.#sourceOf(device));
    const { memory } = this.#kernel;
    memory.writeEntry(hpa(at + 8), CONTEXT_ENTRY.WIDTH_48 | (BigInt(domain.id) << CONTEXT_ENTRY.DOMAIN_SHIFT));
    memory.writeEntry(at, BigInt(domain.root) | CONTEXT_ENTRY.PRESENT);
  }

  detach(device: Device): void {
    const at = this.#contextEntry(this.#sourceOf(device));
    this.#kernel.memory.writeEntry(at, 0n);
    this.#kernel.memory.writeEntry(hpa(at + 8), 0n);
  }

  #sourceOf(device: Device): number {
    const source = this.#sources.get(device);
    assert(source !== undefined, `device ${device.name} is behind no IOMMU`);
    return source;
  }

  /** iommu_context_addr: makes the context table of a bus at its first device. */
  #contextEntry(source: number): Hpa {
    const { memory } = this.#kernel;
    const at = hpa(this.#root + (source >> 8) * ROOT_ENTRY.BYTES);
    let entry = memory.readEntry(at);
    if ((entry & ROOT_ENTRY.PRESENT) === 0n) {
      entry = BigInt(this.#newTable()) | ROOT_ENTRY.PRESENT;
      memory.writeEntry(at, entry);
    }
    return hpa(entryAddress(entry) + (source & 0xff) * CONTEXT_ENTRY.BYTES);
  }

  #newTable(): Hpa {
    const table = this.#kernel.pages.allocate();
    assert(table !== undefined, 'the host has no page for the IOMMU to start with: give it more memory');
    return table;
  }

  /** dmar_fault. */
  #report({ source, address, write, reason }: DmaFault): void {
    const kind = write ? 'DMA Write' : 'DMA Read';
    const code = reason.toString(16).padStart(2, '0');
    this.#kernel.printk(`DMAR: DRHD: handling fault status reg ${FAULT_STATUS_PENDING}`);
    this.#kernel.printk(
      `DMAR: [${kind} NO_PASID] Request device [${sourceText(source)}] fault addr 0x${address.toString(16)} [fault reason 0x${code}] ${REASONS[reason]}`,
    );
  }
}

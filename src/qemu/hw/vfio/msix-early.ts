/**
 * Where an assigned device has its MSI-X table and pending bits, learned before its BARs are mapped (hw/vfio/pci.c: vfio_msix_early_setup,
 * vfio_pci_fixup_msix_region): the table is emulated, so that the host's own must not be mapped unless the kernel allows it.
 */

import { PAGE_SIZE } from '../../../address.ts';
import { strerror } from '../../../linux/uapi/errno.ts';
import {
  PCI_CAP_ID_MSIX,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_QSIZE,
  PCI_MSIX_PBA,
  PCI_MSIX_TABLE,
  PCI_MSIX_TABLE_BIR,
} from '../../../linux/uapi/pci.ts';
import { ConfigurationError } from '../../error.ts';
import type { System } from '../../system.ts';
import { capabilityPositions } from './capability-list.ts';
import type { VfioConfigSpace } from './config-space.ts';
import type { VfioRegion } from './region.ts';
import { vfioMsixEarlySetup, vfioMsixFixup } from './trace-events.ts';

/** A place in a BAR. */
interface Place {
  readonly bar: number;
  readonly offset: number;
}

/** VFIOMSIXInfo. */
export interface MsixInfo {
  readonly entries: number;
  readonly table: Place;
  readonly pending: Place;
}

/** What is asked of the device, and how it is told of. */
interface Owner {
  readonly system: System;
  readonly name: string;
  readonly regions: readonly VfioRegion[];
}

/** vfio_msix_early_setup: undefined without MSI-X. `config` is QEMU's copy. */
export function findMsix(config: Uint8Array, space: VfioConfigSpace, owner: Owner): MsixInfo | undefined {
  const pos = capabilityPositions(config).find((at) => config[at] === PCI_CAP_ID_MSIX);
  if (pos === undefined) return undefined;
  const read = (offset: number, length: number, what: string) => {
    const value = space.readDevice(pos + offset, length);
    if (value < 0) throw new ConfigurationError(`failed to read PCI MSIX ${what}: ${strerror(-value)}`);
    return value;
  };
  const flags = read(PCI_MSIX_FLAGS, 2, 'FLAGS');
  const table = placeOf(read(PCI_MSIX_TABLE, 4, 'TABLE'));
  const pending = placeOf(read(PCI_MSIX_PBA, 4, 'PBA'));
  const info: MsixInfo = { entries: (flags & PCI_MSIX_FLAGS_QSIZE) + 1, table, pending };
  if (pending.offset >= (owner.regions[pending.bar]?.info.size ?? 0)) {
    throw new ConfigurationError('hardware reports invalid configuration, MSIX PBA outside of specified BAR');
  }
  const { system, name } = owner;
  if (vfioMsixEarlySetup.on) {
    vfioMsixEarlySetup(system.stream, { name, pos, bar: table.bar, offset: table.offset, entries: info.entries });
  }
  keepTableFromMapping(info, owner);
  return info;
}

/** msix_init: table and pending bits lie in BARs, aligned, and not one over the other. */
export function msixFits(
  { entries, table, pending }: MsixInfo,
  tableRegion: VfioRegion | undefined,
  pendingRegion: VfioRegion | undefined,
): boolean {
  const tableEnd = table.offset + entries * PCI_MSIX_ENTRY_SIZE;
  const pendingEnd = pending.offset + Math.ceil(entries / 64) * 8;
  const overlap = table.bar === pending.bar && table.offset < pendingEnd && pending.offset < tableEnd;
  return !overlap && tableEnd <= (tableRegion?.info.size ?? 0) && pendingEnd <= (pendingRegion?.info.size ?? 0);
}

const placeOf = (word: number): Place => ({
  bar: word & PCI_MSIX_TABLE_BIR,
  offset: (word & ~PCI_MSIX_TABLE_BIR) >>> 0,
});

/** vfio_pci_fixup_msix_region: of a BAR that would be mapped whole the pages of the table are left out. */
function keepTableFromMapping({ entries, table }: MsixInfo, { system, name, regions }: Owner): void {
  const region = regions[table.bar];
  const [area, ...more] = region?.areas ?? [];
  if (region === undefined || area === undefined || more.length > 0 || region.info.msixMappable) return;
  const { size } = region.info;
  if (area.offset !== 0 || area.size !== size) return;
  const start = Math.floor(table.offset / PAGE_SIZE) * PAGE_SIZE;
  const end = Math.ceil((table.offset + entries * PCI_MSIX_ENTRY_SIZE) / PAGE_SIZE) * PAGE_SIZE;
  const left = [
    { offset: 0, size: start },
    { offset: end, size: size - end },
  ].filter((part) => part.size > 0);
  region.restrict(left);
  if (!vfioMsixFixup.on) return;
  for (const part of left.length > 0 ? left : [{ offset: 0, size: 0 }]) {
    vfioMsixFixup(system.stream, { name, bar: table.bar, start: part.offset, end: part.offset + part.size });
  }
}

/**
 * pci_register_bar as it was when seed 001 was written: a BAR has a size and a function that is called with the address each
 * time the guest has moved it (hw/pci.c up to 0.14: pci_register_bar, pci_update_mappings). A thin layer over a region.
 */

import { PCI_BASE_ADDRESS_SPACE_IO } from '../../../linux/uapi/pci.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import type { OldIoports } from '../old-ioport.ts';
import type { PciDevice } from './pci-device.ts';

/** PCIMapIORegionFunc. */
export type MapFunction<D extends PciDevice> = (
  device: D,
  regionNumber: number,
  address: number,
  size: number,
  type: number,
) => void;

/** Register BAR `regionNumber` of I/O ports; what `map` registered at the old address is taken away before each call. */
export function registerOldBar<D extends PciDevice>(
  { topology, ioports }: { readonly topology: MemoryTopology; readonly ioports: OldIoports },
  device: D,
  regionNumber: number,
  size: number,
  map: MapFunction<D>,
): void {
  const type = PCI_BASE_ADDRESS_SPACE_IO;
  const place = topology.container(`${device.name} BAR ${regionNumber}`, size);
  device.registerBar(regionNumber, type, place, {
    mapped: (address) => map(device, regionNumber, address, size, type),
    unmapped: (address) => ioports.unassign(address, size),
  });
}

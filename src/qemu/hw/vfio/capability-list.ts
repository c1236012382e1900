/** The list of capabilities in configuration space (PCI Local Bus 3.0, 6.7; hw/pci/pci.c: pci_find_capability_list). */

import {
  PCI_CAP_LIST_NEXT,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from '../../../linux/uapi/pci.ts';

/** Behind the header; and as many as there is room for, should the list lead back to itself. */
const FIRST = 0x40;
const MOST = (PCI_CFG_SPACE_SIZE - FIRST) / 4;

/** Where capabilities stand, in the order of the list. */
export function capabilityPositions(config: Uint8Array): readonly number[] {
  const positions: number[] = [];
  if ((config[PCI_STATUS]! & PCI_STATUS_CAP_LIST) === 0) return positions;
  for (let at = config[PCI_CAPABILITY_LIST]!; at >= FIRST && positions.length < MOST; ) {
    positions.push(at);
    at = config[at + PCI_CAP_LIST_NEXT]!;
  }
  return positions;
}

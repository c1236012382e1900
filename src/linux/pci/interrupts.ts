/**
 * Interrupts of PCI devices as drivers get them: the line, MSI and MSI-X (drivers/pci/msi, kernel/irq/manage.c). Vectors of the
 * host's processor are handed out from one pool.
 */

import { MESSAGE_ADDRESS } from '../../hardware/interrupt-controller.ts';
import { ENOSPC } from '../uapi/errno.ts';
import {
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_MSI_ADDRESS_HI,
  PCI_MSI_ADDRESS_LO,
  PCI_MSI_DATA_64,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_ENABLE,
  PCI_MSI_FLAGS_QMASK,
  PCI_MSI_FLAGS_QSIZE,
  PCI_MSIX_ENTRY_CTRL_MASKBIT,
  PCI_MSIX_ENTRY_SIZE,
  PCI_MSIX_ENTRY_VECTOR_CTRL,
  PCI_MSIX_FLAGS,
  PCI_MSIX_FLAGS_ENABLE,
  PCI_MSIX_FLAGS_QSIZE,
  PCI_MSIX_TABLE,
  PCI_MSIX_TABLE_BIR,
} from '../uapi/pci.ts';
import type { PciDevice } from './device.ts';

/** Vectors below belong to exceptions and to the kernel itself. */
const FIRST_VECTOR = 0x30;
const LAST_VECTOR = 0xee;

/** Messages that were set up; each has a vector of the host's processor. */
export interface MessageVectors {
  readonly count: number;
  /** request_irq of one message, which is written into its entry of MSI-X anew; undefined takes the handler away, and masks the entry. */
  handle(index: number, handler: (() => void) | undefined): void;
  /** pci_free_irq_vectors. */
  free(): void;
}

const used = new WeakMap<object, Set<number>>();

/** Vectors of the processor behind this device that are handed out. */
export const vectorsInUse = (pci: PciDevice): number => poolOf(pci).size;

/** How many messages the device can send: 0 without the capability. */
export function messageCount(pci: PciDevice, msix: boolean): number {
  const at = pci.capability(msix ? PCI_CAP_ID_MSIX : PCI_CAP_ID_MSI);
  if (at === 0) return 0;
  if (msix) return (pci.readConfig(at + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
  return 1 << ((pci.readConfig(at + PCI_MSI_FLAGS, 2) & PCI_MSI_FLAGS_QMASK) >> 1);
}

/**
 * pci_alloc_irq_vectors(dev, 1, count, type), for who wants them all: the messages; or how many there could be, where these are
 * fewer than `count`; or -ENOSPC.
 */
export function allocateMessages(pci: PciDevice, count: number, msix: boolean): MessageVectors | number {
  const available = messageCount(pci, msix);
  if (available < count) return available;
  const vectors = takeVectors(pci, msix ? count : 2 ** Math.ceil(Math.log2(count)), !msix);
  if (vectors === undefined) return fewerVectors(pci, msix);
  const { interrupts } = pci.hardware.slot;
  const handled = new Set<number>();
  const writeAll = () => {
    if (msix) for (const [index, vector] of vectors.entries()) writeEntry(pci, index, vector, !handled.has(index));
  };
  writeAll();
  if (msix) enableMsix(pci);
  else enableMsi(pci, vectors[0] ?? 0, count);
  pci.restoreMessages = writeAll;
  return {
    count,
    handle(index, handler) {
      const vector = vectors[index] ?? 0;
      interrupts.setVector(vector, handler);
      if (handler === undefined) handled.delete(index);
      else handled.add(index);
      // What waited behind the mask comes now.
      if (msix) writeEntry(pci, index, vector, handler === undefined);
    },
    free() {
      pci.restoreMessages = undefined;
      disable(pci, msix);
      for (const vector of vectors) {
        interrupts.setVector(vector, undefined);
        poolOf(pci).delete(vector);
      }
    },
  };
}

/** The processor has fewer vectors left: of MSI-X as many as these, of MSI one; or -ENOSPC. */
function fewerVectors(pci: PciDevice, msix: boolean): number {
  const left = LAST_VECTOR - FIRST_VECTOR + 1 - poolOf(pci).size;
  if (left === 0) return pci.kernel.refuse(ENOSPC, `no vector of the processor is left for ${pci.name}`);
  return msix ? left : 1;
}

function poolOf(pci: PciDevice): Set<number> {
  const { interrupts } = pci.hardware.slot;
  let pool = used.get(interrupts);
  if (pool === undefined) {
    pool = new Set();
    used.set(interrupts, pool);
  }
  return pool;
}

/** Free vectors; for MSI neighbours, aligned to their number, as the device puts the message's number into the low bits. */
function takeVectors(pci: PciDevice, count: number, neighbours: boolean): number[] | undefined {
  const pool = poolOf(pci);
  const taken: number[] = [];
  for (let vector = FIRST_VECTOR; vector <= LAST_VECTOR && taken.length < count; vector++) {
    if (pool.has(vector)) {
      if (neighbours) taken.length = 0;
    } else if (!neighbours || taken.length > 0 || vector % count === 0) taken.push(vector);
  }
  if (taken.length < count) return undefined;
  for (const vector of taken) pool.add(vector);
  return taken;
}

function enableMsi(pci: PciDevice, vector: number, count: number): void {
  const at = pci.capability(PCI_CAP_ID_MSI);
  pci.writeConfig(at + PCI_MSI_ADDRESS_LO, 4, Number(MESSAGE_ADDRESS));
  pci.writeConfig(at + PCI_MSI_ADDRESS_HI, 4, 0);
  pci.writeConfig(at + PCI_MSI_DATA_64, 2, vector);
  const flags = pci.readConfig(at + PCI_MSI_FLAGS, 2) & ~PCI_MSI_FLAGS_QSIZE;
  pci.writeConfig(at + PCI_MSI_FLAGS, 2, flags | (Math.ceil(Math.log2(count)) << 4) | PCI_MSI_FLAGS_ENABLE);
}

function enableMsix(pci: PciDevice): void {
  const at = pci.capability(PCI_CAP_ID_MSIX);
  const flags = pci.readConfig(at + PCI_MSIX_FLAGS, 2);
  pci.writeConfig(at + PCI_MSIX_FLAGS, 2, flags | PCI_MSIX_FLAGS_ENABLE);
}

/** __pci_write_msi_msg and pci_msix_write_vector_ctrl. */
function writeEntry(pci: PciDevice, index: number, vector: number, masked: boolean): void {
  const table = pci.readConfig(pci.capability(PCI_CAP_ID_MSIX) + PCI_MSIX_TABLE, 4);
  const bar = table & PCI_MSIX_TABLE_BIR;
  const entry = (table & ~PCI_MSIX_TABLE_BIR) + index * PCI_MSIX_ENTRY_SIZE;
  const control = entry + PCI_MSIX_ENTRY_VECTOR_CTRL;
  pci.writeBar(bar, control, 4, PCI_MSIX_ENTRY_CTRL_MASKBIT);
  pci.writeBar(bar, entry, 4, Number(MESSAGE_ADDRESS));
  pci.writeBar(bar, entry + 4, 4, 0);
  pci.writeBar(bar, entry + 8, 4, vector);
  if (!masked) pci.writeBar(bar, control, 4, 0);
}

function disable(pci: PciDevice, msix: boolean): void {
  const at = pci.capability(msix ? PCI_CAP_ID_MSIX : PCI_CAP_ID_MSI);
  const [register, bit] = msix ? [PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE] : [PCI_MSI_FLAGS, PCI_MSI_FLAGS_ENABLE];
  pci.writeConfig(at + register, 2, pci.readConfig(at + register, 2) & ~bit);
}

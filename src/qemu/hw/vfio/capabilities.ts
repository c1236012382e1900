/**
 * The capabilities of an assigned device that the guest gets (hw/vfio/pci.c: vfio_add_capabilities, vfio_add_std_cap, vfio_msi_setup, vfio_msix_setup).
 * They stay where the device has them; MSI and MSI-X are QEMU's own, since the host programs the device's.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import {
  PCI_AF_CAP,
  PCI_AF_CAP_FLR,
  PCI_AF_CAP_TP,
  PCI_CAP_ID_AF,
  PCI_CAP_ID_EXP,
  PCI_CAP_ID_MSI,
  PCI_CAP_ID_MSIX,
  PCI_CAP_ID_PM,
  PCI_CAP_LIST_NEXT,
  PCI_CAP_MSIX_SIZEOF,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_EXP_DEVCAP,
  PCI_EXP_DEVCAP_FLR,
  PCI_MSI_FLAGS,
  PCI_MSI_FLAGS_64BIT,
  PCI_MSI_FLAGS_MASKBIT,
  PCI_MSI_FLAGS_QMASK,
  PCI_PM_CTRL,
  PCI_PM_CTRL_NO_SOFT_RESET,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from '../../../linux/uapi/pci.ts';
import { ConfigurationError, prepending } from '../../error.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import type { System } from '../../system.ts';
import { Msi } from '../pci/msi.ts';
import { Msix } from '../pci/msix.ts';
import type { PciDevice } from '../pci/pci-device.ts';
import { capabilityPositions } from './capability-list.ts';
import type { VfioConfigSpace } from './config-space.ts';
import { type MsixInfo, msixFits } from './msix-early.ts';
import type { VfioRegion } from './region.ts';
import { vfioCheckAfFlr, vfioCheckPcieFlr, vfioCheckPmReset, vfioMsiSetup } from './trace-events.ts';

/** What QEMU emulates of the device's capabilities. */
export interface EmulatedCapabilities {
  readonly msi: Msi | undefined;
  readonly msix: Msix | undefined;
  /** The device can be reset alone. */
  readonly flr: boolean;
  /** Where its power management stands, and whether the way from D3 to D0 resets it. */
  readonly power: { readonly at: number; readonly resets: boolean } | undefined;
}

/** Whose capabilities they are, and where its BARs and its MSI-X lie. */
export interface CapabilityOwner {
  readonly system: System;
  readonly topology: MemoryTopology;
  readonly name: string;
  readonly regions: readonly VfioRegion[];
  readonly msix: MsixInfo | undefined;
}

/** Rebuild the list of `function`, whose configuration was read from the device, with what the guest shall have of it. */
export function addCapabilities(fn: PciDevice, space: VfioConfigSpace, owner: CapabilityOwner): EmulatedCapabilities {
  const positions = capabilityPositions(fn.config);
  let [msi, msix]: [Msi | undefined, Msix | undefined] = [undefined, undefined];
  let flr = false;
  let power: EmulatedCapabilities['power'];
  if (positions.length === 0) return { msi, msix, flr, power };
  fn.config[PCI_CAPABILITY_LIST] = 0;
  space.emulate(PCI_CAPABILITY_LIST, 1);
  space.emulate(PCI_STATUS, 1, PCI_STATUS_CAP_LIST);
  // Each is put in front of what is there: so from the last one back.
  for (const at of [...positions].reverse()) {
    space.emulate(at + PCI_CAP_LIST_NEXT, 1);
    const id = fn.config[at]!;
    const size = Math.min(...positions.filter((other) => other > at), PCI_CFG_SPACE_SIZE) - at;
    prepending(
      `failed to add PCI capability 0x${id.toString(16)}[0x${size.toString(16)}]@0x${at.toString(16)}: `,
      () => {
        switch (id) {
          case PCI_CAP_ID_MSI:
            msi = setUpMsi(fn, space, owner, at);
            break;
          case PCI_CAP_ID_MSIX:
            msix = setUpMsix(fn, space, owner, at);
            break;
          default:
            if (hasFlr(fn, owner, at)) flr = true;
            if (id === PCI_CAP_ID_PM) power = { at, resets: resetsByPower(fn, owner, at) };
            // As long as it is to the next one, and the device's own.
            fn.addCapability(id, at, size);
        }
      },
    );
  }
  return { msi, msix, flr, power };
}

/** vfio_msi_setup. */
function setUpMsi(fn: PciDevice, space: VfioConfigSpace, { system, name }: CapabilityOwner, at: number): Msi {
  const flags = space.readDevice(at + PCI_MSI_FLAGS, 2);
  if (flags < 0) throw new ConfigurationError(`failed reading MSI PCI_CAP_FLAGS: ${strerror(-flags)}`);
  if (vfioMsiSetup.on) vfioMsiSetup(system.stream, { name, pos: at });
  const form = { is64Bit: (flags & PCI_MSI_FLAGS_64BIT) !== 0, maskable: (flags & PCI_MSI_FLAGS_MASKBIT) !== 0 };
  const vectors = 1 << ((flags & PCI_MSI_FLAGS_QMASK) >> 1);
  const msi = prepending('msi_init failed: ', () => new Msi(fn, vectors, { at, ...form }));
  space.emulate(at, msi.size);
  return msi;
}

/** vfio_msix_setup. */
function setUpMsix(fn: PciDevice, space: VfioConfigSpace, owner: CapabilityOwner, at: number): Msix {
  const { topology, regions } = owner;
  // It was found before the BARs were registered.
  const { table, pending, entries } = owner.msix!;
  const tableRegion = regions[table.bar];
  const pendingRegion = regions[pending.bar];
  if (!msixFits(owner.msix!, tableRegion, pendingRegion)) {
    throw new ConfigurationError("table & pba overlap, or they don't fit in BARs, or don't align");
  }
  const msix = new Msix(topology, fn, entries, {
    ...{ bar: table.bar, region: tableRegion!.region, table: table.offset, capability: at },
    ...{ pendingBar: pending.bar, pendingRegion: pendingRegion!.region, pending: pending.offset },
  });
  // The device's own bits are true until a vector waits that the guest has masked, of which the device knows nothing.
  msix.showPending(false);
  space.emulate(at, PCI_CAP_MSIX_SIZEOF);
  return msix;
}

/** vfio_check_pcie_flr, vfio_check_af_flr. */
function hasFlr(fn: PciDevice, { system, name }: CapabilityOwner, at: number): boolean {
  switch (fn.config[at]) {
    case PCI_CAP_ID_EXP: {
      const flr = (fn.view.getUint32(at + PCI_EXP_DEVCAP, true) & PCI_EXP_DEVCAP_FLR) !== 0;
      if (flr && vfioCheckPcieFlr.on) vfioCheckPcieFlr(system.stream, { name });
      return flr;
    }
    case PCI_CAP_ID_AF: {
      const both = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;
      const flr = (fn.config[at + PCI_AF_CAP]! & both) === both;
      if (flr && vfioCheckAfFlr.on) vfioCheckAfFlr(system.stream, { name });
      return flr;
    }
    default:
      return false;
  }
}

/** vfio_check_pm_reset: the device loses its registers on the way from D3 to D0. */
function resetsByPower(fn: PciDevice, { system, name }: CapabilityOwner, at: number): boolean {
  const resets = (fn.view.getUint16(at + PCI_PM_CTRL, true) & PCI_PM_CTRL_NO_SOFT_RESET) === 0;
  if (resets && vfioCheckPmReset.on) vfioCheckPmReset(system.stream, { name });
  return resets;
}

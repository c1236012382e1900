/**
 * What firmware would have done to the PCI bridges by the time a kernel looks at them.
 *
 * SeaBIOS gives an empty bridge that devices may be plugged into later one I/O window of the smallest size, 4 KiB
 * (pci_bios_check_devices in src/fw/pciinit.c: PCI_BRIDGE_IO_MIN). Fidelity: there is no firmware here, so the VMM programs
 * that one window by configuration writes, for the bridges of the root bus, as if each had been empty; BARs, bus numbers
 * and memory windows are left to the guest. A kernel does not resize a window that it finds in use, which is why two
 * BARs of 4 KiB do not fit.
 */

import { PCI_IO_BASE, PCI_IO_LIMIT } from '../linux/uapi/pci.ts';
import type { Machine } from './hw/machine.ts';
import { PciBridge } from './hw/pci/pci-bridge.ts';

/** First port of the first window, and the size of each: registers hold bits 15:12. */
const FIRST_WINDOW = 0x1000;
const WINDOW_BYTES = 0x1000;

/** Program the I/O windows of the root bus's bridges, in slot order. */
export function assignBridgeWindows(machine: Machine): void {
  let base = FIRST_WINDOW;
  for (const device of machine.rootBus.devices) {
    if (!(device instanceof PciBridge)) continue;
    device.writeConfig(PCI_IO_BASE, base >> 8, 1);
    device.writeConfig(PCI_IO_LIMIT, base >> 8, 1);
    base += WINDOW_BYTES;
  }
}

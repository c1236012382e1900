/**
 * `copier`, the host's own driver of the copier (its data sheet: src/hardware/devices/copier.ts): it makes sure that the device is one, and
 * keeps it. Fidelity: nothing in the model's kernel has anything to copy; what matters is that the device's DMA is the kernel's meanwhile.
 */

import { COPIER, COPIER_DEVICE, COPIER_ID, COPIER_VENDOR } from '../../hardware/devices/copier.ts';
import type { Kernel } from '../core/kernel.ts';
import { type PciBus, PciDriver, pciId } from '../pci/bus.ts';
import type { PciDevice } from '../pci/device.ts';
import { ENODEV } from '../uapi/errno.ts';
import { PCI_COMMAND_MASTER } from '../uapi/pci.ts';

const NAME = 'copier';
/** Registers are in BAR 0. */
const BAR = 0;

/** Make it loadable: `modprobe copier`. */
export function registerCopier(kernel: Kernel, bus: PciBus): void {
  let driver: PciDriver | undefined;
  kernel.modules.register({
    name: NAME,
    parameters: {},
    init() {
      driver = new PciDriver(bus, {
        name: NAME,
        module: NAME,
        ids: [pciId(COPIER_VENDOR, COPIER_DEVICE)],
        probe: (pci) => probe(kernel, pci),
        remove(pci) {
          pci.setCommand(0, PCI_COMMAND_MASTER);
          pci.disable();
        },
      });
      return driver.register(kernel);
    },
    exit() {
      driver?.unregister(kernel);
    },
  });
}

function probe(kernel: Kernel, pci: PciDevice): number {
  pci.enable();
  const id = pci.readBar(BAR, COPIER.ID, 4);
  if (id !== COPIER_ID) {
    pci.disable();
    return kernel.refuse(ENODEV, `${pci.name} says 0x${id.toString(16)}: no copier`);
  }
  pci.setCommand(PCI_COMMAND_MASTER, 0);
  kernel.printk(`${NAME} ${pci.name}: 4096 bytes`);
  return 0;
}

/** A host with an IOMMU and a copier in slot 0000:06:0d.0, and a native driver for it. */

import { AddressBus } from '../../../src/hardware/address-bus.ts';
import { COPIER_DEVICE, COPIER_VENDOR, Copier } from '../../../src/hardware/devices/copier.ts';
import { InterruptController } from '../../../src/hardware/interrupt-controller.ts';
import { Iommu } from '../../../src/hardware/iommu.ts';
import { IntelIommu } from '../../../src/linux/iommu/intel.ts';
import { PciDriver, type PciDriverOptions, pciId } from '../../../src/linux/pci/bus.ts';
import { PciHost } from '../../../src/linux/pci/scan.ts';
import { PCI_DEVFN } from '../../../src/linux/uapi/pci.ts';
import { bootHost } from '../drivers/host.ts';
import { hostKeepsPages } from '../leaks.ts';

export const NAME = '0000:06:0d.0';
export const COPIER_ID = pciId(COPIER_VENDOR, COPIER_DEVICE);
/** Interrupt line of the slot. */
export const LINE = 19;

export function bootPciHost() {
  const host = bootHost();
  const { kernel } = host;
  const unit = new Iommu(kernel.memory, kernel.stream);
  const iommu = new IntelIommu(kernel, unit);
  const interrupts = new InterruptController();
  const ports = new AddressBus();
  const slot = {
    bus: 6,
    devfn: PCI_DEVFN(0x0d, 0),
    memory: kernel.memory.devices,
    ports,
    iommu: unit,
    interrupts,
    line: LINE,
  };
  const pciHost = new PciHost(kernel, iommu);
  const copier = new Copier(slot);
  hostKeepsPages(kernel);
  /** The bus finds the copier. */
  const addCopier = () => {
    const found = pciHost.add(copier.function);
    hostKeepsPages(kernel);
    return found;
  };
  const log: string[] = [];
  const addDriver = (name: string, options: Partial<PciDriverOptions> = {}) => {
    const driver = new PciDriver(pciHost.bus, {
      name,
      ids: [],
      probe: ({ name: device }) => {
        log.push(`${name} probe ${device}`);
        return 0;
      },
      remove: ({ name: device }) => log.push(`${name} remove ${device}`),
      ...options,
    });
    driver.register(kernel);
    return driver;
  };
  const path = `/sys/bus/pci/devices/${NAME}`;
  const driverOf = () => {
    const link = host.syscalls.readlink(`${path}/driver`);
    return typeof link === 'string' ? link.split('/').at(-1) : undefined;
  };
  return { ...host, unit, iommu, interrupts, ports, slot, pciHost, copier, addCopier, log, addDriver, path, driverOf };
}

export type PciTestHost = ReturnType<typeof bootPciHost>;

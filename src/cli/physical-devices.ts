/** Hardware that the user plugs into the modeled host: `--plug copier@06:0d.0`. The first device brings PCI and the IOMMU along. */

import { AddressBus } from '../hardware/address-bus.ts';
import { Copier } from '../hardware/devices/copier.ts';
import { InterruptController } from '../hardware/interrupt-controller.ts';
import { Iommu } from '../hardware/iommu.ts';
import type { PciFunction, PciSlot } from '../hardware/pci/function.ts';
import type { Kernel } from '../linux/core/kernel.ts';
import { IntelIommu } from '../linux/iommu/intel.ts';
import { PciHost } from '../linux/pci/scan.ts';
import { PCI_DEVFN } from '../linux/uapi/pci.ts';
import { registerVfioPci } from '../linux/vfio/pci/vfio-pci.ts';
import { UsageError } from './usage-error.ts';

/** What can be plugged in. */
const models: Readonly<Record<string, (slot: PciSlot) => PciFunction>> = {
  copier: (slot) => new Copier(slot).function,
};

/** The first interrupt line that belongs to PCI; each device has one to itself. */
const FIRST_LINE = 16;

/** Plug in the devices of `wanted`, each MODEL@BUS:SLOT.FUNCTION; vfio-pci can be loaded for them. Throws a {@link UsageError}. */
export function plugIn(kernel: Kernel, wanted: readonly string[]): void {
  if (wanted.length === 0) return;
  const iommu = new Iommu(kernel.memory, kernel.stream);
  const host = new PciHost(kernel, new IntelIommu(kernel, iommu));
  const [interrupts, ports] = [new InterruptController(), new AddressBus()];
  const taken = new Set<string>();
  for (const [index, text] of wanted.entries()) {
    const { model, bus, devfn } = parse(text);
    const place = `${bus}:${devfn}`;
    if (taken.has(place)) throw new UsageError(`--plug ${text}: another device is in this slot`);
    taken.add(place);
    const line = FIRST_LINE + index;
    host.add(model({ bus, devfn, memory: kernel.memory.devices, ports, iommu, interrupts, line }));
  }
  registerVfioPci(kernel, host.bus);
}

function parse(text: string) {
  const match = /^([\w-]+)@(?:0000:)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/i.exec(text);
  const [, name = '', bus = '', slot = '', func = ''] = match ?? [];
  const model = models[name];
  if (model === undefined || Number.parseInt(slot, 16) > 31) {
    const known = Object.keys(models).join(', ');
    throw new UsageError(`--plug takes MODEL@BUS:SLOT.FUNCTION, such as copier@06:0d.0, not ${text}; models: ${known}`);
  }
  return { model, bus: Number.parseInt(bus, 16), devfn: PCI_DEVFN(Number.parseInt(slot, 16), Number(func)) };
}

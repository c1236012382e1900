/** The data sheet of a PCI function that sits in a slot: what every one has in common. */

import { PCI_HEADER_TYPE, PCI_HEADER_TYPE_MULTI_FUNCTION } from '../../../linux/uapi/pci.ts';
import { type DeviceModel, deviceModel } from '../device-model.ts';
import type { Machine } from '../machine.ts';
import { boolProperty, type Properties, pciAddressProperty, type ValuesOf } from '../property.ts';
import type { PciBus } from './pci-bus.ts';
import type { PciDevice } from './pci-device.ts';

/** Where a new function goes. */
export interface PciPlace {
  readonly machine: Machine;
  readonly bus: PciBus;
  readonly devfn: number;
  readonly id: string | undefined;
}

/** Declare a PCI device model; `make` gets a free place and the model's own properties. */
export function pciModel<const P extends Properties>(model: {
  readonly name: string;
  readonly category: string;
  readonly description: string;
  readonly properties: P;
  make(place: PciPlace, properties: ValuesOf<P>): PciDevice;
}): DeviceModel {
  const { name, category, description } = model;
  const common = {
    addr: pciAddressProperty('Slot and optional function number, example: 06.0 or 06'),
    multifunction: boolProperty(false, 'on/off'),
  };
  return deviceModel({
    name,
    bus: 'PCI',
    category,
    description,
    properties: { ...common, ...model.properties },
    realize(machine, properties, { id, bus: busName }) {
      const { addr, multifunction } = properties as ValuesOf<typeof common>;
      const bus = machine.pciBus(busName);
      const devfn = bus.allocate(addr, name);
      const device = model.make({ machine, bus, devfn, id }, properties as ValuesOf<P>);
      if (multifunction) device.config[PCI_HEADER_TYPE]! |= PCI_HEADER_TYPE_MULTI_FUNCTION;
      bus.attach(device);
    },
  });
}

/** The data sheet of vfio-pci: what `-device vfio-pci` takes. */

import { ConfigurationError, prepending } from '../../error.ts';
import { deviceModel } from '../device-model.ts';
import { boolProperty, linkProperty, pciAddressProperty, stringProperty, u32Property } from '../property.ts';
import { iommufdOf } from './attach.ts';
import { findHostDevice } from './host-device.ts';
import { PCI_ANY_ID, VfioPciDevice, type VfioPciOptions } from './pci.ts';

/** `host=[DDDD:]BB:DD.F` as a directory of sysfs. */
function sysfsOfHost(host: string): string {
  const match = /^(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/i.exec(host);
  if (match === null) throw new ConfigurationError(`Property 'vfio-pci.host' doesn't take value '${host}'`);
  const [, domain = '0', bus, slot, func] = match;
  const pad = (text: string, digits: number) => text.toLowerCase().padStart(digits, '0');
  return `/sys/bus/pci/devices/${pad(domain, 4)}:${pad(bus!, 2)}:${pad(slot!, 2)}.${func}`;
}

export const vfioPci = deviceModel({
  name: 'vfio-pci',
  bus: 'PCI',
  category: 'Misc',
  description: 'VFIO-based PCI device assignment',
  properties: {
    addr: pciAddressProperty('Slot and optional function number, example: 06.0 or 06'),
    host: stringProperty('Address (bus/device/function) of the host device, example: 04:10.0'),
    iommufd: linkProperty('iommufd', 'The iommufd object by which the device is had, not by its group'),
    multifunction: boolProperty(false, 'on/off'),
    rombar: u32Property(1, 'Look for a ROM BAR'),
    sysfsdev: stringProperty('Directory of the host device in sysfs'),
    'x-intx-mmap-timeout-ms': u32Property(1100, 'How long after an INTx BARs are mapped again'),
    'x-no-kvm-intx': boolProperty(false, 'on/off'),
    'x-no-kvm-msi': boolProperty(false, 'on/off'),
    'x-no-kvm-msix': boolProperty(false, 'on/off'),
    'x-no-mmap': boolProperty(false, 'on/off'),
    'x-pci-device-id': u32Property(PCI_ANY_ID, 'Device ID that the guest sees'),
    'x-pci-sub-device-id': u32Property(PCI_ANY_ID, 'Subsystem ID that the guest sees'),
    'x-pci-sub-vendor-id': u32Property(PCI_ANY_ID, 'Subsystem vendor ID that the guest sees'),
    'x-pci-vendor-id': u32Property(PCI_ANY_ID, 'Vendor ID that the guest sees'),
    'x-req': boolProperty(true, 'on/off'),
  },
  realize(machine, properties, { id, bus: busName }) {
    const bus = machine.pciBus(busName);
    const devfn = bus.allocate(properties.addr, 'vfio-pci');
    const { host, sysfsdev, rombar, multifunction } = properties;
    if (host === undefined && sysfsdev === undefined) {
      throw new ConfigurationError(
        'No provided host device',
        'Use -device vfio-pci,host=DDDD:BB:DD.F or -device vfio-pci,sysfsdev=PATH_TO_DEVICE',
      );
    }
    const device = findHostDevice(machine.system, sysfsdev ?? sysfsOfHost(host!));
    const options: VfioPciOptions = {
      rombar: rombar !== 0,
      req: properties['x-req'],
      multifunction,
      noMmap: properties['x-no-mmap'],
      mmapTimeout: properties['x-intx-mmap-timeout-ms'],
      noKvmIntx: properties['x-no-kvm-intx'],
      noKvmMsi: properties['x-no-kvm-msi'],
      noKvmMsix: properties['x-no-kvm-msix'],
      ids: [
        properties['x-pci-vendor-id'],
        properties['x-pci-device-id'],
        properties['x-pci-sub-vendor-id'],
        properties['x-pci-sub-device-id'],
      ],
      iommufd: iommufdOf(machine, properties.iommufd),
    };
    prepending(`vfio ${device.name}: `, () => {
      bus.attach(new VfioPciDevice(machine, bus, devfn, id, device, options));
    });
  },
});

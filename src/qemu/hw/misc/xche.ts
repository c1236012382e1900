/**
 * xche, the device of seed 001: 32 one-byte registers behind an I/O BAR, written with the API of its time. It can live in
 * QEMU, in KVM (KVM_CREATE_XCHE, an ioctl that Linux never had), or in both: then KVM answers as long as the BAR lies where
 * the in-kernel device does, and QEMU where it does not.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import { KVM_CREATE_XCHE } from '../../../linux/uapi/kvm.ts';
import { PCI_CLASS_OTHERS } from '../../../linux/uapi/pci.ts';
import { ConfigurationError } from '../../error.ts';
import { type MapFunction, registerOldBar } from '../pci/old-bar.ts';
import { PciDevice } from '../pci/pci-device.ts';
import { type PciPlace, pciModel } from '../pci/pci-model.ts';
import { stringProperty } from '../property.ts';

const REGISTERS = 32;
const WHERE = ['qemu', 'kvm', 'both'] as const;
type Where = (typeof WHERE)[number];

class Xche extends PciDevice {
  readonly registers = new Uint8Array(REGISTERS);

  constructor({ machine, bus, devfn, id }: PciPlace, where: Where) {
    super(machine.system.stream, bus, devfn, 'xche', id);
    this.identify({ vendor: 0x1234, device: 0x7863, class: PCI_CLASS_OTHERS });
    const { topology, ioports } = machine;
    const map: MapFunction<Xche> = (device, _number, address, size) => {
      if (where === 'kvm') return;
      ioports.registerRead(address, size, 1, readRegister, device);
      ioports.registerWrite(address, size, 1, writeRegister, device);
    };
    registerOldBar({ topology, ioports }, this, 0, REGISTERS, map);
    if (where === 'qemu') return;
    const result = machine.system.ioctl(machine.kvm.vm, KVM_CREATE_XCHE);
    if (result < 0) throw new ConfigurationError(`KVM_CREATE_XCHE failed: ${strerror(-result)}`);
  }
}

const readRegister = (device: Xche, address: number): number => device.registers[address % REGISTERS]!;

function writeRegister(device: Xche, address: number, data: number): void {
  device.registers[address % REGISTERS] = data;
}

export const xche = pciModel({
  name: 'xche',
  category: 'Misc',
  description: 'The device of "kvm-qemu device I/O virtualisation": in QEMU, in KVM, or in both',
  properties: { in: stringProperty('Where its registers are: qemu (default), kvm or both') },
  make(place, properties) {
    const where = WHERE.find((one) => one === (properties.in ?? 'qemu'));
    if (where === undefined) {
      throw new ConfigurationError(
        `Property 'xche.in' doesn't take value '${properties.in}'`,
        `One of ${WHERE.join(', ')}.`,
      );
    }
    return new Xche(place, where);
  },
});

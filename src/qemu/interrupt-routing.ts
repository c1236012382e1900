/**
 * What firmware would have done about PCI interrupts by the time a kernel looks: the PIIX3's PIRQs lead to ISA lines 10 and
 * 11, and each function's INTERRUPT_LINE tells its own (SeaBIOS, src/fw/pciinit.c: piix_isa_bridge_setup,
 * pci_bios_init_device). Fidelity: there is no firmware here, so the VMM does it, and only where KVM has controllers.
 */

import { PCI_INTERRUPT_LINE, PCI_INTERRUPT_PIN } from '../linux/uapi/pci.ts';
import type { Machine } from './hw/machine.ts';
import type { PciBus } from './hw/pci/pci-bus.ts';

const PIIX3 = 1 << 3;
const PIRQRC = 0x60;
/** ISA lines of PIRQA to PIRQD. */
const LINES = [10, 10, 11, 11] as const;

export function routeInterrupts(machine: Machine): void {
  const piix3 = machine.rootBus.devices.find(({ devfn }) => devfn === PIIX3)!;
  // Not by piix3.writeConfig, which would tell all sixteen lines their level four times: none is up yet.
  LINES.forEach((line, pirq) => {
    piix3.config[PIRQRC + pirq] = line;
    machine.rootBus.routesChanged();
  });
  assignLines(machine.rootBus);
}

function assignLines(bus: PciBus): void {
  for (const device of bus.devices) {
    const pin = device.readConfig(PCI_INTERRUPT_PIN, 1);
    if (pin !== 0) device.writeConfig(PCI_INTERRUPT_LINE, LINES[bus.pirqOf(device.devfn, pin - 1)]!, 1);
  }
  for (const child of bus.children) assignLines(child);
}

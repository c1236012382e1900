/**
 * `ahci`, the native driver of SATA controllers on the platform bus (drivers/ata/ahci_platform.c): it resets the controller and
 * says what it found. Fidelity: no disk is attached to the host's block layer, which the model has not.
 */

import { GHC_RESET, HBA, PORT } from '../../hardware/devices/ahci-registers.ts';
import type { Kernel } from '../core/kernel.ts';
import { type PlatformBus, type PlatformDevice, PlatformDriver } from '../platform/bus.ts';
import { ENODEV } from '../uapi/errno.ts';

export const AHCI_COMPATIBLE = 'generic-ahci';

/** Register the driver, which is part of the kernel image: `ahci`. */
export function registerAhci(kernel: Kernel, bus: PlatformBus): void {
  kernel.devices.addDriver(
    new PlatformDriver(bus, {
      name: 'ahci',
      compatible: [AHCI_COMPATIBLE],
      probe: (device) => probe(kernel, device),
      remove: () => undefined,
    }),
  );
}

function probe(kernel: Kernel, { name, bus, description }: PlatformDevice): number {
  const [registers] = description.memory;
  if (registers === undefined) return kernel.refuse(ENODEV, `${name} has no registers`);
  const read = (offset: number) => bus.read(registers.start + offset, 4);
  bus.write(registers.start + HBA.GHC, 4, GHC_RESET);
  const version = read(HBA.VS);
  const slots = ((read(HBA.CAP) >>> 8) & 31) + 1;
  const ports = (read(HBA.CAP) & 31) + 1;
  const [major, minor] = [version >>> 16, version & 0xffff];
  const text = `${major.toString(16).padStart(4, '0')}.${minor.toString(16).padStart(4, '0')}`;
  const map = read(HBA.PI).toString(16);
  kernel.printk(`ahci ${name}: AHCI ${text} ${slots} slots ${ports} ports 1.5 Gbps 0x${map} impl platform mode`);
  const link = read(PORT.SSTS);
  kernel.printk(`ata1: SATA link ${(link & 15) === 3 ? 'up 1.5 Gbps' : 'down'} (SStatus ${link.toString(16)})`);
  return 0;
}

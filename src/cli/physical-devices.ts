/**
 * Hardware that the user plugs into the modeled host: `--plug copier@06:0d.0`, `--plug sata@ee300000`. The first device brings its
 * bus and the IOMMU along.
 */

import { AddressBus } from '../hardware/address-bus.ts';
import { AHCI_BYTES } from '../hardware/devices/ahci-registers.ts';
import { Copier } from '../hardware/devices/copier.ts';
import { SataController } from '../hardware/devices/sata.ts';
import { InterruptController } from '../hardware/interrupt-controller.ts';
import { Iommu, sourceId } from '../hardware/iommu.ts';
import type { PciFunction, PciSlot } from '../hardware/pci/function.ts';
import type { Kernel } from '../linux/core/kernel.ts';
import { AHCI_COMPATIBLE, registerAhci } from '../linux/drivers/ahci-platform.ts';
import { registerCopier } from '../linux/drivers/copier.ts';
import { IntelIommu } from '../linux/iommu/intel.ts';
import { PciHost } from '../linux/pci/scan.ts';
import { PlatformBus } from '../linux/platform/bus.ts';
import { PCI_DEVFN } from '../linux/uapi/pci.ts';
import { registerVfioPci } from '../linux/vfio/pci/vfio-pci.ts';
import { registerVfioPlatform } from '../linux/vfio/platform/vfio-platform.ts';
import { UsageError } from './usage-error.ts';

/** What can be plugged into a PCI slot. */
const models: Readonly<Record<string, (slot: PciSlot) => PciFunction>> = {
  copier: (slot) => new Copier(slot).function,
};

/** The first interrupt line that belongs to plugged devices; each has one to itself. */
const FIRST_LINE = 16;
/** DMA of devices on no bus carries this bus number. */
const PLATFORM_SOURCE_BUS = 0xff;

/** The host's hardware as it grows. */
class Plugboard {
  readonly #kernel: Kernel;
  readonly #iommu: Iommu;
  readonly #driver: IntelIommu;
  readonly #interrupts = new InterruptController();
  readonly #ports = new AddressBus();
  readonly #taken = new Set<string>();
  #line = FIRST_LINE;
  #pci: PciHost | undefined;
  #platform: PlatformBus | undefined;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
    this.#iommu = new Iommu(kernel.memory, kernel.stream);
    this.#driver = new IntelIommu(kernel, this.#iommu);
  }

  plugPci(text: string, place: PciPlace): void {
    const { bus, devfn } = place;
    this.#take(text, `${bus}:${devfn}`, 'another device is in this slot');
    this.#pci ??= new PciHost(this.#kernel, this.#driver);
    const wiring = { ports: this.#ports, iommu: this.#iommu, interrupts: this.#interrupts, line: this.#line++ };
    this.#pci.add(place.model({ bus, devfn, memory: this.#kernel.memory.devices, ...wiring }));
  }

  plugSata(text: string, base: number): void {
    this.#take(text, `${base}`, 'another device is at this address');
    const { memory } = this.#kernel;
    if (base < memory.size || base % AHCI_BYTES !== 0) {
      throw new UsageError(
        `--plug ${text}: a multiple of 1000 above the host's RAM, which ends at ${memory.size.toString(16)}`,
      );
    }
    if (this.#platform === undefined) {
      this.#platform = new PlatformBus(this.#kernel, this.#driver);
      registerAhci(this.#kernel, this.#platform);
    }
    const [line, source] = [this.#line++, sourceId(PLATFORM_SOURCE_BUS, this.#line - FIRST_LINE)];
    const wiring = { iommu: this.#iommu, interrupts: this.#interrupts, line, source };
    new SataController({ memory: memory.devices, base, ...wiring });
    const description = {
      name: `${base.toString(16)}.sata`,
      compatible: AHCI_COMPATIBLE,
      memory: [{ start: base, size: AHCI_BYTES }],
      interrupts: [{ line, level: true }],
    };
    this.#platform.add(description, this.#interrupts, source);
  }

  /** Modules that the devices there are may be given to. */
  registerDrivers(): void {
    if (this.#pci !== undefined) {
      registerVfioPci(this.#kernel, this.#pci.bus);
      registerCopier(this.#kernel, this.#pci.bus);
    }
    if (this.#platform !== undefined) registerVfioPlatform(this.#kernel, this.#platform);
  }

  #take(text: string, place: string, conflict: string): void {
    if (this.#taken.has(place)) throw new UsageError(`--plug ${text}: ${conflict}`);
    this.#taken.add(place);
  }
}

interface PciPlace {
  readonly model: (slot: PciSlot) => PciFunction;
  readonly bus: number;
  readonly devfn: number;
}

/**
 * Plug in the devices of `wanted`, each MODEL@BUS:SLOT.FUNCTION or sata@ADDRESS; vfio-pci and vfio-platform can be loaded for
 * them. Throws a {@link UsageError}.
 */
export function plugIn(kernel: Kernel, wanted: readonly string[]): void {
  if (wanted.length === 0) return;
  const board = new Plugboard(kernel);
  for (const text of wanted) {
    const address = /^sata@(?:0x)?([0-9a-f]{1,9})$/i.exec(text)?.[1];
    if (address !== undefined) board.plugSata(text, Number.parseInt(address, 16));
    else board.plugPci(text, parse(text));
  }
  board.registerDrivers();
}

function parse(text: string): PciPlace {
  const match = /^([\w-]+)@(?:0000:)?([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-7])$/i.exec(text);
  const [, name = '', bus = '', slot = '', func = ''] = match ?? [];
  const model = models[name];
  if (model === undefined || Number.parseInt(slot, 16) > 31) {
    const known = Object.keys(models).join(', ');
    throw new UsageError(
      `--plug takes MODEL@BUS:SLOT.FUNCTION, such as copier@06:0d.0, or sata@ee300000, not ${text}; models: ${known}`,
    );
  }
  return { model, bus: Number.parseInt(bus, 16), devfn: PCI_DEVFN(Number.parseInt(slot, 16), Number(func)) };
}

/**
 * The platform bus: devices that nothing can enumerate, as a device tree or firmware names them (drivers/base/platform.c,
 * drivers/of/platform.c). A driver takes those whose `compatible` it knows, or that have its own name; a device whose
 * driver_override is set takes the driver of that name and no other.
 */

import type { AddressBus } from '../../hardware/address-bus.ts';
import type { InterruptController } from '../../hardware/interrupt-controller.ts';
import { type Bus, Device, type Driver } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import type { IntelIommu } from '../iommu/intel.ts';

/** Memory of a device: `struct resource`. */
export interface MemoryResource {
  readonly start: number;
  readonly size: number;
}

/** An interrupt line. */
export interface IrqResource {
  readonly line: number;
  readonly level: boolean;
}

/** What a device tree says of a device. */
export interface PlatformDescription {
  /** `ee300000.sata`. */
  readonly name: string;
  readonly compatible: string;
  readonly memory: readonly MemoryResource[];
  readonly interrupts: readonly IrqResource[];
}

/** `struct platform_device`. */
export class PlatformDevice {
  readonly kernel: Kernel;
  readonly device: Device;
  readonly description: PlatformDescription;
  readonly #interrupts: InterruptController;

  constructor(kernel: Kernel, device: Device, description: PlatformDescription, interrupts: InterruptController) {
    this.kernel = kernel;
    this.device = device;
    this.description = description;
    this.#interrupts = interrupts;
  }

  get name(): string {
    return this.device.name;
  }

  /** Where registers are read and written: the processor's physical addresses. */
  get bus(): AddressBus {
    return this.kernel.memory.devices;
  }

  /** Where its lines arrive. */
  get interrupts(): InterruptController {
    return this.#interrupts;
  }
}

/** What a driver brings: `struct platform_driver`. */
export interface PlatformDriverOptions {
  readonly name: string;
  readonly module?: string;
  /** Its of_match_table. */
  readonly compatible: readonly string[];
  readonly managesDma?: boolean;
  probe(device: PlatformDevice): number;
  remove(device: PlatformDevice): void;
}

/** A driver on the platform bus. */
export class PlatformDriver implements Driver {
  readonly name: string;
  readonly bus: PlatformBus;
  readonly module: string | undefined;
  readonly managesDma: boolean;
  readonly #options: PlatformDriverOptions;

  constructor(bus: PlatformBus, options: PlatformDriverOptions) {
    this.bus = bus;
    this.name = options.name;
    this.module = options.module;
    this.managesDma = options.managesDma ?? false;
    this.#options = options;
  }

  probe(device: Device): number {
    return this.#options.probe(this.bus.platformOf(device));
  }

  remove(device: Device): void {
    this.#options.remove(this.bus.platformOf(device));
  }

  /** platform_match, but for the override: the device tree's word first, then the name. */
  matches({ description }: PlatformDevice): boolean {
    return this.#options.compatible.includes(description.compatible) || description.name === this.name;
  }
}

/** platform_bus_type, and the devices on it. */
export class PlatformBus implements Bus {
  readonly name = 'platform';
  readonly driverOverride = true;
  readonly #kernel: Kernel;
  readonly #iommu: IntelIommu;
  readonly #root = new Device({ name: 'platform' });
  readonly #devices = new Map<Device, PlatformDevice>();

  constructor(kernel: Kernel, iommu: IntelIommu) {
    this.#kernel = kernel;
    this.#iommu = iommu;
    kernel.devices.addBus(this);
    kernel.devices.add(this.#root);
  }

  /** of_device_add: a driver may take it before this returns. `source` is the number that its DMA carries. */
  add(description: PlatformDescription, interrupts: InterruptController, source: number): PlatformDevice {
    const kernel = this.#kernel;
    const device = new Device({ name: description.name, parent: this.#root, bus: this });
    const platform = new PlatformDevice(kernel, device, description, interrupts);
    this.#devices.set(device, platform);
    kernel.devices.add(device, () => {
      this.#iommu.probe(device, source);
      this.#describe(platform);
    });
    return platform;
  }

  match(device: Device, driver: Driver): boolean {
    return driver instanceof PlatformDriver && driver.matches(this.platformOf(device));
  }

  /** of_device_uevent, and platform_uevent. */
  uevent(device: Device): readonly string[] {
    const { description } = this.platformOf(device);
    const { compatible } = description;
    const { type, path } = nodeOf(description);
    const names = [`OF_NAME=${type}`, `OF_FULLNAME=${path}`, `OF_COMPATIBLE_0=${compatible}`, 'OF_COMPATIBLE_N=1'];
    return [...names, `MODALIAS=${modalias(description)}`];
  }

  /** platform_dma_configure. */
  dmaConfigure(device: Device, driver: Driver): number {
    return this.#kernel.iommuGroups.configureDma(device, driver);
  }

  dmaCleanup(device: Device, driver: Driver): void {
    this.#kernel.iommuGroups.cleanUpDma(device, driver);
  }

  /** to_platform_device. */
  platformOf(device: Device): PlatformDevice {
    const platform = this.#devices.get(device);
    if (platform === undefined) throw new Error(`device ${device.name} on the platform bus was not added to it`);
    return platform;
  }

  /** The node of the device tree, and modalias. */
  #describe({ device, description }: PlatformDevice): void {
    const { sysfs } = this.#kernel;
    const { type, path } = nodeOf(description);
    const node = `/sys/firmware/devicetree/base${path}`;
    sysfs.directory(node);
    // Strings of a device tree end in NUL.
    sysfs.attribute(`${node}/compatible`, { mode: 0o444, show: () => `${description.compatible}\0` });
    sysfs.attribute(`${node}/name`, { mode: 0o444, show: () => `${type}\0` });
    sysfs.link(`${device.path}/of_node`, node);
    sysfs.attribute(`${device.path}/modalias`, { mode: 0o444, show: () => `${modalias(description)}\n` });
  }
}

/** Where the device tree has a device. */
function nodeOf({ name }: PlatformDescription): { readonly type: string; readonly path: string } {
  const [address = '', type = ''] = name.split('.');
  return { type, path: `/soc/${type}@${address}` };
}

/** of_device_get_modalias. */
const modalias = (description: PlatformDescription): string =>
  `of:N${nodeOf(description).type}T(null)C${description.compatible}`;

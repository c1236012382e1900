/** Devices, buses and drivers as objects: `struct device`, `bus_type`, `device_driver`, `class` (include/linux/device). */

/** Where devices of one kind meet their drivers. */
export interface Bus {
  readonly name: string;
  /** Whether `driver` may serve `device`. */
  match(device: Device, driver: Driver): boolean;
  /** Whose the device's DMA becomes when `driver` binds: 0, or -errno, which fails the bind before the driver is asked. */
  dmaConfigure?(device: Device, driver: Driver): number;
  /** Undo {@link dmaConfigure}: the driver is gone, or did not take the device. */
  dmaCleanup?(device: Device, driver: Driver): void;
  /** What the bus adds to the environment of its devices' events: lines `KEY=VALUE`. */
  uevent?(device: Device): readonly string[];
  /** The bus's devices have a driver_override attribute: a name that is the only driver to match (pci, platform). */
  readonly driverOverride?: boolean;
}

/** A driver of a bus. */
export interface Driver {
  readonly name: string;
  readonly bus: Bus;
  /** Name of the module it belongs to; undefined for a driver built into the kernel. */
  readonly module?: string | undefined;
  /** driver_managed_dma: it gives its devices to user space and does no DMA itself. */
  readonly managesDma?: boolean;
  /** Take the device: 0 or -errno. */
  probe(device: Device): number;
  /** Give the device up. */
  remove?(device: Device): void;
}

/** A device number and the name of its node below /dev. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
  readonly node: string;
  /** Permissions for udev, where the driver asks for other than 0600. */
  readonly mode?: number;
}

/** What a new device is made of. */
export interface DeviceOptions {
  readonly name: string;
  readonly parent?: Device | undefined;
  readonly bus?: Bus | undefined;
  /** Name of its class; a class device without a parent lives in /sys/devices/virtual/CLASS. */
  readonly class?: string | undefined;
  readonly number?: DeviceNumber | undefined;
  readonly driverData?: unknown;
}

/** One device. Its path is known once DeviceModel.add has taken it. */
export class Device {
  readonly name: string;
  readonly parent: Device | undefined;
  readonly bus: Bus | undefined;
  readonly class: string | undefined;
  readonly number: DeviceNumber | undefined;
  /** dev_get_drvdata. */
  driverData: unknown;
  driver: Driver | undefined;
  /** driver_override: the only driver that may match. */
  driverOverride: string | undefined;
  /** The number of its IOMMU group, if it is in one. */
  iommuGroup: number | undefined;
  /** Directory in sysfs, such as `/sys/devices/virtual/mtty/mtty`; empty while it is not added. */
  path = '';

  constructor(options: DeviceOptions) {
    this.name = options.name;
    this.parent = options.parent;
    this.bus = options.bus;
    this.class = options.class;
    this.number = options.number;
    this.driverData = options.driverData;
  }

  /** dev_driver_string: the word that the device's log lines begin with. */
  get driverString(): string {
    return this.driver?.name ?? this.bus?.name ?? this.class ?? '';
  }
}

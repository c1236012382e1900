/**
 * mtty: a PCI card with one or two serial ports that exist only in the kernel, the sample of mediated devices
 * (samples/vfio-mdev/mtty.c). It is CH352-like (4348:3253); each port is eight registers in an I/O BAR; the driver has 24
 * ports in all. Its registers are in uart.ts, its config space in config-space.ts.
 *
 * An access of any width reaches one register: the driver cuts it into pieces, and uses the first byte of each.
 */

import type { Hva } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import type { ModuleRegistry } from '../core/modules.ts';
import type { Mdev } from '../mdev/device.ts';
import type { MdevParentOps } from '../mdev/parent.ts';
import type { MdevType } from '../mdev/type.ts';
import { type MdevTypeGroup, VFIO_DEVICE_API_PCI } from '../mdev/type.ts';
import { ENOMEM, ENOSPC } from '../uapi/errno.ts';
import { ConfigSpace, type ConfigWrite, type Piece } from './config-space.ts';
import { Interrupts } from './interrupts.ts';
import { ParentDevice } from './parent-device.ts';
import { type PciFunction, readFunction, writeFunction } from './pci-function.ts';
import { ioctlFunction } from './pci-function-ioctl.ts';
import { Uart } from './uart.ts';

const VENDOR = 0x4348;
const DEVICE = 0x3253;
const REVISION = 0x10;
/** Communication controller, serial, 16550-compatible. */
const CLASS = 0x070002;
const BAR_SIZE = 8;
/** The sample's handlers take the offset as a u16. */
const REGISTER_MASK = 0xffff;
/** … and look at one byte of the buffer. */
const FIRST_BYTE = 0xff;
/** Ports of the card, shared by every device made on it (MAX_MTTYS). */
const PORTS = 24;
/** `s[2]` of the sample: a device of one port has the state of two, and both BARs answer the file whatever their size. */
const PORT_STATES = 2;
/** Vendor-specific bytes of the card and its name, as the sample places them. */
const VENDOR_BYTES: readonly (readonly [offset: number, value: number])[] = [
  [0x40, 0x23],
  [0x43, 0x80],
  [0x44, 0x23],
  [0x48, 0x23],
  [0x4c, 0x23],
];
const CARD_NAME_AT = 0x60;
const CARD_NAME = 'PCI Serial/UART';

/** One device: `struct mdev_state`. */
class MttyState implements PciFunction {
  readonly kernel: Kernel;
  readonly driver = 'mtty';
  readonly name: string;
  readonly config: ConfigSpace;
  readonly interrupts: Interrupts;
  readonly bars: readonly number[];
  readonly ports: readonly Uart[];
  irqIndexes = 0;

  constructor(kernel: Kernel, name: string, ports: number) {
    this.kernel = kernel;
    this.name = name;
    this.bars = new Array<number>(ports).fill(BAR_SIZE);
    this.interrupts = new Interrupts(kernel, this.driver);
    this.ports = Array.from({ length: PORT_STATES }, () => new Uart(() => this.interrupts.trigger()));
    this.config = new ConfigSpace({
      vendor: VENDOR,
      device: DEVICE,
      revision: REVISION,
      class: CLASS,
      interruptPin: 1,
      bars: this.bars,
      handledBars: 5,
    });
    for (const [offset, value] of VENDOR_BYTES) this.config.place(offset, Uint8Array.of(value));
    this.config.place(CARD_NAME_AT, new TextEncoder().encode(CARD_NAME));
  }

  config_written(offset: number, size: Piece, value: number, outcome: ConfigWrite): void {
    if (outcome === 'bar') {
      this.kernel.printk(`BAR${(offset - 0x10) / 4} addr 0x${value.toString(16)}`);
    } else if (outcome === 'unhandled') {
      this.kernel.printk(`PCI config write @0x${offset.toString(16)} of ${size} bytes not handled`);
    }
  }

  /** Fidelity: BARs 2 to 5 have no port; the sample runs over the end of its array. */
  handle_bar_write(bar: number, offset: number, _size: Piece, value: number): void {
    this.ports[bar]?.write(offset & REGISTER_MASK, value & FIRST_BYTE);
  }

  /** An offset past the eight registers leaves the piece as it is: zeros. */
  handle_bar_read(bar: number, offset: number): number {
    const register = offset & REGISTER_MASK;
    return register < BAR_SIZE ? (this.ports[bar]?.read(register) ?? 0) : 0;
  }
}

/** The card: which ports are left, and the driver's callbacks. */
class Mtty implements MdevParentOps<MttyState> {
  readonly owner = 'mtty';
  readonly supported_type_groups: readonly MdevTypeGroup[] = [
    this.#type(1, 'Single port serial'),
    this.#type(2, 'Dual port serial'),
  ];
  readonly mdev_attr_groups = [
    { name: 'vendor', attributes: { sample_mdev_dev: (mdev: Mdev) => `This is MDEV ${mdev.uuid}` } },
  ];
  readonly #kernel: Kernel;
  #available = PORTS;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  create(type: MdevType, mdev: Mdev<MttyState>): number {
    const ports = Number(type.group.name);
    if (ports > this.#available) {
      return this.#kernel.refuse(
        ENOSPC,
        `${type.name} takes ${ports} of mtty's ${PORTS} ports; ${this.#available} are left`,
      );
    }
    if (!this.#kernel.kmallocAll('struct mdev_state', 'vconfig')) return -ENOMEM;
    this.#available -= ports;
    mdev.drvdata = new MttyState(this.#kernel, mdev.uuid, ports);
    return 0;
  }

  remove(mdev: Mdev<MttyState>): void {
    this.#available += mdev.state.bars.length;
    mdev.drvdata = undefined;
  }

  read(mdev: Mdev<MttyState>, buffer: Hva, count: number, position: number): number {
    return readFunction(mdev.state, buffer, count, position);
  }

  write(mdev: Mdev<MttyState>, buffer: Hva, count: number, position: number): number {
    return writeFunction(mdev.state, buffer, count, position);
  }

  ioctl(mdev: Mdev<MttyState>, request: number, argument: number): number {
    return ioctlFunction(mdev.state, request, argument);
  }

  #type(ports: number, description: string): MdevTypeGroup {
    return {
      name: String(ports),
      attributes: {
        name: () => description,
        device_api: () => VFIO_DEVICE_API_PCI,
        available_instances: () => Math.floor(this.#available / ports),
      },
    };
  }
}

/** Make mtty loadable. */
export function registerMtty(modules: ModuleRegistry<Kernel>): void {
  let parent: ParentDevice | undefined;
  modules.register({
    name: 'mtty',
    parameters: {},
    init(kernel) {
      parent = ParentDevice.ofOps(kernel, new Mtty(kernel));
      return parent.add();
    },
    exit: () => parent?.remove(),
  });
}

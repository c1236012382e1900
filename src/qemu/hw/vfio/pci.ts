/**
 * vfio-pci: a device of the host, given to the guest (hw/vfio/pci.c). Each step of set-up stands in QEMU's order, so the
 * system calls can be laid beside an strace of the real one.
 *
 * Fidelity: no ROM BAR.
 */

import { ENOSPC, strerror } from '../../../linux/uapi/errno.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_IO_MASK,
  PCI_BASE_ADDRESS_MEM_MASK,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_DEVICE_ID,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_MULTI_FUNCTION,
  PCI_INTERRUPT_PIN,
  PCI_PM_CTRL,
  PCI_PM_CTRL_STATE_MASK,
  PCI_ROM_ADDRESS,
  PCI_ROM_ADDRESS_MASK,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../../../linux/uapi/pci.ts';
import {
  VFIO_DEVICE_FLAGS_PCI,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_RESET,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  vfio_pci_hot_reset_info,
} from '../../../linux/uapi/vfio.ts';
import type { IommufdBackend } from '../../backends/iommufd.ts';
import { ConfigurationError } from '../../error.ts';
import type { Machine } from '../machine.ts';
import type { PciBus } from '../pci/pci-bus.ts';
import { PciDevice } from '../pci/pci-device.ts';
import { type Attachment, attachByGroup, attachByNode } from './attach.ts';
import { addCapabilities, type EmulatedCapabilities } from './capabilities.ts';
import { VfioConfigSpace } from './config-space.ts';
import type { RegionInfo, VfioDevice } from './device.ts';
import { groupOf, type HostDevice, isMdev } from './host-device.ts';
import { VfioIntx } from './intx.ts';
import { VfioMessages } from './messages.ts';
import { findMsix } from './msix-early.ts';
import { registerErrorNotifier, registerRequestNotifier } from './notifiers.ts';
import { VfioRegion } from './region.ts';
import {
  vfioMdev,
  vfioPciEmulatedDeviceId,
  vfioPciEmulatedSubDeviceId,
  vfioPciEmulatedSubVendorId,
  vfioPciEmulatedVendorId,
  vfioPciHotReset,
  vfioPciReadConfig,
  vfioPciReset,
  vfioPciResetFlr,
  vfioPciResetPm,
  vfioPciWriteConfig,
  vfioPopulateDeviceConfig,
  vfioPopulateDeviceGetIrqInfoFailure,
  vfioRealize,
} from './trace-events.ts';

const BARS = 6;
/** In a property: the device's own. */
export const PCI_ANY_ID = 0xffff_ffff;
/** The ids that properties can change, in the order of {@link VfioPciOptions.ids}; 0xffff is no vendor's. */
const EMULATED_IDS = [
  { at: PCI_VENDOR_ID, what: 'vendor', most: 0xfffe, told: vfioPciEmulatedVendorId },
  { at: PCI_DEVICE_ID, what: 'device', most: 0xffff, told: vfioPciEmulatedDeviceId },
  { at: PCI_SUBSYSTEM_VENDOR_ID, what: 'subsystem vendor', most: 0xffff, told: vfioPciEmulatedSubVendorId },
  { at: PCI_SUBSYSTEM_ID, what: 'subsystem device', most: 0xffff, told: vfioPciEmulatedSubDeviceId },
];

/** A BAR with the type bits that the device says. */
interface PreparedBar {
  readonly region: VfioRegion;
  readonly type: number;
}

/** Switches of the data sheet that set-up depends on. */
export interface VfioPciOptions {
  readonly rombar: boolean;
  readonly req: boolean;
  readonly multifunction: boolean;
  /** `x-no-mmap`: no BAR is mapped, every access is trapped. */
  readonly noMmap: boolean;
  /** `x-intx-mmap-timeout-ms`. */
  readonly mmapTimeout: number;
  /** `x-no-kvm-intx`, `x-no-kvm-msi`, `x-no-kvm-msix`: these interrupts go through QEMU. */
  readonly noKvmIntx: boolean;
  readonly noKvmMsi: boolean;
  readonly noKvmMsix: boolean;
  /** `x-pci-vendor-id` and its siblings: what the guest sees, PCI_ANY_ID for the device's own. */
  readonly ids: readonly [vendor: number, device: number, subVendor: number, subDevice: number];
  /** `iommufd`: the device is had by its own node, not by its group. */
  readonly iommufd: IommufdBackend | undefined;
}

export class VfioPciDevice extends PciDevice {
  readonly #machine: Machine;
  readonly #host: HostDevice;
  readonly #device: VfioDevice;
  readonly #configSpace: VfioConfigSpace;
  readonly #intx: VfioIntx;
  readonly #regions: readonly VfioRegion[];
  readonly #messages: VfioMessages;
  readonly #capabilities: EmulatedCapabilities;
  readonly #attachment: Attachment;
  /** vfio_exitfn, step by step. */
  readonly #atExit: (() => void)[] = [];

  /** vfio_realize. Refusals are ConfigurationErrors without the `vfio NAME: ` prefix. */
  constructor(
    machine: Machine,
    bus: PciBus,
    devfn: number,
    id: string | undefined,
    host: HostDevice,
    options: VfioPciOptions,
  ) {
    super(machine.system.stream, bus, devfn, 'vfio-pci', id);
    const { system } = machine;
    this.#machine = machine;
    this.#host = host;
    this.#attachment = attach(machine, host, options.iommufd);
    this.#device = this.#attachment.device;
    const { irqchip } = machine.kvm;
    const intxOptions = { irqchip, noKvm: options.noKvmIntx, mmapTimeout: options.mmapTimeout };
    this.#intx = new VfioIntx(this.#device, machine.mainLoop, intxOptions, {
      setLevel: (level) => this.setIrq(level),
      setMmapsEnabled: (enabled) => this.#setMmapsEnabled(enabled),
      route: (pin) => bus.routeIntx(devfn, pin),
    });
    const { regions, config, reportsErrors } = this.#populate(options.noMmap);
    this.#regions = regions;
    this.#configSpace = new VfioConfigSpace(this.#device, config);
    this.#configSpace.load(this.config);
    this.#emulateIds(options.ids);
    if (options.multifunction) this.config[PCI_HEADER_TYPE]! |= PCI_HEADER_TYPE_MULTI_FUNCTION;
    else this.config[PCI_HEADER_TYPE]! &= ~PCI_HEADER_TYPE_MULTI_FUNCTION;
    if (options.rombar) this.#sizeRom();
    const present = this.#prepareBars();
    const msix = findMsix(this.config, this.#configSpace, { system, name: host.name, regions });
    this.#registerBars(present);
    this.#messages = new VfioMessages(this.#device, machine.mainLoop, { irqchip, ...options }, () =>
      this.#enableIntxLater(),
    );
    const owner = { system, topology: machine.topology, name: host.name, regions, msix };
    this.#capabilities = addCapabilities(this, this.#configSpace, owner);
    if (this.readConfig(PCI_INTERRUPT_PIN, 1) !== 0) {
      this.#atExit.push(bus.onRouteChange(() => this.#intx.routeChanged()));
      const refused = this.#enableIntx();
      if (refused !== undefined) throw new ConfigurationError(refused);
    }
    if (reportsErrors) this.#atExit.unshift(registerErrorNotifier(this.#device, machine.mainLoop));
    if (options.req) this.#atExit.unshift(registerRequestNotifier(this.#device, machine, this));
    this.#attachment.realized({
      name: host.name,
      // vfio_pci_compute_needs_reset.
      needsReset: !this.#device.resetWorks || this.#resetsByPower,
      hotResetMulti: () => this.#hotReset(false),
    });
  }

  /** vfio_populate_device: regions 0 to 5 and configuration space, and whether there is an error interrupt. */
  #populate(noMmap: boolean): {
    readonly regions: readonly VfioRegion[];
    readonly config: RegionInfo;
    readonly reportsErrors: boolean;
  } {
    const device = this.#device;
    if ((device.flags & VFIO_DEVICE_FLAGS_PCI) === 0) throw new ConfigurationError("this isn't a PCI device");
    if (device.regionCount < VFIO_PCI_CONFIG_REGION_INDEX + 1) {
      throw new ConfigurationError(`unexpected number of io regions ${device.regionCount}`);
    }
    if (device.irqCount < VFIO_PCI_MSIX_IRQ_INDEX + 1) {
      throw new ConfigurationError(`unexpected number of irqs ${device.irqCount}`);
    }
    const regions: VfioRegion[] = [];
    for (let index = 0; index < BARS; index++) {
      const info = device.regionInfo(index);
      if (typeof info === 'number') {
        throw new ConfigurationError(`failed to get region ${index} info: ${strerror(-info)}`);
      }
      const name = `${device.name} BAR ${index}`;
      const setup = { index, name, info, noMmap, eoi: () => this.#intx.eoi() };
      regions.push(new VfioRegion(device, this.#machine.topology, setup));
    }
    const config = device.regionInfo(VFIO_PCI_CONFIG_REGION_INDEX);
    if (typeof config === 'number') throw new ConfigurationError(`failed to get config info: ${strerror(-config)}`);
    if (vfioPopulateDeviceConfig.on) {
      const { size, offset, flags } = config;
      vfioPopulateDeviceConfig(device.system.stream, { name: device.name, size, offset, flags });
    }
    const vectors = device.irqVectors(VFIO_PCI_ERR_IRQ_INDEX);
    if (vectors < 0 && vfioPopulateDeviceGetIrqInfoFailure.on) {
      vfioPopulateDeviceGetIrqInfoFailure(device.system.stream, { message: strerror(-vectors) });
    }
    if (vectors >= 0 && vectors !== 1) {
      device.system.error(`warning: vfio ${device.name}: Could not enable error recovery for the device`);
    }
    return { regions, config, reportsErrors: vectors === 1 };
  }

  /** x-pci-vendor-id and its siblings (vfio_add_emulated_word). */
  #emulateIds(ids: VfioPciOptions['ids']): void {
    const { stream } = this.#machine.system;
    const { name } = this.#host;
    for (const [i, { at, what, most, told }] of EMULATED_IDS.entries()) {
      const value = ids[i]!;
      if (value === PCI_ANY_ID) continue;
      if (value > most) throw new ConfigurationError(`invalid PCI ${what} ID provided`);
      this.view.setUint16(at, value, true);
      this.#configSpace.emulate(at, 2);
      if (told.on) told(stream, { name, value });
    }
  }

  /** vfio_pci_size_rom: write all ones, see what sticks, put back what was there. */
  #sizeRom(): void {
    const space = this.#configSpace;
    const original = space.readDevice(PCI_ROM_ADDRESS, 4);
    const steps = [
      () => space.writeDevice(PCI_ROM_ADDRESS, PCI_ROM_ADDRESS_MASK, 4),
      () => space.readDevice(PCI_ROM_ADDRESS, 4),
      () => space.writeDevice(PCI_ROM_ADDRESS, original, 4),
    ];
    let result = original;
    for (const step of steps) if (result >= 0) result = step();
    if (result < 0) this.#machine.system.error(`vfio_pci_size_rom(${this.#host.name}) failed: ${strerror(-result)}`);
  }

  /** vfio_bars_prepare: the type bits come from the device. One that does not tell them is not registered. */
  #prepareBars(): readonly PreparedBar[] {
    return this.#regions.flatMap((region) => {
      if (region.info.size === 0) return [];
      const bar = this.#configSpace.readDevice(PCI_BASE_ADDRESS_0 + 4 * region.index, 4);
      if (bar < 0) {
        this.#machine.system.error(`vfio: Failed to read BAR ${region.index} (${strerror(-bar)})`);
        return [];
      }
      const addressBits = bar & PCI_BASE_ADDRESS_SPACE_IO ? PCI_BASE_ADDRESS_IO_MASK : PCI_BASE_ADDRESS_MEM_MASK;
      return [{ region, type: bar & ~addressBits }];
    });
  }

  /** vfio_bars_register. */
  #registerBars(present: readonly PreparedBar[]): void {
    const { topology, system } = this.#machine;
    for (const { region, type } of present) {
      const base = topology.container(`${this.#host.name} base BAR ${region.index}`, region.info.size);
      base.addSubregion(0, region.region);
      if (region.mmap() < 0) {
        system.error(`Failed to mmap ${this.#host.name} BAR ${region.index}. Performance may be slow`);
      }
      this.registerBar(region.index, type, base);
    }
  }

  /** vfio_mmap_set_enabled. */
  #setMmapsEnabled(enabled: boolean): void {
    for (const region of this.#regions) if (region.info.size > 0) region.setMmapsEnabled(enabled);
  }

  /** vfio_intx_enable: undefined, or why not. */
  #enableIntx(): string | undefined {
    const pin = this.readConfig(PCI_INTERRUPT_PIN, 1);
    if (pin === 0) return undefined;
    this.config[PCI_INTERRUPT_PIN] = pin;
    return this.#intx.enable(pin);
  }

  /** The same once the guest runs: a refusal is told, and the guest goes on without. */
  #enableIntxLater(): void {
    const refused = this.#enableIntx();
    if (refused !== undefined) this.#device.report(refused);
  }

  /** vfio_exitfn, then vfio_put_device, or vfio_detach_device of QEMU 9. */
  protected override exit(): void {
    for (const step of this.#atExit) step();
    this.#disableInterrupts();
    for (const region of this.#regions) region.exit();
    for (const region of this.#regions) region.finalize();
    this.#attachment.detach();
  }

  /** vfio_pci_read_config. */
  override readConfig(address: number, length: number): number {
    const value = this.#configSpace.read(address, length, super.readConfig(address, length));
    if (vfioPciReadConfig.on) {
      vfioPciReadConfig(this.#machine.system.stream, { name: this.#host.name, addr: address, len: length, value });
    }
    return value;
  }

  /** vfio_pci_write_config: the device first, always; then the copy, which moves the BARs. */
  override writeConfig(address: number, value: number, length: number): void {
    const { system } = this.#machine;
    const name = this.#host.name;
    if (vfioPciWriteConfig.on) vfioPciWriteConfig(system.stream, { name, addr: address, value, len: length });
    const written = this.#configSpace.writeDevice(address, value, length);
    if (written < 0) {
      const where = `${name}, 0x${address.toString(16)}, 0x${value.toString(16)}, 0x${length.toString(16)}`;
      system.error(`vfio_pci_write_config(${where}) failed: ${strerror(-written)}`);
    }
    this.#writeCopy(address, value, length);
  }

  /** What the write means for messages: they take the place of INTx, and give it back. */
  #writeCopy(address: number, value: number, length: number): void {
    const { msi, msix } = this.#capabilities;
    const [hadMsi, hadMsix] = [msi?.enabled === true, msix?.enabled === true];
    super.writeConfig(address, value, length);
    msi?.written(address, length);
    msix?.written(address, length);
    if (msi?.enabled === true && !hadMsi) {
      this.#disableInterrupts();
      this.#messages.enableMsi(msi);
    } else if (msi?.enabled === true) this.#messages.updateMsi(msi);
    if (msix?.enabled === true && !hadMsix) {
      this.#disableInterrupts();
      this.#messages.enableMsix(msix);
    }
    if ((hadMsi && msi?.enabled !== true) || (hadMsix && msix?.enabled !== true)) {
      this.#messages.disable(msix);
    }
  }

  /** vfio_disable_interrupts: INTx, MSI or MSI-X, whichever there is; after messages there is INTx first. */
  #disableInterrupts(): void {
    this.#messages.disable(this.#capabilities.msix);
    this.#intx.disable();
  }

  /** vfio_pci_reset, then the header as any function's. */
  override reset(): void {
    const { system } = this.#machine;
    const name = this.#host.name;
    if (vfioPciReset.on) vfioPciReset(system.stream, { name });
    this.#preReset();
    if (!this.#resetsByPower && this.#resetFunction()) {
      if (vfioPciResetFlr.on) vfioPciResetFlr(system.stream, { name });
    } else {
      this.#hotReset(true);
      const reset = this.#capabilities.power?.resets === true && this.#resetFunction();
      if (reset && vfioPciResetPm.on) vfioPciResetPm(system.stream, { name });
    }
    this.#postReset();
    super.reset();
    this.#capabilities.msi?.reset();
    this.#capabilities.msix?.reset();
  }

  /** The kernel would reset it by way of D3 only, which leaves more behind than a reset of its bus. */
  get #resetsByPower(): boolean {
    const { flr, power } = this.#capabilities;
    return !flr && power?.resets === true;
  }

  #resetFunction(): boolean {
    return this.#device.resetWorks && this.#device.system.ioctl(this.#device.fd, VFIO_DEVICE_RESET) >= 0;
  }

  /** vfio_pci_pre_reset: no interrupts, D0, no I/O, no memory, no DMA, and INTx as if it were never disabled. */
  #preReset(): void {
    this.#disableInterrupts();
    this.#wake();
    const command = this.readConfig(PCI_COMMAND, 2);
    const off = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE;
    this.writeConfig(PCI_COMMAND, command & ~off, 2);
  }

  #wake(): void {
    const { power } = this.#capabilities;
    if (power === undefined) return;
    const status = () => this.readConfig(power.at + PCI_PM_CTRL, 2);
    const asleep = status();
    if ((asleep & PCI_PM_CTRL_STATE_MASK) === 0) return;
    this.writeConfig(power.at + PCI_PM_CTRL, asleep & ~PCI_PM_CTRL_STATE_MASK, 2);
    const state = status() & PCI_PM_CTRL_STATE_MASK;
    if (state !== 0) this.#machine.system.error(`vfio: Unable to power on device, stuck in D${state}`);
  }

  /** vfio_pci_post_reset: INTx back, and 0 into the device's BARs, which the reset may have left anywhere. */
  #postReset(): void {
    this.#enableIntxLater();
    for (let index = 0; index < BARS; index++) {
      const written = this.#configSpace.writeDevice(PCI_BASE_ADDRESS_0 + 4 * index, 0, 4);
      if (written >= 0) continue;
      const what = `vfio_pci_post_reset(${this.#host.name}) reset bar ${index} failed: ${strerror(-written)}`;
      this.#machine.system.error(what);
    }
  }

  /** vfio_pci_hot_reset. A mediated device has no bus of its own to reset: the kernel says ENOTTY. */
  #hotReset(single: boolean): void {
    const { system } = this.#machine;
    const name = this.#host.name;
    if (vfioPciHotReset.on) vfioPciHotReset(system.stream, { name, type: single ? 'one' : 'multi' });
    if (!single) this.#preReset();
    const argsz = vfio_pci_hot_reset_info.size;
    const info = system.exchange(this.#device.fd, VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio_pci_hot_reset_info, {
      argsz,
    });
    if (info.result < 0 && info.result !== -ENOSPC && this.#capabilities.power?.resets !== true) {
      system.error(`vfio: Cannot reset device ${name}, no available reset mechanism.`);
    }
    if (!single) this.#postReset();
  }
}

/** By group QEMU 7.2 asks what the device is once it has the group; by node QEMU 9 asks first. */
function attach(machine: Machine, host: HostDevice, iommufd: IommufdBackend | undefined): Attachment {
  const { system } = machine;
  const tellMdev = () => {
    const mdev = isMdev(system, host);
    if (vfioMdev.on) vfioMdev(system.stream, { name: host.name, is_mdev: mdev });
  };
  if (iommufd !== undefined) {
    tellMdev();
    return attachByNode(machine, host, iommufd);
  }
  const group = groupOf(system, host);
  if (vfioRealize.on) vfioRealize(system.stream, { name: host.name, group });
  return attachByGroup(machine, host, group, tellMdev);
}

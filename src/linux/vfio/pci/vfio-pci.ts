/**
 * vfio-pci: the driver that gives a PCI device to user space (drivers/vfio/pci/{vfio_pci,vfio_pci_core}.c of Linux 6.1). It
 * knows no device by itself: driver_override or new_id says which it shall take, or the module's parameter `ids`.
 */

import type { Hva } from '../../../address.ts';
import type { Kernel } from '../../core/kernel.ts';
import type { AddressSpace } from '../../core/mm.ts';
import type { MappedFile, Vma } from '../../core/vma.ts';
import { type PciBus, PciDriver, type PciId, pciIdOf } from '../../pci/bus.ts';
import type { PciDevice } from '../../pci/device.ts';
import { EINVAL, ENOMEM, ENOTTY } from '../../uapi/errno.ts';
import { PCI_COMMAND_INTX_DISABLE, PCI_COMMAND_MASTER } from '../../uapi/pci.ts';
import {
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
  VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
  VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  VFIO_DEVICE_SET_IRQS,
  VFIO_PCI_CONFIG_REGION_INDEX,
  VFIO_PCI_NUM_BARS,
  VFIO_PCI_NUM_IRQS,
  vfio_irq_set,
} from '../../uapi/vfio.ts';
import { getSized } from '../argsz.ts';
import { offsetInRegion, regionOf, VfioDevice, type VfioDeviceOps } from '../device.ts';
import type { VfioGroup } from '../group.ts';
import { vfioOf } from '../init.ts';
import { irqData, validateSetIrqs } from '../irqs.ts';
import { VirtualConfig } from './config.ts';
import { type DeviceSet, getHotResetInfo, hotReset } from './hot-reset.ts';
import { getDeviceInfo, getIrqInfo, getRegionInfo } from './info.ts';
import { PciInterrupts } from './interrupts.ts';
import { PciIoeventfds } from './ioeventfds.ts';
import { LowPower } from './low-power.ts';
import { mapBar, transferBar } from './regions.ts';

const NAME = 'vfio-pci';
const MODULE = 'vfio_pci';
/** What may follow the name of a device that is asked for. */
const OPTIONS = /^ *(?:vf_token=([\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}) *)?$/i;

/** `struct vfio_pci_core_device`. */
class AssignedDevice implements VfioDeviceOps {
  readonly interrupts: PciInterrupts;
  readonly #pci: PciDevice;
  readonly #kernel: Kernel;
  /** While the device is open. */
  #config: VirtualConfig | undefined;
  #saved: Uint32Array | undefined;
  #resets = false;
  readonly #ioeventfds: PciIoeventfds;
  readonly #power: LowPower;
  readonly #set: DeviceSet;
  /** Who has BARs mapped, by which file: the pages go when the device is reset or stops decoding. */
  readonly #mappings = new Map<MappedFile, AddressSpace>();

  /** `set`: the other devices that vfio-pci has. */
  constructor(pci: PciDevice, set: DeviceSet) {
    this.#pci = pci;
    this.#kernel = pci.kernel;
    this.#set = set;
    this.#ioeventfds = new PciIoeventfds(pci, () => this.#config?.memoryEnabled === true);
    this.interrupts = new PciInterrupts(pci);
    this.#power = new LowPower(pci.kernel, {
      zap: () => this.zap(),
      maskIntx: () => this.interrupts.maskIntx(),
      unmaskIntx: () => this.interrupts.unmaskIntx(),
    });
  }

  /** vfio_pci_core_match, and vfio_pci_validate_vf_token: after the name a token may be given; only an SR-IOV function has one. */
  match(text: string): boolean | number {
    const { kernel, name } = this.#pci;
    if (!text.startsWith(name)) return false;
    const options = text.slice(name.length);
    if (options !== '' && !options.startsWith(' ')) return false;
    const known = OPTIONS.exec(options);
    if (known === null) return kernel.refuse(EINVAL, `"${options.trim()}" is no option of ${name}`);
    if (known[1] === undefined) return true;
    kernel.printk(`vfio-pci ${name}: VF token incorrectly provided, not a PF or VF`);
    return kernel.refuse(EINVAL, `${name} is no function of SR-IOV, which would have a VF token`);
  }

  /** vfio_pci_core_enable. */
  openDevice(): number {
    const pci = this.#pci;
    // vfio_config_init: which capability each byte belongs to, and what the user sees.
    if (!this.#kernel.kmallocAll('pci_config_map', 'vconfig')) return -ENOMEM;
    pci.setCommand(0, PCI_COMMAND_MASTER);
    pci.enable();
    this.#resets = pci.reset();
    this.#saved = pci.saveState();
    pci.setCommand(0, PCI_COMMAND_INTX_DISABLE);
    this.#config = new VirtualConfig(pci, {
      intxDisabled: (disabled) => this.interrupts.setDisabled(disabled),
      memoryEnabled: (enabled) => {
        if (!enabled) this.zap();
      },
      resetAsked: () => void this.#reset(),
      interrupts: this.interrupts,
    });
    return 0;
  }

  /** vfio_pci_core_disable: the device is as it was, and knows no secrets of its last user. */
  closeDevice(): void {
    const pci = this.#pci;
    this.#power.exit();
    this.interrupts.shutDown();
    this.#ioeventfds.shutDown();
    this.#mappings.clear();
    pci.reset();
    if (this.#saved !== undefined) pci.restoreState(this.#saved);
    pci.disable();
    this.#config = undefined;
  }

  read(buffer: Hva, count: number, position: number): number {
    if (this.#power.engaged) return this.#power.awake(() => this.#transfer(buffer, count, position, false));
    return this.#transfer(buffer, count, position, false);
  }

  write(buffer: Hva, count: number, position: number): number {
    if (this.#power.engaged) return this.#power.awake(() => this.#transfer(buffer, count, position, true));
    return this.#transfer(buffer, count, position, true);
  }

  mmap(vma: Vma): number {
    const error = mapBar(this.#pci, vma, () => this.#config?.memoryEnabled === true && !this.#power.engaged);
    if (error === 0 && vma.file !== undefined) this.#mappings.set(vma.file, this.#kernel.current.mm);
    return error;
  }

  ioctl(request: number, argument: number): number {
    return this.#power.awake(() => this.#ioctl(request, argument));
  }

  /** vfio_pci_core_ioctl_feature. The token of a physical function for its virtual ones is not had by others. */
  deviceFeature(flags: number, data: number, argsz: number): number {
    return this.#power.awake(() => this.#feature(flags, data, argsz));
  }

  request(count: number): void {
    this.interrupts.requestReturn(count);
  }

  #feature(flags: number, data: number, argsz: number): number {
    const feature = flags & VFIO_DEVICE_FEATURE_MASK;
    switch (feature) {
      case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
        return this.#power.enter(flags, data, argsz, false);
      case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP:
        return this.#power.enter(flags, data, argsz, true);
      case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
        return this.#power.leave(flags, argsz);
      default:
        return this.#kernel.refuse(ENOTTY, `${NAME} has no feature ${feature} for ${this.#pci.name}`);
    }
  }

  #ioctl(request: number, argument: number): number {
    switch (request) {
      case VFIO_DEVICE_GET_INFO.number:
        return getDeviceInfo(this.#pci, this.#resets, argument);
      case VFIO_DEVICE_GET_REGION_INFO.number:
        return getRegionInfo(this.#pci, argument);
      case VFIO_DEVICE_GET_IRQ_INFO.number:
        return getIrqInfo(this.#pci, this.interrupts, argument);
      case VFIO_DEVICE_SET_IRQS.number:
        return this.#setIrqs(argument);
      case VFIO_DEVICE_RESET.number:
        return this.#reset();
      case VFIO_DEVICE_GET_PCI_HOT_RESET_INFO.number:
        return getHotResetInfo(this.#pci, this.#set, argument);
      case VFIO_DEVICE_PCI_HOT_RESET.number:
        return hotReset(this.#pci, this.#set, argument);
      case VFIO_DEVICE_IOEVENTFD.number:
        return this.#ioeventfds.set(argument);
      default:
        return this.#kernel.refuse(ENOTTY, `${NAME} has no ioctl 0x${request.toString(16)}`);
    }
  }

  #transfer(buffer: Hva, count: number, position: number, write: boolean): number {
    if (count === 0) return 0;
    const config = this.#config;
    const [index, offset] = [regionOf(position), offsetInRegion(position)];
    if (config !== undefined && index === VFIO_PCI_CONFIG_REGION_INDEX) {
      return config.transfer(buffer, count, offset, write);
    }
    if (config !== undefined && index < VFIO_PCI_NUM_BARS) {
      return transferBar(this.#pci, index, config.memoryEnabled, buffer, count, offset, write);
    }
    return this.#kernel.refuse(EINVAL, `region ${index} of ${this.#pci.name} cannot be ${write ? 'written' : 'read'}`);
  }

  #setIrqs(argument: number): number {
    const kernel = this.#kernel;
    const header = getSized(kernel, vfio_irq_set, 'count', argument);
    if (typeof header === 'number') return header;
    const size = validateSetIrqs(kernel, header, this.interrupts.count(header.index), VFIO_PCI_NUM_IRQS);
    if (size < 0) return size;
    const data = irqData(kernel, argument, size);
    if (typeof data === 'number') return data;
    return this.interrupts.set(header, data);
  }

  /** VFIO_DEVICE_RESET: mappings go first, for nothing answers meanwhile. */
  #reset(): number {
    if (!this.#resets) return this.#kernel.refuse(EINVAL, `${this.#pci.name} has no function reset that works`);
    this.zap();
    this.#pci.reset();
    return 0;
  }

  /** vfio_pci_zap_bars: nobody reaches the device by a mapping until it is touched again. */
  zap(): void {
    for (const [file, mm] of this.#mappings) mm.zap(file);
  }
}

/** A device that vfio-pci has. */
interface Bound {
  readonly vfio: VfioDevice;
  readonly assigned: AssignedDevice;
  readonly group: VfioGroup;
}

/** Make vfio-pci loadable: `modprobe vfio-pci [ids=1234:d0a0,…]`. */
export function registerVfioPci(kernel: Kernel, bus: PciBus): void {
  const devices = new Map<PciDevice, Bound>();
  let driver: PciDriver | undefined;
  kernel.modules.register({
    name: MODULE,
    parameters: { ids: 'string' },
    init(_, { ids }) {
      driver = new PciDriver(bus, {
        name: NAME,
        module: MODULE,
        ids: [],
        managesDma: true,
        probe(pci) {
          const assigned = new AssignedDevice(pci, {
            bus,
            groupOf: (device) => devices.get(device)?.group,
            deviceOf: (device) => devices.get(device)?.vfio,
            zap: (device) => devices.get(device)?.assigned.zap(),
          });
          const vfio = new VfioDevice(kernel, pci.name, MODULE, assigned);
          const group = vfioOf(kernel).registerGroupDevice(pci.device, vfio);
          if (typeof group === 'number') return group;
          devices.set(pci, { vfio, assigned, group });
          return 0;
        },
        remove(pci) {
          const entry = devices.get(pci);
          if (entry === undefined) return;
          devices.delete(pci);
          vfioOf(kernel).unregister(entry.vfio, () => {});
        },
      });
      const error = driver.register(kernel);
      if (error === 0) addIds(kernel, driver, String(ids ?? ''));
      return error;
    },
    exit() {
      driver?.unregister(kernel);
    },
  });
}

/** vfio_pci_fill_ids: `vendor:device[:subvendor:subdevice[:class:mask]]` in hexadecimal, with commas between. */
function addIds(kernel: Kernel, driver: PciDriver, text: string): void {
  for (const word of text.split(',').filter((each) => each !== '')) {
    const id = parseId(word);
    if (id === undefined) {
      kernel.printk(`${MODULE}: invalid id string "${word}"`);
      continue;
    }
    driver.addId(kernel, id);
    kernel.printk(`${MODULE}: add ${idText(id)}`);
  }
}

/** `sscanf("%x:%x:%x:%x:%x:%x")`: as far as there are numbers. */
function parseId(word: string): PciId | undefined {
  const [digits = ''] = /^(?:(?:0x)?[0-9a-fA-F]{1,8}(?::(?=[0-9a-fA-F])|(?![0-9a-fA-F]))){1,6}/.exec(word) ?? [];
  return pciIdOf(digits === '' ? [] : digits.split(':').map((part) => Number.parseInt(part, 16)));
}

function idText({ vendor, device, subvendor, subdevice, class: kind, classMask }: PciId): string {
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  const ids = `${hex(vendor, 4)}:${hex(device, 4)}[${hex(subvendor, 4)}:${hex(subdevice, 4)}]`;
  return `[${ids}] class 0x${hex(kind, 6)}/${hex(classMask, 8)}`;
}

/**
 * A PCI device as the kernel knows it: `struct pci_dev`. Configuration goes through the host bridge's hardware; resources are
 * what the scan found behind the BARs and where it put them (drivers/pci/{access,probe,pci}.c).
 */

import type { PciFunction } from '../../hardware/pci/function.ts';
import type { Device } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import {
  PCI_AF_CAP,
  PCI_AF_CAP_FLR,
  PCI_AF_CAP_TP,
  PCI_AF_CTRL,
  PCI_AF_CTRL_FLR,
  PCI_CAP_ID_AF,
  PCI_CAP_LIST_NEXT,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_COMMAND,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
} from '../uapi/pci.ts';

/** `struct resource`: where a BAR is on the bus. */
export interface PciResource {
  readonly kind: 'memory' | 'ports';
  readonly start: number;
  readonly size: number;
}

export class PciDevice {
  readonly kernel: Kernel;
  readonly device: Device;
  readonly hardware: PciFunction;
  /** By BAR number; undefined where there is none. */
  readonly resources: readonly (PciResource | undefined)[];
  /** pci_restore_msi_state: what a driver's messages need written again after a reset; undefined without messages. */
  restoreMessages: (() => void) | undefined;

  constructor(kernel: Kernel, device: Device, hardware: PciFunction, resources: readonly (PciResource | undefined)[]) {
    this.kernel = kernel;
    this.device = device;
    this.hardware = hardware;
    this.resources = resources;
  }

  /** `0000:06:0d.0`. */
  get name(): string {
    return this.device.name;
  }

  readConfig(offset: number, size: 1 | 2 | 4): number {
    return this.hardware.readConfig(offset, size);
  }

  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    this.hardware.writeConfig(offset, size, value);
  }

  /** pci_find_capability: where the capability starts; 0 if there is none. */
  capability(id: number): number {
    if ((this.readConfig(PCI_STATUS, 2) & PCI_STATUS_CAP_LIST) === 0) return 0;
    let at = this.readConfig(PCI_CAPABILITY_LIST, 1);
    for (let hops = 0; at >= 0x40 && hops < 48; hops++) {
      if (this.readConfig(at, 1) === id) return at;
      at = this.readConfig(at + PCI_CAP_LIST_NEXT, 1);
    }
    return 0;
  }

  /** pci_enable_device: the device decodes what its BARs say (pci_enable_resources). */
  enable(): void {
    const memory = this.resources.some((resource) => resource?.kind === 'memory') ? PCI_COMMAND_MEMORY : 0;
    const ports = this.resources.some((resource) => resource?.kind === 'ports') ? PCI_COMMAND_IO : 0;
    const before = this.readConfig(PCI_COMMAND, 2);
    const after = before | memory | ports;
    if (after === before) return;
    const { driverString } = this.device;
    this.kernel.printk(`${driverString} ${this.name}: enabling device (${word(before)} -> ${word(after)})`);
    this.writeConfig(PCI_COMMAND, 2, after);
  }

  /** pci_disable_device: it masters the bus no longer. */
  disable(): void {
    this.setCommand(0, PCI_COMMAND_MASTER);
  }

  /** Set and clear bits of COMMAND. */
  setCommand(set: number, clear: number): void {
    this.writeConfig(PCI_COMMAND, 2, (this.readConfig(PCI_COMMAND, 2) | set) & ~clear);
  }

  /** pci_save_state: all that a reset forgets. */
  saveState(): Uint32Array {
    return Uint32Array.from({ length: PCI_CFG_SPACE_SIZE / 4 }, (_, i) => this.readConfig(4 * i, 4));
  }

  /** pci_restore_state: COMMAND last, so that nothing is decoded where it does not belong. */
  restoreState(saved: Uint32Array): void {
    const command = PCI_COMMAND / 4;
    for (const [i, word] of saved.entries()) if (i !== command) this.writeConfig(4 * i, 4, word);
    this.writeConfig(PCI_COMMAND, 2, (saved[command] ?? 0) & 0xffff);
    this.restoreMessages?.();
  }

  /** Whether a function-level reset is there (pci_af_flr). */
  get canReset(): boolean {
    const at = this.capability(PCI_CAP_ID_AF);
    const all = PCI_AF_CAP_TP | PCI_AF_CAP_FLR;
    return at !== 0 && (this.readConfig(at + PCI_AF_CAP, 1) & all) === all;
  }

  /** pci_try_reset_function: a reset that keeps configuration. False if the device cannot. */
  reset(): boolean {
    if (!this.canReset) return false;
    const saved = this.saveState();
    this.writeConfig(PCI_COMMAND, 2, 0);
    this.writeConfig(this.capability(PCI_CAP_ID_AF) + PCI_AF_CTRL, 1, PCI_AF_CTRL_FLR);
    this.restoreState(saved);
    return true;
  }

  /** Read a BAR's register as a driver does with ioread8, 16, 32. */
  readBar(bar: number, offset: number, size: 1 | 2 | 4): number {
    const [bus, start] = this.#window(bar);
    return bus.read(start + offset, size);
  }

  /** iowrite8, 16, 32. */
  writeBar(bar: number, offset: number, size: 1 | 2 | 4, value: number): void {
    const [bus, start] = this.#window(bar);
    bus.write(start + offset, size, value);
  }

  #window(bar: number) {
    const resource = this.resources[bar];
    if (resource === undefined) throw new Error(`${this.name} has no BAR ${bar}`);
    const { slot } = this.hardware;
    return [resource.kind === 'ports' ? slot.ports : slot.memory, resource.start] as const;
  }
}

const word = (value: number): string => value.toString(16).padStart(4, '0');

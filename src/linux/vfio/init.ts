/** VFIO's module_init: the container node, /dev/iommu, and the symbols by which KVM finds VFIO (vfio_init in drivers/vfio/vfio_main.c). */

import { Device } from '../core/device.ts';
import type { OpenFile } from '../core/file.ts';
import type { Kernel } from '../core/kernel.ts';
import { initIommufd } from '../iommufd/file.ts';
import { CONTAINER_PATH, openContainer } from './container.ts';
import { cdevFromFile } from './device-cdev.ts';
import { groupFromFile } from './group.ts';
import { VfioRegistry } from './registry.ts';

/** Misc device minor of /dev/vfio/vfio, and its mode: any user may have a container; access comes with the group. */
const MISC_MAJOR = 10;
const VFIO_MINOR = 196;
const CONTAINER_MODE = 0o666;

/** Signatures of the exported symbols, by name. KVM gets them with symbol_get and knows nothing else of VFIO. */
export interface VfioSymbols {
  vfio_file_is_group(file: OpenFile): boolean;
  /** A group, or a device open by its own node. */
  vfio_file_is_valid(file: OpenFile): boolean;
  /** Give the group or the device its VM, or take it away (undefined). Other files are left alone. */
  vfio_file_set_kvm(file: OpenFile, kvm: object | undefined): void;
  vfio_file_enforced_coherent(file: OpenFile): boolean;
}

const symbols: VfioSymbols = {
  vfio_file_is_group: (file) => groupFromFile(file) !== undefined,
  vfio_file_is_valid: (file) => groupFromFile(file) !== undefined || cdevFromFile(file) !== undefined,
  vfio_file_set_kvm: (file, kvm) => (groupFromFile(file) ?? cdevFromFile(file))?.setKvm(kvm),
  vfio_file_enforced_coherent: (file) => (groupFromFile(file) ?? cdevFromFile(file))?.enforcedCoherent ?? true,
};

const registries = new WeakMap<Kernel, VfioRegistry>();

/** Bring VFIO up: /dev/vfio/vfio, /dev/iommu, the classes, the exported symbols. */
export function initVfio(kernel: Kernel): void {
  kernel.devices.addClass('misc');
  const number = { major: MISC_MAJOR, minor: VFIO_MINOR, node: 'vfio/vfio', mode: CONTAINER_MODE };
  kernel.devices.add(new Device({ name: 'vfio', class: 'misc', number }));
  kernel.files.registerDevice(CONTAINER_PATH, CONTAINER_MODE, (flags) => openContainer(kernel, flags));
  initIommufd(kernel);
  for (const [name, symbol] of Object.entries(symbols)) kernel.symbols.set(name, symbol);
  registries.set(kernel, new VfioRegistry(kernel));
  kernel.printk('VFIO - User Level meta-driver version: 0.3');
}

/** The VFIO core of a kernel on which {@link initVfio} has run. */
export function vfioOf(kernel: Kernel): VfioRegistry {
  const registry = registries.get(kernel);
  if (registry === undefined) throw new Error('VFIO is used before initVfio(kernel)');
  return registry;
}

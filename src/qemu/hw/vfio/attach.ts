/** How a device of the host becomes this process's: by its group and a container, or by its own node and an iommufd (vfio_attach_device). */

import type { IommufdBackend } from '../../backends/iommufd.ts';
import { ConfigurationError } from '../../error.ts';
import type { Machine } from '../machine.ts';
import { attachCdev, detachCdev } from './cdev.ts';
import { type ResettableDevice, VfioGroups } from './container.ts';
import { VfioDevice } from './device.ts';
import type { HostDevice } from './host-device.ts';
import { vfioPutBaseDevice } from './trace-events.ts';

/** A device that this process has. */
export interface Attachment {
  readonly device: VfioDevice;
  /** The device is set up: a reset of the machine may ask it. */
  realized(device: ResettableDevice): void;
  /** Give it back, with what only it needed. */
  detach(): void;
}

/** By the group of this number. `before` runs between the group and the device. Refusals are ConfigurationErrors. */
export function attachByGroup(
  machine: Machine,
  host: HostDevice,
  number: number,
  before: () => void = () => undefined,
): Attachment {
  const { system } = machine;
  const groups = VfioGroups.of(machine);
  const group = groups.get(number);
  if (group.devices.some((other) => other.name === host.name)) {
    throw new ConfigurationError('device is already attached');
  }
  before();
  const device = VfioDevice.ofGroup(system, group, host.name);
  return {
    device,
    realized: (resettable) => void group.devices.push(resettable),
    detach() {
      if (vfioPutBaseDevice.on) vfioPutBaseDevice(system.stream, { fd: device.fd });
      system.syscalls.close(device.fd);
      groups.put(group, host.name);
    },
  };
}

/** Devices attached by their own nodes, which a reset of the machine asks. */
const cdevs = new WeakMap<Machine, Set<ResettableDevice>>();

/** By its own node, with the iommufd that `-object` made. Refusals are ConfigurationErrors. */
export function attachByNode(machine: Machine, host: HostDevice, backend: IommufdBackend): Attachment {
  const device = attachCdev(machine, host, backend);
  const devices = cdevs.get(machine) ?? new Set<ResettableDevice>();
  if (!cdevs.has(machine)) {
    cdevs.set(machine, devices);
    machine.onReset(() => {
      for (const each of devices) if (each.needsReset) each.hotResetMulti();
    });
  }
  let mine: ResettableDevice | undefined;
  return {
    device,
    realized(resettable) {
      mine = resettable;
      devices.add(resettable);
    },
    detach() {
      if (mine !== undefined) devices.delete(mine);
      detachCdev(machine, device, backend);
    },
  };
}

/** The iommufd object of this id (`iommufd=ID` of a device). */
export function iommufdOf(machine: Machine, id: string | undefined): IommufdBackend | undefined {
  const backend = id === undefined ? undefined : machine.iommufds.get(id);
  if (id !== undefined && backend === undefined) throw new ConfigurationError(`Device '${id}' not found`);
  return backend;
}

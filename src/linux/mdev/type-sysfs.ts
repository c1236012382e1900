/** mdev_supported_types/ of a parent: what can be made on it, and the attribute `create` that makes it (mdev_sysfs.c). */

import type { Device } from '../core/device.ts';
import type { Kernel } from '../core/kernel.ts';
import { EINVAL } from '../uapi/errno.ts';
import type { MdevTypeGroup } from './type.ts';
import { MdevType } from './type.ts';
import { parseUuid } from './uuid.ts';

const UUID_LENGTH = 36;

/** What sysfs asks of the core. */
export interface TypeActions {
  /** Make a device: 0 or -errno. */
  create(type: MdevType, uuid: string): number;
}

/** Add the directory of each type below `parent`. */
export function addTypes(kernel: Kernel, parent: Device, groups: readonly MdevTypeGroup[], actions: TypeActions): void {
  for (const group of groups) {
    const name = `${parent.driverString}-${group.name}`;
    const type = new MdevType(name, group, `${parent.path}/mdev_supported_types/${name}`);
    kernel.sysfs.directory(`${type.path}/devices`);
    const store = (text: string) => createStore(kernel, actions, type, text);
    kernel.sysfs.attribute(`${type.path}/create`, { mode: 0o200, store });
    for (const [attribute, show] of Object.entries(group.attributes)) {
      kernel.sysfs.attribute(`${type.path}/${attribute}`, { mode: 0o444, show: () => `${show(type)}\n` });
    }
  }
}

/**
 * create_store: a UUID of 36 characters; a 37th is not looked at, whatever it is. Returns the bytes written, -EINVAL, or
 * the refusal of the core or the driver.
 */
function createStore(kernel: Kernel, actions: TypeActions, type: MdevType, text: string): number {
  if (text.length < UUID_LENGTH || text.length > UUID_LENGTH + 1) {
    return kernel.refuse(EINVAL, `create takes a UUID: ${UUID_LENGTH} characters and a newline, not ${text.length}`);
  }
  const uuid = parseUuid(text);
  if (uuid === undefined) {
    return kernel.refuse(
      EINVAL,
      `'${text.trimEnd()}' is no UUID: hexadecimal digits as 8-4-4-4-12 with dashes between`,
    );
  }
  const error = actions.create(type, uuid);
  return error < 0 ? error : text.length;
}

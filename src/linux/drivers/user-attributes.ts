/** device_create_file and device_remove_file of a user's driver (drivers/base/core.c). */

import { shown } from '../../foreign-value.ts';
import type { Kernel } from '../core/kernel.ts';
import { EEXIST } from '../uapi/errno.ts';
import type * as api from './driver-api.ts';
import type { DriverCalls } from './driver-fault.ts';
import { checkAttribute } from './user-driver-check.ts';

export function deviceFiles(kernel: Kernel, calls: DriverCalls) {
  const pathOf = (device: api.Device, attribute: api.DeviceAttribute): string => {
    checkAttribute(attribute);
    return `${device.path}/${attribute.name}`;
  };
  return {
    device_create_file(device: api.Device, attribute: api.DeviceAttribute): number {
      const path = pathOf(device, attribute);
      const { name, show, store } = attribute;
      const where = (callback: string) => `${callback} of ${device.name}/${name}`;
      if (kernel.sysfs.has(path)) return kernel.refuse(EEXIST, `${path} exists already`);
      return kernel.sysfs.attribute(path, {
        mode: attribute.mode ?? (show ? 0o444 : 0) | (store ? 0o200 : 0),
        ...(show && {
          show: () =>
            calls.run(where('show'), 'show', () => {
              const text: unknown = show.call(attribute, device);
              if (typeof text === 'string' || (Number.isInteger(text) && (text as number) < 0)) return text as string;
              throw new TypeError(`it gave ${shown(text)}, neither a text nor -errno`);
            }),
        }),
        ...(store && {
          store: (text: string) =>
            calls.result(where('store'), 'store', text.length, () => store.call(attribute, device, text)),
        }),
      });
    },
    device_remove_file(device: api.Device, attribute: api.DeviceAttribute): void {
      kernel.sysfs.remove(pathOf(device, attribute));
    },
  };
}

/** The `power` directory of a device without runtime power management (drivers/base/power/sysfs.c). */

import { EINVAL, EIO } from '../uapi/errno.ts';
import { type Sysfs, sysfsEquals } from './sysfs.ts';

/** Make DEVICE/power. `async` and `control` can be set; the rest tells that there is nothing to manage. */
export function addPowerDirectory(sysfs: Sysfs, devicePath: string): void {
  const add = (name: string, show: () => string | number, store?: (text: string) => number) =>
    sysfs.attribute(`${devicePath}/power/${name}`, {
      mode: store === undefined ? 0o444 : 0o644,
      show,
      ...(store && { store }),
    });
  /** One of two words, kept. */
  const choice = (name: string, first: string, second: string) => {
    let word = first;
    add(
      name,
      () => `${word}\n`,
      (text) => {
        const chosen = [first, second].find((candidate) => sysfsEquals(text, candidate));
        if (chosen === undefined) return -EINVAL;
        word = chosen;
        return text.length;
      },
    );
  };
  choice('async', 'disabled', 'enabled');
  choice('control', 'auto', 'on');
  // Without autosuspend both directions are EIO.
  add(
    'autosuspend_delay_ms',
    () => -EIO,
    () => -EIO,
  );
  add('runtime_active_kids', () => '0\n');
  add('runtime_active_time', () => '0\n');
  add('runtime_enabled', () => 'disabled\n');
  add('runtime_status', () => 'unsupported\n');
  add('runtime_suspended_time', () => '0\n');
  add('runtime_usage', () => '0\n');
}

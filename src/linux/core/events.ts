/**
 * Events of the driver core and sysfs: the steps by which a device of the host gets its driver. Linux has no tracepoints there; the
 * names are those of the functions that do it (drivers/base, fs/sysfs/file.c, lib/kobject_uevent.c).
 */

import { event } from '../../event.ts';

export const deviceAdd = event(
  'device_add',
  'host',
  { device: 'string', bus: 'string', path: 'string' },
  (e) => `${e.device}${e.bus === '' ? '' : ` on bus ${e.bus}`}: ${e.path}`,
  'A device entered the driver core: its directory is in sysfs, no driver has been asked yet.',
);

export const deviceDel = event(
  'device_del',
  'host',
  { device: 'string', path: 'string' },
  (e) => `${e.device}: ${e.path}`,
  'A device left the driver core.',
);

export const driverRegister = event(
  'driver_register',
  'host',
  { driver: 'string', bus: 'string' },
  (e) => `${e.driver} on bus ${e.bus}`,
  'A driver of the host is there for the devices of its bus.',
);

export const driverUnregister = event(
  'driver_unregister',
  'host',
  { driver: 'string', bus: 'string' },
  (e) => `${e.driver} on bus ${e.bus}`,
  'A driver of the host went; its devices have lost it.',
);

export const driverProbe = event(
  'really_probe',
  'host',
  { device: 'string', driver: 'string', result: 's32' },
  (e) => `${e.device} by driver ${e.driver} = ${e.result}`,
  'A driver was offered a device that matches: 0, it is bound, or the errno of its refusal.',
);

export const driverDetach = event(
  'device_driver_detach',
  'host',
  { device: 'string', driver: 'string' },
  (e) => `${e.device} from driver ${e.driver}`,
  'A device lost its driver: unbind, removal, or the end of the driver.',
);

export const kobjectUevent = event(
  'kobject_uevent',
  'host',
  { action: 'string', path: 'string' },
  (e) => `${e.action}@${e.path.replace(/^\/sys/, '')}`,
  'What user space would hear of on the netlink socket of uevents: add, remove, bind, unbind, or an action written to uevent.',
);

export const sysfsRead = event(
  'sysfs_kf_read',
  'host',
  { path: 'string', text: 'string', result: 's32' },
  (e) => `${e.path} = ${e.result}${e.text === '' ? '' : ` ${JSON.stringify(e.text)}`}`,
  'The show of an attribute was called: what it printed, or an errno.',
);

export const sysfsWrite = event(
  'sysfs_kf_write',
  'host',
  { path: 'string', text: 'string', result: 's32' },
  (e) => `${e.path} ${JSON.stringify(e.text)} = ${e.result}`,
  'The store of an attribute was called: what was written, and the bytes it took or an errno.',
);

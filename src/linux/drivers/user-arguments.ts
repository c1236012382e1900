/**
 * What a user's file hands the kernel's functions. In C the compiler would refuse most of what is wrong, and the rest would be an oops some
 * time later; here the call throws a TypeError that says what the function takes, and what it got.
 */

import { shown } from '../../foreign-value.ts';
import { Device } from '../core/device.ts';
import { Eventfd } from '../core/eventfd.ts';
import { errnoName, errnos } from '../uapi/errno.ts';
import type * as api from './driver-api.ts';
import { KMALLOC_MAX_SIZE } from './module-memory.ts';

/** A class of devices that the file has made: nothing else passes for one. */
export class UserClass implements api.Class {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** A kind of argument: how messages name it, and which values are of it. */
interface Kind {
  readonly what: string;
  is(value: unknown): boolean;
}

/** An object with members of these types, as typeof has them. */
const withMembers = (what: string, members: Readonly<Record<string, string>>): Kind => ({
  what,
  is: (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.entries(members).every(([key, type]) => typeof (value as Record<string, unknown>)[key] === type),
});

const CLASS: Kind = { what: 'what class_create made', is: (value) => value instanceof UserClass };
const DEVICE: Kind = {
  what: 'a device that is in sysfs, one of device_create or mdev.dev',
  is: (value) => value instanceof Device && value.path !== '',
};
const EVENTFD: Kind = { what: 'an eventfd of eventfd_ctx_fdget', is: (value) => value instanceof Eventfd };
const TIMER = withMembers('what hrtimer_start made', { deadline: 'number', expire: 'function' });
const VIRQFD = withMembers('what vfio_virqfd_enable made', { disable: 'function' });
const SET_IRQS = withMembers('the header of SET_IRQS', {
  argsz: 'number',
  flags: 'number',
  index: 'number',
  start: 'number',
  count: 'number',
});
const NAME: Kind = {
  what: 'the name of a directory',
  is: (value) => typeof value === 'string' && /^[^/\s]+$/.test(value) && !/^\.\.?$/.test(value),
};
const ERRNO: Kind = {
  what: 'an errno such as EINVAL, which is positive',
  is: (value) => Number.isInteger(value) && (value as number) > 0,
};
const INTEGER: Kind = { what: 'an integer', is: Number.isInteger };
const SIZE: Kind = {
  what: `a size in bytes up to ${KMALLOC_MAX_SIZE}`,
  is: (value) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= KMALLOC_MAX_SIZE,
};
const GFP: Kind = { what: 'GFP_KERNEL or GFP_ATOMIC', is: Number.isInteger };
const OPTIONAL_GFP: Kind = { ...GFP, is: (value) => value === undefined || GFP.is(value) };
const HANDLER: Kind = { what: 'a function', is: (value) => typeof value === 'function' };
const LIST: Kind = { what: 'a list', is: Array.isArray };
/** The function itself looks at it. */
const ANY: Kind = { what: 'anything', is: () => true };

/** Arguments by function. Those that are not here check their own: what happens at each of a guest's accesses costs no list. */
const ARGUMENTS: { readonly [F in keyof typeof api]?: readonly Kind[] } = {
  dev_info: [DEVICE],
  dev_warn: [DEVICE],
  dev_err: [DEVICE],
  refuse: [ERRNO],
  kmalloc: [SIZE, GFP],
  kzalloc: [SIZE, GFP],
  alloc_page: [OPTIONAL_GFP],
  class_create: [NAME],
  class_destroy: [CLASS],
  device_create: [CLASS, NAME],
  device_unregister: [DEVICE],
  device_create_file: [DEVICE],
  device_remove_file: [DEVICE],
  mdev_register_parent: [DEVICE],
  mdev_unregister_parent: [DEVICE],
  vfio_set_irqs_validate_and_prepare: [SET_IRQS, INTEGER, INTEGER],
  vfio_pin_pages: [ANY, ANY, INTEGER, INTEGER, LIST],
  vfio_unpin_pages: [ANY, ANY, INTEGER],
  eventfd_ctx_fdget: [INTEGER],
  eventfd_ctx_put: [EVENTFD],
  vfio_virqfd_enable: [HANDLER, INTEGER],
  vfio_virqfd_disable: [VIRQFD],
  hrtimer_cancel: [TIMER],
};

/** The functions, each looking at its arguments first. */
export function withCheckedArguments(functions: typeof api): typeof api {
  const checked: Record<string, unknown> = { ...functions };
  for (const [name, kinds] of Object.entries(ARGUMENTS)) {
    const call = checked[name] as (...args: unknown[]) => unknown;
    checked[name] = (...args: unknown[]) => {
      for (const [index, kind] of kinds.entries()) {
        if (!kind.is(args[index])) throw new TypeError(`${name} takes ${kind.what}, not ${told(args[index])}`);
      }
      return call(...args);
    };
  }
  return checked as typeof api;
}

/** A value; with its name if it is the -errno of a call whose result nobody has looked at. */
function told(value: unknown): string {
  const name = errnos().includes(-Number(typeof value === 'number' ? value : 0)) ? errnoName(-(value as number)) : '';
  return `${shown(value)}${name && ` (-${name})`}`;
}

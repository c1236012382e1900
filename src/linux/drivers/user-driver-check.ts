/** Whether what a user's file hands the kernel is what it says. The first thing that is not is a TypeError that names it. */

import { shown, strayProperty } from '../../foreign-value.ts';
import type {
  DeviceAttribute,
  KernelModule,
  MdevDriver,
  MdevType,
  ParameterKind,
  VfioDeviceOps,
} from './driver-api.ts';

const KINDS: readonly ParameterKind[] = ['integer', 'string', 'boolean'];
type Parameters = Readonly<Record<string, ParameterKind>>;
const MODULE = { name: true, parameters: true, init: true, exit: true } as const satisfies Readonly<
  Record<keyof KernelModule, true>
>;
const DRIVER = {
  device_api: true,
  max_instances: true,
  probe: true,
  remove: true,
  get_available: true,
  show_description: true,
} as const satisfies Readonly<Record<keyof MdevDriver, true>>;
const ATTRIBUTE = { name: true, mode: true, show: true, store: true } as const satisfies Readonly<
  Record<keyof DeviceAttribute, true>
>;
/** All of them optional functions. */
const OPS = {
  open_device: true,
  close_device: true,
  read: true,
  write: true,
  ioctl: true,
  mmap: true,
  request: true,
  dma_unmap: true,
  release: true,
} as const satisfies Readonly<Record<keyof VfioDeviceOps<unknown>, true>>;

/** The default export, as a module. */
export function checkModule(exported: unknown): KernelModule<Parameters> {
  const module = object(exported, 'the default export');
  noStray(module, MODULE, 'a module');
  const { name, parameters } = module;
  if (typeof name !== 'string' || !/^[\w-]+$/.test(name)) {
    throw new TypeError(`name is ${shown(name)}, no name of a module (letters, digits, - and _)`);
  }
  if (parameters !== undefined) {
    for (const [key, kind] of Object.entries(object(parameters, 'parameters'))) {
      if (!KINDS.includes(kind as ParameterKind)) {
        throw new TypeError(`parameters.${key} is ${shown(kind)}, not one of ${KINDS.join(', ')}`);
      }
    }
  }
  callable(module['init'], 'init');
  optional(module['exit'], 'exit');
  return exported as KernelModule<Parameters>;
}

export function checkMdevDriver(driver: MdevDriver): void {
  const fields = object(driver, 'the driver');
  noStray(fields, DRIVER, 'an mdev driver');
  if (typeof fields['device_api'] !== 'string') {
    throw new TypeError(`device_api is ${shown(fields['device_api'])}, no string such as 'vfio-pci'`);
  }
  const most = fields['max_instances'];
  if (most !== undefined && !(Number.isInteger(most) && (most as number) >= 0)) {
    throw new TypeError(`max_instances is ${shown(most)}, no number of devices`);
  }
  callable(fields['probe'], 'probe');
  callable(fields['remove'], 'remove');
  optional(fields['get_available'], 'get_available');
  optional(fields['show_description'], 'show_description');
}

export function checkTypes(types: readonly MdevType[]): void {
  if (!Array.isArray(types)) throw new TypeError(`the types are ${shown(types)}, no list`);
  // By index: a list may have holes, and be nothing but one.
  for (let index = 0; index < types.length; index++) {
    const { sysfs_name: name } = object(types[index], `types[${index}]`);
    if (typeof name !== 'string' || !/^[^/\s]+$/.test(name)) {
      throw new TypeError(`types[${index}].sysfs_name is ${shown(name)}, no name of a directory`);
    }
  }
}

export function checkOps(ops: VfioDeviceOps<unknown>): void {
  const fields = object(ops, 'the ops');
  noStray(fields, OPS, 'vfio_device_ops');
  for (const key of Object.keys(OPS)) optional(fields[key], key);
}

export function checkAttribute(attribute: DeviceAttribute): void {
  const fields = object(attribute, 'the attribute');
  noStray(fields, ATTRIBUTE, 'an attribute');
  const { name, mode } = fields;
  if (typeof name !== 'string' || !/^[^/\s]+$/.test(name))
    throw new TypeError(`name is ${shown(name)}, no name of a file`);
  if (mode !== undefined && !(Number.isInteger(mode) && ((mode as number) & ~0o777) === 0))
    throw new TypeError(`mode is ${shown(mode)}, no permission bits such as 0o644`);
  optional(fields['show'], 'show');
  optional(fields['store'], 'store');
}

export function checkUnsigned(number: unknown, where: string): void {
  if (!Number.isSafeInteger(number) || (number as number) < 0)
    throw new RangeError(`${where}: ${shown(number)} is no unsigned number`);
}

export function checkBytes(bytes: unknown): asserts bytes is Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw new TypeError(`the bytes are ${shown(bytes)}, no Uint8Array`);
}

/** An address: an integer that is exact. */
export function checkAddress(address: unknown): asserts address is number {
  if (!Number.isSafeInteger(address) || (address as number) < 0) throw new TypeError(`no address: ${shown(address)}`);
}

function noStray(described: object, known: Readonly<Record<string, true>>, what: string): void {
  const stray = strayProperty(described, known, what);
  if (stray !== undefined) throw new TypeError(stray);
}

function object(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw new TypeError(`${where} is ${shown(value)}, no object`);
}

function callable(value: unknown, where: string): void {
  if (typeof value !== 'function') throw new TypeError(`${where} is ${shown(value)}, no function`);
}

function optional(value: unknown, where: string): void {
  if (value !== undefined) callable(value, where);
}

/** Whether what a user's file exports describes a device. The first thing that does not is a ConfigurationError that names it. */

import { saidBy, shown, strayProperty } from '../../foreign-value.ts';
import type { Bar, DeviceDescription, Register } from '../device-api.ts';
import { ConfigurationError } from '../error.ts';

const MOST_BARS = 6;
type Fields = Record<string, unknown>;

const DESCRIPTION = {
  name: true,
  vendor: true,
  device: true,
  revision: true,
  class: true,
  subsystemVendor: true,
  subsystem: true,
  pin: true,
  msi: true,
  msix: true,
  bars: true,
  properties: true,
  state: true,
  reset: true,
  unplug: true,
} as const satisfies Readonly<Record<keyof DeviceDescription, true>>;
const BAR = { space: true, size: true, registers: true } as const satisfies Readonly<Record<keyof Bar<unknown>, true>>;
const REGISTER = {
  name: true,
  offset: true,
  size: true,
  initial: true,
  read: true,
  write: true,
} as const satisfies Readonly<Record<keyof Register<unknown>, true>>;

/** The description, checked: a copy, which stays what it is whatever the file does later. */
export function checkDescription(exported: unknown): DeviceDescription<unknown> {
  try {
    return checked(object(exported, 'the default export'));
  } catch (error) {
    if (error instanceof ConfigurationError) throw error;
    throw new ConfigurationError(`the default export cannot be read: ${saidBy(error)}`);
  }
}

function checked(exported: Fields): DeviceDescription<unknown> {
  noStray(exported, DESCRIPTION, 'a device', '');
  const description: Fields = { ...exported };
  text(description['name'], 'name');
  integer(description['vendor'], 'vendor', 0, 0xfffe);
  integer(description['device'], 'device', 0, 0xffff);
  optional(description['revision'], (value) => integer(value, 'revision', 0, 0xff));
  for (const key of ['class', 'subsystemVendor', 'subsystem']) {
    optional(description[key], (value) => integer(value, key, 0, 0xffff));
  }
  optional(description['pin'], (value) => oneOf(value, 'pin', ['A', 'B', 'C', 'D']));
  optional(description['msi'], (value) => oneOf(value, 'msi', [1, 2, 4, 8, 16, 32]));
  optional(description['msix'], (value) => integer(value, 'msix', 1, 2048));
  optional(description['properties'], (value) => object(value, 'properties'));
  for (const key of ['state', 'reset', 'unplug']) callback(description, exported, key, key);
  const bars = list(description['bars'], 'bars', MOST_BARS).map((bar, i) =>
    checkBar(object(bar, `bars[${i}]`), `bars[${i}]`),
  );
  const taken = bars.reduce(
    (sum, { space }) => sum + (space === 'memory64' ? 2 : 1),
    description['msix'] === undefined ? 0 : 1,
  );
  if (taken > MOST_BARS) throw new ConfigurationError(`the device needs ${taken} base address registers, there are 6`);
  return { ...(description as unknown as DeviceDescription<unknown>), bars };
}

function checkBar(described: Fields, where: string): Bar<unknown> {
  noStray(described, BAR, 'a BAR', where);
  const bar = { ...described } as unknown as Bar<unknown>;
  const { space, size } = bar;
  oneOf(space, `${where}.space`, ['io', 'memory', 'memory64']);
  integer(size, `${where}.size`, space === 'io' ? 4 : 16, space === 'io' ? 256 : 2 ** 31);
  if (!Number.isInteger(Math.log2(size))) throw new ConfigurationError(`${where}.size is ${size}, no power of two`);
  const registers: Register<unknown>[] = [];
  /** By the 8 bytes they lie in: none is wider, and each is aligned. */
  const neighbours = new Map<number, Register<unknown>[]>();
  list(bar.registers, `${where}.registers`, size).forEach((register, i) => {
    const place = `${where}.registers[${i}]`;
    const added = checkRegister(object(register, place), place, size);
    const near = neighbours.get(added.offset >>> 3) ?? [];
    const other = near.find((one) => one.offset < end(added) && added.offset < end(one));
    if (other !== undefined) {
      throw new ConfigurationError(`${place}: register '${added.name}' lies over register '${other.name}'`);
    }
    neighbours.set(added.offset >>> 3, [...near, added]);
    registers.push(added);
  });
  return { ...bar, registers };
}

const end = ({ offset, size = 4 }: Register<unknown>) => offset + size;

function checkRegister(described: Fields, where: string, barSize: number): Register<unknown> {
  noStray(described, REGISTER, 'a register', where);
  const register: Fields = { ...described };
  text(register['name'], `${where}.name`);
  optional(register['size'], (value) => oneOf(value, `${where}.size`, [1, 2, 4, 8]));
  const { size = 4, offset } = register as unknown as Register<unknown>;
  integer(offset, `${where}.offset`, 0, barSize - size);
  if (offset % size !== 0)
    throw new ConfigurationError(`${where}.offset is ${offset}, no multiple of the size ${size}`);
  for (const key of ['read', 'write']) callback(register, described, key, `${where}.${key}`);
  optional(register['initial'], (value) => {
    const fits =
      (typeof value === 'bigint' || Number.isInteger(value)) &&
      BigInt.asUintN(8 * size, BigInt(value as number)) === BigInt(value as number);
    if (!fits) throw new ConfigurationError(`${where}.initial is ${shown(value)}, no unsigned number of ${size} bytes`);
  });
  return register as unknown as Register<unknown>;
}

/** An optional function of `of`, which is its `this` also in the copy. */
function callback(copy: Fields, of: Fields, key: string, where: string): void {
  // A method of a class is not the object's own.
  const value = of[key];
  if (value === undefined) return;
  if (typeof value !== 'function') throw new ConfigurationError(`${where} is ${shown(value)}, no function`);
  copy[key] = value.bind(of);
}

function noStray(described: Fields, known: Readonly<Record<string, true>>, what: string, where: string): void {
  const stray = strayProperty(described, known, what, where);
  if (stray !== undefined) throw new ConfigurationError(stray);
}

function object(value: unknown, where: string): Fields {
  if (typeof value === 'object' && value !== null) return value as Fields;
  throw new ConfigurationError(`${where} is ${shown(value)}, no object`);
}

/** A list of at most `most`, without holes. */
function list(value: unknown, where: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new ConfigurationError(`${where} is ${shown(value)}, no list`);
  if (value.length > most) throw new ConfigurationError(`${where} is a list of ${value.length}, there can be ${most}`);
  return Array.from(value);
}

function text(value: unknown, where: string): void {
  if (typeof value !== 'string' || value === '') throw new ConfigurationError(`${where} is ${shown(value)}, no name`);
}

function integer(value: unknown, where: string, least: number, most: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw new ConfigurationError(`${where} is ${shown(value)}, no integer from ${least} to 0x${most.toString(16)}`);
}

function oneOf(value: unknown, where: string, known: readonly (string | number)[]): void {
  if (!known.includes(value as string)) {
    throw new ConfigurationError(`${where} is ${shown(value)}, not one of ${known.join(', ')}`);
  }
}

function optional(value: unknown, check: (value: unknown) => void): void {
  if (value !== undefined) check(value);
}

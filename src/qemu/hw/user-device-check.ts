/** Whether what a user's file exports describes a device. The first thing that does not is a ConfigurationError that names it. */

import type { Bar, DeviceDescription, Register } from '../device-api.ts';
import { ConfigurationError } from '../error.ts';

const MOST_BARS = 6;

/** The description, checked. */
export function checkDescription(exported: unknown): DeviceDescription<unknown> {
  const description = object(exported, 'the default export');
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
  for (const key of ['state', 'reset']) optional(description[key], (value) => callable(value, key));
  const bars = list(description['bars'], 'bars');
  let taken = description['msix'] === undefined ? 0 : 1;
  bars.forEach((bar, i) => {
    taken += checkBar(object(bar, `bars[${i}]`), `bars[${i}]`);
  });
  if (taken > MOST_BARS) throw new ConfigurationError(`the device needs ${taken} base address registers, there are 6`);
  return exported as DeviceDescription<unknown>;
}

/** Returns how many base address registers it takes. */
function checkBar(bar: Record<string, unknown>, where: string): number {
  oneOf(bar['space'], `${where}.space`, ['io', 'memory', 'memory64']);
  const ports = bar['space'] === 'io';
  integer(bar['size'], `${where}.size`, ports ? 4 : 16, ports ? 256 : 2 ** 31);
  const { size } = bar as unknown as Bar<unknown>;
  if (!Number.isInteger(Math.log2(size))) throw new ConfigurationError(`${where}.size is ${size}, no power of two`);
  const seen: Register<unknown>[] = [];
  list(bar['registers'], `${where}.registers`).forEach((register, i) => {
    const place = `${where}.registers[${i}]`;
    checkRegister(object(register, place), place, size);
    const added = register as Register<unknown>;
    const other = seen.find((one) => one.offset < end(added) && added.offset < end(one));
    if (other !== undefined) {
      throw new ConfigurationError(`${place}: register '${added.name}' lies over register '${other.name}'`);
    }
    seen.push(added);
  });
  return bar['space'] === 'memory64' ? 2 : 1;
}

const end = ({ offset, size = 4 }: Register<unknown>) => offset + size;

function checkRegister(register: Record<string, unknown>, where: string, barSize: number): void {
  text(register['name'], `${where}.name`);
  optional(register['size'], (value) => oneOf(value, `${where}.size`, [1, 2, 4, 8]));
  const { size = 4, offset } = register as unknown as Register<unknown>;
  integer(offset, `${where}.offset`, 0, barSize - size);
  if (offset % size !== 0)
    throw new ConfigurationError(`${where}.offset is ${offset}, no multiple of the size ${size}`);
  for (const key of ['read', 'write']) optional(register[key], (value) => callable(value, `${where}.${key}`));
  optional(register['initial'], (value) => {
    const fits =
      (typeof value === 'bigint' || Number.isInteger(value)) &&
      BigInt.asUintN(8 * size, BigInt(value as number)) === BigInt(value as number);
    if (!fits)
      throw new ConfigurationError(`${where}.initial is ${String(value)}, no unsigned number of ${size} bytes`);
  });
}

function object(value: unknown, where: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  throw new ConfigurationError(`${where} is ${String(value)}, no object`);
}

function list(value: unknown, where: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new ConfigurationError(`${where} is ${String(value)}, no list`);
}

function text(value: unknown, where: string): void {
  if (typeof value !== 'string' || value === '') throw new ConfigurationError(`${where} is ${String(value)}, no name`);
}

function callable(value: unknown, where: string): void {
  if (typeof value !== 'function') throw new ConfigurationError(`${where} is ${String(value)}, no function`);
}

function integer(value: unknown, where: string, least: number, most: number): void {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most) return;
  throw new ConfigurationError(`${where} is ${String(value)}, no integer from ${least} to 0x${most.toString(16)}`);
}

function oneOf(value: unknown, where: string, known: readonly (string | number)[]): void {
  if (!known.includes(value as string)) {
    throw new ConfigurationError(`${where} is ${String(value)}, not one of ${known.join(', ')}`);
  }
}

function optional(value: unknown, check: (value: unknown) => void): void {
  if (value !== undefined) check(value);
}

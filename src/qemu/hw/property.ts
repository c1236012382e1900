/** Properties of devices, declared as data: one row gives parsing, its errors, and the `-device NAME,help` line. */

import { ConfigurationError } from '../error.ts';
import { parseSize } from '../size.ts';

/** One property of a device model. `owner` in parse is the model's name, for messages. */
export interface Property<T> {
  /** As help prints it: `uint32`, `str`. */
  readonly type: string;
  readonly doc: string;
  readonly default: T;
  /** What help prints as the default; undefined prints none. */
  readonly defaultText: string | undefined;
  parse(text: string, owner: string, name: string): T;
}
export type Properties = Readonly<Record<string, Property<unknown>>>;
/** What a device model gets: every property with its value or default. */
export type ValuesOf<P extends Properties> = {
  readonly [K in keyof P]: P[K] extends Property<infer T> ? T : never;
};

/** strtoull(3) with base 0, whole text: decimal, 0x hexadecimal, 0 octal; a minus sign turns it round in 64 bits. */
function parseInteger(text: string): bigint | undefined {
  const match = /^([+-]?)(?:(0[xX][0-9a-fA-F]+)|0([0-7]+)|(0|[1-9]\d*))$/.exec(text.trim());
  if (match === null) return undefined;
  const [, sign, hexadecimal, octal, decimal] = match;
  const value = BigInt(octal === undefined ? (hexadecimal ?? decimal!) : `0o${octal}`);
  if (value >= 1n << 64n) return undefined;
  return sign === '-' ? BigInt.asUintN(64, -value) : value;
}

const integer = (type: string, high: number) => {
  return (initial: number, doc: string): Property<number> => ({
    type,
    doc,
    default: initial,
    defaultText: String(initial),
    parse(text, _owner, name) {
      const value = parseInteger(text);
      if (value === undefined) throw new ConfigurationError(`Parameter '${name}' expects integer`);
      if (value > high) throw new ConfigurationError(`Parameter '${name}' expects ${type}_t`);
      return Number(value);
    },
  });
};
export const u8Property = integer('uint8', 0xff);
export const u16Property = integer('uint16', 0xffff);
export const u32Property = integer('uint32', 0xffff_ffff);

export const u64Property = (initial: bigint, doc: string): Property<bigint> => ({
  type: 'uint64',
  doc,
  default: initial,
  defaultText: String(initial),
  parse(text, _owner, name) {
    const value = parseInteger(text);
    if (value === undefined) throw new ConfigurationError(`Parameter '${name}' expects integer`);
    return value;
  },
});

/** Bytes, with QEMU's suffixes: K, M, G … */
export const sizeProperty = (initial: number, doc: string): Property<number> => ({
  type: 'size',
  doc,
  default: initial,
  defaultText: String(initial),
  parse(text, _owner, name) {
    const size = parseSize(text.trim(), 1);
    if (size === undefined) throw new ConfigurationError(`Parameter '${name}' expects size`);
    return size;
  },
});

export const stringProperty = (doc: string): Property<string | undefined> => ({
  type: 'str',
  doc,
  default: undefined,
  defaultText: undefined,
  parse: (text) => text,
});

/** The id of an object of this type; undefined if it is not given. */
export const linkProperty = (type: string, doc: string): Property<string | undefined> => ({
  ...stringProperty(doc),
  type: `link<${type}>`,
});

export const boolProperty = (initial: boolean, doc: string): Property<boolean> => ({
  type: 'bool',
  doc,
  default: initial,
  defaultText: String(initial),
  parse(text, _owner, name) {
    if (/^(on|yes|true|y)$/.test(text)) return true;
    if (/^(off|no|false|n)$/.test(text)) return false;
    throw new ConfigurationError(`Parameter '${name}' expects 'on' or 'off'`);
  },
});

/** An Ethernet address, six bytes in hexadecimal with `:` or `-` between; undefined if it is not given. */
export const macProperty = (doc: string): Property<readonly number[] | undefined> => ({
  type: 'str',
  doc,
  default: undefined,
  defaultText: undefined,
  parse(text, owner, name) {
    if (!/^[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}$/i.test(text)) {
      throw new ConfigurationError(`Property '${owner}.${name}' doesn't take value '${text}'`);
    }
    return text.split(/[:-]/).map((byte) => Number.parseInt(byte, 16));
  },
});

/** `addr=`: slot and function in hexadecimal, `06.0` or `06`; the value is a devfn, -1 for "any free slot". */
export const pciAddressProperty = (doc: string): Property<number> => ({
  type: 'int32',
  doc,
  default: -1,
  defaultText: '-1',
  parse(text, owner, name) {
    const match = /^(?:0x)?([0-9a-f]+)(?:\.(?:0x)?([0-9a-f]+))?$/i.exec(text);
    const slot = match === null ? -1 : Number.parseInt(match[1]!, 16);
    const func = match === null ? -1 : Number.parseInt(match[2] ?? '0', 16);
    if (slot < 0 || slot > 31 || func > 7) {
      throw new ConfigurationError(`Property '${owner}.${name}' doesn't take value '${text}'`);
    }
    return slot * 8 + func;
  },
});

/** The lines that `-device NAME,help` prints. */
export function propertyHelp(name: string, properties: Properties): string {
  const lines = Object.entries(properties)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, property]) => {
      const initial = property.defaultText === undefined ? '' : ` (default: ${property.defaultText})`;
      const doc = property.doc === '' ? '' : ` - ${property.doc}`;
      return `${`  ${key}=<${property.type}>`.padEnd(24)}${doc}${initial}`.trimEnd();
    });
  return `${[`${name} options:`, ...lines].join('\n')}\n`;
}

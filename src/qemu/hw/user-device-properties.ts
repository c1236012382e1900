/** The properties of a user's own device, as the user describes them: rows of the same kind as those of QEMU's devices. */

import { shown, strayProperty } from '../../foreign-value.ts';
import type { PropertyDescription, PropertyKind, PropertyValue } from '../device-api.ts';
import { ConfigurationError } from '../error.ts';
import {
  boolProperty,
  macProperty,
  type Properties,
  type Property,
  sizeProperty,
  stringProperty,
  u8Property,
  u16Property,
  u32Property,
  u64Property,
} from './property.ts';

interface Kind<K extends PropertyKind> {
  readonly property: (doc: string) => Property<PropertyValue<K> | undefined>;
  /** Whether the description's default is a value of this kind. */
  fits(value: unknown): boolean;
  /** The default, as it would be given. */
  text(value: PropertyValue<K>): string;
}

const isUnsigned = (most: number) => (value: unknown) =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
const isByte = isUnsigned(0xff);

/** What has 64 bits is often a size, and may be written as one: `4K`. */
function wideProperty(doc: string): Property<bigint> {
  const plain = u64Property(0n, doc);
  const size = sizeProperty(0, doc);
  return {
    ...plain,
    parse: (text, owner, name) =>
      /[kmg]$/i.test(text) ? BigInt(size.parse(text, owner, name)) : plain.parse(text, owner, name),
  };
}

const KINDS: { readonly [K in PropertyKind]: Kind<K> } = {
  bool: {
    property: (doc) => boolProperty(false, doc),
    fits: (value) => typeof value === 'boolean',
    text: (value) => (value ? 'on' : 'off'),
  },
  uint8: { property: (doc) => u8Property(0, doc), fits: isByte, text: String },
  uint16: { property: (doc) => u16Property(0, doc), fits: isUnsigned(0xffff), text: String },
  uint32: { property: (doc) => u32Property(0, doc), fits: isUnsigned(0xffff_ffff), text: String },
  uint64: {
    property: wideProperty,
    fits: (value) => typeof value === 'bigint' && value >= 0n && value < 1n << 64n,
    text: String,
  },
  str: { property: stringProperty, fits: (value) => typeof value === 'string', text: (value) => value },
  mac: {
    property: macProperty,
    fits: (value) => Array.isArray(value) && value.length === 6 && value.every(isByte),
    text: (value) => value.map((byte) => byte.toString(16).padStart(2, '0')).join(':'),
  },
};
/** What `-device` understands of every PCI device. */
const TAKEN = ['addr', 'bus', 'driver', 'id', 'multifunction'];
const FIELDS = { type: true, default: true, description: true } as const satisfies Readonly<
  Record<keyof PropertyDescription<PropertyKind>, true>
>;

/** The rows; a ConfigurationError names the first description that is none. */
export function userProperties(described: Readonly<Record<string, unknown>>): Properties {
  return Object.fromEntries(Object.entries(described).map(([name, value]) => [name, propertyOf(name, value)]));
}

function propertyOf(name: string, described: unknown): Property<unknown> {
  const where = `properties.${name}`;
  if (!/^[\w-]+$/.test(name)) throw new ConfigurationError(`${where}: a name has letters, digits, - and _`);
  if (TAKEN.includes(name)) throw new ConfigurationError(`${where}: every device has this one`);
  if (typeof described !== 'object' || described === null) {
    throw new ConfigurationError(`${where} is ${shown(described)}, no object`);
  }
  const stray = strayProperty(described, FIELDS, 'a property', where);
  if (stray !== undefined) throw new ConfigurationError(stray);
  const { type, default: initial, description = '' } = described as PropertyDescription<PropertyKind>;
  if (!Object.hasOwn(KINDS, type)) {
    throw new ConfigurationError(`${where}.type is ${shown(type)}, not one of ${Object.keys(KINDS).join(', ')}`);
  }
  const kind: Kind<PropertyKind> = KINDS[type] as Kind<PropertyKind>;
  const property = kind.property(String(description));
  if (initial === undefined) return property;
  if (!kind.fits(initial)) throw new ConfigurationError(`${where}.default is ${shown(initial)}, no ${type}`);
  return { ...property, default: initial, defaultText: kind.text(initial) };
}

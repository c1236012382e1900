/** A device model: the data sheet by which `-device` makes a device. One file declares one, and registry.ts lists it. */

import type { Machine } from './machine.ts';
import type { Properties, ValuesOf } from './property.ts';

/** Where and under which name the user wants the device. */
export interface Placement {
  readonly id: string | undefined;
  /** Name of the bus, undefined for the machine's own. */
  readonly bus: string | undefined;
}

export interface DeviceModel {
  readonly name: string;
  /** Kind of bus it sits on. */
  readonly bus: 'PCI' | 'ISA' | 'System';
  /** Heading in `-device help`. */
  readonly category: string;
  readonly description: string;
  readonly properties: Properties;
  /** Make the device; refusals are ConfigurationErrors. `values` are texts by name, already known to be properties. */
  create(machine: Machine, values: ReadonlyMap<string, string>, placement: Placement): void;
}

/** Declare a device model; `realize` gets its properties parsed. */
export function deviceModel<const P extends Properties>(
  model: Omit<DeviceModel, 'properties' | 'create'> & {
    readonly properties: P;
    realize(machine: Machine, properties: ValuesOf<P>, placement: Placement): void;
  },
): DeviceModel {
  const { name, bus, category, description, properties } = model;
  return {
    name,
    bus,
    category,
    description,
    properties,
    create(machine, values, placement) {
      const parsed: Record<string, unknown> = {};
      for (const [key, property] of Object.entries(properties)) {
        const text = values.get(key);
        parsed[key] = text === undefined ? property.default : property.parse(text, name, key);
      }
      model.realize(machine, parsed as ValuesOf<P>, placement);
    },
  };
}

/** `-device`: find the model, check what the user says, make the device (softmmu/qdev-monitor.c: qdev_device_add). */

import { ConfigurationError } from './error.ts';
import type { DeviceModel } from './hw/device-model.ts';
import type { Machine } from './hw/machine.ts';
import { propertyHelp } from './hw/property.ts';
import { deviceHelp, findModel, modelNames } from './hw/registry.ts';
import { refusing } from './key-values.ts';
import { type DeviceOption, type Options, optionHelp } from './options.ts';

/** The text that `-help`, `-device help` or `-device NAME,help` asks for; undefined if none of the options does. `own` as for {@link addDevice}. */
export function requestedHelp(options: Options, own: readonly DeviceModel[]): string | undefined {
  if (options.help) return optionHelp();
  const asking = options.devices.find((device) => device.help || device.model === 'help' || device.model === '?');
  if (asking === undefined) return undefined;
  if (asking.model === 'help' || asking.model === '?') return deviceHelp();
  return refusing(asking.where, () => {
    const model = own.find(({ name }) => name === asking.model) ?? findModel(asking.model);
    if (model === undefined) throw new ConfigurationError(`Device '${asking.model}' not found`);
    return propertyHelp(model.name, model.properties);
  });
}

/** Make the device; `own` are models besides those of the registry. Every refusal becomes an OptionError. */
export function addDevice(machine: Machine, option: DeviceOption, own: readonly DeviceModel[] = []): void {
  refusing(option.where, () => {
    const model = own.find(({ name }) => name === option.model) ?? modelOf(option);
    checkBus(machine, model, option.bus);
    const unknown = [...option.values.keys()].find((key) => model.properties[key] === undefined);
    if (unknown !== undefined) {
      const hint = suggestion(unknown, Object.keys(model.properties));
      throw new ConfigurationError(`Property '${model.name}.${unknown}' not found`, hint);
    }
    const place = { id: option.id, bus: option.bus };
    machine.system.about(option.where, () => model.create(machine, option.values, place));
  });
}

function modelOf(option: DeviceOption): DeviceModel {
  const model = findModel(option.model);
  if (model !== undefined) return model;
  const hint = suggestion(option.model, modelNames());
  throw new ConfigurationError(`'${option.model}' is not a valid device model name`, hint);
}

/** The bus must exist and be of the model's kind. */
function checkBus(machine: Machine, model: DeviceModel, bus: string | undefined): void {
  if (bus === undefined) return;
  const kind = bus === 'isa.0' ? 'ISA' : machine.hasPciBus(bus) ? 'PCI' : undefined;
  if (kind === undefined) throw new ConfigurationError(`Bus '${bus}' not found`);
  if (kind !== model.bus) throw new ConfigurationError(`Device '${model.name}' can't go on ${kind} bus`);
}

/** "Did you mean": the known name within two edits, or one that begins alike. */
function suggestion(word: string, known: readonly string[]): string | undefined {
  const near = known
    .map((name) => ({ name, distance: name.startsWith(word) && word.length > 2 ? 1 : editDistance(word, name) }))
    .filter(({ distance }) => distance <= 2)
    .sort((a, b) => a.distance - b.distance);
  return near[0] === undefined ? undefined : `Did you mean '${near[0].name}'?`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}

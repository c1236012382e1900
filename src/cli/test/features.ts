/** What a test may require: the devices of this QEMU and the modules of this host, by name. */

import { modelNames } from '../../qemu/hw/registry.ts';
import { Machine } from '../machine.ts';

let names: ReadonlySet<string> | undefined;

/** Whether gvm has the device model, host module or trait `name`. */
export function hasFeature(name: string): boolean {
  names ??= new Set(['gvm', 'x86_64', ...modelNames(), ...new Machine(0).kernel.modules.available()]);
  return names.has(name);
}

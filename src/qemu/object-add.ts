/** `-object`: what stands behind devices (qom/object_interfaces.c: user_creatable_add_qapi). */

import { IommufdBackend } from './backends/iommufd.ts';
import { MEMORY_BACKENDS } from './backends/memory-backend.ts';
import type { Machine } from './hw/machine.ts';
import { type KeyValueOption, OptionError } from './key-values.ts';

/** Make the object, unless it is memory, which is there before the machine. Refusals are OptionErrors. */
export function addObject(machine: Machine, option: KeyValueOption): void {
  const { where, kind, values } = option;
  if (MEMORY_BACKENDS.includes(kind)) return;
  switch (kind) {
    case 'filter-dump':
      machine.network.addFilterDump(option);
      return;
    case 'iommufd': {
      const id = values.get('id');
      if (id === undefined) throw new OptionError(where, "Parameter 'id' is missing");
      const unknown = [...values.keys()].find((key) => key !== 'id');
      if (unknown !== undefined) throw new OptionError(where, `Invalid parameter '${unknown}'`);
      if (machine.iommufds.has(id)) {
        throw new OptionError(where, `attempt to add duplicate property '${id}' to object (type 'container')`);
      }
      machine.iommufds.set(id, new IommufdBackend(machine.system));
      return;
    }
    default: {
      const known = `Known: ${['filter-dump', 'iommufd', ...MEMORY_BACKENDS].join(', ')}`;
      throw new OptionError(where, `Parameter 'qom-type' does not accept value '${kind}'`, known);
    }
  }
}

/** isa-debug-exit: a port that ends QEMU (hw/misc/debugexit.c). Writing v makes the process exit with (v << 1) | 1. */

import type { MemoryRegionOps } from '../../memory/region.ts';
import { sizes } from '../../memory/region.ts';
import { deviceModel } from '../device-model.ts';
import { u32Property } from '../property.ts';

export const isaDebugExit = deviceModel({
  name: 'isa-debug-exit',
  bus: 'ISA',
  category: 'Misc',
  description: 'Ends QEMU with the status the guest writes',
  properties: {
    iobase: u32Property(0x501, 'First port'),
    iosize: u32Property(2, 'Ports taken'),
  },
  realize(machine, properties) {
    const ops: MemoryRegionOps = {
      read: () => 0,
      // As a number, so that 32 bits of status survive: exit(3) itself keeps the low 8 bits.
      write: (_offset, _size, value) => machine.exit({ reason: 'debug-exit', code: value * 2 + 1 }),
      valid: sizes(1, 4),
      impl: sizes(1, 4),
    };
    machine.isaIo.addSubregion(properties.iobase, machine.topology.io('isa-debug-exit', properties.iosize, ops));
  },
});

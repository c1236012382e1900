/** isa-debugcon: a port whose writes are characters of a console (hw/char/debugcon.c). Reading it tells that it is there. */

import { ConfigurationError } from '../../error.ts';
import { sizes } from '../../memory/region.ts';
import { nullBackend, StdioBackend } from '../char/stdio.ts';
import { deviceModel } from '../device-model.ts';
import { stringProperty, u32Property } from '../property.ts';

export const isaDebugcon = deviceModel({
  name: 'isa-debugcon',
  bus: 'ISA',
  category: 'Misc',
  description: 'A port that prints what is written to it',
  properties: {
    iobase: u32Property(0xe9, 'The port'),
    readback: u32Property(0xe9, 'What reading it gives'),
    chardev: stringProperty('Where the characters go: stdio or null'),
  },
  realize(machine, { iobase, readback, chardev }) {
    if (chardev === undefined) throw new ConfigurationError("Can't create debugcon device, empty char device");
    if (chardev !== 'stdio' && chardev !== 'null') {
      throw new ConfigurationError(`Property 'isa-debugcon.chardev' can't find value '${chardev}'`);
    }
    const backend = chardev === 'stdio' ? new StdioBackend(machine.system) : nullBackend;
    const ops = {
      read: () => readback,
      write: (_offset: number, _size: number, value: number) => backend.write(value & 0xff),
      valid: sizes(1, 1),
      impl: sizes(1, 1),
    };
    machine.isaIo.addSubregion(iobase, machine.topology.io('isa-debugcon', 1, ops));
  },
});

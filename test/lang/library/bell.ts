/** A device that interrupts as often as it is told to: by its pin, or by one of four MSI-X vectors. */

import type { DeviceDescription } from '../../../src/qemu/device-api.ts';

export default {
  name: 'bell',
  vendor: 0x1234,
  device: 0xbe11,
  pin: 'A',
  msix: 4,
  bars: [
    {
      space: 'memory',
      size: 16,
      registers: [
        {
          name: 'ring',
          offset: 0,
          write(device, vector: number) {
            if (device.messageSignalled) device.signal(vector);
            else device.setInterrupt(true);
          },
        },
        { name: 'quiet', offset: 4, write: (device) => device.setInterrupt(false) },
      ],
    },
  ],
} satisfies DeviceDescription;

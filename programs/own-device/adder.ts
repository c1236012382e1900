/**
 * A device of one's own, in one file: it adds. Two operands in, a sum out, and a count of the sums made.
 *
 * `gvm run` puts it into the machine where a program says `-device ./adder.ts`.
 */

import type { DeviceDescription } from 'gvm/device';

interface Adder {
  left: number;
  right: number;
  sums: number;
}

export default {
  name: 'adder',
  vendor: 0x1234,
  device: 0xadd0,
  class: 0x1200, // processing accelerator
  state: () => ({ left: 0, right: 0, sums: 0 }),
  bars: [
    {
      space: 'memory',
      size: 4096,
      registers: [
        { name: 'left', offset: 0x0, write: (device, value: number) => (device.state.left = value) },
        { name: 'right', offset: 0x4, write: (device, value: number) => (device.state.right = value) },
        {
          name: 'sum',
          offset: 0x8,
          size: 8,
          read({ state }) {
            state.sums++;
            return BigInt(state.left) + BigInt(state.right);
          },
        },
        { name: 'sums', offset: 0x10, size: 1, read: ({ state }) => state.sums & 0xff },
        { name: 'scratch', offset: 0x14, initial: 0xcafe },
      ],
    },
  ],
} satisfies DeviceDescription<Adder>;

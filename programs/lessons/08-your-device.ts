/** The device of lesson 8: a dice. What it throws comes from its seed, so that every run throws the same. */

import type { DeviceDescription } from 'gvm/device';

interface Dice {
  /** A linear congruential generator of 32 bits (Numerical Recipes). */
  state: number;
}

export default {
  name: 'dice',
  vendor: 0x1234,
  device: 0xd1ce,
  class: 0xff00, // it is like nothing else
  properties: { seed: { type: 'uint32', default: 1, description: 'Where the throws begin' } },
  state: ({ seed }) => ({ state: seed }),
  bars: [
    {
      space: 'io',
      size: 8,
      registers: [
        {
          name: 'throw',
          offset: 0,
          size: 1,
          read({ state: dice }) {
            dice.state = (Math.imul(dice.state, 1664525) + 1013904223) >>> 0;
            return 1 + ((dice.state >>> 16) % 6);
          },
        },
        { name: 'seed', offset: 4, write: (device, value: number) => (device.state.state = value) },
      ],
    },
  ],
} satisfies DeviceDescription<Dice, { seed: 'uint32' }>;

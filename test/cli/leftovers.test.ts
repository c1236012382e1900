/** RAM that is used again for the next host: it has to come back as it was, whoever wrote to it. */

import { expect, test } from 'vitest';
import { MiB } from '../../src/address.ts';
import { Leftovers } from '../../src/cli/leftovers.ts';
import { Transcript } from '../../src/cli/output.ts';
import { run } from '../../src/cli/run.ts';
import { library } from '../expect-golden.ts';
import { plainRun } from '../plain-run.ts';

test.each([
  ['by the guest and an mdev driver', 'programs/vm-buffer/vm-buffer.gasm'],
  ["by a device's DMA in QEMU", 'programs/edu/dma.gasm'],
  ["by a physical device's DMA", 'programs/vfio/pci-dma.gasm'],
])('what was written %s is gone, in the same memory', (_, file) => {
  const leftovers = new Leftovers();
  const before = leftovers.take(MiB(256));
  const { wasm } = before;
  leftovers.giveBack(before, { scrub: () => {} });
  const output = new Transcript();
  let wrote = 0;
  run(
    plainRun(file),
    library,
    output,
    ({ machine }) =>
      () => {
        wrote = machine.kernel.pages.used;
      },
    leftovers,
  );
  expect(wrote).toBeGreaterThan(10);
  const after = leftovers.take(MiB(256));
  expect(after.wasm).toBe(wasm);
  expect(after.quads.every((quad) => quad === 0n)).toBe(true);
});

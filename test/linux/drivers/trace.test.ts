/** What a trace shows of one register write, layer by layer, in the order of the road. */

import { expect, test } from 'vitest';
import { events, matchingEvents } from '../../../src/event.ts';
import { bootHost, CONFIG, openDevice, UUID } from './host.ts';

test('pwrite passes VFIO, mdev and the driver', () => {
  const host = bootHost();
  const { device } = openDevice(host, 'vmbuf', 'vmbuf-1');
  const seen: string[] = [];
  host.kernel.stream.subscribe(matchingEvents('vfio_*,mdev_*'), ({ event, fields }) => {
    seen.push(`${event.layer} ${event.title}: ${event.text(fields as never)}`);
  });
  host.pwrite(device, 0x2, [1, 2, 3, 4]);
  host.pread(device, CONFIG, 2);
  host.syscalls.close(device);
  expect(seen).toEqual([
    `vfio vfio_device_write: (${UUID}:region0+0x2, 4)`,
    `mdev mdev_write: (${UUID}) pos 0x2 count 4`,
    `driver mdev_access: (${UUID}) write BAR0+0x2 size 2 val 0x201`,
    `driver mdev_access: (${UUID}) write BAR0+0x4 size 2 val 0x403`,
    `vfio vfio_device_read: (${UUID}:region7+0x0, 2)`,
    `mdev mdev_read: (${UUID}) pos 0x70000000000 count 2`,
    `driver mdev_access: (${UUID}) read PCI config space 0x0 size 2 val 0x4348`,
    `vfio vfio_device_close: (${UUID}) group 0 opens 0`,
  ]);
});

test('every event of these layers is documented', () => {
  const ours = events().filter(({ layer }) => layer === 'vfio' || layer === 'mdev' || layer === 'driver');
  expect(ours.length).toBeGreaterThan(10);
  for (const { doc } of ours) expect(doc).toMatch(/^[A-Z].*\.$/);
});

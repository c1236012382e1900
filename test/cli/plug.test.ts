/** `--plug`: what it takes, and what it says otherwise. */

import { describe, expect, test } from 'vitest';
import { Machine } from '../../src/cli/machine.ts';

const slots = (...plugged: string[]) =>
  new Machine(0, plugged).kernel.files.readdir('/sys/bus/pci/devices') as readonly { readonly name: string }[];

test('devices in their slots, each in its IOMMU group', () => {
  expect(slots('copier@06:0d.0', 'copier@0000:07:00.1').map(({ name }) => name)).toEqual([
    '0000:06:0d.0',
    '0000:07:00.1',
  ]);
});

test('a host without one has no PCI bus and no IOMMU groups: numbers of mediated devices start at 0', () => {
  const { kernel } = new Machine(0);
  expect(kernel.files.readdir('/sys/kernel/iommu_groups')).toEqual([]);
  expect(kernel.files.readdir('/sys/bus/pci')).toBeLessThan(0);
});

describe('what is refused', () => {
  test.each([
    [
      'copier',
      /--plug takes MODEL@BUS:SLOT\.FUNCTION, such as copier@06:0d\.0, or sata@ee300000, not copier; models: copier/,
    ],
    ['toaster@06:0d.0', /not toaster@06:0d\.0; models: copier/],
    ['copier@06:20.0', /not copier@06:20\.0/],
    ['sata@1000', /sata@1000: a multiple of 1000 above the host's RAM/],
    ['sata@ee300004', /a multiple of 1000/],
    ['copier@06:0d.8', /not copier@06:0d\.8/],
  ])('%s', (text, message) => {
    expect(() => slots(text)).toThrow(message);
  });

  test('two in one slot', () => {
    expect(() => slots('copier@06:0d.0', 'copier@6:d.0')).toThrow('another device is in this slot');
  });
});

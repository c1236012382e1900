/** Trace events of vfio-pci on the host: interrupts on their way to user space. */

import { event } from '../../../event.ts';

export const vfioIntx = event(
  'vfio_pci_intx',
  'vfio',
  { device: 'string' },
  (e) => `(${e.device}) masked, eventfd signalled`,
  'The interrupt line of an assigned device rose: vfio-pci masked it and signalled user space.',
);

export const vfioMsi = event(
  'vfio_pci_msi',
  'vfio',
  { device: 'string', index: 'u8', vector: 'u16' },
  (e) => `(${e.device}) ${e.index === 1 ? 'MSI' : 'MSI-X'} vector ${e.vector}`,
  'A message of an assigned device arrived: vfio-pci signalled its eventfd.',
);

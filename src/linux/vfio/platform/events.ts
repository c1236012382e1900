/** Trace events of vfio-platform on the host. */

import { event } from '../../../event.ts';

export const vfioPlatformIrq = event(
  'vfio_platform_irq',
  'vfio',
  { device: 'string', index: 'u8', automasked: 'bool' },
  (e) => `(${e.device}) irq ${e.index}${e.automasked ? ' masked' : ''}, eventfd signalled`,
  'An interrupt of an assigned platform device came: vfio-platform masked it if it is level-triggered, and signalled user space.',
);

/** The layers of an access in the order in which it goes down: how deep a report draws each. */

import type { Layer } from '../event.ts';

/** From the guest to the driver. */
export const layers: readonly Layer[] = ['guest', 'vcpu', 'kvm', 'qemu', 'syscall', 'vfio', 'mdev', 'driver', 'host'];

const depths = new Map(layers.map((layer, index) => [layer, index]));
export const depthOf = (layer: Layer): number => depths.get(layer)!;

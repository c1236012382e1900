/** Which ioeventfds an address space shows, and how two such lists differ (softmmu/memory.c: address_space_update_ioeventfds). */

import type { FlatView } from './flat-view.ts';
import type { Ioeventfd } from './listener.ts';

/** Every region's eventfds at the addresses where they are visible, in the order KVM is told of them. */
export function visibleIoeventfds(view: FlatView): readonly Ioeventfd[] {
  const visible: Ioeventfd[] = [];
  for (const { start, end, region, offset } of view.ranges) {
    for (const eventfd of region.eventfds) {
      const address = start + eventfd.offset - offset;
      // One of any length stands at one address, and needs one byte of the range.
      if (address < start || address + Math.max(eventfd.size, 1) > end) continue;
      visible.push({ address, size: eventfd.size, data: eventfd.data, fd: eventfd.fd });
    }
  }
  return visible.sort(order);
}

/** memory_region_ioeventfd_before: by address, size, then those that match data, by it. */
function order(a: Ioeventfd, b: Ioeventfd): number {
  if (a.address !== b.address) return a.address - b.address;
  if (a.size !== b.size) return a.size - b.size;
  if (a.data === b.data) return a.fd - b.fd;
  return a.data === undefined || (b.data !== undefined && a.data < b.data) ? -1 : 1;
}

/**
 * address_space_add_del_ioeventfds: what of `before` is gone and what of `now` is new, told in the order of both lists together: of two
 * windows that have changed places in one transaction the lower one may come before the other has gone.
 */
export function tellChanges(
  before: readonly Ioeventfd[],
  now: readonly Ioeventfd[],
  tell: { gone(eventfd: Ioeventfd): void; come(eventfd: Ioeventfd): void },
): void {
  let i = 0;
  let j = 0;
  while (i < before.length || j < now.length) {
    const old = before[i];
    const next = now[j];
    const which = old === undefined ? 1 : next === undefined ? -1 : order(old, next);
    if (which < 0) tell.gone(old!);
    if (which > 0) tell.come(next!);
    if (which <= 0) i++;
    if (which >= 0) j++;
  }
}

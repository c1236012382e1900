/**
 * An eventfd that makes a VFIO driver do something whenever it is signalled, by user space or by KVM's resampling
 * (drivers/vfio/virqfd.c: vfio_virqfd_enable, virqfd_wakeup, virqfd_shutdown).
 */

import type { Eventfd } from '../core/eventfd.ts';
import { POLLHUP, POLLIN } from '../uapi/syscalls.ts';

/** Undo {@link onSignal}. */
export interface Virqfd {
  disable(): void;
}

/** Call `handler` at each signal, and now if one waits already, which is left there; `closed` once nobody has the eventfd open any more. */
export function onSignal(eventfd: Eventfd, handler: () => void, closed: () => void): Virqfd {
  const leave = eventfd.addWaiter((events) => {
    if (events & POLLIN) {
      eventfd.consume();
      handler();
    }
    if (events & POLLHUP) {
      leave();
      closed();
    }
  });
  if (eventfd.counter > 0n) handler();
  return { disable: leave };
}

/** Something that watches a run and has to be told how it ended. */

import type { Observer } from './observer.ts';

export interface Watcher {
  readonly observe: Observer;
  /** The run is over; what was gathered is written out. */
  finish(): void;
  /** The run never came to its end. */
  abandon(): void;
}

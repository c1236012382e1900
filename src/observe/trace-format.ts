/** What a format of trace files is: text before, for each event, and after. */

import type { TimedRecord } from './host-time.ts';

export interface TraceFormat {
  begin(): string;
  /** Every charged step of the run, whether chosen or not, before {@link event} is called for it. */
  see?(record: TimedRecord): void;
  event(record: TimedRecord): string;
  end(): string;
  /** Events that a reader of the format can cope with; any number if absent. */
  readonly most?: number;
}

/** Who ran when an event fired: the kernel's current task. */
export interface Task {
  readonly name: string;
  readonly pid: number;
}

/** Events as VMX words them: interruption information in and out of the guest (SDM vol. 3C tables 25-17 and 25-19). */

import { INTERRUPTION } from './exit.ts';
import type { EventKind } from './pending-event.ts';

/** VM-entry interruption information: an event to deliver at the next entry. */
export interface EntryEvent {
  readonly information: number;
  readonly errorCode: number;
  /** Of the instruction that is to count as executed: software interrupts and exceptions. */
  readonly instructionLength: number;
}

const TYPES: Readonly<Record<EventKind, number>> = {
  fault: INTERRUPTION.HARDWARE_EXCEPTION,
  trap: INTERRUPTION.HARDWARE_EXCEPTION,
  software: INTERRUPTION.SOFTWARE_INTERRUPT,
  int3: INTERRUPTION.SOFTWARE_EXCEPTION,
  int1: INTERRUPTION.PRIVILEGED_SOFTWARE_EXCEPTION,
  external: INTERRUPTION.EXTERNAL,
  nmi: INTERRUPTION.NMI,
};

/** An injected exception finds rip and RF as they are to be pushed, as a trap does. */
const KINDS: ReadonlyMap<number, EventKind> = new Map([
  [INTERRUPTION.EXTERNAL, 'external'],
  [INTERRUPTION.NMI, 'nmi'],
  [INTERRUPTION.HARDWARE_EXCEPTION, 'trap'],
  [INTERRUPTION.SOFTWARE_INTERRUPT, 'software'],
  [INTERRUPTION.PRIVILEGED_SOFTWARE_EXCEPTION, 'int1'],
  [INTERRUPTION.SOFTWARE_EXCEPTION, 'int3'],
]);

/** The information word of an event. */
export const informationOf = (vector: number, kind: EventKind, errorCode: number | undefined): number =>
  INTERRUPTION.VALID + (vector | TYPES[kind] | (errorCode === undefined ? 0 : INTERRUPTION.HAS_ERROR_CODE));

export function kindOf(information: number): EventKind {
  const kind = KINDS.get(information & INTERRUPTION.TYPE_MASK);
  if (kind === undefined) throw new Error('an event of a reserved type is injected');
  return kind;
}

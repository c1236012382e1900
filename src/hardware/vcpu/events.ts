/** Events of the processor itself: the guest's instructions, its page walks, exceptions and interrupts. */

import { decode } from '../../../lang/isa/decode.ts';
import { format } from '../../../lang/isa/format.ts';
import { event } from '../../event.ts';
import type { EptStep } from '../ept.ts';

const hex = (value: number | bigint) => `0x${value.toString(16)}`;

export const guestInstruction = event(
  'guest_instruction',
  'guest',
  { rip: 'u64', text: 'string', line: 'string' },
  (e) => `${hex(e.rip)} ${e.text}${e.line === '' ? '' : `   (${e.line})`}`,
  'The guest is about to execute an instruction; one that exits and runs again is told again.',
);

/** The instruction that `bytes` begin with, disassembled. */
export function instructionText(bytes: Uint8Array, rip: bigint): string {
  const decoded = decode(bytes, 0, bytes.length, 'long');
  return 'failure' in decoded ? '(bad)' : format(decoded, rip);
}

/** Table entries of a walk, by level; 0 for those that were not read. */
const entries = { entry4: 'u64', entry3: 'u64', entry2: 'u64', entry1: 'u64' } as const;
interface Entries {
  readonly entry4: bigint;
  readonly entry3: bigint;
  readonly entry2: bigint;
  readonly entry1: bigint;
  /** Level of the last entry read. */
  readonly level: number;
}
function entriesText(e: Entries, names: readonly string[]): string {
  const read = [e.entry4, e.entry3, e.entry2, e.entry1].slice(0, 5 - e.level);
  return read.map((entry, index) => `${names[index]} ${hex(entry)}`).join(' ');
}

export const guestPageWalk = event(
  'guest_page_walk',
  'guest',
  { address: 'u64', access: 'string', level: 'u8', ...entries, physical: 'address', mapped: 'bool' },
  (e) =>
    `${e.access} ${hex(e.address)}: ${entriesText(e, ['PML4E', 'PDPTE', 'PDE', 'PTE'])} ` +
    (e.mapped ? `= gpa ${hex(e.physical)}` : '= #PF'),
  "The processor walked the guest's page tables, for lack of a translation.",
);

export const eptWalk = event(
  'guest_ept_walk',
  'guest',
  { gpa: 'address', access: 'string', level: 'u8', ...entries, outcome: 'string', hpa: 'address' },
  (e) =>
    `${e.access} gpa ${hex(e.gpa)}: ${entriesText(e, ['L4', 'L3', 'L2', 'L1'])} ` +
    (e.outcome === 'mapped' ? `= hpa ${hex(e.hpa)}` : `= ${e.outcome}`),
  'The processor walked the extended page tables, for lack of a translation.',
);

/** The entries of an EPT walk as the event's fields. */
export function eptEntries(steps: readonly EptStep[]): Entries {
  const at = (level: number) => steps.find((step) => step.level === level)?.entry ?? 0n;
  return { entry4: at(4), entry3: at(3), entry2: at(2), entry1: at(1), level: steps.at(-1)!.level };
}

export const guestException = event(
  'guest_exception',
  'vcpu',
  { vector: 'u8', rip: 'u64', error_code: 'u32' },
  (e) => `vector ${e.vector} rip ${hex(e.rip)} error_code ${hex(e.error_code)}`,
  'An instruction of the guest raised an exception, which goes to its IDT.',
);

export const interruptDelivery = event(
  'interrupt_delivery',
  'vcpu',
  { vector: 'u8', kind: 'string', rip: 'u64', handler: 'u64' },
  (e) => `vector ${e.vector} (${e.kind}) from rip ${hex(e.rip)} to handler ${hex(e.handler)}`,
  "The processor went through a gate of the guest's IDT: an interrupt, NMI, exception or INT n reached its handler.",
);

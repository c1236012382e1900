/** What the model's CPU made of a case against what the host's did. */

import { UNDEFINED_FLAGS } from '../../lang/isa/undefined-flags.ts';
import type { Form } from './forms.ts';
import { type CaseRecord, DATA_BYTES } from './record.ts';
import type { Ended, SiliconMachine } from './silicon-machine.ts';

const BIT: Readonly<Record<string, number>> = { c: 1, p: 4, a: 16, z: 64, s: 128, d: 0x400, o: 0x800 };
const CHECKED = 0x40cd5;
const RSP = 4;
const PAGE_FAULT = 14;
const PRESENT = 1;
/** TASK_SIZE_MAX. */
const KERNEL_HALF = 0x7ffffffff000n;
/** Where both of two reads fault, no manual says which is first: far returns pop several values, repeated cmps reads ahead. */
const UNORDERED: ReadonlySet<string> = new Set(['retf', 'iret', 'cmps']);

/** Status flags, DF and AC that mean something after an instruction of this meaning. */
const checkedFlags = (meaning: string): number =>
  [...(UNDEFINED_FLAGS[meaning] ?? '')].reduce((mask, initial) => mask & ~BIT[initial]!, CHECKED);

const hex = (value: bigint | number) => `0x${value.toString(16)}`;

/** Undefined if they agree, else the first thing that differs. */
export function difference(form: Form, machine: SiliconMachine, ended: Ended, native: CaseRecord): string | undefined {
  const { vector } = ended;
  if ((native.signal !== 0) !== (vector !== undefined))
    return native.signal !== 0
      ? `the CPU raised vector ${native.vector}, gvm nothing`
      : `gvm raised vector ${vector}, the CPU nothing`;
  if (vector !== undefined) {
    if (vector !== native.vector) return `gvm raised vector ${vector}, the CPU ${native.vector}`;
    // Linux calls every fault of a program in the kernel's half a protection fault (arch/x86/mm/fault.c).
    const masked = native.cr2 >= KERNEL_HALF && vector === PAGE_FAULT ? PRESENT : 0;
    if ((ended.errorCode | masked) !== (native.errorCode | masked))
      return `error code ${hex(ended.errorCode)}, the CPU's ${hex(native.errorCode)}`;
    if (ended.rip !== native.rip) return `faults at ${hex(ended.rip)}, the CPU at ${hex(native.rip)}`;
    const ordered = !UNORDERED.has(form.shape.row.meaning);
    if (vector === PAGE_FAULT && ordered && ended.cr2 !== native.cr2)
      return `cr2 ${hex(ended.cr2)}, the CPU's ${hex(native.cr2)}`;
  }
  for (let register = 0; register < 16; register++) {
    const actual = register === RSP ? ended.rsp : machine.cpu.register(register);
    const expected = native.register(register);
    if (actual !== expected) return `register ${register}: ${hex(actual)}, the CPU has ${hex(expected)}`;
  }
  const mask = vector === undefined ? checkedFlags(form.shape.row.meaning) : CHECKED;
  const actual = Number(ended.rflags) & mask;
  const expected = Number(native.rflags) & mask;
  if (actual !== expected) return `flags ${hex(actual)}, the CPU has ${hex(expected)}`;
  for (let byte = 0; byte < DATA_BYTES; byte++)
    if (machine.data[byte] !== native.data[byte])
      return `memory +${byte}: ${hex(machine.data[byte]!)}, the CPU has ${hex(native.data[byte]!)}`;
  return undefined;
}

/** How a run ended, told to the user, and the exit status that goes with it. The reason is the last line on stderr. */

import { MAX_INSTRUCTION_BYTES } from '../hardware/vcpu/code-cache.ts';
import { IF } from '../hardware/vcpu/flags.ts';
import { EXIT, GUEST_OOPS } from './exit-status.ts';
import { guestPlace } from './guest-place.ts';
import type { GuestProgram } from './guest-program.ts';
import type { Interrupted } from './interruptible.ts';
import { leftOut } from './left-out.ts';
import type { Machine } from './machine.ts';
import { oopsReport } from './oops-report.ts';
import type { Output } from './output.ts';
import { ProgramLines } from './program-lines.ts';
import type { RunOptions } from './run-options.ts';

/** Why QEMU is no longer running. `code` is the process's exit status. */
export interface QemuEnd {
  readonly reason:
    | 'not-started'
    | 'debug-exit'
    | 'shutdown'
    | 'reset'
    | 'halted'
    | 'internal-error'
    | 'run-failed'
    | 'interrupted'
    | Interrupted;
  readonly code: number;
}

interface EndedRun {
  readonly machine: Machine;
  readonly program: GuestProgram;
  readonly options: RunOptions;
  readonly output: Output;
}

/** Report the end of a run; returns gvm's exit status. */
export function reportEnd(end: QemuEnd, run: EndedRun): number {
  const { machine, output, options } = run;
  const say = (text: string) => output.message(`gvm: ${text}`);
  output.end();
  if (options.exitMap === 'qemu' && end.reason === 'debug-exit') return end.code;
  switch (end.reason) {
    case 'not-started':
      return end.code === 0 ? EXIT.OK : EXIT.USAGE;
    case 'debug-exit':
      return reportGuestStatus(Math.floor(end.code / 2), run);
    case 'shutdown':
      sayOops(run);
      sayUnsupported(run);
      say(`the guest crashed: triple fault at ${placeOfRip(run)}`);
      return EXIT.GUEST_CRASHED;
    case 'reset':
      say(`the guest reset the machine at ${placeOfRip(run)}; it never gave a status`);
      return EXIT.GUEST_FAILED;
    case 'internal-error':
      say(`the guest crashed: KVM cannot emulate the instruction at ${placeOfRip(run)}${whyNoCode(run)}`);
      sayUnsupported(run);
      return EXIT.GUEST_CRASHED;
    case 'run-failed':
      say(`KVM cannot run the guest any further, at ${placeOfRip(run)}; QEMU's message says why`);
      return EXIT.HOST_FAILED;
    case 'halted':
      say(`the guest halted for good, ${whyNoWaking(run)}, at ${placeOfHalt(run)}; it never gave a status`);
      return EXIT.GUEST_FAILED;
    case 'interrupted':
      say(`stopped after ${machine.retired} guest instructions (--max-insns) at ${placeOfRip(run)}`);
      return EXIT.LIMIT;
    case 'timeout':
      say(
        `stopped after ${options.timeout} s (--timeout), ${machine.retired} guest instructions, at ${placeOfRip(run)}`,
      );
      return EXIT.LIMIT;
    case 'ctrl-c':
      say(`interrupted after ${machine.retired} guest instructions at ${placeOfRip(run)}`);
      return EXIT.INTERRUPTED;
  }
}

function reportGuestStatus(value: number, run: EndedRun): number {
  if (value === 0) return EXIT.OK;
  if (value === EXIT.SKIPPED) {
    run.output.message('gvm: the guest skipped its tests (status 77)');
    return EXIT.SKIPPED;
  }
  if (value === GUEST_OOPS) {
    const fault = run.machine.cpus[0]?.lastException;
    sayOops(run);
    sayUnsupported(run);
    run.output.message(`gvm: the guest crashed${fault === undefined ? '' : ` at ${place(run, fault.rip)}`}`);
    return EXIT.GUEST_CRASHED;
  }
  run.output.message(`gvm: the guest ended with status ${value}`);
  return EXIT.GUEST_FAILED;
}

/** All that is known of the exception the guest died of. */
function sayOops(run: EndedRun): void {
  const cpu = run.machine.cpus[0];
  if (cpu?.lastException === undefined) return;
  for (const line of oopsReport(cpu.lastException, cpu.view(cpu.lastException.cr3), run.program))
    run.output.line('oops', line);
}

/** An instruction that gvm has not: named, with what to do about it. */
function sayUnsupported(run: EndedRun): void {
  const cpu = run.machine.cpus[0];
  const unsupported = cpu?.unsupported;
  if (unsupported === undefined) return;
  const { rip, text } = unsupported;
  const read = cpu!.view(cpu!.lastException?.cr3).read(rip, MAX_INSTRUCTION_BYTES);
  const what =
    text === undefined
      ? leftOut(read.length === 0 ? unsupported.bytes : read)
      : { text: `the instruction ${text}`, bytes: unsupported.bytes };
  const bytes = [...what.bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  run.output.message(
    `gvm: ${what.text} [${bytes}] at ${place(run, rip)} is not implemented; compile C with -mgeneral-regs-only`,
  );
}

/** Code that lies where no memory is: KVM's emulator cannot fetch it. */
function whyNoCode({ machine }: EndedRun): string {
  const cpu = machine.cpus[0];
  const view = cpu?.view();
  const physical = view?.walk(cpu!.rip).physical;
  if (physical === undefined || view!.read(cpu!.rip, 1).length > 0) return '';
  return `: guest physical 0x${physical.toString(16)} is no memory but MMIO, and code cannot be fetched from there`;
}

/** A HLT with interrupts on waits for one. */
function whyNoWaking({ machine }: EndedRun): string {
  const waits = ((machine.cpus[0]?.eflags ?? 0) & IF) !== 0;
  return waits ? 'for an interrupt that nothing will raise now' : 'with interrupts off';
}

const placeOfRip = (run: EndedRun): string => placeBefore(run, 0n);
/** rip is behind a HLT that KVM has completed; the place is the HLT's own. */
const placeOfHalt = (run: EndedRun): string => placeBefore(run, 1n);

function placeBefore(run: EndedRun, bytes: bigint): string {
  const cpu = run.machine.cpus[0];
  if (cpu === undefined) return 'an unknown place';
  return new ProgramLines(run.program).place(cpu.rip - bytes, cpu);
}

const place = (run: EndedRun, rip: bigint): string => guestPlace(run.program, rip);

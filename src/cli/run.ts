/** `gvm run`: one program on one machine, from source to exit status. */

import { matchingEvents } from '../event.ts';
import { DriverFault } from '../linux/drivers/driver-fault.ts';
import { DeviceFault } from '../qemu/device-fault.ts';
import { Abort } from '../qemu/error.ts';
import type { HostFailure } from '../qemu/hw/machine.ts';
import { Qemu } from '../qemu/main.ts';
import { requestedMemory } from '../qemu/options.ts';
import { PROGRAM } from '../qemu/system.ts';
import { readCosts } from './costs.ts';
import type { HostCommand } from './directives.ts';
import { provideDumpFiles } from './dump-files.ts';
import { type QemuEnd, reportEnd } from './ending.ts';
import { EXIT } from './exit-status.ts';
import { guestLine, withPlaces } from './guest-place.ts';
import { buildProgram, type GuestLibrary, type GuestProgram } from './guest-program.ts';
import type { CommandResult } from './host-commands.ts';
import { isHostFailure, reportDriverFault, reportHostFailure } from './host-failure.ts';
import { HostShell } from './host-shell.ts';
import { interruptible } from './interruptible.ts';
import type { Leftovers } from './leftovers.ts';
import { LineSplitter } from './line-splitter.ts';
import { Machine } from './machine.ts';
import type { Observer } from './observer.ts';
import type { Output } from './output.ts';
import { ProgramLines } from './program-lines.ts';
import { type RunOptions, withDirectives } from './run-options.ts';
import { tellEvents } from './tell-events.ts';
import { eagernessOf } from './tier.ts';
import { UsageError } from './usage-error.ts';
import { userCodeWatch } from './user-code-watch.ts';
import { loadUserDevices } from './user-device.ts';
import { loadUserDriver } from './user-driver.ts';
import { folderOf } from './user-file.ts';
import { runUserProgram } from './user-program.ts';

/** A program that has been read, assembled and linked, and the options it runs with: its own and the command line's. */
export interface Prepared {
  readonly program: GuestProgram;
  readonly options: RunOptions;
}

/** Read the program at `options.file`; a mistake in it is thrown as a {@link UsageError}, and nothing has run. */
export function prepare(options: RunOptions, library: GuestLibrary, output: Output): Prepared {
  const program = buildProgram(options.file, library, options, (warning) => output.message(warning));
  return { program, options: withDirectives(options, program.directives) };
}

/**
 * Run the program at `options.file`; returns the exit status. A user's mistake is thrown as a {@link UsageError}. `observe`
 * is shown the machine before anything happens on it; `leftovers` is what the process's last run left, to leave to the next.
 */
export function run(
  options: RunOptions,
  library: GuestLibrary,
  output: Output,
  observe?: Observer,
  leftovers?: Leftovers,
): number {
  return runPrepared(prepare(options, library, output), output, observe, leftovers);
}

/** {@link run} of a program that has been read already. */
export function runPrepared(
  { program, options }: Prepared,
  output: Output,
  observe?: Observer,
  leftovers?: Leftovers,
): number {
  const machine = powerOn(options, output, leftovers);
  try {
    machine.stream.placeOf = remembering((rip) => guestLine(program, rip));
    const ended = observe?.({ machine, program });
    return runOn(machine, program, options, output, ended);
  } finally {
    machine.powerOff();
  }
}

/** `name` that is asked once for each address. */
function remembering(name: (rip: bigint) => string): (rip: bigint) => string {
  const known = new Map<bigint, string>();
  return (rip) => {
    let text = known.get(rip);
    if (text === undefined) {
      text = name(rip);
      known.set(rip, text);
    }
    return text;
  };
}

/** What differs whenever the guest has come further. */
const progressOf = ({ retired, stream }: Machine): string => `${retired} ${stream.access}`;

/** The host's own lines, then QEMU, then the report. */
function runOn(
  machine: Machine,
  program: GuestProgram,
  chosen: RunOptions,
  output: Output,
  ended: (() => void) | undefined,
): number {
  const deadline = chosen.timeout === undefined ? undefined : performance.now() + 1000 * chosen.timeout;
  let calls = 0;
  const progress = () => `${progressOf(machine)} ${calls}`;
  try {
    const shell = new HostShell(machine.kernel.spawn('sh', () => {}).user, {
      kernelLog: () => machine.kernel.log.lines,
      later: (nanoseconds, run) => void machine.kernel.clock.start(machine.kernel.clock.now + nanoseconds, run),
      tell: (result) => tellLater(result, output),
      readModule: (file) =>
        loadUserDriver(machine.kernel, file, folderOf(program.name), (path) =>
          userCodeWatch.add(path, 'host driver', output, progress),
        ),
      runProgram: (file, args, stdio) =>
        runUserProgram(machine.kernel, file, folderOf(program.name), args, stdio ?? hostStdio(output), {
          loading: (path) => userCodeWatch.add(path, 'program', output, progress),
          called: () => void calls++,
        }),
    });
    for (const command of program.directives.host) runHostCommand(shell, command, machine, output, chosen, deadline);
    const { end, exitProcess } = runQemu(machine, program, chosen, output, deadline);
    const status = isHostFailure(end)
      ? reportHostFailure(end, output)
      : reportEnd(end, { machine, program, options: chosen, output });
    if (!machine.interrupted) ended?.();
    exitProcess();
    return status;
  } catch (error) {
    if (!(error instanceof DriverFault)) throw error;
    ended?.();
    return reportDriverFault(error, output);
  }
}

/** `-device help` and the like, which need no program: QEMU prints them. Undefined if nothing of the kind was asked for. */
export function deviceHelp(qemu: readonly string[], output: Output): number | undefined {
  const asked = qemu.some((word, index) => qemu[index - 1] === '-device' && /(^|,)(help|\?)$/.test(word));
  if (!asked) return undefined;
  const machine = new Machine(0);
  const own = loadUserDevices(qemu, (file) => userCodeWatch.add(file, 'device', output, () => ''));
  const { user } = machine.kernel.spawn('qemu-system-x86_64', (fd, bytes) => {
    if (fd === 1) output.console(bytes);
    else output.message(new TextDecoder().decode(bytes).trimEnd());
  });
  const status = new Qemu(user, machine.stream, qemu, own).init();
  output.end();
  return status === 0 ? EXIT.OK : EXIT.USAGE;
}

/** A host whose log, and the events asked for, go to `output`. */
function powerOn(options: RunOptions, output: Output, leftovers: Leftovers | undefined): Machine {
  const machine = new Machine(
    requestedMemory(options.qemu),
    options.plug,
    leftovers,
    eagernessOf(options.tier),
    options.attended?.Cpu,
  );
  if (options.costs !== undefined) machine.charge(readCosts(options.costs));
  machine.kvm.instructionLimit = options.maxInsns;
  tellEvents(machine, options, output);
  return machine;
}

/** What a line printed that ran while the guest did; its failure is told, and the run goes on. */
function tellLater({ output: text, error }: CommandResult, output: Output): void {
  for (const line of [...text.split('\n').slice(0, -1), ...(error?.split('\n') ?? [])]) output.line('host', line);
}

/** Where a program in a `; host:` line prints: line by line, as what the shell prints. */
function hostStdio(output: Output): (fd: 1 | 2, bytes: Uint8Array) => void {
  const lines = new LineSplitter((line) => output.line('host', line));
  return (_, bytes) => lines.write(bytes);
}

/** Seconds until `deadline`, as performance.now() counts; undefined if there is none. */
const secondsLeft = (deadline: number | undefined): number | undefined =>
  deadline === undefined ? undefined : (deadline - performance.now()) / 1000;

/** The value of `work`; undefined if it was broken off at `deadline`. */
function inTime<T extends object>(work: () => T, deadline: number | undefined): T | undefined {
  if (deadline === undefined) return work();
  const value = interruptible(work, { seconds: secondsLeft(deadline), byHand: false });
  return typeof value === 'string' ? undefined : value;
}

/** A `; host:` line: what it prints is shown, and its failure ends the run with the rule that was broken. */
function runHostCommand(
  shell: HostShell,
  command: HostCommand,
  machine: Machine,
  output: Output,
  { timeout }: RunOptions,
  deadline: number | undefined,
): void {
  const rules: string[] = [];
  const stop = machine.stream.subscribe(matchingEvents('refusal'), ({ fields }) =>
    rules.push(String(fields['because'])),
  );
  const result = inTime(() => shell.run(command.text), deadline);
  stop();
  if (result === undefined) {
    machine.interrupted = true;
    throw new UsageError(
      `${command.place}: error: stopped after ${timeout} s (--timeout): ${command.text}`,
      EXIT.LIMIT,
    );
  }
  const { output: text, error } = result;
  for (const line of text.split('\n').slice(0, -1)) output.line('host', line);
  if (error === undefined) return;
  const notes = rules.map((rule) => `\n   = note: ${rule}`).join('');
  throw new UsageError(`${command.place}: error: ${error}\n   | ${command.text}${notes}`);
}

/** Start QEMU on the program and let it run to its end. The process still stands on return, so that its VM can be looked at. */
function runQemu(
  machine: Machine,
  program: GuestProgram,
  options: RunOptions,
  output: Output,
  deadline: number | undefined,
): { readonly end: QemuEnd | HostFailure; readonly exitProcess: () => void } {
  const own = loadUserDevices(options.qemu, (file) =>
    userCodeWatch.add(file, 'device', output, () => progressOf(machine)),
  );
  const kernelPath = `/boot/${program.name.replace(/^.*\//, '').replace(/\.gasm$/, '')}.elf`;
  machine.kernel.files.createFile(kernelPath, program.image);
  const lines = new ProgramLines(program);
  const place = (rip: bigint) => lines.place(rip, machine.cpus[0]);
  const messages = new LineSplitter((line) => output.message(withPlaces(line, place)));
  const { process, user } = machine.kernel.spawn('qemu-system-x86_64', (fd, bytes) => {
    if (fd === 1) output.console(bytes);
    else messages.write(bytes);
  });
  const argv = ['-kernel', kernelPath, ...withDebugExit(options.qemu)];
  const qemu = startOf(() => new Qemu(user, machine.stream, argv, own), output);
  if (qemu === undefined) return { end: { reason: 'aborted', code: 134 }, exitProcess: () => process.exit() };
  machine.qemu = qemu;
  const bringDumps = provideDumpFiles(machine.kernel, options.qemu);
  const failure = initOf(qemu);
  if (typeof failure === 'object') {
    bringDumps();
    return { end: failure, exitProcess: () => process.exit() };
  }
  if (failure !== undefined) {
    bringDumps();
    return { end: { reason: 'not-started', code: failure }, exitProcess: () => process.exit() };
  }
  const end = machine.kernel.schedule(process, () => runAttended(machine, qemu, options, deadline));
  // What was broken off half-way has nothing more to do.
  if (machine.interrupted) return { end, exitProcess: () => undefined };
  bringDumps();
  return { end, exitProcess: () => process.exit() };
}

/** The process's first memory: undefined without any, which QEMU could not even say by itself. */
function startOf(start: () => Qemu, output: Output): Qemu | undefined {
  try {
    return start();
  } catch (error) {
    if (!(error instanceof Abort)) throw error;
    output.message(`${PROGRAM}: ${error.message}`);
    return undefined;
  }
}

/** qemu_init: what it returns, or that a device of the user's own failed in it. */
function initOf(qemu: Qemu): number | undefined | HostFailure {
  try {
    return qemu.init();
  } catch (error) {
    if (!(error instanceof DeviceFault)) throw error;
    return { reason: 'device-fault', code: 1, fault: error };
  }
}

/** Let QEMU run; where somebody waits for it, or there is a limit in real time, so that it can be broken off. */
function runAttended(
  machine: Machine,
  qemu: Qemu,
  { attended }: RunOptions,
  deadline: number | undefined,
): QemuEnd | HostFailure {
  if (attended === undefined && deadline === undefined) return qemu.run();
  const end = interruptible(() => qemu.run(), { seconds: secondsLeft(deadline), byHand: attended !== undefined });
  if (typeof end !== 'string') return end;
  machine.interrupted = true;
  return { reason: end, code: 0 };
}

/** A guest of the library ends by this device, so every machine has one; a program may still describe its own. */
const withDebugExit = (qemu: readonly string[]): readonly string[] =>
  qemu.some((word) => word.startsWith('isa-debug-exit'))
    ? qemu
    : ['-device', 'isa-debug-exit,iobase=0x501,iosize=0x04', ...qemu];

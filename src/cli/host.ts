/** `gvm host`: a shell on the modeled host, by itself, without a guest. */

import type { Interface } from 'node:readline';
import { matchingEvents } from '../event.ts';
import { DriverFault } from '../linux/drivers/driver-fault.ts';
import { EXIT } from './exit-status.ts';
import { type CommandResult, hostCommands } from './host-commands.ts';
import { reportDriverFault } from './host-failure.ts';
import { HostShell } from './host-shell.ts';
import { Machine } from './machine.ts';
import type { Output } from './output.ts';
import { tellEvents } from './tell-events.ts';
import { UsageError } from './usage-error.ts';
import { userCodeWatch } from './user-code-watch.ts';
import { loadUserDriver } from './user-driver.ts';
import { runUserProgram } from './user-program.ts';

const PROMPT = 'host# ';
/** Lines that the arrow keys reach. */
const HISTORY = 1000;

export interface HostOptions {
  readonly plug: readonly string[];
  readonly explain: boolean;
  readonly trace: string | undefined;
}

/** A powered-on host and a shell on it. */
export class HostSession {
  readonly #machine: Machine;
  readonly #shell: HostShell;
  readonly #output: Output;
  readonly #rules: string[] = [];
  /** Lines run and system calls made by programs: the user's own code that never returns makes no more of them. */
  #steps = 0;
  /** Where relative paths of the user's files begin. */
  folder = '.';

  /** `plug`: physical devices of the host; `explain` and `trace` are a run's. */
  constructor(output: Output, options: HostOptions) {
    this.#machine = new Machine(0, options.plug);
    this.#output = output;
    const { kernel, stream } = this.#machine;
    this.#shell = new HostShell(kernel.spawn('sh', () => {}).user, {
      kernelLog: () => kernel.log.lines,
      later: (nanoseconds, run) => void kernel.clock.start(kernel.clock.now + nanoseconds, run),
      tell: ({ output: text, error }) => {
        output.console(new TextEncoder().encode(text));
        if (error !== undefined) output.message(error);
      },
      readModule: (file) => loadUserDriver(kernel, file, this.folder, (path) => this.#watch(path, 'host driver')),
      runProgram: (file, args, stdio) => this.#runProgram(file, args, stdio ?? this.#stdio),
    });
    tellEvents(this.#machine, options, output);
    stream.subscribe(matchingEvents('refusal'), ({ fields }) => this.#rules.push(String(fields['because'])));
  }

  /** Run one line; what fails says which rule was broken. Returns the exit status. */
  run(line: string): number {
    this.#rules.length = 0;
    this.#steps++;
    const result = this.#result(line);
    if (typeof result === 'number') return result;
    const { output, error } = result;
    this.#output.console(new TextEncoder().encode(output));
    if (error === undefined) return EXIT.OK;
    this.#output.message([error, ...this.#rules.map((rule) => `   = note: ${rule}`)].join('\n'));
    return EXIT.USAGE;
  }

  /** What a line did; or the exit status of a driver of the user's that failed in it. */
  #result(line: string): CommandResult | number {
    if (line.trim() === 'help') return { output: help(), error: undefined };
    try {
      return this.#shell.run(line);
    } catch (error) {
      if (error instanceof DriverFault) return reportDriverFault(error, this.#output);
      if (error instanceof UsageError) {
        this.#output.message(error.message);
        return error.status;
      }
      throw error;
    }
  }

  /** Run a program of the user's; returns gvm's exit status. */
  program(file: string, args: readonly string[]): number {
    try {
      const status = this.#runProgram(file, args, this.#stdio);
      this.#output.end();
      if (status === 0) return EXIT.OK;
      this.#output.message(`gvm: the program ended with status ${status}`);
      return EXIT.GUEST_FAILED;
    } catch (error) {
      if (error instanceof DriverFault) return reportDriverFault(error, this.#output);
      throw error;
    }
  }

  #runProgram(file: string, args: readonly string[], stdio: (fd: 1 | 2, bytes: Uint8Array) => void): number {
    return runUserProgram(this.#machine.kernel, file, this.folder, args, stdio, {
      loading: (path) => this.#watch(path, 'program'),
      called: () => void this.#steps++,
    });
  }

  #watch(file: string, what: 'host driver' | 'program'): void {
    userCodeWatch.add(file, what, this.#output, () => String(this.#steps));
  }

  readonly #stdio = (fd: 1 | 2, bytes: Uint8Array): void => {
    if (fd === 1) this.#output.console(bytes);
    else this.#output.message(new TextDecoder().decode(bytes).trimEnd());
  };

  /** Lines from stdin until its end or `exit`: with editing, history and completion on a terminal. */
  async interact(): Promise<number> {
    const readline = process.getBuiltinModule('node:readline');
    const terminal = process.stdin.isTTY === true;
    const lines: Interface = readline.createInterface({
      input: process.stdin,
      ...(terminal ? { output: process.stdout, historySize: HISTORY } : {}),
      completer: (line: string) => {
        const { word, candidates } = this.#shell.complete(line);
        return [[...candidates], word];
      },
      prompt: PROMPT,
    });
    let status: number = EXIT.OK;
    if (terminal) lines.prompt();
    for await (const line of lines) {
      if (line.trim() === 'exit') break;
      if (line.trim() !== '') status = this.run(line);
      this.#output.end();
      if (terminal) lines.prompt();
    }
    lines.close();
    return status;
  }
}

const help = (): string =>
  Object.values(hostCommands)
    .map(({ usage, summary }) => `  ${usage.padEnd(30)} ${summary}\n`)
    .join('');

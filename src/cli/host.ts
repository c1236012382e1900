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
import { loadUserDriver } from './user-driver.ts';

const PROMPT = 'host# ';
/** Lines that the arrow keys reach. */
const HISTORY = 1000;

/** A powered-on host and a shell on it. */
export class HostSession {
  readonly #machine: Machine;
  readonly #shell: HostShell;
  readonly #output: Output;
  readonly #rules: string[] = [];
  /** Where relative paths of the user's files begin. */
  folder = '.';

  /** `plugged`: physical devices of the host. */
  constructor(output: Output, plugged: readonly string[] = []) {
    this.#machine = new Machine(0, plugged);
    this.#output = output;
    const { kernel, stream } = this.#machine;
    this.#shell = new HostShell(kernel.spawn('sh', () => {}).user, {
      kernelLog: () => kernel.log.lines,
      readModule: (file) => loadUserDriver(kernel, file, this.folder),
    });
    kernel.log.subscribe((line) => output.line('host', line));
    stream.subscribe(matchingEvents('refusal'), ({ fields }) => this.#rules.push(String(fields['because'])));
  }

  /** Run one line; what fails says which rule was broken. Returns the exit status. */
  run(line: string): number {
    this.#rules.length = 0;
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
      throw error;
    }
  }

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

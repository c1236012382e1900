/** `gvm host`: a shell on the modeled host, by itself, without a guest. */

import type { Interface } from 'node:readline';
import { matchingEvents } from '../event.ts';
import { EXIT } from './exit-status.ts';
import { hostCommands } from './host-commands.ts';
import { HostShell } from './host-shell.ts';
import { Machine } from './machine.ts';
import type { Output } from './output.ts';

const PROMPT = 'host# ';
/** Lines that the arrow keys reach. */
const HISTORY = 1000;

/** A powered-on host and a shell on it. */
export class HostSession {
  readonly #machine: Machine;
  readonly #shell: HostShell;
  readonly #output: Output;
  readonly #rules: string[] = [];

  /** `plugged`: physical devices of the host. */
  constructor(output: Output, plugged: readonly string[] = []) {
    this.#machine = new Machine(0, plugged);
    this.#output = output;
    const { kernel, stream } = this.#machine;
    this.#shell = new HostShell(kernel.spawn('sh', () => {}).user, () => kernel.log.lines);
    kernel.log.subscribe((line) => output.line('host', line));
    stream.subscribe(matchingEvents('refusal'), ({ fields }) => this.#rules.push(String(fields['because'])));
  }

  /** Run one line; what fails says which rule was broken. Returns the exit status. */
  run(line: string): number {
    this.#rules.length = 0;
    const { output, error } = line.trim() === 'help' ? { output: help(), error: undefined } : this.#shell.run(line);
    this.#output.console(new TextEncoder().encode(output));
    if (error === undefined) return EXIT.OK;
    this.#output.message([error, ...this.#rules.map((rule) => `   = note: ${rule}`)].join('\n'));
    return EXIT.USAGE;
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

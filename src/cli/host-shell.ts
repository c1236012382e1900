/** The modeled host's shell, as far as setting up devices needs one: a command and its words, `> FILE`, several by `;`. */

import { hva } from '../address.ts';
import { errnoName, strerror } from '../linux/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_APPEND,
  O_CREAT,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
  type UserProcess,
} from '../linux/uapi/syscalls.ts';
import { splitWords } from './command-line.ts';
import { type CommandResult, hostCommands, type Session } from './host-commands.ts';
import { isProgram } from './user-program.ts';

const BUFFER_BYTES = 65536;
const failed = (error: string): CommandResult => ({ output: '', error });

/** What a shell needs besides its process. */
export interface ShellHost extends Pick<Session, 'kernelLog' | 'readModule' | 'runProgram'> {
  /** Call `run` after so many nanoseconds of virtual time. */
  later(nanoseconds: number, run: () => void): void;
  /** What a line that ran later printed, and why it failed. */
  tell(result: CommandResult): void;
}

/** `2ms` in nanoseconds. */
const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** A shell in one process of the modeled host. */
export class HostShell implements Session {
  readonly process: UserProcess;
  readonly kernelLog: () => readonly string[];
  readonly readModule: Session['readModule'];
  readonly runProgram: Session['runProgram'];
  folder = '/';
  readonly #host: ShellHost;
  readonly #buffer: number;

  /** `kernelLog` gives the lines of the kernel's log; the rest is for files of the user's. */
  constructor(process: UserProcess, host: ShellHost) {
    this.process = process;
    this.#host = host;
    this.kernelLog = host.kernelLog;
    this.readModule = host.readModule;
    this.runProgram = host.runProgram;
    this.#buffer = process.syscalls.mmap(BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (this.#buffer < 0) throw new Error(`the host has no memory for a shell: ${errnoName(-this.#buffer)}`);
  }

  /** Names of the commands there are. */
  static get commands(): readonly string[] {
    return Object.keys(hostCommands);
  }

  resolve(path: string): string {
    const parts: string[] = [];
    for (const part of (path.startsWith('/') ? path : `${this.folder}/${path}`).split('/')) {
      if (part === '..') parts.pop();
      else if (part !== '' && part !== '.') parts.push(part);
    }
    return `/${parts.join('/')}`;
  }

  /** Run one line: commands by `;`, each its words, and possibly `> FILE` or `>> FILE`. The first that fails ends it. */
  run(line: string): CommandResult {
    let output = '';
    for (const command of commandsOf(line)) {
      const result = this.#command(command);
      output += result.output;
      if (result.error !== undefined) return { output, error: result.error };
    }
    return { output, error: undefined };
  }

  #command(text: string): CommandResult {
    const later = /^\s*at\s+(\d+(?:\.\d+)?)(ns|us|ms|s)\s+(\S.*)$/.exec(text);
    if (later !== null) return this.#at(Number(later[1]) * UNITS[later[2]!]!, later[3]!);
    const words = splitWords(text.replace(/(^|\s)(>{1,2})\s*/, '$1$2 '));
    if (words === undefined) return failed('sh: syntax error: unterminated quoted string');
    const arrow = words.findIndex((word) => word === '>' || word === '>>');
    const target = arrow < 0 ? undefined : words[arrow + 1];
    if (arrow >= 0 && (target === undefined || words.length > arrow + 2))
      return failed('sh: syntax error: one file has to follow >');
    const [name = '', ...args] = arrow < 0 ? words : words.slice(0, arrow);
    const command = Object.hasOwn(hostCommands, name) ? hostCommands[name] : undefined;
    if (command === undefined) {
      if (isProgram(name)) return this.#program(name, args, target);
      return failed(
        name === '' ? 'sh: no command' : `sh: ${name}: not found (there are ${HostShell.commands.join(', ')})`,
      );
    }
    const result = command.run(this, args);
    if (target === undefined || result.error !== undefined) return result;
    return this.#redirect(name, result.output, this.resolve(target), words[arrow] === '>>' ? O_APPEND : O_TRUNC);
  }

  /** at(1): the rest of the command, redirection and all, when so much virtual time has passed. */
  #at(nanoseconds: number, command: string): CommandResult {
    this.#host.later(Math.round(nanoseconds), () => this.#host.tell(this.run(command)));
    return { output: '', error: undefined };
  }

  /** A program of the user's: what it prints goes on at once, or to the file. */
  #program(name: string, args: readonly string[], target: string | undefined): CommandResult {
    let printed = '';
    const decoder = new TextDecoder();
    const collect = (_: 1 | 2, bytes: Uint8Array) => {
      printed += decoder.decode(bytes, { stream: true });
    };
    const status = this.runProgram(name, args, target === undefined ? undefined : collect);
    if (status !== 0) return failed(`${name}: exit status ${status}`);
    return target === undefined
      ? { output: '', error: undefined }
      : this.#redirect(name, printed, this.resolve(target), O_TRUNC);
  }

  #redirect(name: string, output: string, path: string, mode: number): CommandResult {
    const { syscalls, memory } = this.process;
    const fd = syscalls.open(path, O_WRONLY | O_CREAT | mode);
    if (fd < 0) return failed(`sh: cannot create ${path}: ${strerror(-fd)}`);
    const bytes = new TextEncoder().encode(output).subarray(0, BUFFER_BYTES);
    memory.write(hva(this.#buffer), bytes);
    const written = syscalls.write(fd, hva(this.#buffer), bytes.length);
    syscalls.close(fd);
    return written < 0 ? failed(`${name}: write error: ${strerror(-written)}`) : { output: '', error: undefined };
  }

  readFile(path: string): string | number {
    const { syscalls, memory } = this.process;
    const fd = syscalls.open(path, O_RDONLY);
    if (fd < 0) return fd;
    let text = '';
    for (;;) {
      const count = syscalls.read(fd, hva(this.#buffer), BUFFER_BYTES);
      if (count <= 0) {
        syscalls.close(fd);
        return count < 0 ? count : text;
      }
      text += new TextDecoder().decode(memory.read(hva(this.#buffer), count));
    }
  }

  /** What the last word of a line may become: commands, or paths, folders with a slash behind. */
  complete(line: string): { readonly word: string; readonly candidates: readonly string[] } {
    const word = /[^\s;>]*$/.exec(line)![0];
    const before = line.slice(0, line.length - word.length);
    if (/^\s*$|;\s*$/.test(before))
      return { word, candidates: HostShell.commands.filter((name) => name.startsWith(word)).map((name) => `${name} `) };
    const slash = word.lastIndexOf('/') + 1;
    const folder = this.resolve(word.slice(0, slash));
    const entries = this.process.syscalls.readdir(folder);
    if (typeof entries === 'number') return { word, candidates: [] };
    const candidates = entries
      .filter(({ name }) => name.startsWith(word.slice(slash)))
      .map(({ name }) => {
        const stat = this.process.syscalls.stat(`${folder === '/' ? '' : folder}/${name}`);
        const isFolder = typeof stat !== 'number' && stat.kind === 'directory';
        return `${word.slice(0, slash)}${name}${isFolder ? '/' : ' '}`;
      });
    return { word, candidates };
  }
}

/** The commands of a line: `;` outside quotes separates, `#` at a word's start begins a comment. */
function commandsOf(line: string): string[] {
  const commands: string[] = [];
  let command = '';
  let quote = '';
  for (let at = 0; at < line.length; at++) {
    const character = line[at]!;
    if (quote === '' && character === '#' && /(^|\s)$/.test(command)) break;
    if (quote === '' && character === ';') {
      commands.push(command);
      command = '';
      continue;
    }
    if (quote === '' && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = '';
    command += character;
    if (character === '\\' && quote !== "'" && at + 1 < line.length) command += line[++at];
  }
  return [...commands, command].filter((each) => each.trim() !== '');
}

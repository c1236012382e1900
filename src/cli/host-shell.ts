/**
 * The modeled host's shell, as far as setting up devices needs one: commands are system calls of a process, so what they
 * say on failure is what the kernel's errno says.
 */

import { hva } from '../address.ts';
import { errnoName, strerror } from '../linux/uapi/errno.ts';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_CREAT,
  O_RDONLY,
  O_TRUNC,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
  type UserProcess,
} from '../linux/uapi/syscalls.ts';
import { splitWords } from './command-line.ts';

/** What a command printed, and why it failed if it did. */
export interface CommandResult {
  readonly output: string;
  readonly error: string | undefined;
}

const BUFFER_BYTES = 65536;
const done = (output = ''): CommandResult => ({ output, error: undefined });
const failed = (error: string): CommandResult => ({ output: '', error });

type Command = (shell: HostShell, args: readonly string[]) => CommandResult;

const commands: Readonly<Record<string, Command>> = {
  echo: (_, args) => (args[0] === '-n' ? done(args.slice(1).join(' ')) : done(`${args.join(' ')}\n`)),
  cat: (shell, args) => {
    let output = '';
    for (const path of args) {
      const text = shell.readFile(path);
      if (typeof text === 'number') return failed(`cat: ${path}: ${strerror(-text)}`);
      output += text;
    }
    return done(output);
  },
  readlink: (shell, [path = '']) => {
    const target = shell.process.syscalls.readlink(path);
    return typeof target === 'number' ? failed(`readlink: ${path}: ${strerror(-target)}`) : done(`${target}\n`);
  },
  ls: (shell, args) => {
    const path = args.find((word) => !word.startsWith('-')) ?? '/';
    const entries = shell.process.syscalls.readdir(path);
    if (typeof entries === 'number') return failed(`ls: cannot access '${path}': ${strerror(-entries)}`);
    return done(entries.map(({ name }) => `${name}\n`).join(''));
  },
  modprobe: (shell, [name = '', ...parameters]) => {
    const result = shell.process.syscalls.init_module(name, parameters.join(' '));
    return result < 0 ? failed(`modprobe: ERROR: could not insert '${name}': ${strerror(-result)}`) : done();
  },
  rmmod: (shell, [name = '']) => {
    const result = shell.process.syscalls.delete_module(name);
    return result < 0 ? failed(`rmmod: ERROR: could not remove '${name}': ${strerror(-result)}`) : done();
  },
};

/** A shell in one process of the modeled host. */
export class HostShell {
  readonly process: UserProcess;
  readonly #buffer: number;

  constructor(process: UserProcess) {
    this.process = process;
    this.#buffer = process.syscalls.mmap(BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (this.#buffer < 0) throw new Error(`the host has no memory for a shell: ${errnoName(-this.#buffer)}`);
  }

  /** Names of the commands there are. */
  static get commands(): readonly string[] {
    return Object.keys(commands);
  }

  /** Run one line: a command, its words, and possibly `> PATH`. */
  run(line: string): CommandResult {
    const words = splitWords(line.replace(/(^|\s)(>{1,2})\s*/, '$1$2 '));
    if (words === undefined) return failed('sh: syntax error: unterminated quoted string');
    const arrow = words.findIndex((word) => word === '>' || word === '>>');
    const target = arrow < 0 ? undefined : words[arrow + 1];
    if (arrow >= 0 && (target === undefined || words.length > arrow + 2))
      return failed('sh: syntax error: one file has to follow >');
    const [name = '', ...args] = arrow < 0 ? words : words.slice(0, arrow);
    const command = commands[name];
    if (command === undefined) {
      return failed(
        name === '' ? 'sh: no command' : `sh: ${name}: not found (there are ${HostShell.commands.join(', ')})`,
      );
    }
    const result = command(this, args);
    if (target === undefined || result.error !== undefined) return result;
    return this.#redirect(name, result.output, target);
  }

  #redirect(name: string, output: string, path: string): CommandResult {
    const { syscalls, memory } = this.process;
    const fd = syscalls.open(path, O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) return failed(`sh: cannot create ${path}: ${strerror(-fd)}`);
    const bytes = new TextEncoder().encode(output).subarray(0, BUFFER_BYTES);
    memory.write(hva(this.#buffer), bytes);
    const written = syscalls.write(fd, hva(this.#buffer), bytes.length);
    syscalls.close(fd);
    return written < 0 ? failed(`${name}: write error: ${strerror(-written)}`) : done();
  }

  /** A whole file as text, or -errno. */
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
}

/**
 * The commands of the modeled host's shell. Each works by system calls of the shell's process, so that what it says on failure
 * is what the kernel's errno says.
 */

import { EEXIST, EINVAL, ENOENT, strerror } from '../linux/uapi/errno.ts';
import type { UserProcess } from '../linux/uapi/syscalls.ts';

/** What a command printed, and why it failed if it did. */
export interface CommandResult {
  readonly output: string;
  readonly error: string | undefined;
}

/** A module that a file held: its name, for init_module; or why there is none. */
export type ModuleFile =
  | { readonly name: string; readonly error?: never }
  | { readonly name?: never; readonly error: string };

/** The shell as its commands see it. */
export interface Session {
  readonly process: UserProcess;
  /** Folder that relative paths begin at. */
  folder: string;
  /** The absolute path of one that the user wrote. */
  resolve(path: string): string;
  /** A whole file as text, or -errno. */
  readFile(path: string): string | number;
  /** Read the module in a file of the user's. */
  readModule(file: string): ModuleFile;
  /** Run a program of the user's: its exit status. `stdio` gets what it prints; without it that goes where the shell's does. */
  runProgram(file: string, args: readonly string[], stdio?: (fd: 1 | 2, bytes: Uint8Array) => void): number;
  /** Lines of the kernel's log: syslog(2). */
  kernelLog(): readonly string[];
}

export interface ShellCommand {
  readonly usage: string;
  readonly summary: string;
  run(session: Session, args: readonly string[]): CommandResult;
}

const done = (output = ''): CommandResult => ({ output, error: undefined });
const failed = (error: string, output = ''): CommandResult => ({ output, error });

/** Run `each` for all arguments until one fails; what came before is kept. */
function forAll(args: readonly string[], each: (argument: string) => CommandResult): CommandResult {
  let output = '';
  for (const argument of args) {
    const result = each(argument);
    output += result.output;
    if (result.error !== undefined) return failed(result.error, output);
  }
  return done(output);
}

/** mod_strerror of kmod: init_module means other things by some numbers. */
const insertError = (errno: number): string => (errno === EINVAL ? 'Invalid parameters' : strerror(errno));

/** What kmod finds of a module in sysfs. It looks before it asks the kernel, whose EAGAIN for one in use says little. */
function moduleState(session: Session, module: string) {
  const name = module.replaceAll('-', '_');
  const there = (path: string) => typeof session.process.syscalls.stat(path) !== 'number';
  const folder = `/sys/module/${name}`;
  if (name === '' || !there(folder)) return { name, state: 'absent', users: 0 } as const;
  if (!there(`${folder}/initstate`)) return { name, state: 'builtin', users: 0 } as const;
  return { name, state: 'live', users: Number(session.readFile(`${folder}/refcnt`)) } as const;
}

/** `modprobe -r`: one that is not loaded is as it should be. */
function removeQuietly(session: Session, module: string): CommandResult {
  const { name, state, users } = moduleState(session, module);
  if (state === 'absent') return done();
  if (state === 'builtin') return failed(`modprobe: FATAL: Module ${name} is builtin.`);
  if (users > 0) return failed(`modprobe: FATAL: Module ${name} is in use.\n   = note: it has ${users} reference(s)`);
  const result = session.process.syscalls.delete_module(name);
  return result < 0 ? failed(`modprobe: ERROR: could not remove '${name}': ${strerror(-result)}`) : done();
}

const isOption = (word: string): boolean => /^-\w/.test(word);

/** One row of `ls -l`: type, name, and where a link leads. */
function longRow(session: Session, folder: string, name: string): string {
  const path = `${folder === '/' ? '' : folder}/${name}`;
  const target = session.process.syscalls.readlink(path);
  if (typeof target === 'string') return `l ${name} -> ${target}\n`;
  const stat = session.process.syscalls.stat(path);
  const letter =
    typeof stat === 'number' ? '?' : { file: '-', directory: 'd', symlink: 'l', 'character device': 'c' }[stat.kind];
  return `${letter} ${name}\n`;
}

export const hostCommands: Readonly<Record<string, ShellCommand>> = {
  at: {
    usage: 'at TIME COMMAND…',
    summary: 'run a command later, while a guest runs: at 2ms echo 1 > FILE',
    // What is well written the shell takes itself, since a > belongs to the command.
    run: () => failed('at: a time with ns, us, ms or s has to come first, then a command'),
  },
  cat: {
    usage: 'cat FILE…',
    summary: 'print files',
    run: (session, args) =>
      forAll(args, (path) => {
        const text = session.readFile(session.resolve(path));
        return typeof text === 'number' ? failed(`cat: ${path}: ${strerror(-text)}`) : done(text);
      }),
  },
  cd: {
    usage: 'cd [FOLDER]',
    summary: 'let relative paths begin there',
    run(session, [path = '/']) {
      const folder = session.resolve(path);
      const stat = session.process.syscalls.stat(folder);
      if (typeof stat === 'number') return failed(`cd: ${path}: ${strerror(-stat)}`);
      if (stat.kind !== 'directory') return failed(`cd: ${path}: Not a directory`);
      session.folder = folder;
      return done();
    },
  },
  dmesg: {
    usage: 'dmesg',
    summary: "print the host kernel's log",
    run: (session) =>
      done(
        session
          .kernelLog()
          .map((line) => `${line}\n`)
          .join(''),
      ),
  },
  echo: {
    usage: 'echo [-n] WORD…',
    summary: 'print words; with > FILE write them',
    run: (_, args) => (args[0] === '-n' ? done(args.slice(1).join(' ')) : done(`${args.join(' ')}\n`)),
  },
  insmod: {
    usage: 'insmod FILE [NAME=VALUE…]',
    summary: 'load a driver of your own, a .ts or .js file',
    run(session, [file = '', ...parameters]) {
      const module = session.readModule(file);
      if (module.name === undefined) return failed(`insmod: ERROR: ${module.error}`);
      const result = session.process.syscalls.init_module(module.name, parameters.join(' '));
      return result < 0 ? failed(`insmod: ERROR: could not insert module ${file}: ${insertError(-result)}`) : done();
    },
  },
  ls: {
    usage: 'ls [-l] [PATH…]',
    summary: 'list folders',
    run(session, args) {
      const paths = args.filter((word) => !isOption(word));
      const long = args.some((word) => isOption(word) && word.includes('l'));
      return forAll(paths.length === 0 ? [session.folder] : paths, (path) => {
        const folder = session.resolve(path);
        const stat = session.process.syscalls.stat(folder);
        if (typeof stat === 'number') return failed(`ls: cannot access '${path}': ${strerror(-stat)}`);
        if (stat.kind !== 'directory') return done(`${path}\n`);
        const entries = session.process.syscalls.readdir(folder);
        if (typeof entries === 'number') return failed(`ls: cannot open directory '${path}': ${strerror(-entries)}`);
        const rows = entries.map(({ name }) => (long ? longRow(session, folder, name) : `${name}\n`)).join('');
        return done(paths.length > 1 ? `${path}:\n${rows}` : rows);
      });
    },
  },
  lsmod: {
    usage: 'lsmod',
    summary: 'list loaded modules and how many use them',
    run(session) {
      const names = session.process.syscalls.readdir('/sys/module');
      if (typeof names === 'number') return done();
      const rows = names.flatMap(({ name }) => {
        const users = session.readFile(`/sys/module/${name}/refcnt`);
        // What is built in has no refcnt.
        return typeof users === 'number' ? [] : [`${name.padEnd(19)} ${users.trim()}\n`];
      });
      return done(`${'Module'.padEnd(19)} Used by\n${rows.join('')}`);
    },
  },
  modprobe: {
    usage: 'modprobe [-r] MODULE [NAME=VALUE…]',
    summary: 'load a module, or unload it',
    run(session, [name = '', ...parameters]) {
      if (name === '-r') return forAll(parameters, (module) => removeQuietly(session, module));
      const result = session.process.syscalls.init_module(name, parameters.join(' '));
      // To want a module that is there already is no failure; one that no folder has is not even tried.
      if (result >= 0 || result === -EEXIST) return done();
      if (result === -ENOENT) return failed(`modprobe: FATAL: Module ${name} not found.`);
      return failed(`modprobe: ERROR: could not insert '${name}': ${insertError(-result)}`);
    },
  },
  pwd: {
    usage: 'pwd',
    summary: 'print where relative paths begin',
    run: (session) => done(`${session.folder}\n`),
  },
  readlink: {
    usage: 'readlink LINK',
    summary: 'print where a link leads',
    run(session, [path = '']) {
      const target = session.process.syscalls.readlink(session.resolve(path));
      return typeof target === 'number' ? failed(`readlink: ${path}: ${strerror(-target)}`) : done(`${target}\n`);
    },
  },
  rmmod: {
    usage: 'rmmod MODULE',
    summary: 'unload a module',
    run(session, [name = '']) {
      const module = moduleState(session, name);
      if (module.state === 'builtin') return failed(`rmmod: ERROR: Module ${module.name} is builtin.`);
      if (module.state === 'absent') return failed(`rmmod: ERROR: Module ${module.name} is not currently loaded`);
      if (module.users > 0) {
        return failed(`rmmod: ERROR: Module ${module.name} is in use\n   = note: it has ${module.users} reference(s)`);
      }
      const result = session.process.syscalls.delete_module(name);
      return result < 0 ? failed(`rmmod: ERROR: could not remove '${name}': ${strerror(-result)}`) : done();
    },
  },
};

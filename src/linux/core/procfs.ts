/** /proc (fs/proc/base.c): a directory for each process, with what there is to set in it. It shows who runs at each look. */

import { EINVAL } from '../uapi/errno.ts';
import { type FileOperations, OpenFile } from './file.ts';
import { type DirectoryNode, directoryNode, type FileNode, type Node } from './inode.ts';
import type { Process } from './process.ts';
import { parseUnsigned } from './sysfs.ts';
import { copyFromUser, copyToUser, type RefusingContext, refusePointer } from './uaccess.ts';

/** PROC_NUMBUF: the longest number a file takes. */
const NUMBER_LENGTH = 13;
const LONG = 2 ** 32;

interface ProcHost extends RefusingContext {
  readonly current: Process;
  processes(): Iterable<Process>;
}

interface ProcFile {
  readonly mode: number;
  show(): string;
  /** 0 or -errno; a file without it cannot be written. */
  store?(text: string): number;
}

/** The root of /proc. */
export function procDirectory(kernel: ProcHost): DirectoryNode {
  const self: Node = {
    kind: 'symlink',
    mode: 0o777,
    get target() {
      return String(kernel.current.pid);
    },
  };
  return {
    ...directoryNode(0o555),
    get entries() {
      const entries = new Map<string, Node>([['self', self]]);
      for (const process of kernel.processes()) entries.set(String(process.pid), processDirectory(kernel, process));
      return entries;
    },
  };
}

function processDirectory(kernel: ProcHost, process: Process): DirectoryNode {
  const directory = directoryNode(0o555);
  const files: Readonly<Record<string, ProcFile>> = {
    comm: { mode: 0o444, show: () => process.name },
    'fail-nth': {
      mode: 0o644,
      show: () => String(process.failNth),
      store: (text) => {
        const value = parseUnsigned(text);
        if (value === undefined || value >= LONG) return kernel.refuse(EINVAL, 'fail-nth takes an unsigned number');
        process.failNth = value;
        return 0;
      },
    },
    'make-it-fail': {
      mode: 0o644,
      show: () => (process.makeItFail ? '1' : '0'),
      store: (text) => {
        const value = parseUnsigned(text);
        if (value !== 0 && value !== 1) return kernel.refuse(EINVAL, 'make-it-fail takes 0 or 1');
        process.makeItFail = value === 1;
        return 0;
      },
    },
  };
  for (const [name, file] of Object.entries(files)) directory.entries.set(name, fileNode(kernel, file));
  return directory;
}

function fileNode(kernel: ProcHost, file: ProcFile): FileNode {
  const operations: FileOperations = {
    read(_open, buffer, count, position) {
      const rest = new TextEncoder().encode(`${file.show()}\n`).subarray(position, position + count);
      return copyToUser(kernel, buffer, rest) < 0 ? refusePointer(kernel, buffer, rest.length) : rest.length;
    },
    write(open, buffer, count) {
      if (file.store === undefined) return kernel.refuse(EINVAL, `${open.path} takes nothing`);
      const bytes = new Uint8Array(Math.min(count, NUMBER_LENGTH));
      if (copyFromUser(kernel, bytes, buffer) < 0) return refusePointer(kernel, buffer, bytes.length);
      const error = file.store(String.fromCharCode(...bytes));
      return error < 0 ? error : count;
    },
  };
  return { kind: 'file', mode: file.mode, open: (path, flags) => new OpenFile(path, operations, flags, undefined) };
}

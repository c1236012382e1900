/**
 * sysfs: directories, attributes and links that kernel objects show of themselves (fs/sysfs, fs/kernfs/file.c). Paths are
 * absolute and start with /sys. An attribute's text is made at each read from the start, and each write is one call.
 */

import { strict as assert } from 'node:assert';
import type { EventStream } from '../../event.ts';
import { EACCES, EEXIST, EIO, ENODEV, ENOENT, ENOMEM } from '../uapi/errno.ts';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from '../uapi/syscalls.ts';
import { sysfsRead, sysfsWrite } from './events.ts';
import { type FileOperations, OpenFile } from './file.ts';
import { type DirectoryNode, directoryNode, type FileNode, type Node, symlinkNode } from './inode.ts';
import { copyFromUser, copyToUser, type RefusingContext, refusePointer } from './uaccess.ts';
import type { Vfs } from './vfs.ts';

const PAGE = 4096;

/** One attribute. A missing `show` or `store` is EIO where the mode admits the call (dev_attr_show). */
export interface Attribute {
  /** Permission bits, such as 0o444. */
  readonly mode: number;
  /** The text, with its newline; or -errno. */
  show?(): string | number;
  /** One write: `text` has one character a byte, at most a page. Returns the bytes consumed or -errno. */
  store?(text: string): number;
}

/** kernfs_open_file: the text as of the last read from the start. */
interface Reading {
  readonly node: AttributeNode;
  text: Uint8Array;
}

interface AttributeNode extends FileNode {
  readonly attribute: Attribute;
  removed: boolean;
}

/** What sysfs needs of the kernel. */
interface SysfsHost extends RefusingContext {
  readonly stream: EventStream;
  kmalloc(what: string): boolean;
}

/** The tree under /sys. */
export class Sysfs {
  readonly #kernel: SysfsHost;
  readonly #operations: FileOperations;
  readonly #root: DirectoryNode = directoryNode(0o755);

  constructor(kernel: SysfsHost, files: Vfs) {
    this.#kernel = kernel;
    files.mount('/sys', this.#root);
    this.#operations = attributeOperations(kernel);
  }

  /** Make a directory and those above it: 0, or -EEXIST if something else has the name. */
  directory(path: string): number {
    return typeof this.#make(path) === 'number' ? -EEXIST : 0;
  }

  /** Make an attribute, with the directories above it: 0 or -EEXIST. */
  attribute(path: string, attribute: Attribute): number {
    const node: AttributeNode = {
      kind: 'file',
      mode: attribute.mode,
      attribute,
      removed: false,
      open: (canonical, flags) => this.#open(node, canonical, flags),
    };
    return this.#add(path, node);
  }

  /** sysfs_create_link: a relative link at `path` to `target`, both absolute. 0 or -EEXIST. */
  link(path: string, target: string): number {
    return this.#add(path, symlinkNode(relative(path, target)));
  }

  /** Remove what is at `path` and below it; files open on it answer ENODEV from now on. 0 or -ENOENT. */
  remove(path: string): number {
    const { directory, name } = this.#parent(path);
    const node = directory?.entries.get(name);
    if (directory === undefined || node === undefined) return -ENOENT;
    directory.entries.delete(name);
    markRemoved(node);
    return 0;
  }

  /** Whether anything is at `path` (links are not followed). */
  has(path: string): boolean {
    const { directory, name } = this.#parent(path);
    return directory?.entries.has(name) ?? false;
  }

  /** Whether the directory at `path` is there and empty. */
  isEmpty(path: string): boolean {
    const { directory, name } = this.#parent(path);
    const node = directory?.entries.get(name);
    return node?.kind === 'directory' && node.entries.size === 0;
  }

  /** kernfs_fop_open: unlike other file systems, sysfs wants the mode bits even from root. */
  #open(node: AttributeNode, path: string, flags: number): OpenFile | number {
    const access = flags & O_ACCMODE;
    const mode = node.mode.toString(8).padStart(4, '0');
    if (access !== O_RDONLY && (node.mode & 0o222) === 0) {
      return this.#kernel.refuse(EACCES, `${path} has mode ${mode}: nobody may write it`);
    }
    if (access !== O_WRONLY && (node.mode & 0o444) === 0) {
      return this.#kernel.refuse(EACCES, `${path} has mode ${mode}: nobody may read it`);
    }
    if (!this.#kernel.kmalloc('struct kernfs_open_file')) return -ENOMEM;
    const reading: Reading = { node, text: new Uint8Array(0) };
    return new OpenFile(path, this.#operations, flags, reading);
  }

  #add(path: string, node: Node): number {
    const { parent, name } = splitSys(path);
    const directory = this.#make(parent);
    if (typeof directory === 'number' || directory.entries.has(name)) return -EEXIST;
    directory.entries.set(name, node);
    return 0;
  }

  #make(path: string): DirectoryNode | number {
    let directory = this.#root;
    for (const name of namesBelowSys(path)) {
      let next = directory.entries.get(name);
      if (next === undefined) {
        next = directoryNode(0o755);
        directory.entries.set(name, next);
      }
      if (next.kind !== 'directory') return -EEXIST;
      directory = next;
    }
    return directory;
  }

  #parent(path: string): { directory: DirectoryNode | undefined; name: string } {
    const { parent, name } = splitSys(path);
    let directory: DirectoryNode | undefined = this.#root;
    for (const step of namesBelowSys(parent)) {
      const next: Node | undefined = directory?.entries.get(step);
      directory = next?.kind === 'directory' ? next : undefined;
    }
    return { directory, name };
  }
}

function attributeOperations(kernel: SysfsHost): FileOperations {
  const readingOf = (file: OpenFile) => file.privateData as Reading;
  return {
    read(file, buffer, count, position) {
      const reading = readingOf(file);
      const { attribute, removed } = reading.node;
      if (removed) return kernel.refuse(ENODEV, `${file.path} was removed after it was opened`);
      if (position === 0) {
        const shown = attribute.show?.() ?? kernel.refuse(EIO, `${file.path} has nothing to show`);
        if (sysfsRead.on) {
          const failed = typeof shown === 'number';
          sysfsRead(kernel.stream, {
            path: file.path,
            text: failed ? '' : shown,
            result: failed ? shown : shown.length,
          });
        }
        if (typeof shown === 'number') return shown;
        reading.text = new TextEncoder().encode(shown);
      }
      const rest = reading.text.subarray(position, position + count);
      return copyToUser(kernel, buffer, rest) < 0 ? refusePointer(kernel, buffer, rest.length) : rest.length;
    },
    write(file, buffer, count) {
      const { attribute, removed } = readingOf(file).node;
      if (removed) return kernel.refuse(ENODEV, `${file.path} was removed after it was opened`);
      if (!kernel.kmalloc('the text of a write')) return -ENOMEM;
      const bytes = new Uint8Array(Math.min(count, PAGE));
      if (copyFromUser(kernel, bytes, buffer) < 0) return refusePointer(kernel, buffer, bytes.length);
      if (bytes.length === 0) return 0;
      const text = String.fromCharCode(...bytes);
      const result = attribute.store?.(text) ?? kernel.refuse(EIO, `${file.path} takes nothing`);
      if (sysfsWrite.on) sysfsWrite(kernel.stream, { path: file.path, text, result });
      return result;
    },
  };
}

function markRemoved(node: Node): void {
  if (node.kind === 'directory') for (const below of node.entries.values()) markRemoved(below);
  else if ('removed' in node) (node as AttributeNode).removed = true;
}

function namesBelowSys(path: string): string[] {
  const [sys, ...below] = path.split('/').filter((name) => name !== '');
  assert(sys === 'sys', `sysfs path ${path} does not start with /sys`);
  return below;
}

function splitSys(path: string): { parent: string; name: string } {
  const below = namesBelowSys(path);
  const name = below.pop();
  assert(name !== undefined, `sysfs path ${path} names nothing below /sys`);
  return { parent: ['/sys', ...below].join('/'), name };
}

/** The text of a link at `from` to `to`: up to a directory above both, then down (kernfs_get_target_path). */
function relative(from: string, to: string): string {
  const start = namesBelowSys(from).slice(0, -1);
  const end = namesBelowSys(to);
  let same = 0;
  while (same < start.length && same < end.length - 1 && start[same] === end[same]) same++;
  return [...start.slice(same).map(() => '..'), ...end.slice(same)].join('/');
}

/** sysfs_streq: equal but for one trailing newline. */
export const sysfsEquals = (text: string, word: string): boolean => text === word || text === `${word}\n`;

/** kstrtoul as attributes use it: a number of any base, perhaps with a newline; undefined for anything else (EINVAL). */
export function parseUnsigned(text: string): number | undefined {
  const digits = text.replace(/\n$/, '').replace(/^\+/, '');
  if (/^0[xX][0-9a-fA-F]+$/.test(digits)) return Number.parseInt(digits, 16);
  if (/^0[0-7]*$/.test(digits)) return Number.parseInt(digits, 8);
  if (/^[1-9][0-9]*$/.test(digits)) return Number.parseInt(digits, 10);
  return undefined;
}

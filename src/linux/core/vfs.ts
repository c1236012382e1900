/**
 * Paths and opening (fs/namei.c, fs/open.c): one tree from `/`, with symbolic links and directories. The root is a ramfs,
 * /dev a devtmpfs (drivers/base/devtmpfs.c), /sys is grown by sysfs.ts. Everybody is root: permission bits stop nobody
 * here, a file system that minds them all the same (sysfs) refuses in its own open.
 */

import { strict as assert } from 'node:assert';
import { EACCES, EEXIST, EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR } from '../uapi/errno.ts';
import { type DirectoryEntry, O_ACCMODE, O_CREAT, O_RDONLY, type Stat } from '../uapi/syscalls.ts';
import { type FileOperations, OpenFile } from './file.ts';
import { type DirectoryNode, directoryNode, type Node, statOf, symlinkNode } from './inode.ts';
import { RamFile } from './ramfs.ts';
import type { RefusingContext } from './uaccess.ts';

/** MAXSYMLINKS. */
const MAX_LINKS = 40;

/** Where a path leads: the node, its canonical path, and its directory. */
interface Place {
  readonly node: Node;
  readonly path: string;
}

const directoryOperations: FileOperations = { read: () => -EISDIR };

/** The host's directory tree. */
export class Vfs {
  readonly #kernel: RefusingContext;
  readonly #root: DirectoryNode;
  /** Directories of /dev that were made for a device node, and go with the last one. */
  readonly #deviceDirectories = new Set<DirectoryNode>();

  constructor(kernel: RefusingContext) {
    this.#kernel = kernel;
    this.#root = this.#ramDirectory();
    for (const path of ['/dev', '/root', '/tmp']) this.makeDirectory(path);
  }

  /** open(2): an open file or -errno. O_CREAT makes a missing file of mode 0644. */
  open(path: string, flags: number): OpenFile | number {
    let place = this.#walk(path, true);
    if (place === -ENOENT && (flags & O_CREAT) !== 0) place = this.#create(path);
    if (typeof place === 'number') return this.#refuseOpen(path, place);
    const { node } = place;
    switch (node.kind) {
      case 'symlink':
        return -ELOOP;
      case 'directory':
        if ((flags & O_ACCMODE) !== O_RDONLY || (flags & O_CREAT) !== 0) {
          return this.#kernel.refuse(EISDIR, `${path} is a directory, which cannot be written`);
        }
        return new OpenFile(place.path, directoryOperations, flags, node);
      default:
        // A trailing slash asks for a directory.
        if (path.endsWith('/')) return this.#kernel.refuse(ENOTDIR, `${path} asks for a directory`);
        return node.open(place.path, flags);
    }
  }

  /** stat(2), through links. */
  stat(path: string): Stat | number {
    const place = this.#walk(path, true);
    return typeof place === 'number' ? place : statOf(place.node);
  }

  /** readlink(2): the link's text; -EINVAL if it is no link. */
  readlink(path: string): string | number {
    const place = this.#walk(path, false);
    if (typeof place === 'number') return place;
    return place.node.kind === 'symlink' ? place.node.target : -EINVAL;
  }

  /** Names in a directory, sorted. */
  readdir(path: string): readonly DirectoryEntry[] | number {
    const place = this.#walk(path, true);
    if (typeof place === 'number') return place;
    if (place.node.kind !== 'directory') return -ENOTDIR;
    return [...place.node.entries]
      .map(([name, node]) => ({ name, kind: node.kind }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** realpath(3): `path` without links, `.` and `..`. */
  canonical(path: string): string | number {
    const place = this.#walk(path, true);
    return typeof place === 'number' ? place : place.path;
  }

  /** mkdir -p in a ramfs: 0, or -ENOTDIR if something else is in the way. */
  makeDirectory(path: string): number {
    const made = this.#directories(path);
    return typeof made === 'number' ? made : 0;
  }

  /** Put a regular file, with its directories, replacing an old one. */
  createFile(path: string, bytes: Uint8Array, mode = 0o644): number {
    return this.mount(path, new RamFile(this.#kernel, bytes, mode), true);
  }

  /** symlink(2), with the directories of `path`: 0 or -EEXIST. */
  symlink(path: string, target: string): number {
    return this.mount(path, symlinkNode(target));
  }

  /** Hang a node into the tree, with the directories above it: 0, -EEXIST, -ENOTDIR. */
  mount(path: string, node: Node, replace = false): number {
    const { parent, name } = split(path);
    const directory = this.#directories(parent);
    if (typeof directory === 'number') return directory;
    if (!replace && directory.entries.has(name)) return -EEXIST;
    directory.entries.set(name, node);
    return 0;
  }

  /** unlink(2) of anything, with what is below it. -ENOENT. */
  remove(path: string): number {
    const { parent, name } = split(path);
    const directory = this.#walk(parent, true);
    if (typeof directory === 'number') return directory;
    if (directory.node.kind !== 'directory') return -ENOTDIR;
    return directory.node.entries.delete(name) ? 0 : -ENOENT;
  }

  /**
   * A device node appears (devtmpfs_create_node). `open` makes the open file for one open(2), or refuses with -errno.
   * -EEXIST if the path is taken.
   */
  registerDevice(path: string, mode: number, open: (flags: number) => OpenFile | number): number {
    const { parent } = split(path);
    const fresh = typeof this.#walk(parent, true) === 'number';
    const error = this.mount(path, { kind: 'character device', mode, open: (_path, flags) => open(flags) });
    const directory = this.#walk(parent, true);
    if (fresh && typeof directory !== 'number' && directory.node.kind === 'directory') {
      this.#deviceDirectories.add(directory.node);
    }
    return error;
  }

  /** The device node goes, and its directory if it was made for devices and is empty now. Open files stay open. */
  unregisterDevice(path: string): number {
    const error = this.remove(path);
    const { parent } = split(path);
    const directory = this.#walk(parent, true);
    if (typeof directory === 'number' || directory.node.kind !== 'directory') return error;
    if (directory.node.entries.size === 0 && this.#deviceDirectories.delete(directory.node)) this.remove(parent);
    return error;
  }

  #ramDirectory(): DirectoryNode {
    return directoryNode(0o755, (mode) => new RamFile(this.#kernel, new Uint8Array(0), mode));
  }

  /** `error`: what {@link #walk} or {@link #create} gave for `path`. */
  #refuseOpen(path: string, error: number): number {
    const kernel = this.#kernel;
    switch (error) {
      case -ENOENT:
        return kernel.refuse(ENOENT, `open of ${path}: ${this.#missing(path)}`);
      case -ENOTDIR:
        return kernel.refuse(ENOTDIR, `open of ${path}: what stands before a / is no directory`);
      case -ELOOP:
        return kernel.refuse(ELOOP, `open of ${path}: more than ${MAX_LINKS} symbolic links`);
      case -EISDIR:
        return kernel.refuse(EISDIR, `open of ${path}: O_CREAT makes files, and a / at the end asks for a directory`);
      default:
        assert(error === -EACCES, `a path leads nowhere by a known errno, not ${error}`);
        return kernel.refuse(EACCES, `open of ${path}: nobody makes files by open in this file system`);
    }
  }

  /** How far one comes on the way to `path`. */
  #missing(path: string): string {
    let above = '/';
    for (const name of names(path)) {
      const next = `${above === '/' ? '' : above}/${name}`;
      if (typeof this.#walk(next, true) === 'number') return `${above} has no ${name}`;
      above = next;
    }
    return 'an empty path names nothing';
  }

  #create(path: string): Place | number {
    if (path.endsWith('/')) return -EISDIR;
    const { parent, name } = split(path);
    const directory = this.#walk(parent, true);
    if (typeof directory === 'number') return directory;
    if (directory.node.kind !== 'directory') return -ENOTDIR;
    if (directory.node.create === undefined) return -EACCES;
    // A dangling link in the way: Linux would create its target; nothing on this host makes such links.
    if (directory.node.entries.has(name)) return -ENOENT;
    const node = directory.node.create(0o644);
    directory.node.entries.set(name, node);
    return { node, path: `${directory.path === '/' ? '' : directory.path}/${name}` };
  }

  /** The directory at `path`, made where it is missing. */
  #directories(path: string): DirectoryNode | number {
    let directory = this.#root;
    for (const name of names(path)) {
      let next = directory.entries.get(name);
      if (next === undefined) {
        // A directory is of the same file system as its parent.
        next = directory.create === undefined ? directoryNode(0o755) : this.#ramDirectory();
        directory.entries.set(name, next);
      }
      if (next.kind !== 'directory') return -ENOTDIR;
      directory = next;
    }
    return directory;
  }

  /** path_lookupat: `follow` tells whether a link in the last place is followed. Relative paths start at `/`. */
  #walk(path: string, follow: boolean): Place | number {
    if (path === '') return -ENOENT;
    const todo = names(path).reverse();
    const above: Place[] = [];
    let here: Place = { node: this.#root, path: '' };
    let links = 0;
    for (let name = todo.pop(); name !== undefined; name = todo.pop()) {
      if (here.node.kind !== 'directory') return -ENOTDIR;
      if (name === '.') continue;
      if (name === '..') {
        here = above.pop() ?? here;
        continue;
      }
      const node = here.node.entries.get(name);
      if (node === undefined) return -ENOENT;
      if (node.kind === 'symlink' && (todo.length > 0 || follow)) {
        if (++links > MAX_LINKS) return -ELOOP;
        if (node.target.startsWith('/')) {
          above.length = 0;
          here = { node: this.#root, path: '' };
        }
        todo.push(...names(node.target).reverse());
        continue;
      }
      above.push(here);
      here = { node, path: `${here.path}/${name}` };
    }
    return here.path === '' ? { node: here.node, path: '/' } : here;
  }
}

const names = (path: string): string[] => path.split('/').filter((name) => name !== '');

/** Directory and last name of a path. */
function split(path: string): { parent: string; name: string } {
  const parts = names(path);
  const name = parts.pop() ?? '';
  return { parent: `/${parts.join('/')}`, name };
}

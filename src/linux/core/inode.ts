/** What a path leads to: the nodes of the one directory tree that all file systems of the host hang in. */

import type { Stat } from '../uapi/syscalls.ts';
import type { OpenFile } from './file.ts';

/** A directory. `create` makes an empty file for O_CREAT; a file system whose users cannot create files has none. */
export interface DirectoryNode {
  readonly kind: 'directory';
  readonly mode: number;
  readonly entries: Map<string, Node>;
  readonly create: ((mode: number) => FileNode) | undefined;
}

export interface SymlinkNode {
  readonly kind: 'symlink';
  readonly mode: number;
  readonly target: string;
}

/** A node that can be opened. */
export interface FileNode {
  readonly kind: 'file' | 'character device';
  readonly mode: number;
  /** `path` is the canonical path, without links. -errno refuses. */
  open(path: string, flags: number): OpenFile | number;
}

export type Node = DirectoryNode | SymlinkNode | FileNode;

export const directoryNode = (mode: number, create?: DirectoryNode['create']): DirectoryNode => ({
  kind: 'directory',
  mode,
  entries: new Map(),
  create,
});

export const symlinkNode = (target: string): SymlinkNode => ({ kind: 'symlink', mode: 0o777, target });

export const statOf = (node: Node): Stat => ({ kind: node.kind, mode: node.mode });

/** `-object filter-dump,file=PATH`: QEMU writes the file on the modeled host; when the run is over it is brought to the real one. */

import { writeFileSync } from 'node:fs';
import type { Kernel } from '../linux/core/kernel.ts';
import { RamFile } from '../linux/core/ramfs.ts';
import { fileError } from './file-error.ts';
import { UsageError } from './usage-error.ts';

/** Paths that the options name. */
const pathsOf = (qemu: readonly string[]): readonly string[] =>
  qemu.flatMap((word, index) => {
    const path = /^filter-dump,(?:.*,)?file=([^,]+)/.exec(word)?.[1];
    return qemu[index - 1] === '-object' && path !== undefined ? [path] : [];
  });

/** Give the modeled host empty files at the paths that `qemu` names; what is returned writes them to the real paths. */
export function provideDumpFiles(kernel: Kernel, qemu: readonly string[]): () => void {
  const files = pathsOf(qemu).map((path) => ({ path, file: new RamFile(kernel, new Uint8Array(0), 0o644) }));
  for (const { path, file } of files) kernel.files.mount(path, file, true);
  return () => {
    for (const { path, file } of files) {
      try {
        writeFileSync(path, file.bytes);
      } catch (error) {
        throw new UsageError(`gvm: cannot write ${path}: ${fileError(error)}`);
      }
    }
  };
}

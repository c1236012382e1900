/** What a process that used VFIO must have given back when it is gone: descriptors, pages, pins, locked memory, modules. */

import { expect } from 'vitest';
import type { Kernel } from '../../../src/linux/core/kernel.ts';
import type { Process } from '../../../src/linux/core/process.ts';

/** Pages include the tables of IOMMU domains and of EPTs: an entry that stays keeps its table. */
const held = (kernel: Kernel, processes: readonly Process[], modules: readonly string[]) => ({
  pages: kernel.pages.used,
  pinned: kernel.pages.pinned,
  locked: processes.map(({ mm }) => mm.lockedPages),
  mappings: processes.map(({ mm }) => (mm.mappings.length > 0 ? 'some' : 'none')),
  files: processes.map(({ files }) => files.open().length),
  references: modules.map((name) => kernel.modules.find(name)?.references ?? 0),
});

/** Note what is held now, before `processes` do anything; the function returned ends them and compares. */
export function watchLeaks(kernel: Kernel, processes: readonly Process[], modules: readonly string[]): () => void {
  const nothing = processes.map(() => 0);
  const before = {
    pages: kernel.pages.used,
    pinned: kernel.pages.pinned,
    locked: nothing,
    mappings: processes.map(() => 'none'),
    files: nothing,
    references: modules.map(() => 0),
  };
  return () => {
    for (const process of processes) process.exit();
    expect(held(kernel, processes, modules)).toEqual(before);
  };
}

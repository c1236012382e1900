/**
 * What the processes of a host must have given back when they are gone: descriptors, memory and its mappings, pins, locked memory,
 * modules. Each host that tests boot is watched from its boot on, and looked at when the test is over.
 */

import { afterEach, expect } from 'vitest';
import type { Kernel } from '../../src/linux/core/kernel.ts';
import type { Process } from '../../src/linux/core/process.ts';

interface Watched {
  readonly processes: Process[];
  /** In use by the host itself. */
  pages: number;
}

const hosts = new Map<Kernel, Watched>();

/** After the test every process of this host, from now on, is ended, and nothing of theirs may be left. */
export function watchLeaks(kernel: Kernel): void {
  const watched: Watched = { processes: [], pages: kernel.pages.used };
  hosts.set(kernel, watched);
  const spawn = kernel.spawn.bind(kernel);
  kernel.spawn = (...program) => {
    const spawned = spawn(...program);
    watched.processes.push(spawned.process);
    return spawned;
  };
}

/** The host itself has come to hold pages, such as its IOMMU's table for one more bus: they may stay. No process holds any now. */
export function hostKeepsPages(kernel: Kernel): void {
  hosts.get(kernel)!.pages = kernel.pages.used;
}

/** Pages include the tables of IOMMU domains and of EPTs: an entry that stays keeps its table. */
function expectNothingHeld(kernel: Kernel, { processes, pages }: Watched): void {
  const before = kernel.modules.loaded().map(({ name }) => name);
  for (const process of processes) process.exit();
  const nothing = processes.map(({ name }) => ({ name, locked: 0, mappings: 0, files: 0 }));
  expect({
    pages: kernel.pages.used,
    pinned: kernel.pages.pinned,
    processes: processes.map(({ name, mm, files }) => ({
      name,
      locked: mm.lockedPages,
      mappings: mm.mappings.length,
      files: files.open().length,
    })),
    references: kernel.modules.loaded().map(({ name, references }) => ({ name, references })),
  }).toEqual({ pages, pinned: 0, processes: nothing, references: before.map((name) => ({ name, references: 0 })) });
}

afterEach(() => {
  const watched = [...hosts];
  hosts.clear();
  for (const [kernel, host] of watched) expectNothingHeld(kernel, host);
});

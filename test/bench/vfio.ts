/** Figures of the roads around an assigned device's exits: a mapped BAR, and from its driver back into the guest's memory. */

import { strict as assert } from 'node:assert';
import type { Gpa } from '../../src/address.ts';
import type { run } from '../../src/cli/run.ts';
import { kvm_read_guest } from '../../src/linux/kvm/guest-memory.ts';
import { Bench } from '../linux/kvm/bench.ts';
import { runSilently } from './exits.ts';
import { type Figure, lowerQuartile, milliseconds } from './measure.ts';

type Library = Parameters<typeof run>[1];

const ONE_MIB = 0x10_0000;
const READS = 64;

/** Nanoseconds of the processor for one load from a BAR: runs with many less runs with none. */
function barLoad(library: Library, options: string, loads: number): number {
  const qemu = ['-device', `vfio-pci,host=06:0d.0,addr=3${options}`];
  const milliseconds = (count: number) => {
    const start = process.cpuUsage();
    runSilently(library, 'test/bench/bar.gasm', { qemu, defines: { COUNT: String(count) } });
    return process.cpuUsage(start).user / 1000;
  };
  milliseconds(loads);
  const runs = Array.from({ length: 5 }, () => ({ many: milliseconds(loads), none: milliseconds(0) }));
  const quartile = (part: 'many' | 'none') => lowerQuartile(runs.map((run) => run[part]));
  return ((quartile('many') - quartile('none')) * 1e6) / loads;
}

/** kvm_read_guest of 1 MiB, in bytes a nanosecond: gigabytes a second. */
function readGuest(): number {
  const bench = new Bench();
  bench.setSlot(0, 0, ONE_MIB, bench.qemu.map(ONE_MIB));
  bench.kernel.current = bench.qemu.process;
  const buffer = new Uint8Array(ONE_MIB);
  const elapsed = milliseconds(9, () => {
    for (let i = 0; i < READS; i++) assert.equal(kvm_read_guest(bench.vm, 0 as Gpa, buffer, ONE_MIB), 0);
  });
  return (READS * ONE_MIB) / (elapsed * 1e6);
}

/** The same, trapped and not. */
export const barLoads = {
  mapped: (library: Library) => barLoad(library, '', 2_000_000),
  trapped: (library: Library) => barLoad(library, ',x-no-mmap=on', 200_000),
} as const;

export const vfioFigures = (): readonly Figure[] => [
  { name: 'kvm_read_guest of 1 MiB', value: `${readGuest().toFixed(1)} GB/s`, limit: 'at least 1 GB/s' },
];

/** Figures of the roads around an assigned device's exits: a mapped BAR, and from its driver back into the guest's memory. */

import { strict as assert } from 'node:assert';
import type { Gpa } from '../../src/address.ts';
import type { run } from '../../src/cli/run.ts';
import { kvm_read_guest } from '../../src/linux/kvm/guest-memory.ts';
import { Bench } from '../linux/kvm/bench.ts';
import { type Kind, runSilently } from './exits.ts';
import { type Figure, lowerQuartile, milliseconds } from './measure.ts';

type Library = Parameters<typeof run>[1];

const BAR_LOADS = 200_000;
const ONE_MIB = 0x10_0000;
const READS = 64;

/** Nanoseconds of the processor for one load of each kind: a run with many less one with none, in turn. */
function loadTimes(library: Library, kinds: readonly Kind[]): readonly number[] {
  const milliseconds = ({ qemu = [] }: Kind, loads: number) => {
    const start = process.cpuUsage();
    runSilently(library, 'test/bench/bar.gasm', { qemu, defines: { COUNT: String(loads) } });
    return process.cpuUsage(start).user / 1000;
  };
  for (const kind of kinds) milliseconds(kind, BAR_LOADS);
  const runs = Array.from({ length: 9 }, () =>
    kinds.map((kind) => ({ many: milliseconds(kind, BAR_LOADS), none: milliseconds(kind, 0) })),
  );
  return kinds.map((_, kind) => {
    const quartile = (part: 'many' | 'none') => lowerQuartile(runs.map((run) => run[kind]![part]));
    return ((quartile('many') - quartile('none')) * 1e6) / BAR_LOADS;
  });
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

/** The rows for the table. */
export function vfioFigures(library: Library): readonly Figure[] {
  const device = (options: string): Kind => ({ qemu: ['-device', `vfio-pci,host=06:0d.0,addr=3${options}`] });
  const [mapped, trapped] = loadTimes(library, [device(''), device(',x-no-mmap=on')]) as [number, number];
  return [
    { name: 'load from a mapped BAR, no exit', value: `${mapped.toFixed(0)} ns`, limit: 'at most 300 ns' },
    { name: 'the same, trapped', value: `${(trapped / mapped).toFixed(1)} ×`, limit: 'at least 3 ×' },
    { name: 'kvm_read_guest of 1 MiB', value: `${readGuest().toFixed(1)} GB/s`, limit: 'at least 1 GB/s' },
  ];
}

/** Figures of the roads to an assigned device: by exit, by a mapped BAR, and from its driver back into the guest's memory. */

import { strict as assert } from 'node:assert';
import type { Gpa } from '../../src/address.ts';
import { Transcript } from '../../src/cli/output.ts';
import { run } from '../../src/cli/run.ts';
import { kvm_read_guest } from '../../src/linux/kvm/guest-memory.ts';
import { Bench } from '../linux/kvm/bench.ts';
import { type Figure, median, milliseconds } from './measure.ts';

type Library = Parameters<typeof run>[1];

/** What a run is given beside its count. */
interface Kind {
  readonly defines?: Readonly<Record<string, string>>;
  readonly qemu?: readonly string[];
}

const PORT_WRITES = 200_000;
const BAR_LOADS = 200_000;
/** COM1's scratch register: a device of QEMU's that does nothing else with the write. */
const SERIAL_SCRATCH = '0x3ff';
const ONE_MIB = 0x10_0000;
const READS = 64;

/** Microseconds of one access of each kind: a run with many less one with none, in turn, so that a drifting machine hits all. */
function accessTimes(library: Library, file: string, count: number, kinds: readonly Kind[]): readonly number[][] {
  const runWith = ({ defines = {}, qemu = [] }: Kind, accesses: number) => {
    const start = performance.now();
    const options = {
      file,
      qemu,
      trace: undefined,
      explain: false,
      maxInsns: 1e9,
      exitMap: 'gvm',
      includes: [],
    } as const;
    run({ ...options, defines: { ...defines, COUNT: String(accesses) } }, library, new Transcript());
    return performance.now() - start;
  };
  for (const kind of kinds) runWith(kind, count);
  return Array.from({ length: 5 }, () =>
    kinds.map((kind) => ((runWith(kind, count) - runWith(kind, 0)) * 1000) / count),
  );
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
  const ports = accessTimes(library, 'test/bench/pio.gasm', PORT_WRITES, [{}, { defines: { PORT: SERIAL_SCRATCH } }]);
  const device = (options: string): Kind => ({ qemu: ['-device', `vfio-pci,host=06:0d.0,addr=3${options}`] });
  const bars = accessTimes(library, 'test/bench/bar.gasm', BAR_LOADS, [device(''), device(',x-no-mmap=on')]);
  const mdev = median(ports.map(([time]) => time!));
  const beside = median(ports.map(([time, own]) => time! / own!));
  const mapped = median(bars.map(([time]) => time!));
  const trapped = median(bars.map(([time, other]) => other! / time!));
  return [
    { name: 'port write to an mdev driver and back', value: `${mdev.toFixed(3)} µs`, limit: 'at most 2 µs' },
    { name: 'the same, beside one to a device of QEMU', value: `${beside.toFixed(2)} ×`, limit: 'at most 1.5 ×' },
    { name: 'load from a mapped BAR, no exit', value: `${mapped.toFixed(3)} µs`, limit: 'at most 0.3 µs' },
    { name: 'the same, trapped', value: `${trapped.toFixed(1)} ×`, limit: 'at least 3 ×' },
    { name: 'kvm_read_guest of 1 MiB', value: `${readGuest().toFixed(1)} GB/s`, limit: 'at least 1 GB/s' },
  ];
}

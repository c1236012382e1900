/**
 * What one VM exit costs, road by road. The clock is read once in a window of many exits, and the lower quartile of the windows
 * counts: load from elsewhere, V8's compilation and its collector only ever add.
 */

import { Transcript } from '../../src/cli/output.ts';
import { run } from '../../src/cli/run.ts';
import { plainRun } from '../plain-run.ts';
import { lowerQuartile, WINDOW, WINDOWS } from './measure.ts';

type Library = Parameters<typeof run>[1];

/** What a run of a program is given beside its count. */
interface Kind {
  readonly defines?: Readonly<Record<string, string>>;
  readonly qemu?: readonly string[];
}

/** What the programs write to their console after each window. */
const TICK = 7;
/** COM1's scratch register: a device of QEMU's that does nothing else with the write. */
const SERIAL_SCRATCH = 0x3ff;

/** Keeps nothing of the console but the time of each {@link TICK}. */
class Clock extends Transcript {
  readonly times: number[] = [];

  override console(bytes: Uint8Array): void {
    if (bytes.includes(TICK)) this.times.push(performance.now());
  }
}

/** Run a program of this folder, silently. */
export function runSilently(
  library: Library,
  file: string,
  { defines = {}, qemu = [] }: Kind,
  output = new Transcript(),
): void {
  run({ ...plainRun(file), qemu, maxInsns: 1e9, defines }, library, output);
}

/** Nanoseconds of one exit of a program of this folder, with the two or three instructions around it. */
function access(library: Library, program: string, kind: Kind): number {
  const clock = new Clock();
  const defines = { ...kind.defines, COUNT: String(WINDOWS), WINDOW: String(WINDOW) };
  runSilently(library, `test/bench/${program}`, { ...kind, defines }, clock);
  const windows = clock.times.slice(1).map((time, index) => time - clock.times[index]!);
  return (lowerQuartile(windows) * 1e6) / WINDOW;
}

const portAccess = (library: Library, kind: Kind): number => access(library, 'pio.gasm', kind);

/** … to a device of QEMU's. */
export const portWriteToQemu = (library: Library): number =>
  portAccess(library, { defines: { PORT: String(SERIAL_SCRATCH) } });

/** … to an mdev driver. */
export const portWriteToMdev = (library: Library): number => portAccess(library, {});

/** Nanoseconds of a read of the same registers. */
export const portReadOfQemu = (library: Library): number =>
  portAccess(library, { defines: { PORT: String(SERIAL_SCRATCH), READ: '' } });
export const portReadOfMdev = (library: Library): number => portAccess(library, { defines: { READ: '' } });

/** Nanoseconds of a store to a register in memory of a device of QEMU's, and of a load. */
export const storeToQemu = (library: Library): number => access(library, 'mmio.gasm', {});
export const loadOfQemu = (library: Library): number => access(library, 'mmio.gasm', { defines: { READ: '' } });

/**
 * Which source lines of a guest program were executed, and how often: the processor stops at every instruction while a test
 * runs. Lines are those of the program and of what it includes, not the guest library's.
 */

import type { Symbolizer } from '../../../lang/object/symbolize.ts';
import type { Observer } from '../observer.ts';

/** Executions of each line that holds code, by source file; 0 of one that was never reached. */
export type LineHits = ReadonlyMap<string, ReadonlyMap<number, number>>;

/** Listens to one run. */
export class CoverageRecorder {
  readonly #isLibrary: (file: string) => boolean;
  #hits: LineHits = new Map();

  /** `isLibrary`: whether a file belongs to the guest library. */
  constructor(isLibrary: (file: string) => boolean) {
    this.#isLibrary = isLibrary;
  }

  /** To be handed to the run. */
  readonly observe: Observer = ({ machine, program }) => {
    const executed = new Map<bigint, number>();
    let last = -1n;
    let retired = -1;
    machine.onCpu = (cpu) => {
      cpu.breakpoint = (rip) => {
        // One that left the guest before it had done anything comes here again when it is tried again.
        const again = rip === last && cpu.retired === retired;
        last = rip;
        retired = cpu.retired;
        if (!again) executed.set(rip, (executed.get(rip) ?? 0) + 1);
      };
    };
    return () => {
      this.#hits = hitsByLine(program.symbolizer(), executed, this.#isLibrary);
    };
  };

  /** What was reached; empty before the run has ended. */
  get hits(): LineHits {
    return this.#hits;
  }
}

/** A line was executed as often as the instruction of it that was executed most. */
function hitsByLine(
  symbols: Symbolizer,
  executed: ReadonlyMap<bigint, number>,
  isLibrary: (file: string) => boolean,
): LineHits {
  const files = new Map<string, Map<number, number>>();
  const raise = (file: string, line: number, count: number) => {
    if (isLibrary(file)) return;
    const lines = files.get(file) ?? new Map<number, number>();
    files.set(file, lines.set(line, Math.max(lines.get(line) ?? 0, count)));
  };
  for (const { file, line } of symbols.codeLines()) raise(file, line, 0);
  for (const [rip, count] of executed) {
    const at = symbols.symbolize(rip);
    if (at?.file !== undefined && at.line !== undefined) raise(at.file, at.line, count);
  }
  return files;
}

/** The hits of several runs together. */
export function addHits(runs: readonly LineHits[]): LineHits {
  const sum = new Map<string, Map<number, number>>();
  for (const [file, lines] of runs.flatMap((run) => [...run])) {
    const total = sum.get(file) ?? new Map<number, number>();
    for (const [line, count] of lines) total.set(line, (total.get(line) ?? 0) + count);
    sum.set(file, total);
  }
  return sum;
}

/** A tracefile of lcov (geninfo(1)): genhtml and CI systems read it. */
export function lcov(hits: LineHits): string {
  const records = [...hits]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([file, lines]) => {
      const sorted = [...lines].sort(([a], [b]) => a - b);
      const reached = sorted.filter(([, count]) => count > 0).length;
      const data = sorted.map(([line, count]) => `DA:${line},${count}\n`).join('');
      return `TN:\nSF:${file}\n${data}LF:${sorted.length}\nLH:${reached}\nend_of_record\n`;
    });
  return records.join('');
}

/** `lines executed: 40 of 44 (90.9%)`. */
export function coverageLine(hits: LineHits): string {
  const counts = [...hits.values()].flatMap((lines) => [...lines.values()]);
  const reached = counts.filter((count) => count > 0).length;
  const share = counts.length === 0 ? '' : ` (${((100 * reached) / counts.length).toFixed(1)}%)`;
  return `lines executed: ${reached} of ${counts.length}${share}`;
}

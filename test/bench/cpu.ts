/** Speed of the interpreter on what GCC makes of real programs. */

import { type ProgramName, programImage, runProgram } from '../oracle/gcc-programs.ts';
import { have } from '../oracle/have.ts';
import type { Figure } from './measure.ts';
import { tcgFigures } from './tcg.ts';

/** Rounds of each program: seconds of interpreted time. */
const ROUNDS: Readonly<Partial<Record<ProgramName, number>>> = { sha256: 60, sorting: 12, checksums: 8 };

/** Millions of guest instructions a second of GCC -O2 code, by CPU time, which other load disturbs least. None without gcc. */
export function cpuFigures(): Figure[] {
  if (!have('gcc')) return [];
  const image = programImage(['-O2']);
  const figures = Object.entries(ROUNDS).map(([name, rounds]) => {
    const program = name as ProgramName;
    runProgram(image, program, 1);
    const start = process.cpuUsage();
    const { instructions } = runProgram(image, program, rounds);
    const rate = instructions / process.cpuUsage(start).user;
    return {
      name: `gcc -O2 ${name}, interpreted`,
      value: `${rate.toFixed(1)} million instructions/s`,
      limit: 'at least 20',
    };
  });
  return [...figures, ...tcgFigures(['sha256', 'sorting'])];
}

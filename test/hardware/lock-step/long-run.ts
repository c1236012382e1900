/** What scripts/lock-step.js runs: `PROGRAMS SEED`. Tells how far it is once a minute, and in the end what was covered. */

import { setFlagsFromString } from 'node:v8';
import { runPrograms } from './run.ts';

/** Of so many pairs one has V8 compile translated code with its optimising compiler at once: no program runs long enough for it. */
const OPTIMISED = 8;
const MINUTE = 60_000;

const [programs, seed] = process.argv.slice(2).map(Number) as [number, number];
const start = Date.now();
let told = start;
const { difference, tally } = runPrograms(programs, seed, (pair, soFar) => {
  setFlagsFromString(pair % OPTIMISED === OPTIMISED - 1 ? '--no-liftoff' : '--liftoff');
  if (Date.now() - told < MINUTE) return;
  told = Date.now();
  console.log(`${soFar.programs} programs after ${Math.round((told - start) / MINUTE)} min`);
});
for (const line of tally.lines()) console.log(line);
console.log(
  difference ??
    `no difference, seeds ${seed} to ${seed + programs - 1}, ${((Date.now() - start) / MINUTE).toFixed(1)} min`,
);
process.exitCode = difference === undefined ? 0 : 1;

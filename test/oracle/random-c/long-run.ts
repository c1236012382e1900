/** What scripts/random-c.js runs: `WRITER PROGRAMS SEED`. Goes on behind a difference, and counts. */

import { compareProgram, type WriterName } from '../random-c.ts';

const writer = process.argv[2] as WriterName;
const [programs, first] = process.argv.slice(3).map(Number) as [number, number];
const MINUTE = 60_000;
const start = Date.now();
let told = start;
let compared = 0;
let endless = 0;
let different = 0;
for (let seed = first; seed < first + programs; seed++) {
  const { options, difference, ...program } = compareProgram(writer, seed);
  if (program.endless) endless++;
  else compared++;
  if (difference !== undefined) {
    different++;
    console.log(`seed ${seed}, ${options.join(' ')}: ${difference}`);
  }
  if (Date.now() - told < MINUTE) continue;
  told = Date.now();
  console.log(`${compared} programs after ${Math.round((told - start) / MINUTE)} min`);
}
console.log(`${compared} programs, ${different} with a difference; ${endless} were too long`);
process.exitCode = different === 0 ? 0 : 1;

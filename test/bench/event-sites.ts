/**
 * `event-sites WITH.mjs WITHOUT.mjs`: the exit path of two builds of untraced.ts, in turn and in one process, so that both meet
 * the same load and the same V8. Prints what the first takes more than the second, as a part of it.
 */

import { argv } from 'node:process';
import { lowerQuartile } from './measure.ts';

type Build = typeof import('./untraced.ts');

const WARM = 200_000;
const EXITS = 150_000;
const TURNS = 14;

const builds: readonly Build[] = await Promise.all(argv.slice(2).map((path) => import(path)));
for (const { exits } of builds) for (let turn = 0; turn < 2; turn++) exits(WARM);
const times = builds.map(() => ({ whole: [] as number[], boot: [] as number[] }));
for (let turn = 0; turn < TURNS; turn++)
  for (const [index, { exits }] of builds.entries()) {
    times[index]!.whole.push(exits(EXITS));
    times[index]!.boot.push(exits(0));
  }
const [first, second] = times.map(({ whole, boot }) => lowerQuartile(whole) - lowerQuartile(boot));
console.log(first! / second! - 1);

/** Statistics as `perf kvm stat report` lays them out, side by side with another run's, and as JSON. */

import { type Samples, type Statistics, type Table, type TableName, tableHeads, tableNames } from './statistics.ts';

/** What rows are sorted by, the largest first. */
export type SortKey = 'sample' | 'time';

/** perf's width of the first column; a longer key widens it. */
const KEY_WIDTH = 20;

const weight = (samples: Samples | undefined, key: SortKey): number =>
  samples === undefined ? 0 : key === 'sample' ? samples.count : samples.total;

/** Rows by weight, equal ones by name. */
const sorted = (names: Iterable<string>, weightOf: (name: string) => number): string[] =>
  [...names].sort((a, b) => weightOf(b) - weightOf(a) || (a < b ? -1 : 1));

const micros = (nanoseconds: number): string => (nanoseconds / 1000).toFixed(2);
const percent = (part: number, whole: number): string => `${(whole === 0 ? 0 : (100 * part) / whole).toFixed(2)}%`;
const sum = (table: Table, of: (samples: Samples) => number): number =>
  [...table.values()].reduce((total, samples) => total + of(samples), 0);
const widest = (names: readonly string[]): number => Math.max(KEY_WIDTH, ...names.map((name) => name.length));

/** One table in perf's layout. */
export function statTable(name: TableName, table: Table, key: SortKey): string {
  const names = sorted(table.keys(), (each) => weight(table.get(each), key));
  const width = widest(names);
  const count = sum(table, (samples) => samples.count);
  const time = sum(table, (samples) => samples.total);
  const head = `${tableHeads[name].padStart(width)} ${'Samples'.padStart(10)} ${'Samples%'.padStart(9)} ${'Time%'.padStart(9)} ${'Min Time'.padStart(11)} ${'Max Time'.padStart(11)} ${'Avg time'.padStart(16)} `;
  const rows = names.map((each) => {
    const samples = table.get(each)!;
    const average = `${micros(samples.average).padStart(9)}us ( +-${samples.relativeError.toFixed(2).padStart(7)}% )`;
    return (
      `${each.padStart(width)} ${String(samples.count).padStart(10)} ${percent(samples.count, count).padStart(9)} ` +
      `${percent(samples.total, time).padStart(9)} ${micros(samples.min).padStart(9)}us ${micros(samples.max).padStart(9)}us ${average}`
    );
  });
  const total = `Total Samples:${count}, Total events handled time:${micros(time)}us.`;
  return `Analyze events for all VMs, all VCPUs:\n\n${head}\n\n${rows.map((row) => `${row}\n`).join('')}\n${total}\n`;
}

/** Two runs side by side: samples and time of each, and the second against the first. */
export function comparison(name: TableName, first: Table, second: Table, key: SortKey): string {
  const names = sorted(
    new Set([...first.keys(), ...second.keys()]),
    (each) => weight(first.get(each), key) + weight(second.get(each), key),
  );
  const width = widest(names);
  const row = (label: string, a: { count: number; total: number }, b: { count: number; total: number }) =>
    `${label.padStart(width)} ${String(a.count).padStart(10)} ${String(b.count).padStart(10)} ${change(a.count, b.count).padStart(9)} ` +
    `${`${micros(a.total)}us`.padStart(13)} ${`${micros(b.total)}us`.padStart(13)} ${change(a.total, b.total).padStart(9)}\n`;
  const none = { count: 0, total: 0 };
  const rows = names.map((each) => row(each, first.get(each) ?? none, second.get(each) ?? none));
  const totals = [first, second].map((table) => ({
    count: sum(table, (samples) => samples.count),
    total: sum(table, (samples) => samples.total),
  }));
  const head = `${tableHeads[name].padStart(width)} ${'Samples'.padStart(10)} ${'vs'.padStart(10)} ${'Change'.padStart(9)} ${'Time'.padStart(13)} ${'vs'.padStart(13)} ${'Change'.padStart(9)}`;
  return `${head}\n\n${rows.join('')}\n${row('Total', totals[0]!, totals[1]!)}`;
}

/** `-98.10%`, `same`, `new`, `gone`. */
function change(before: number, after: number): string {
  if (before === after) return 'same';
  if (before === 0) return 'new';
  if (after === 0) return 'gone';
  const value = (100 * (after - before)) / before;
  return `${value < 0 ? '' : '+'}${value.toFixed(2)}%`;
}

/** All tables: `{"vmexit":[{key,samples,time,min,max,average,relativeError}],…}`, times in nanoseconds. */
export const statObject = (statistics: Statistics, key: SortKey): object =>
  Object.fromEntries(
    tableNames.map((name) => {
      const table = statistics.table(name);
      const rows = sorted(table.keys(), (each) => weight(table.get(each), key)).map((each) => {
        const samples = table.get(each)!;
        const { count, total, min, max, average, relativeError } = samples;
        return { key: each, samples: count, time: total, min, max, average, relativeError };
      });
      return [name, rows];
    }),
  );

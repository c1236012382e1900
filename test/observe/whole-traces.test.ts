/** Whole traces of a program, held against what their readers demand: every line, every object. */

import { expect, test } from 'vitest';
import { gvm } from '../cli/gvm.ts';

const PROGRAM = 'programs/edu/factorial.gasm';
const trace = (format: string): string => gvm('trace', PROGRAM, '--format', format).stdout;

test('.txt: each line is one that trace-cmd, perf script and Perfetto split into task, CPU, flags, time, event and text', () => {
  const [header, ...lines] = trace('txt').trimEnd().split('\n');
  expect(header).toBe('# tracer: nop');
  const flags = /^ *\S.{0,15}-\d+ +\[\d{3}\] \S{5} +\d+\.\d{6}: \w+: /;
  let before = 0;
  const events = lines.filter((each) => !each.startsWith('#'));
  expect(events.length).toBeGreaterThan(5000);
  for (const each of events) {
    expect(each).toMatch(flags);
    const [, seconds, micros] = /(\d+)\.(\d{6}): /.exec(each)!;
    const time = Number(seconds) * 1e6 + Number(micros);
    expect(time).toBeGreaterThanOrEqual(before);
    before = time;
  }
});

test('.jsonl: a header, objects of one shape with times that never go back, and an end that counts them', () => {
  const lines = trace('jsonl')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines[0]).toMatchObject({ v: 1, format: 'gvm-trace', time: 'ns' });
  expect(lines.at(-1)).toEqual({ end: true, events: lines.length - 2 });
  let before = 0;
  for (const event of lines.slice(1, -1)) {
    expect(Object.keys(event)).toEqual(['t', 'access', 'layer', 'event', 'fields', 'text']);
    expect(event.t).toBeGreaterThanOrEqual(before);
    before = event.t;
  }
});

interface ChromeEvent {
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly ts: number;
  readonly dur: number;
  readonly name: string;
  readonly cat: string;
  readonly id: number;
  readonly bp?: string;
}

test('.json: slices that nest on their track, and flows that begin once, end once, and touch a slice at each point', () => {
  const { traceEvents } = JSON.parse(trace('json')) as { traceEvents: ChromeEvent[] };
  const slices = traceEvents.filter(({ ph }) => ph === 'X');
  const tracks = new Map<number, ChromeEvent[]>();
  for (const slice of slices) {
    expect(Number.isFinite(slice.ts) && slice.ts >= 0 && slice.dur >= 0).toBe(true);
    const track = tracks.get(slice.tid);
    if (track === undefined) tracks.set(slice.tid, [slice]);
    else track.push(slice);
  }
  for (const track of tracks.values())
    for (let index = 1; index < track.length; index++) {
      const [one, next] = [track[index - 1]!, track[index]!];
      expect(next.ts).toBeGreaterThanOrEqual(one.ts + one.dur - 1e-6);
    }
  const flows = new Map<number, ChromeEvent[]>();
  for (const point of traceEvents.filter(({ ph }) => 'stf'.includes(ph))) {
    const points = flows.get(point.id);
    if (points === undefined) flows.set(point.id, [point]);
    else points.push(point);
  }
  expect(flows.size).toBeGreaterThan(500);
  for (const [id, points] of flows) {
    expect(points.map(({ ph }) => ph).join(''), `flow ${id}`).toMatch(/^st*f$/);
    expect(points.at(-1)!.bp).toBe('e');
    for (const { tid, ts } of points) {
      const track = tracks.get(tid)!;
      // By halves: the last slice that begins at or before the point.
      let [low, high] = [0, track.length - 1];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (track[middle]!.ts <= ts + 1e-6) low = middle;
        else high = middle - 1;
      }
      const { ts: begin, dur } = track[low]!;
      expect(ts - begin).toBeLessThanOrEqual(dur + 1e-6);
    }
  }
});

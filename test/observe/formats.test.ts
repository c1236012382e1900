/** Trace files: ftrace's lines as a real host prints them, JSON lines, Chrome's trace events, the causal tree, perf's tables. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type EventRecord, EventStream, event } from '../../src/event.ts';
import { exitReasonName } from '../../src/hardware/vcpu/exit.ts';
import { kvmEntry, kvmExit, kvmPio } from '../../src/linux/kvm/trace.ts';
import { CausalTree } from '../../src/observe/causal.ts';
import { chromeTrace } from '../../src/observe/chrome-trace.ts';
import { ftrace } from '../../src/observe/ftrace.ts';
import { HostTime, type TimedRecord } from '../../src/observe/host-time.ts';
import { jsonLines } from '../../src/observe/json-lines.ts';
import { comparison, statTable } from '../../src/observe/stat-text.ts';
import { Samples, Statistics } from '../../src/observe/statistics.ts';

const probe = event(
  'test_probe',
  'driver',
  { wide: 'u64', signed: 's64', small: 'u8', name: 'string', yes: 'bool' },
  (e) => `${e.name} ${e.wide}`,
  'An event of this test.',
);

const IO = 30;
/** One `out dx, eax` to a port, and the entry before and after it; times as the clock of the test says. */
function records(fire: (stream: EventStream, at: (time: number) => void) => void): TimedRecord[] {
  let now = 0n;
  const stream = new EventStream(() => now);
  const time = new HostTime();
  const gathered: TimedRecord[] = [];
  stream.subscribe([kvmEntry, kvmExit, kvmPio, probe] as unknown as EventRecord['event'][], (record) =>
    gathered.push(time.stamp(record)),
  );
  fire(stream, (nanoseconds) => {
    now = BigInt(nanoseconds);
  });
  stream.close();
  return gathered;
}

const exit = { vcpu: 0, reason: IO, rip: 0xec16n, info1: 0x700010, info2: 0, intrInfo: 0, errorCode: 0 };
const fields = { wide: 0xffffffff81000000n, signed: -2n, small: 7, name: 'a\n"b"', yes: true };
const oneAccess = records((stream, at) => {
  kvmEntry(stream, { vcpu: 0, rip: 0xec10n, immediateExit: false });
  at(12);
  stream.access++;
  kvmExit(stream, exit);
  kvmPio(stream, { write: true, port: 0x70, size: 1, count: 1, value: 0x8f });
  probe(stream, fields);
  kvmEntry(stream, { vcpu: 0, rip: 0xec18n, immediateExit: false });
  at(20);
  stream.access++;
  kvmExit(stream, { ...exit, reason: 10 });
  kvmEntry(stream, { vcpu: 0, rip: 0xec1an, immediateExit: false });
});

describe('ftrace', () => {
  const line = (record: TimedRecord) => ftrace(() => ({ name: 'qemu-system-x86_64', pid: 3267 })).event(record);

  test('lines are those of a recorded host', () => {
    // ftrace-event-line samples of the recorded host: task right-aligned to 16, flags d..1. at entry, seconds to five columns.
    const [entry, left] = oneAccess as [TimedRecord, TimedRecord];
    expect(line({ ...entry, end: 466_768_903_000, fields: { ...entry.fields, rip: 0xfff0n } })).toBe(
      ' qemu-system-x86-3267    [000] d..1.   466.768903: kvm_entry: vcpu 0, rip 0xfff0\n',
    );
    expect(line({ ...left, end: 466_771_691_999 })).toBe(
      ' qemu-system-x86-3267    [000] .....   466.771691: kvm_exit: vcpu 0 reason IO_INSTRUCTION rip 0xec16 info1 0x0000000000700010 info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000\n',
    );
  });

  test('an event stays one line whatever its text', () => {
    expect(line(oneAccess[3]!).split('\n')).toHaveLength(2);
  });
});

test('JSON lines: a versioned header, every field, 64 bits exact, and an end that a cut file lacks', () => {
  const format = jsonLines('p.gasm');
  const text = format.begin() + format.event(oneAccess[3]!) + format.end();
  const [header, record, end, rest] = text.split('\n');
  expect(JSON.parse(header!)).toEqual({ v: 1, format: 'gvm-trace', program: 'p.gasm', time: 'ns' });
  expect(JSON.parse(record!)).toEqual({
    t: oneAccess[3]!.end,
    access: 1,
    layer: 'driver',
    event: 'test_probe',
    fields: { wide: '0xffffffff81000000', signed: '-0x2', small: 7, name: 'a\n"b"', yes: true },
    text: 'a\n"b" 18446744071578845184',
  });
  expect(JSON.parse(end!)).toEqual({ end: true, events: 1 });
  expect(rest).toBe('');
});

test('JSON lines: an event without fields, and any text', () => {
  const bare = event('test_bare', 'vfio', {}, () => '', 'An event of this test, without fields.');
  const record = { event: bare as unknown as EventRecord['event'], fields: {}, time: 0n, access: 0, end: 5, cost: 0 };
  expect(JSON.parse(jsonLines('p').event(record))).toEqual({
    t: 5,
    access: 0,
    layer: 'vfio',
    event: 'test_bare',
    fields: {},
    text: '',
  });
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (name) => {
      const told = JSON.parse(jsonLines('p').event({ ...oneAccess[3]!, fields: { ...fields, name } }));
      expect(told.fields.name).toBe(name);
      expect(told.text).toBe(`${name} 18446744071578845184`);
    }),
  );
});

test('Chrome: a track a layer, slices that do not overlap on a track, and a flow an access', () => {
  const format = chromeTrace('p.gasm');
  const text = format.begin() + oneAccess.map((record) => format.event(record)).join('') + format.end();
  interface TraceEvent {
    ph: string;
    tid: number;
    ts: number;
    dur: number;
    name: string;
    id?: number;
    args?: { name?: string };
  }
  const { traceEvents } = JSON.parse(text) as { traceEvents: TraceEvent[] };
  const tracks = traceEvents.filter(({ name }) => name === 'thread_name').map(({ args }) => args!.name);
  expect(tracks.slice(0, 4)).toEqual(['guest', 'vcpu', 'kvm', 'qemu']);
  const slices = traceEvents.filter(({ ph }) => ph === 'X');
  expect(slices.filter(({ name }) => name === 'guest')).toHaveLength(2);
  for (const { tid } of slices) {
    const ends = slices.filter((slice) => slice.tid === tid).sort((a, b) => a.ts - b.ts);
    for (let i = 1; i < ends.length; i++)
      expect(ends[i]!.ts).toBeGreaterThanOrEqual(ends[i - 1]!.ts + ends[i - 1]!.dur - 1e-9);
  }
  const flows = traceEvents.filter(({ name, ph }) => name === 'access' && 'stf'.includes(ph));
  // kvm → driver → kvm; the second access never leaves kvm.
  expect(flows.map(({ ph, id }) => `${ph}${id}`)).toEqual(['s1', 't1', 'f1']);
});

test('the causal tree: the instruction, each step by its layer, and what each layer took', () => {
  const trees: string[] = [];
  const tree = new CausalTree(
    { instruction: (rip) => `out dx, al at ${rip.toString(16)}`, line: ({ event: { title } }) => title },
    ({ event: { layer } }) => layer === 'driver',
    (text) => trees.push(text),
  );
  for (const record of oneAccess) tree.add(record);
  tree.end();
  expect(trees).toEqual([
    'access 1  out dx, al at ec16\n' +
      '  [kvm] kvm_exit\n' +
      '  [kvm] kvm_pio\n' +
      '            [driver] test_probe\n' +
      '  [kvm] kvm_entry\n' +
      '  = guest 12 ns, kvm 670 ns, driver 80 ns: 762 ns (modeled)',
  ]);
});

describe('statistics', () => {
  const statistics = new Statistics(exitReasonName, () => 'p.gasm:1');
  for (const record of oneAccess) statistics.add(record);

  test('by exit reason, in the layout of perf kvm stat report', () => {
    expect(statTable('vmexit', statistics.table('vmexit'), 'time')).toBe(
      'Analyze events for all VMs, all VCPUs:\n\n' +
        '             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time \n\n' +
        '      IO_INSTRUCTION          1    50.00%    54.74%      0.75us      0.75us      0.75us ( +-   0.00% )\n' +
        '               CPUID          1    50.00%    45.26%      0.62us      0.62us      0.62us ( +-   0.00% )\n\n' +
        'Total Samples:2, Total events handled time:1.37us.\n',
    );
  });

  test('by port, road and line', () => {
    expect([...statistics.table('ioport').keys()]).toEqual(['0x70:POUT']);
    expect([...statistics.table('road').keys()]).toEqual(['host driver', 'KVM']);
    expect(statistics.table('line').get('p.gasm:1')!.count).toBe(2);
  });

  test('the error of the mean is that of its definition', () => {
    const samples = new Samples();
    for (const time of [10, 20, 60]) samples.add(time);
    // s² = ((20)² + (10)² + 30²) / 2 = 700, standard error √(700 / 3), mean 30.
    expect(samples.relativeError).toBeCloseTo((100 * Math.sqrt(700 / 3)) / 30, 9);
    expect([samples.min, samples.max, samples.average]).toEqual([10, 60, 30]);
  });

  test('two runs side by side', () => {
    const table = (times: readonly number[]) => {
      const samples = new Samples();
      times.forEach((time) => {
        samples.add(time);
      });
      return samples;
    };
    const text = comparison(
      'vmexit',
      new Map([
        ['CPUID', table([1000])],
        ['HLT', table([1000])],
      ]),
      new Map([
        ['CPUID', table([1000, 1000])],
        ['VMCALL', table([500])],
      ]),
      'sample',
    );
    expect(text.split('\n').map((line) => line.trim().split(/\s+/).join(' '))).toEqual([
      'VM-EXIT Samples vs Change Time vs Change',
      '',
      'CPUID 1 2 +100.00% 1.00us 2.00us +100.00%',
      'HLT 1 0 gone 1.00us 0.00us gone',
      'VMCALL 0 1 new 0.00us 0.50us new',
      '',
      'Total 2 3 +50.00% 2.00us 2.50us +25.00%',
      '',
    ]);
  });
});

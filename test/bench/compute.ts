/**
 * Compute: the same C, compiled by gcc -O2 once for the host and once as a bare image, on the host's CPU, on QEMU's TCG and on
 * gvm. All in one run, and all have to come to the same checksum. Times are of the CPU, which other load on the machine disturbs
 * least. gvm's warm-up, until its hot code is translated and the engine has optimised that in the background, stands apart: each run is
 * made twice on one machine, and what the first takes longer is the warm-up.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MiB } from '../../src/address.ts';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import type { Eagerness, TranslationStatistics } from '../../src/hardware/vcpu/translation.ts';
import type { Vcpu } from '../../src/hardware/vcpu/vcpu.ts';
import { CODE, FlatMachine } from '../hardware/flat-machine.ts';
import { median } from './measure.ts';

const SOURCES = 'test/bench/compute';
/** In the image: see boot.S. */
const PARAMETERS = 0x40;
const ENTRY = 0x80;
const DEBUG_PORT = 0xe9;
const EXIT_PORT = 0x501;
const RUNS = 3;
const HOT: Eagerness = { threshold: 1000, eager: false };

/** Rounds of each workload: a second or two of TCG. */
const WORKLOADS = [
  ['sieve', 200],
  ['crc32', 1500],
  ['sha256', 800],
  ['quicksort', 400],
  ['bignum', 32000],
  ['list walk', 3000],
  ['switch interpreter', 160],
  ['memcpy, strlen', 300],
  ['rep movsq', 500],
] as const;

/** One workload's milliseconds of CPU: the median of some runs each, of the host's and TCG's less that of runs without work. */
export interface ComputeFigure {
  readonly name: string;
  readonly rounds: number;
  readonly instructions: number;
  readonly native: number;
  readonly tcg: number | undefined;
  readonly gvm: number;
  readonly warmUp: number;
  readonly interpreted: number;
  readonly translation: Readonly<TranslationStatistics> | undefined;
}

interface Built {
  readonly folder: string;
  readonly native: string;
  readonly image: Uint8Array;
}

function build(folder: string): Built {
  const native = join(folder, 'native');
  const image = join(folder, 'image');
  const common = ['-O2', '-w', '-mgeneral-regs-only', '-fcf-protection=none'];
  const bare = ['-ffreestanding', '-fno-stack-protector', '-fno-pic', '-no-pie', '-nostdlib', '-static'];
  const linking = [`-Wl,-T,${SOURCES}/image.ld`, '-Wl,--oformat=binary', '-Wl,--build-id=none'];
  const workloads = `${SOURCES}/workloads.c`;
  execFileSync('gcc', [...common, '-o', native, workloads, `${SOURCES}/native-main.c`]);
  execFileSync('gcc', [...common, ...bare, ...linking, '-o', image, `${SOURCES}/boot.S`, workloads]);
  return { folder, native, image: readFileSync(image) };
}

/** What a command writes on stdout, and the milliseconds of CPU that it took in user mode, as bash tells. */
function command(...words: readonly string[]): Timed {
  const { stdout, stderr } = spawnSync('bash', ['-c', 'TIMEFORMAT=%U; time "$@"', 'bash', ...words], {
    encoding: 'latin1',
  });
  return { text: stdout.trim(), milliseconds: Number(stderr.trim().split('\n').at(-1)) * 1000 };
}

interface Timed {
  readonly text: string;
  readonly milliseconds: number;
}

function withParameters(image: Uint8Array, which: number, rounds: number): Uint8Array {
  const own = Uint8Array.from(image);
  const view = new DataView(own.buffer);
  view.setUint32(PARAMETERS, which, true);
  view.setUint32(PARAMETERS + 4, rounds, true);
  return own;
}

const runNative = ({ native }: Built, which: number, rounds: number): Timed =>
  command(native, String(which), String(rounds));

function runTcg({ folder, image }: Built, which: number, rounds: number): Timed {
  const kernel = join(folder, 'kernel');
  const log = join(folder, 'log');
  writeFileSync(kernel, withParameters(image, which, rounds));
  const { milliseconds } = command(
    'qemu-system-x86_64',
    ...['-accel', 'tcg', '-m', '64', '-nodefaults', '-display', 'none', '-no-reboot', '-kernel', kernel],
    ...['-debugcon', `file:${log}`, '-device', `isa-debug-exit,iobase=0x${EXIT_PORT.toString(16)},iosize=4`],
  );
  return { text: readFileSync(log, 'latin1'), milliseconds };
}

interface GvmRun extends Timed {
  readonly instructions: number;
  readonly translation: Readonly<TranslationStatistics> | undefined;
}

/** A machine with the image. Each call runs it from its entry once more, as warm as the last has left it. */
function gvmRuns({ image }: Built, which: number, rounds: number, eagerness?: Eagerness): () => GvmRun {
  const { cpu } = new FlatMachine(withParameters(image, which, rounds), MiB(64));
  if (eagerness !== undefined) cpu.translate(eagerness);
  return () => {
    const before = cpu.retired;
    const start = process.cpuUsage();
    cpu.rip = BigInt(CODE + ENTRY);
    const text = answerPorts(cpu);
    const milliseconds = process.cpuUsage(start).user / 1000;
    return { text, milliseconds, instructions: cpu.retired - before, translation: cpu.translation };
  };
}

/** Run until the write to the exit port, and answer the others as a hypervisor of few words would. Returns what is written. */
function answerPorts(cpu: Vcpu): string {
  let text = '';
  for (;;) {
    const reason = cpu.run(1e12);
    const port = cpu.exit.qualification >>> 16;
    if (reason !== EXIT_REASON.IO_INSTRUCTION)
      throw new Error(`the benchmark's guest ended with exit reason ${reason}`);
    if (port === EXIT_PORT) return text;
    if (port === DEBUG_PORT) text += String.fromCharCode(cpu.readAccumulator(1));
    cpu.skipInstruction();
  }
}

interface Tiers {
  readonly gvm: number;
  readonly warmUp: number;
  readonly interpreted: number;
}

/** Milliseconds of gvm's on both tiers; what a warm run takes apart from what the first takes longer. */
function gvmTimes(built: Built, which: number, rounds: number): Tiers {
  const pairs = Array.from({ length: RUNS }, () => {
    const run = gvmRuns(built, which, rounds, HOT);
    const [first, second] = [run(), run()];
    if (first.text !== second.text) throw new Error(`a second run comes to ${second.text}, the first to ${first.text}`);
    return { warm: second.milliseconds, more: first.milliseconds - second.milliseconds };
  });
  const few = Math.ceil(rounds / 50);
  return {
    gvm: median(pairs.map(({ warm }) => warm)),
    warmUp: median(pairs.map(({ more }) => more)),
    interpreted: gvmRuns(built, which, few)().milliseconds * (rounds / few),
  };
}

/** Median time of `run` with all its rounds, less that of a run with none. */
function net(run: (rounds: number) => Timed, rounds: number): number {
  const of = (count: number) => median(Array.from({ length: RUNS }, () => run(count).milliseconds));
  return of(rounds) - of(0);
}

const hasTool = (name: string): boolean => spawnSync(name, ['--version']).status === 0;

/** All workloads, or those whose name is `only`; none without gcc. */
export function computeFigures(only?: string): ComputeFigure[] {
  if (!hasTool('gcc')) return [];
  const hasTcg = hasTool('qemu-system-x86_64');
  const folder = mkdtempSync(join(tmpdir(), 'gvm-compute-'));
  try {
    const built = build(folder);
    return WORKLOADS.flatMap(([name, rounds], which) => {
      if (only !== undefined && only !== name) return [];
      const { text, instructions, translation } = gvmRuns(built, which, rounds, HOT)();
      const answers = [runNative(built, which, rounds), ...(hasTcg ? [runTcg(built, which, rounds)] : [])];
      for (const { text: answer } of answers)
        if (answer !== text) throw new Error(`${name}: gvm comes to ${text}, another to ${answer}`);
      return [
        {
          name,
          rounds,
          instructions,
          native: net((count) => runNative(built, which, count), rounds),
          tcg: hasTcg ? net((count) => runTcg(built, which, count), rounds) : undefined,
          ...gvmTimes(built, which, rounds),
          translation,
        },
      ];
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The table. */
export function printCompute(figures: readonly ComputeFigure[]): void {
  const ratio = (of: number, to: number | undefined) => (to === undefined ? '' : `${(of / to).toFixed(2)} ×`);
  const cell = (text: string) => text.padStart(12);
  console.log(
    `${'workload'.padEnd(20)}${['native', 'TCG', 'gvm', 'of native', 'of TCG', 'warm-up', 'interpreted', 'M insns/s'].map(cell).join('')}`,
  );
  for (const { name, native, tcg, gvm, warmUp, interpreted, instructions } of figures)
    console.log(
      name.padEnd(20) +
        [
          `${native.toFixed(0)} ms`,
          tcg === undefined ? 'absent' : `${tcg.toFixed(0)} ms`,
          `${gvm.toFixed(0)} ms`,
          ratio(gvm, native),
          ratio(gvm, tcg),
          `${warmUp.toFixed(0)} ms`,
          `${interpreted.toFixed(0)} ms`,
          (instructions / gvm / 1000).toFixed(0),
        ]
          .map(cell)
          .join(''),
    );
}

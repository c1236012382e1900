/**
 * Compute: the same C, compiled by gcc -O2 for the host, as a bare image of 64 bits for QEMU and gvm, and as one of 32 for v86. All in
 * one run, and all have to come to the same checksum. Times are of the CPU, which other load on the machine disturbs
 * least. gvm's warm-up, until its hot code is translated and the engine has optimised that in the background, stands apart: each run is
 * made twice on one machine, and what the first takes longer is the warm-up.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MiB } from '../../src/address.ts';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import type { Eagerness, TranslationStatistics } from '../../src/hardware/vcpu/translation.ts';
import type { Vcpu } from '../../src/hardware/vcpu/vcpu.ts';
import { CODE, FlatMachine } from '../hardware/flat-machine.ts';
import { have } from '../oracle/have.ts';
import { type Built, build, withParameters } from './compute/build.ts';
import { peers, RUNS, type Time } from './compute/peers.ts';
import { median } from './measure.ts';
import { EXIT_PORT } from './qemu.ts';

/** In the 64-bit image: see boot.S. */
const ENTRY = 0x80;
const DEBUG_PORT = 0xe9;
const HOT: Eagerness = { threshold: 1000, eager: false };

interface Workload {
  readonly name: string;
  /** A second or two of TCG. */
  readonly rounds: number;
  /** Why there is no 32-bit build. */
  readonly only64?: string;
}

/** In the order of their numbers in workloads.c. */
const WORKLOADS: readonly Workload[] = [
  { name: 'sieve', rounds: 200 },
  { name: 'crc32', rounds: 1500 },
  { name: 'sha256', rounds: 800 },
  { name: 'quicksort', rounds: 400 },
  { name: 'bignum', rounds: 32000, only64: 'its products of 128 bits have no 32-bit build' },
  { name: 'list walk', rounds: 3000 },
  { name: 'switch interpreter', rounds: 160 },
  { name: 'memcpy, strlen', rounds: 300 },
  { name: 'rep movsq', rounds: 500 },
];

/** One workload's milliseconds of CPU: the median of some runs each, of the host's and QEMU's less that of runs without work. */
export interface ComputeFigure {
  readonly name: string;
  readonly rounds: number;
  readonly instructions: number;
  readonly native: number;
  readonly tcg: Time;
  readonly v86: Time;
  readonly kvm: Time;
  readonly gvm: number;
  readonly warmUp: number;
  readonly interpreted: number;
  readonly translation: Readonly<TranslationStatistics> | undefined;
}

interface GvmRun {
  readonly text: string;
  readonly milliseconds: number;
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

/** All workloads, or those whose name is `only`; none without gcc. */
export function computeFigures(only?: string): ComputeFigure[] {
  if (!have('gcc')) return [];
  const folder = mkdtempSync(join(tmpdir(), 'gvm-compute-'));
  try {
    const built = build(folder);
    const beside = peers(built);
    return WORKLOADS.flatMap(({ name, rounds, only64 }, which) => {
      if (only !== undefined && only !== name) return [];
      const { text, instructions, translation } = gvmRuns(built, which, rounds, HOT)();
      const answer = beside.answer(which, rounds);
      if (answer !== text) throw new Error(`${name}: gvm comes to ${text}, the host to ${answer}`);
      return [
        {
          name,
          rounds,
          instructions,
          native: beside.native(which, rounds),
          tcg: beside.tcg(which, rounds),
          v86: only64 ?? beside.v86(which, rounds),
          kvm: beside.kvm(which, rounds),
          ...gvmTimes(built, which, rounds),
          translation,
        },
      ];
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const milliseconds = (time: Time): string => (typeof time === 'string' ? '–' : `${time.toFixed(0)} ms`);
const ratio = (of: number, to: Time): string => (typeof to === 'string' ? '–' : `${(of / to).toFixed(2)} ×`);

type Column = readonly [heading: string, cell: (figure: ComputeFigure) => string];
const COLUMNS: readonly Column[] = [
  ['native', ({ native }) => milliseconds(native)],
  ['TCG', ({ tcg }) => milliseconds(tcg)],
  ['v86', ({ v86 }) => milliseconds(v86)],
  ['KVM', ({ kvm }) => milliseconds(kvm)],
  ['gvm', ({ gvm }) => milliseconds(gvm)],
  ['of native', ({ gvm, native }) => ratio(gvm, native)],
  ['of TCG', ({ gvm, tcg }) => ratio(gvm, tcg)],
  ['of v86', ({ gvm, v86 }) => ratio(gvm, v86)],
  ['warm-up', ({ warmUp }) => milliseconds(warmUp)],
  ['interpreted', ({ interpreted }) => milliseconds(interpreted)],
  ['M insns/s', ({ instructions, gvm }) => (instructions / gvm / 1000).toFixed(0)],
];

/** The table, and below it why there is nothing in a cell. */
export function printCompute(figures: readonly ComputeFigure[]): void {
  const line = (name: string, cell: (column: Column) => string) =>
    console.log(
      name.padEnd(20) + COLUMNS.map((column) => cell(column).padStart(Math.max(column[0].length + 2, 10))).join(''),
    );
  line('workload', ([heading]) => heading);
  for (const figure of figures) line(figure.name, ([, cell]) => cell(figure));
  for (const peer of ['tcg', 'v86', 'kvm'] as const) {
    const reasons = new Set(figures.map(({ [peer]: time }) => time).filter((time) => typeof time === 'string'));
    for (const reason of reasons) {
      const without = figures.filter(({ [peer]: time }) => time === reason).map(({ name }) => name);
      console.log(`${peer}, ${without.length === figures.length ? 'all' : without.join(', ')}: ${reason}`);
    }
  }
}

/** The workloads on what stands beside gvm: the host's CPU, QEMU on its translator and on KVM, v86. */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { have } from '../../oracle/have.ts';
import { median, timedCommand } from '../measure.ts';
import { type Accelerator, kvmOpens, qemu } from '../qemu.ts';
import { runOnV86, v86Runs } from '../v86.ts';
import { type Built, kernelFile } from './build.ts';

export const RUNS = 3;
/** v86 runs this part of the rounds, each of its runs in one process. */
const V86_PART = 4;
/** KVM that has the processor's help boots QEMU's firmware in less CPU time than this; one that interprets takes more. */
const KVM_BOOT_MS = 1000;
/** Longer than any run should take. */
const SECONDS = 120;
const PROBE_SECONDS = 10;

/** Milliseconds of CPU, or why there are none. */
export type Time = number | string;

/** One run: what it comes to and its milliseconds of CPU. */
type Run = (which: number, rounds: number) => { readonly text: string; readonly user: number };
type Measure = (which: number, rounds: number) => Time;

export interface Peers {
  /** What a workload comes to on the host. */
  readonly answer: (which: number, rounds: number) => string;
  readonly native: (which: number, rounds: number) => number;
  readonly tcg: Measure;
  readonly kvm: Measure;
  readonly v86: Measure;
}

function agree(machine: string, text: string, answer: string): void {
  if (text !== answer) throw new Error(`${machine} comes to '${text}', the host to ${answer}`);
}

/** Medians of some runs, less that of runs without work. */
function net(machine: string, run: Run, answer: Peers['answer']): Peers['native'] {
  const time = (which: number, rounds: number) =>
    median(
      Array.from({ length: RUNS }, () => {
        const { text, user } = run(which, rounds);
        agree(machine, text, answer(which, rounds));
        return user;
      }),
    );
  const idle = time(0, 0);
  return (which, rounds) => time(which, rounds) - idle;
}

function onQemu(built: Built, accelerator: Accelerator, seconds: number) {
  const log = join(built.folder, accelerator);
  return (which: number, rounds: number) => {
    writeFileSync(log, '');
    const command = qemu(accelerator, kernelFile(built, built.image, which, rounds), `file:${log}`);
    const { user, system } = timedCommand(['timeout', '-k', '1', String(seconds), ...command]);
    return { text: readFileSync(log, 'latin1'), user, system };
  };
}

/** v86 in a process of its own: the first run warms it, and of the others the median counts. */
function onV86(built: Built, answer: Peers['answer']): Measure {
  return (which, rounds) => {
    const part = Math.ceil(rounds / V86_PART);
    const lines = runOnV86(kernelFile(built, built.image32, which, part), 1 + RUNS);
    for (const { text } of lines) agree('v86', text, answer(which, part));
    return (median(lines.slice(1).map(({ cpu }) => cpu)) * rounds) / part;
  };
}

/** Why this machine's KVM is not measured; nothing if it is. */
function kvmRefusal(built: Built): string | undefined {
  if (!kvmOpens()) return 'absent';
  const { text, user, system } = onQemu(built, 'kvm', PROBE_SECONDS)(0, 0);
  if (text === '') return `skipped: a run without work gives no answer in ${PROBE_SECONDS} s`;
  if (user + system < KVM_BOOT_MS) return undefined;
  return `skipped: this KVM interprets (a run without work took ${((user + system) / 1000).toFixed(1)} s of CPU)`;
}

/** All that are here, with the time of their runs without work known. Each run has to come to what the host does. */
export function peers(built: Built): Peers {
  const onHost: Run = (which, rounds) => timedCommand([built.native, String(which), String(rounds)]);
  const answers = new Map<string, string>();
  const answer = (which: number, rounds: number) => {
    const key = `${which} ${rounds}`;
    if (!answers.has(key)) answers.set(key, onHost(which, rounds).text);
    return answers.get(key)!;
  };
  const hasQemu = have('qemu-system-x86_64');
  const refusal = hasQemu ? kvmRefusal(built) : 'absent';
  return {
    answer,
    native: net('the host', onHost, answer),
    tcg: hasQemu ? net('QEMU TCG', onQemu(built, 'tcg', SECONDS), answer) : () => 'absent',
    kvm: refusal === undefined ? net('KVM', onQemu(built, 'kvm', SECONDS), answer) : () => refusal,
    v86: v86Runs ? onV86(built, answer) : () => 'absent',
  };
}

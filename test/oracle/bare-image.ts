/** C programs that GCC builds for the host and for a bare CPU, and what they write there. */

import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MiB } from '../../src/address.ts';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { CODE, FlatMachine, STACK } from '../hardware/flat-machine.ts';
import { inFolder } from '../in-folder.ts';

/** Tests and benchmarks both run in the project's folder. */
export const SOURCES = 'test/oracle/programs';
const TEXT = 0x800000;
const LIMIT = 2_000_000_000;
const RAX = 0;
const RSP = 4;

/** Build these sources for the host, and run them: what they write. */
export function nativeText(options: readonly string[], sources: readonly string[]): string {
  return inFolder((folder) => {
    const program = join(folder, 'program');
    execFileSync('gcc', [...options, '-w', '-o', program, ...sources]);
    return execFileSync(program, { encoding: 'latin1', maxBuffer: MiB(16) });
  });
}

/** These sources, which have a function `run`, as one flat image for {@link CODE}. */
export function bareImage(options: readonly string[], sources: readonly string[]): Uint8Array {
  return inFolder((folder) => {
    const image = join(folder, 'image');
    const bare = [
      '-ffreestanding',
      '-mgeneral-regs-only',
      '-fno-stack-protector',
      '-fno-pic',
      '-no-pie',
      '-nostdlib',
      '-static',
    ];
    const linking = [
      '-Wl,-T',
      join(SOURCES, 'bare.ld'),
      '-Wl,--oformat=binary',
      '-Wl,--build-id=none',
      '-Wl,--no-warn-rwx-segments',
    ];
    const inputs = [join(SOURCES, 'bare-main.c'), ...sources];
    execFileSync('gcc', [...options, '-w', ...bare, ...linking, '-o', image, ...inputs, '-lgcc']);
    return readFileSync(image);
  });
}

/** What a program does on the model's CPU. */
export interface BareRun {
  /** It came to its end. */
  readonly ended: boolean;
  readonly text: string;
  readonly instructions: number;
  /** Of them, how many the translator looked at: 0 where nothing is translated. */
  readonly translated: number;
}

/** How a program is run. */
export interface BareOptions {
  /** Arguments of its function `run`; 0 and 1 if absent. */
  readonly number?: number;
  readonly times?: number;
  /** Interpreted if absent. */
  readonly eagerness?: Eagerness | undefined;
  /** Instructions; 2·10⁹ if absent. */
  readonly limit?: number;
}

/** Call `run` of an image on the model's CPU. */
export function runBare(
  image: Uint8Array,
  { number = 0, times = 1, eagerness, limit = LIMIT }: BareOptions = {},
): BareRun {
  const { cpu, memory } = new FlatMachine(image, MiB(16));
  if (eagerness !== undefined) cpu.translate(eagerness);
  [number, TEXT, times].forEach((value, index) => {
    cpu.setRegister([7, 6, 2][index]!, BigInt(value));
  });
  cpu.setRegister(RSP, BigInt(STACK));
  const reason = cpu.run(limit);
  const ended = reason === EXIT_REASON.HLT;
  if (!ended && reason !== EXIT_REASON.PREEMPTION_TIMER) {
    const what = cpu.unsupported?.text ?? `vector ${cpu.lastException?.vector}`;
    throw new Error(
      `the program ended with exit reason ${reason} at 0x${cpu.rip.toString(16)} (${what}); code is at 0x${CODE.toString(16)}`,
    );
  }
  const length = ended ? Number(cpu.register(RAX)) : 0;
  return {
    ended,
    text: Buffer.from(memory.bytes.subarray(TEXT, TEXT + length)).toString('latin1'),
    instructions: cpu.retired,
    translated: cpu.translation?.instructions ?? 0,
  };
}

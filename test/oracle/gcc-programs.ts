/** The sample programs of test/oracle/programs, built by GCC for the host and for a bare CPU. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MiB } from '../../src/address.ts';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { CODE, FlatMachine, STACK } from '../hardware/flat-machine.ts';

/** In the order of all.c. */
export const PROGRAMS = [
  'sorting',
  'sha256',
  'checksums',
  'lz',
  'bignum',
  'json',
  'interpreter',
  'strings',
  'division',
  'bits',
] as const;
export type ProgramName = (typeof PROGRAMS)[number];

/** Tests and benchmarks both run in the project's folder. */
const SOURCES = 'test/oracle/programs';
const TEXT = 0x800000;
const LIMIT = 2_000_000_000;
const RAX = 0;
const RSP = 4;
const sources = [...PROGRAMS, 'all'].map((name) => join(SOURCES, `${name}.c`));

/** Run `build` with the path of a file that is gone afterwards. */
function withFile<T>(build: (path: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-programs-'));
  try {
    return build(join(folder, 'out'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** What each program writes on the host. */
export function nativeTexts(options: readonly string[]): string[] {
  return withFile((path) => {
    execFileSync('gcc', [...options, '-w', '-o', path, ...sources, join(SOURCES, 'native-main.c')]);
    return execFileSync(path, { encoding: 'latin1' }).split('\0').slice(0, -1);
  });
}

/** The programs as one flat image for {@link CODE}. */
export function bareImage(options: readonly string[]): Uint8Array {
  return withFile((path) => {
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
    execFileSync('gcc', [...options, '-w', ...bare, ...linking, '-o', path, ...inputs, '-lgcc']);
    return readFileSync(path);
  });
}

/** What a program does on the model's CPU. */
export interface BareRun {
  readonly text: string;
  readonly instructions: number;
  /** Of them, how many the translator looked at: 0 where nothing is translated. */
  readonly translated: number;
}

/** Run one program `times` times on the model's CPU, interpreted or as `eagerness` says. */
export function runBare(image: Uint8Array, name: ProgramName, times = 1, eagerness?: Eagerness): BareRun {
  const { cpu, memory } = new FlatMachine(image, MiB(16));
  if (eagerness !== undefined) cpu.translate(eagerness);
  [PROGRAMS.indexOf(name), TEXT, times].forEach((value, index) => {
    cpu.setRegister([7, 6, 2][index]!, BigInt(value));
  });
  cpu.setRegister(RSP, BigInt(STACK));
  const reason = cpu.run(LIMIT);
  if (reason !== EXIT_REASON.HLT) {
    const what = cpu.unsupported?.text ?? `vector ${cpu.lastException?.vector}`;
    throw new Error(
      `${name} ended with exit reason ${reason} at 0x${cpu.rip.toString(16)} (${what}); code is at 0x${CODE.toString(16)}`,
    );
  }
  const length = Number(cpu.register(RAX));
  return {
    text: Buffer.from(memory.bytes.subarray(TEXT, TEXT + length)).toString('latin1'),
    instructions: cpu.retired,
    translated: cpu.translation?.instructions ?? 0,
  };
}

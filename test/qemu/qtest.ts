/** Debian's QEMU as an oracle: a machine without a working CPU that does accesses for us (`-qtest stdio`). */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const QEMU = 'qemu-system-x86_64';
export const qemuVersion = (): string | undefined => {
  const { status, stdout } = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
  return status === 0 ? /version (\S+)/.exec(stdout)?.[1] : undefined;
};

/**
 * Each command is a qtest line (`outl 0xcf8 0x80000000`, `readl 0xe0000000`); returns what the `in`s and `read`s answered.
 * `clock_step NS` lets time pass: then the machine runs, with a BIOS that halts, since a stopped machine's clock stands still.
 */
export function qtest(argv: readonly string[], commands: readonly string[]): number[] {
  const sent = commands.filter((command) => !command.startsWith('clock_step'));
  const answers = linesOf(run(argv, commands).stdout).filter((line) => /^OK|^FAIL/.test(line));
  if (answers.length < sent.length) throw new Error(`qtest answered ${answers.length} of ${sent.length}`);
  return sent.flatMap((command, i) => (/^(in|read)/.test(command) ? [Number(answers[i]!.slice(3))] : []));
}

/** What `-trace EVENTS` tells, QEMU's start and end included. */
export const qtestTrace = (argv: readonly string[], commands: readonly string[], events: string): string[] =>
  linesOf(run([...argv, '-trace', events], commands).stderr);

/** Of accesses' lines those of the region called `name`, without its pointer. */
export const accessesTo = (name: RegExp, lines: readonly string[]): string[] =>
  lines.filter((line) => name.test(/'(.*)'$/.exec(line)?.[1] ?? '')).map((line) => line.replace(/ mr \S+/, ''));

const linesOf = (output: string): string[] => output.trimEnd().split('\n');

function run(
  argv: readonly string[],
  commands: readonly string[],
): { readonly stdout: string; readonly stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'qtest-'));
  try {
    return runIn(folder, argv, commands);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function runIn(folder: string, argv: readonly string[], commands: readonly string[]) {
  const timed = commands.some((command) => command.startsWith('clock_step'));
  const machine = ['-M', 'pc', '-nodefaults', '-display', 'none', '-qtest', 'stdio', '-qtest-log', '/dev/null'];
  const standing = timed ? ['-bios', haltingBios(folder)] : ['-S'];
  // QEMU does not end with its input, so the last access makes it.
  const ending = ['-device', 'isa-debug-exit,iobase=0x8f4'];
  const lines = [...commands, 'outb 0x8f4 0'].map((command) => {
    const step = /^clock_step (\d+)$/.exec(command)?.[1];
    return step === undefined ? `echo ${command}` : `sleep ${(Number(step) / 1e9) * 1.5 + 0.1}`;
  });
  // QEMU must be reading before the first pause begins.
  if (timed) lines.unshift('sleep 1.5');
  const script = join(folder, 'commands.sh');
  writeFileSync(script, lines.join('\n'));
  const words = [...machine, ...standing, ...ending, ...argv].map((word) => `'${word}'`).join(' ');
  const options = { encoding: 'utf8', timeout: 20_000, maxBuffer: 1 << 24 } as const;
  return spawnSync('sh', ['-c', `sh ${script} | ${QEMU} ${words}`], options);
}

/** 64 KiB of firmware whose first instructions, at the reset vector, are `cli; hlt`. */
function haltingBios(folder: string): string {
  const image = new Uint8Array(0x1_0000);
  image.set([0xfa, 0xf4], 0xfff0);
  const path = join(folder, 'bios.bin');
  writeFileSync(path, image);
  return path;
}

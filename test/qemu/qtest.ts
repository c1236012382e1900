/** Debian's QEMU as an oracle: a machine that stands still and does port accesses for us (`-qtest stdio`). */

import { spawnSync } from 'node:child_process';

const QEMU = 'qemu-system-x86_64';
export const qemuVersion = (): string | undefined => {
  const { status, stdout } = spawnSync(QEMU, ['--version'], { encoding: 'utf8' });
  return status === 0 ? /version (\S+)/.exec(stdout)?.[1] : undefined;
};

/** Each command is a qtest line (`outl 0xcf8 0x80000000`, `inl 0xcfc`); returns what the `in`s answered. */
export function qtest(argv: readonly string[], commands: readonly string[]): number[] {
  const machine = ['-M', 'pc', '-nodefaults', '-display', 'none', '-S', '-qtest', 'stdio', '-qtest-log', '/dev/null'];
  // QEMU does not end with its input, so the last access makes it.
  const input = `${[...commands, 'outb 0x8f4 0'].join('\n')}\n`;
  const options = { input, encoding: 'utf8', timeout: 20_000, maxBuffer: 1 << 24 } as const;
  const ending = ['-device', 'isa-debug-exit,iobase=0x8f4'];
  const { stdout, stderr } = spawnSync(QEMU, [...machine, ...ending, ...argv], options);
  const answers = stdout.split('\n').filter((line) => /^OK|^FAIL/.test(line));
  if (answers.length < commands.length) {
    throw new Error(`qtest answered ${answers.length} of ${commands.length}: ${stderr}`);
  }
  return commands.flatMap((command, i) => (command.startsWith('in') ? [Number(answers[i]!.slice(3))] : []));
}

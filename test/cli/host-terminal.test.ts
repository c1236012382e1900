/** `gvm host` on a terminal: Tab completes, the arrow keys go back in history, Ctrl-D ends. util-linux's script(1) gives it a terminal. */

import { spawn, spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { COMMAND, ROOT } from './gvm.ts';

const has = spawnSync('script', ['--version']).status === 0;
const [TAB, UP, ENTER, END] = ['\t', '\u001b[A', '\r', '\u0004'];

/** A session with `keys`: each is typed when the terminal shows the text before it. Returns all that was shown, and the status. */
function type(
  keys: readonly (readonly [shown: string, key: string])[],
): Promise<{ screen: string; status: number | null }> {
  return new Promise((resolve) => {
    const shell = spawn('script', ['-qec', `'${process.execPath}' '${COMMAND}' host`, '/dev/null'], { cwd: ROOT });
    const left = [...keys];
    let screen = '';
    let from = 0;
    shell.stdout.on('data', (bytes) => {
      screen += bytes;
      while (left.length > 0) {
        const [shown, key] = left[0]!;
        const at = screen.indexOf(shown, from);
        if (at < 0) return;
        from = at + shown.length;
        left.shift();
        shell.stdin.write(key);
      }
    });
    shell.on('close', (status) => resolve({ screen, status }));
  });
}

test.skipIf(!has)(
  'paths are completed, commands come back, and the last one gives the status',
  { timeout: 60_000 },
  async () => {
    const { screen, status } = await type([
      ['host# ', `ls /sys/cl${TAB}`],
      ['/sys/class/', `mdev_b${TAB}`],
      ['mdev_bus/', ENTER],
      ['host# ', UP],
      ['ls /sys/class/mdev_bus/', ENTER],
      ['host# ', `cat /nosuch${ENTER}`],
      ['No such file or directory', END],
    ]);
    expect(screen).toContain('cat: /nosuch: No such file or directory');
    expect(status).toBe(2);
  },
);

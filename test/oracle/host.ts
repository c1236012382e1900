/** The host CPU, by way of native.c. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { have } from './have.ts';

/** Whether native.c can be built and run here. */
export const hostAnswers = process.arch === 'x64' && process.platform === 'linux' && have('gcc');

/** A built native.c; `close` removes it. */
export class Host {
  readonly #folder = mkdtempSync(join(tmpdir(), 'gvm-oracle-'));
  readonly #program = join(this.#folder, 'native');

  constructor() {
    execFileSync('gcc', ['-O1', '-o', this.#program, new URL('native.c', import.meta.url).pathname]);
  }

  /** Run records, one behind the other; the same number comes back. */
  run(input: Buffer): Buffer {
    const { stdout, signal, status } = spawnSync(this.#program, { input, maxBuffer: input.length + 1 });
    if (stdout.length !== input.length)
      throw new Error(
        `the native runner ended early (${signal ?? status}) after ${stdout.length} of ${input.length} bytes`,
      );
    return stdout;
  }

  close(): void {
    rmSync(this.#folder, { recursive: true });
  }
}

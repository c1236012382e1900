/** Runs the built command as a user does, in a folder of its own. */

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export const COMMAND = new URL('../../dist/gvm.js', import.meta.url).pathname;
export const ROOT = new URL('../..', import.meta.url).pathname;

export interface Ran {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Run gvm with `args` in the project's folder. */
export function gvm(...args: string[]): Ran {
  return gvmIn(ROOT, args);
}

function gvmIn(folder: string, args: readonly string[], environment: NodeJS.ProcessEnv = {}): Ran {
  // What these test is a developer's gvm, whoever runs the tests; a test of gvm in CI sets CI itself.
  const env = { ...process.env, CI: undefined, GITHUB_ACTIONS: undefined, ...environment };
  const { status, stdout, stderr } = spawnSync(process.execPath, [COMMAND, ...args], {
    cwd: folder,
    encoding: 'utf8',
    env,
    maxBuffer: 1 << 28,
  });
  return { status, stdout, stderr };
}

/** Run gvm in the project's folder with more environment variables. */
export const gvmUnder = (environment: NodeJS.ProcessEnv, ...args: string[]): Ran => gvmIn(ROOT, args, environment);

/** Run gvm in a temporary folder that holds `files`. */
export const gvmWith = (files: Readonly<Record<string, string | Uint8Array>>, ...args: string[]): Ran =>
  gvmWithUnder({}, files, ...args);

/** Run gvm in a temporary folder that holds `files`, with more environment variables. */
export function gvmWithUnder(
  environment: NodeJS.ProcessEnv,
  files: Readonly<Record<string, string | Uint8Array>>,
  ...args: string[]
): Ran {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-test-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, name)), { recursive: true });
      writeFileSync(join(folder, name), content);
    }
    return gvmIn(folder, args, environment);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

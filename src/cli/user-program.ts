/** Programs of the user's own on the modeled host (uapi/user-api.ts): loaded from their files, run in processes of their own. */

import { existsSync } from 'node:fs';
import { basename, isAbsolute, join, resolve } from 'node:path';
import { GAVE_PROMISE, isPromise, shown } from '../foreign-value.ts';
import type { Kernel } from '../linux/core/kernel.ts';
import { isDriverFault } from '../linux/drivers/driver-fault.ts';
import type { Program } from '../linux/uapi/user-api.ts';
import { checkedProcess } from './checked-process.ts';
import { EXIT } from './exit-status.ts';
import { UsageError } from './usage-error.ts';
import { firstLine, loadUserFile, placeOf } from './user-file.ts';
import { userUapi } from './user-uapi.ts';

/** Whether a word of a command line names such a program rather than a command. */
export const isProgram = (word: string): boolean => word.includes('/') && /\.(?:ts|js|mjs|cjs|mts)$/.test(word);

/** A program that could not go on: it threw, or returned what is no exit status. The message has its place. */
export class ProgramFault extends UsageError {
  constructor(message: string) {
    super(`${message}\ngvm: a program of your own failed`, EXIT.HOST_FAILED);
  }
}

/** Who has an eye on programs: told of a file before its code runs, and of each system call. */
export interface ProgramWatch {
  loading(file: string): void;
  called(): void;
}

/** Run the program in `file`, which begins at `folder` if it is relative; `stdio` gets what it prints. Returns its exit status. */
export function runUserProgram(
  kernel: Kernel,
  file: string,
  folder: string,
  args: readonly string[],
  stdio: (fd: 1 | 2, bytes: Uint8Array) => void,
  watch: ProgramWatch,
): number {
  const path = isAbsolute(file) || folder === '.' ? file : `./${join(folder, file)}`;
  if (!existsSync(resolve(path))) throw new UsageError(`${file}: No such file or directory`);
  watch.loading(path);
  const main = loadUserFile(path, file, { 'gvm/uapi': userUapi });
  if (typeof main !== 'function') throw new UsageError(`${path}: error: the default export is no function`);
  const { process, user } = kernel.spawn(basename(path).replace(/\.\w+$/, ''), stdio);
  const status: unknown = call(path, () =>
    (main as Program)(
      checkedProcess(user, () => watch.called()),
      args,
    ),
  );
  process.exit();
  if (isPromise(status))
    throw new ProgramFault(`${path}: error: the program ${GAVE_PROMISE.replace('a callback', 'a program')}`);
  if (Number.isInteger(status) && (status as number) >= 0 && (status as number) <= 255) return status as number;
  throw new ProgramFault(`${path}: error: the program returned ${shown(status)}, no exit status from 0 to 255`);
}

function call(path: string, run: () => number): number {
  try {
    return run();
  } catch (error) {
    if (isDriverFault(error)) throw error;
    throw new ProgramFault(`${placeOf(path, error) ?? path}: error: ${firstLine(error)}`);
  }
}

/** `-device ./mydev.ts`: a user's own device, loaded from its file, and the place in that file when it fails. */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { createJiti } from 'jiti';
import type { DeviceFault } from '../qemu/device-fault.ts';
import type { DeviceModel } from '../qemu/hw/device-model.ts';
import { userDeviceModel } from '../qemu/hw/user-device.ts';
import { UsageError } from './usage-error.ts';

/** The word before the first comma of a `-device`, if it names a file and no model. */
const fileOf = (device: string): string | undefined =>
  /^(?:\.{0,2}\/[^,]+|[^,=]+\.(?:ts|js|mjs|cjs|mts))(?=,|$)/.exec(device)?.[0];

/** A program's own devices lie beside it: their paths, relative to `folder`, become relative to where gvm runs. */
export const anchorDevices = (qemu: readonly string[], folder: string): readonly string[] =>
  qemu.map((word, index) => {
    const file = qemu[index - 1] === '-device' ? fileOf(word) : undefined;
    if (file === undefined || isAbsolute(file)) return word;
    return `./${join(folder, file)}${word.slice(file.length)}`;
  });

/** Load every file that the options name; by the name they use for it. */
export function loadUserDevices(qemu: readonly string[]): readonly DeviceModel[] {
  const files = qemu.flatMap((word, index) => (qemu[index - 1] === '-device' ? (fileOf(word) ?? []) : []));
  return [...new Set(files)].map((file) => userDeviceModel(file, load(file)));
}

/** The default export of a TypeScript or JavaScript module. */
function load(file: string): unknown {
  const path = resolve(file);
  if (!existsSync(path)) throw new UsageError(`gvm: -device ${file}: there is no such file`);
  // Errors are to name the lines of the user's file, not of what it was compiled to.
  process.setSourceMapsEnabled(true);
  const jiti = createRequire(import.meta.url)('jiti') as { readonly createJiti: typeof createJiti };
  try {
    const load = jiti.createJiti(path, { fsCache: false, moduleCache: false, sourceMaps: true });
    return (load(path) as { readonly default?: unknown }).default;
  } catch (error) {
    throw new UsageError(`${placeOf(file, error) ?? file}: error: ${firstLine(error)}`);
  }
}

/** What a fault of a user's device says: place, which part of the device, what it did. */
export function describeFault(fault: DeviceFault): string {
  const place = placeOf(fault.file, fault.cause) ?? placeOfRegister(fault) ?? fault.file;
  return `${place}: error: ${fault.where}: ${fault.message}`;
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!.replace(/^.*?Error: /, '');

/** `./mydev.ts:12`: the innermost frame in the file (its columns are the compiler's); or what a syntax error says. */
function placeOf(file: string, error: unknown): string | undefined {
  const text = error instanceof Error ? `${error.stack}` : '';
  const path = resolve(file).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const frame = new RegExp(`${path}:(\\d+):\\d+`).exec(text);
  if (frame !== null) return `${file}:${frame[1]}`;
  const syntax = /\((\d+):(\d+)\)/.exec(text);
  return syntax === null ? undefined : `${file}:${syntax[1]}:${syntax[2]}`;
}

/** Where the register is described: the line that has its name as a string. */
function placeOfRegister({ file, register }: DeviceFault): string | undefined {
  if (register === undefined) return undefined;
  const lines = readFileSync(resolve(file), 'utf8').split('\n');
  const line = lines.findIndex((text) => ["'", '"', '`'].some((quote) => text.includes(`${quote}${register}${quote}`)));
  return line < 0 ? undefined : `${file}:${line + 1}`;
}

/** Folder of a program, as its options see it. */
export const folderOf = (program: string): string => relative('.', dirname(resolve(program))) || '.';

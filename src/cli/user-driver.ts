/** `insmod ./mydriver.ts`: a user's own host driver, loaded from its file, and the place in that file when it fails. */

import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { saidBy } from '../foreign-value.ts';
import type { Kernel } from '../linux/core/kernel.ts';
import type { DriverFault } from '../linux/drivers/driver-fault.ts';
import { UserDriver } from '../linux/drivers/user-driver.ts';
import type { ModuleFile } from './host-commands.ts';
import { loadUserFile, placeOf, placeOfLine, UnloadableFile } from './user-file.ts';
import { userUapi } from './user-uapi.ts';

/** Put the module in `file` where init_module finds it; a relative path begins at `folder`, and `loading` is told of it before its code runs. The errors are those of kmod's insmod. */
export function loadUserDriver(
  kernel: Kernel,
  file: string,
  folder: string,
  loading: (file: string) => void = () => {},
): ModuleFile {
  const path = isAbsolute(file) || folder === '.' ? file : `./${join(folder, file)}`;
  if (!existsSync(resolve(path))) return { error: `could not load module ${file}: No such file or directory` };
  loading(path);
  const driver = new UserDriver(kernel, path);
  try {
    const modules = { 'gvm/driver': () => driver.exports, 'gvm/uapi': userUapi };
    const module = driver.module(loadUserFile(path, `insmod ${file}`, modules));
    // The one that is loaded keeps its functions: rmmod has to find them.
    if (kernel.modules.find(module.name) === undefined) kernel.modules.register(module);
    return { name: module.name };
  } catch (error) {
    const why =
      error instanceof UnloadableFile ? error.message : `${placeOf(path, error) ?? path}: error: ${saidBy(error)}`;
    return { error: `could not insert module ${file}: Invalid module format\n   = note: ${why}` };
  }
}

/** What a fault of a user's driver says: place, which of its functions, what it did. */
export function describeDriverFault({ file, where, callback, message, cause }: DriverFault): string {
  const place = placeOf(file, cause) ?? placeOfCallback(file, callback) ?? file;
  return `${place}: error: ${where}: ${message}`;
}

/** Where the driver has it as a property or declares it; of what it hands to the kernel, the call that does. */
const placeOfCallback = (file: string, name: string): string | undefined =>
  placeOfLine(file, new RegExp(`(?<![.\\w])${name}\\s*(?::|=|\\(.*\\{)`)) ??
  placeOfLine(file, new RegExp(`\\b${name}\\s*\\(`));

/** `-device ./mydev.ts`: a user's own device, loaded from its file, and the place in that file when it fails. */

import { isAbsolute, join } from 'node:path';
import type { DeviceFault } from '../qemu/device-fault.ts';
import type { DeviceModel } from '../qemu/hw/device-model.ts';
import { userDeviceModel } from '../qemu/hw/user-device.ts';
import { loadUserFile, placeOf, placeOfLine } from './user-file.ts';
import { userUapi } from './user-uapi.ts';

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

/** Load every file that the options name, by the name they use for it; `loading` is told of each before its code runs. */
export function loadUserDevices(qemu: readonly string[], loading: (file: string) => void): readonly DeviceModel[] {
  const files = new Set(qemu.flatMap((word, index) => (qemu[index - 1] === '-device' ? (fileOf(word) ?? []) : [])));
  for (const file of files) loading(file);
  return [...files].map((file) =>
    userDeviceModel(file, loadUserFile(file, `-device ${file}`, { 'gvm/uapi': userUapi })),
  );
}

/** What a fault of a user's device says: place, which part of the device, what it did. */
export function describeFault(fault: DeviceFault): string {
  const place = placeOf(fault.file, fault.cause) ?? placeOfRegister(fault) ?? placeOfCallback(fault) ?? fault.file;
  return `${place}: error: ${fault.where}: ${fault.message}`;
}

/** Where one of the device's own functions begins, such as `reset`. */
function placeOfCallback({ file, where }: DeviceFault): string | undefined {
  if (!/^\w+$/.test(where)) return undefined;
  return placeOfLine(file, new RegExp(`(?<![.\\w])${where}\\b\\s*(?:\\(|:\\s*(?:async\\b|function\\b|\\())`));
}

/** Where the register is described: the line that has its name as a string. */
function placeOfRegister({ file, register }: DeviceFault): string | undefined {
  if (register === undefined) return undefined;
  const name = register.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return placeOfLine(file, new RegExp(`(['"\`])${name}\\1`));
}

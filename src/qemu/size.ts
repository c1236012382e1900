/** Sizes on the command line (util/cutils.c: qemu_strtosz): `64M`, `1.5G`, or without a suffix a number of `unit` bytes. */

import { GiB, MiB } from '../address.ts';

const SUFFIXES: Readonly<Record<string, number>> = { b: 1, k: 1024, m: MiB(1), g: GiB(1), t: GiB(1024) };

/** Bytes, or undefined if `text` is no size. */
export function parseSize(text: string, unit: number): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([bkmgt]?)$/i.exec(text);
  if (match === null) return undefined;
  const suffix = match[2]!.toLowerCase();
  return Number(match[1]) * (suffix === '' ? unit : SUFFIXES[suffix]!);
}

/** Sizes on the command line (util/cutils.c: qemu_strtosz): `64M`, `1.5G`, or without a suffix a number of `unit` bytes. */

import { GiB, MiB } from '../address.ts';

const SUFFIXES: Readonly<Record<string, number>> = {
  b: 1,
  k: 1024,
  m: MiB(1),
  g: GiB(1),
  t: GiB(1024),
  p: 2 ** 50,
  e: 2 ** 60,
};

/** Bytes, or undefined if `text` is no size. There are no parts of a byte, and no bytes from 2^64 on. */
export function parseSize(text: string, unit: number): number | undefined {
  const match = /^(0x[\da-f]+|\d+(\.\d+)?)([bkmgtpe]?)$/i.exec(text);
  if (match === null) return undefined;
  const suffix = match[3]!.toLowerCase();
  const multiplier = suffix === '' ? unit : SUFFIXES[suffix]!;
  if (match[2] !== undefined && multiplier === 1) return undefined;
  const size = Math.floor(Number(match[1]) * multiplier);
  return size < 2 ** 64 ? size : undefined;
}

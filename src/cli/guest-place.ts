/** A place in the guest, as messages name it. */

import type { Location } from '../../lang/object/symbolize.ts';
import type { GuestProgram } from './guest-program.ts';

/** `rip 0x… probe+0x12 (file.gasm:34)`. */
export function guestPlace(program: GuestProgram, rip: bigint): string {
  const at = program.symbolizer().symbolize(rip);
  return `rip 0x${rip.toString(16)}${at === undefined ? '' : describe(at)}`;
}

/** `file.gasm:34`; where no line is known, the symbol or the address. */
export function guestLine(program: GuestProgram, rip: bigint): string {
  const at = program.symbolizer().symbolize(rip);
  if (at === undefined) return `0x${rip.toString(16)}`;
  return at.file === undefined ? `${at.symbol}+0x${at.offset.toString(16)}` : `${at.file}:${at.line}`;
}

/** QEMU knows addresses only: `rip 0x…` in its message becomes what `placeOf` says of it. */
export const withPlaces = (message: string, placeOf: (rip: bigint) => string): string =>
  message.replace(/\brip 0x([0-9a-f]+)\b/g, (_, rip: string) => placeOf(BigInt(`0x${rip}`)));

function describe({ symbol, offset, file, line }: Location): string {
  const where = file === undefined ? '' : ` (${file}:${line})`;
  return ` ${symbol}+0x${offset.toString(16)}${where}`;
}

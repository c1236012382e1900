/** The guest's instructions by address, as reports name them: text, symbol and source line. */

import { decode } from '../../lang/isa/decode.ts';
import { format } from '../../lang/isa/format.ts';
import { type ElfSegment, readElf } from '../../lang/object/read-elf.ts';
import { guestPlace } from './guest-place.ts';
import type { GuestProgram } from './guest-program.ts';

const PT_LOAD = 1;

/** Reads the program's image; code that the guest writes at run time is not in it. */
export class GuestCode {
  readonly #program: GuestProgram;
  readonly #known = new Map<bigint, string>();
  #segments: readonly ElfSegment[] | undefined;

  constructor(program: GuestProgram) {
    this.#program = program;
  }

  /** `out dx, eax   rip 0x… outl+0x4 (file:line)`; the text is missing where the image has no instruction. */
  at(rip: bigint): string {
    let name = this.#known.get(rip);
    if (name === undefined) {
      const text = this.text(rip);
      const place = guestPlace(this.#program, rip);
      name = text === undefined ? place : `${text}   ${place}`;
      this.#known.set(rip, name);
    }
    return name;
  }

  /** The instruction at `rip`, disassembled; undefined where the image has none. */
  text(rip: bigint): string | undefined {
    const found = this.#find(rip);
    if (found === undefined) return undefined;
    const decoded = decode(found.data, found.offset, found.data.length, 'long');
    return 'failure' in decoded ? undefined : format(decoded, rip);
  }

  /** Whether `address` may be a return address: a near CALL stands before it (SDM vol. 2: E8 cd, FF /2). */
  followsCall(address: bigint): boolean {
    const found = this.#find(address);
    if (found === undefined) return false;
    const { data, offset } = found;
    if (data[offset - 5] === 0xe8) return true;
    return [2, 3, 6, 7].some(
      (length) => data[offset - length] === 0xff && ((data[offset - length + 1] ?? 0) & 0x38) === 0x10,
    );
  }

  #find(address: bigint): { readonly data: Uint8Array; readonly offset: number } | undefined {
    this.#segments ??= readElf(this.#program.image, this.#program.name).segments.filter(({ type }) => type === PT_LOAD);
    for (const { virtualAddress, data } of this.#segments) {
      const offset = address - virtualAddress;
      if (offset >= 0n && offset < BigInt(data.length)) return { data, offset: Number(offset) };
    }
    return undefined;
  }
}

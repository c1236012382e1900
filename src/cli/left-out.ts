/** Instructions that gvm leaves out, in words. */

import { foreignInstruction } from '../../lang/isa/foreign.ts';

/** What kind of instruction it is, by its first bytes (SDM vol. 2 app. A). */
function family(bytes: Uint8Array): string {
  const first = bytes.find((byte) => byte !== 0x66 && byte !== 0xf2 && byte !== 0xf3 && (byte & 0xf0) !== 0x40) ?? 0;
  if (first === 0xc4 || first === 0xc5) return 'AVX';
  if (first === 0x62) return 'AVX-512';
  return first === 0x0f ? 'SSE or MMX' : 'x87';
}

/** An instruction that is left out. */
export interface LeftOut {
  /** Its mnemonic, or what kind it is where nothing has that opcode. */
  readonly name: string;
  /** With its article, for a sentence. */
  readonly text: string;
  /** Its own bytes, as far as they could be read. */
  readonly bytes: Uint8Array;
}

/** The instruction that `bytes` begin with. */
export function leftOut(bytes: Uint8Array): LeftOut {
  const found = foreignInstruction(bytes);
  const kind = family(bytes);
  return {
    name: found?.mnemonic ?? kind,
    text: found?.mnemonic === undefined ? `this ${kind} instruction` : `the ${kind} instruction ${found.mnemonic}`,
    bytes: bytes.subarray(0, found?.length ?? bytes.length),
  };
}

/** What `align` puts into a gap (NASM manual §6.2, `%use smartalign`): bytes that run as nothing, or are jumped over. */

export const NOP = Uint8Array.of(0x90);

/** How `align` pads after `%use smartalign`: a table of fillers, and the gap beyond which it jumps. */
export interface Padding {
  readonly fillers: readonly string[];
  readonly threshold: number;
}

/** Prefixed nops (K7, K8): 1 to 8 bytes. */
const PREFIXED = [
  '90',
  '6690',
  '666690',
  '66666690',
  '6666669090',
  '666666906690',
  '66666690666690',
  '6666669066666690',
];
/** `nop` with a memory operand (P6): 1 to 8 bytes. */
const LONG = '90 6690 0f1f00 0f1f4000 0f1f440000 660f1f440000 0f1f8000000000 0f1f840000000000'.split(' ');

/** Fillers of each mode, and the threshold where the program names none. */
export const MODES: ReadonlyMap<string, Padding> = new Map([
  ['generic', { fillers: PREFIXED, threshold: 8 }],
  ['nop', { fillers: ['90'], threshold: 16 }],
  ['p6', { fillers: LONG, threshold: 16 }],
  ['k7', { fillers: PREFIXED, threshold: 16 }],
  ['k8', { fillers: PREFIXED, threshold: 16 }],
]);

/** Beyond the threshold a jump over nops, else the longest fillers first. */
export function smartPadding(gap: number, { fillers, threshold }: Padding): Uint8Array {
  if (gap > threshold) return jumpOver(gap);
  const bytes: number[] = [];
  while (bytes.length < gap) {
    const filler = fillers[Math.min(gap - bytes.length, fillers.length) - 1]!;
    bytes.push(...Buffer.from(filler, 'hex'));
  }
  return Uint8Array.from(bytes);
}

/** `jmp` in its shortest form, then nops. */
function jumpOver(gap: number): Uint8Array {
  const bytes = new Uint8Array(gap).fill(NOP[0]!);
  if (gap - 2 <= 127) {
    bytes.set([0xeb, gap - 2]);
  } else {
    bytes[0] = 0xe9;
    new DataView(bytes.buffer).setUint32(1, gap - 5, true);
  }
  return bytes;
}

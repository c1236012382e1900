/** x87 instructions by their opcode (SDM vol. 2 app. A.5). */

export const FWAIT = 0x9b;

const PREFIXES: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);

/** D8–DF or {@link FWAIT}, if `bytes` begin with an x87 instruction. */
export function x87Opcode(bytes: Uint8Array): number | undefined {
  const opcode = bytes.find((byte) => !PREFIXES.has(byte) && (byte & 0xf0) !== 0x40);
  return opcode !== undefined && ((opcode & 0xf8) === 0xd8 || opcode === FWAIT) ? opcode : undefined;
}

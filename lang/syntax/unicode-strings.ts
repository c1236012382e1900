/** Strings in UTF-16 and UTF-32 (NASM manual §3.4.5): `__?utf16?__('text')`, with or without a byte order. */

/** The functions' names without their `__?` `?__`. */
export const UNICODE_ENCODINGS = ['utf16', 'utf16le', 'utf16be', 'utf32', 'utf32le', 'utf32be'] as const;

/** The functions' names. */
export const STRING_FUNCTIONS: readonly string[] = UNICODE_ENCODINGS.map((name) => `__?${name}?__`);

/** The bytes that the function of that name makes of UTF-8; undefined where they are none. */
export function unicodeString(name: string, utf8: Uint8Array): Uint8Array | undefined {
  const encoding = name.toLowerCase();
  const [unit, little] = [encoding.includes('utf16') ? 2 : 4, !encoding.includes('be')];
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(utf8);
  } catch {
    return undefined;
  }
  const codes =
    unit === 2 ? text.split('').map((half) => half.charCodeAt(0)) : [...text].map((each) => each.codePointAt(0)!);
  const view = new DataView(new ArrayBuffer(codes.length * unit));
  for (const [index, code] of codes.entries()) {
    if (unit === 2) view.setUint16(index * 2, code, little);
    else view.setUint32(index * 4, code, little);
  }
  return new Uint8Array(view.buffer);
}

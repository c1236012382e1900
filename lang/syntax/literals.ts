/**
 * Numbers and strings as NASM 2.16 writes them (manual §3.4.1–3.4.3, §3.4.7).
 */

const RADIX: Readonly<Record<string, number>> = { b: 2, y: 2, o: 8, q: 8, h: 16, x: 16, d: 10, t: 10 };

/**
 * Value of a number word, or undefined where it is none: `0x1f`, `1fh`, `$1f`, `0b1010`, `1010b`, `0o17`, `17q`, `0d9`, `9t`, with
 * underscores anywhere. A radix letter in front and one behind may both be read; the larger radix wins (NASM's readnum).
 */
export function parseNumber(word: string): bigint | undefined {
  if (PLAIN.test(word)) return BigInt(word);
  if (word.startsWith('$')) return digits(word.slice(1), 16);
  const prefix = word[0] === '0' ? (RADIX[word[1]?.toLowerCase() ?? ''] ?? 0) : 0;
  const suffix = RADIX[word.at(-1)!.toLowerCase()] ?? 0;
  if (prefix > suffix) return digits(word.slice(2), prefix);
  if (suffix > prefix) return digits(word.slice(0, -1), suffix);
  return digits(word, 10);
}

const PLAIN = /^(?:\d+|0x[0-9A-Fa-f]+)$/;

/** Value of a decimal floating-point word (`1.5`, `2e-3`), or undefined. */
export function parseFloatingPoint(word: string): number | undefined {
  return /^\d[\d_]*(?:\.[\d_]*)?(?:[eE][+-]?\d+)?$/.test(word) && /[.eE]/.test(word)
    ? Number(word.replaceAll('_', ''))
    : undefined;
}

const DIGITS: Readonly<Record<number, RegExp>> = {
  2: /^[01]+$/,
  8: /^[0-7]+$/,
  10: /^\d+$/,
  16: /^[0-9A-Fa-f]+$/,
};
const INTRODUCTION: Readonly<Record<number, string>> = { 2: '0b', 8: '0o', 10: '', 16: '0x' };

function digits(text: string, radix: number): bigint | undefined {
  const plain = text.replaceAll('_', '');
  return DIGITS[radix]!.test(plain) ? BigInt(INTRODUCTION[radix] + plain) : undefined;
}

const encoder = new TextEncoder();
const ESCAPES: Readonly<Record<string, number>> = {
  a: 7,
  b: 8,
  t: 9,
  n: 10,
  v: 11,
  f: 12,
  r: 13,
  e: 27,
};

/** Bytes of a string token with its quotes. Only backquotes know escapes; a `?` escape stands for itself. */
export function stringBytes(image: string): Uint8Array {
  const body = image.slice(1, -1);
  return image[0] === '`' && body.includes('\\') ? unescaped(body) : encoder.encode(body);
}

function unescaped(body: string): Uint8Array {
  const bytes: number[] = [];
  const pattern = /\\(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([\s\S]))|[^\\]+/gu;
  for (const match of body.matchAll(pattern)) {
    const [whole, hex, octal, short, long, letter] = match;
    if (hex !== undefined) bytes.push(Number.parseInt(hex, 16));
    else if (octal !== undefined) bytes.push(Number.parseInt(octal, 8) & 0xff);
    else if (short !== undefined || long !== undefined) bytes.push(...utf8(Number.parseInt((short ?? long)!, 16)));
    else if (letter !== undefined) bytes.push(...letterEscape(letter));
    else bytes.push(...encoder.encode(whole));
  }
  return Uint8Array.from(bytes);
}

function letterEscape(letter: string): Iterable<number> {
  const code = ESCAPES[letter];
  return code === undefined ? encoder.encode(letter) : [code];
}

function utf8(code: number): Iterable<number> {
  return encoder.encode(code <= 0x10ffff ? String.fromCodePoint(code) : '\ufffd');
}

/** A string as a number: its first eight bytes, least significant first. */
export function stringValue(bytes: Uint8Array): bigint {
  let value = 0n;
  for (let i = Math.min(bytes.length, 8) - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return value;
}

/**
 * A string token for these bytes: in quotes where none stand in it, else in backquotes with escapes. Bytes that are no UTF-8 are
 * escaped, too.
 */
export function quoteBytes(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes);
  const isText = !text.includes('\ufffd');
  if (isText && text.search(CONTROL) < 0) {
    if (!text.includes("'")) return `'${text}'`;
    if (!text.includes('"')) return `"${text}"`;
  }
  return isText ? `\`${escaped(text)}\`` : `\`${Array.from(bytes, (byte) => octal(byte)).join('')}\``;
}

function escaped(text: string): string {
  return text.replace(/[\\`]/g, '\\$&').replace(CONTROL, (character) => {
    const code = character.charCodeAt(0);
    return LETTERS.get(code) ?? octal(code);
  });
}

/** Three digits, so that a digit behind it is not read as part of it. */
function octal(byte: number): string {
  return `\\${byte.toString(8).padStart(3, '0')}`;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must be escaped
const CONTROL = /[\u0000-\u001f\u007f]/g;
const LETTERS: ReadonlyMap<number, string> = new Map(
  Object.entries(ESCAPES).map(([letter, code]) => [code, `\\${letter}`]),
);

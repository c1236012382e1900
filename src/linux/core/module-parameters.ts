/** Module parameters as text: `key=value key="a b"` (kernel/params.c, lib/cmdline.c next_arg). */

/** `integer` is param_ops_int: 32 bits, any base; `boolean` takes y, n, 1, 0, on, off. */
export type ParameterKind = 'integer' | 'string' | 'boolean';
export type ParameterValue = number | string | boolean;

/** Split at blanks outside double quotes. A bare `key` has no value. */
export function splitParameters(text: string): readonly { key: string; value: string | undefined }[] {
  const words = text.match(/(?:"[^"]*"?|[^\s"])+/g) ?? [];
  const unquote = (quoted: string) => quoted.replace(/^"|"$/g, '');
  return words.map((quoted) => {
    // Quotes may stand around the value or around the whole word.
    const word = quoted.startsWith('"') ? unquote(quoted) : quoted;
    const at = word.indexOf('=');
    if (at < 0) return { key: word, value: undefined };
    return { key: word.slice(0, at).replaceAll('-', '_'), value: unquote(word.slice(at + 1)) };
  });
}

/** The value that `text` stands for, or undefined if it does not suit. */
export function parseParameter(kind: ParameterKind, text: string | undefined): ParameterValue | undefined {
  switch (kind) {
    case 'string':
      return text;
    case 'integer':
      return text === undefined ? undefined : parseInteger(text);
    case 'boolean':
      // A boolean without a value is true (param_set_bool).
      if (text === undefined) return true;
      if (/^([yYtT1]|[oO][nN])/.test(text)) return true;
      return /^([nNfF0]|[oO][fF])/.test(text) ? false : undefined;
  }
}

/** As the file in /sys/module/NAME/parameters shows it. */
export function showParameter(kind: ParameterKind, value: ParameterValue): string {
  return kind === 'boolean' ? `${value ? 'Y' : 'N'}\n` : `${value}\n`;
}

/** Whether `text` is an integer, but of more than the 32 bits that {@link parseParameter} takes (ERANGE). */
export const isTooWide = (kind: ParameterKind, text: string): boolean =>
  kind === 'integer' && integerIn(text) !== undefined && parseInteger(text) === undefined;

/** kstrtoint. */
function parseInteger(text: string): number | undefined {
  const value = integerIn(text);
  return value !== undefined && value >= -0x8000_0000 && value <= 0x7fff_ffff ? value : undefined;
}

/** Base 0: decimal, 0x hexadecimal or 0 octal. */
function integerIn(text: string): number | undefined {
  const match = /^([-+]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.exec(text);
  if (match === null) return undefined;
  const [, sign, digits = ''] = match;
  const base = /^0[xX]/.test(digits) ? 16 : digits.startsWith('0') ? 8 : 10;
  const magnitude = Number.parseInt(digits, base);
  return sign === '-' ? -magnitude : magnitude;
}

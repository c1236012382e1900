/**
 * Regular expressions of check lines, `{{…}}`: POSIX extended ones, as LLVM's matcher takes them, in JavaScript's words. A dot
 * and a negated bracket never match a line's end. Of alternatives JavaScript takes the first that fits, POSIX the longest.
 */

import { CheckFault } from './fault.ts';

const classes: Readonly<Record<string, string>> = {
  alpha: 'A-Za-z',
  digit: '0-9',
  alnum: 'A-Za-z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  xdigit: '0-9A-Fa-f',
  space: '\\s',
  blank: ' \\t',
  cntrl: '\\x00-\\x1f\\x7f',
  graph: '\\x21-\\x7e',
  print: '\\x20-\\x7e',
  punct: '!-\\/:-@\\[-`{-~',
};

/** Characters of a text made harmless in a regular expression. */
export const escapeText = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');

/** The source of a JavaScript expression that matches what `posix` does. */
export function translate(posix: string): string {
  let source = '';
  for (let at = 0; at < posix.length; ) {
    if (posix[at] === '\\' && at + 1 < posix.length) {
      source += posix.slice(at, at + 2);
      at += 2;
    } else if (posix[at] === '[') {
      const end = bracketEnd(posix, at);
      source += bracket(posix.slice(at + 1, end));
      at = end + 1;
    } else {
      source += posix[at++];
    }
  }
  try {
    new RegExp(source, 'm');
  } catch (error) {
    throw new CheckFault(`invalid regex '${posix}': ${(error as Error).message.replace(/^.*: /, '')}`);
  }
  return `(?:${source})`;
}

/** Index of the `]` that closes the bracket at `start`: not the first character, and not of a `[:class:]`. */
function bracketEnd(text: string, start: number): number {
  let at = start + 1;
  if (text[at] === '^') at++;
  if (text[at] === ']') at++;
  for (; at < text.length; at++) {
    if (text[at] === ']') return at;
    if (text.startsWith('[:', at)) {
      const close = text.indexOf(':]', at + 2);
      if (close > 0) at = close + 1;
    }
  }
  throw new CheckFault(`invalid regex '${text}': a bracket is not closed`);
}

function bracket(inside: string): string {
  const negated = inside.startsWith('^');
  const body = (negated ? inside.slice(1) : inside).replace(
    /\[:(\w+):\]|\\|\[|\]/g,
    (found, name: string | undefined) => {
      if (name === undefined) return `\\${found}`;
      const members = classes[name];
      if (members === undefined) throw new CheckFault(`invalid regex: there is no character class [:${name}:]`);
      return members;
    },
  );
  return negated ? `[^${body}\\n]` : `[${body}]`;
}

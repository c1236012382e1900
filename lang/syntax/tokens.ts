/**
 * Token types of a NASM source line (NASM manual §3.1, §3.4–3.5). Names that mean something (registers, mnemonics, size words …) come
 * out of the lexer as plain identifiers, because the preprocessor may still redefine them; `keywords.ts` gives them their type
 * afterwards.
 */

import { createToken, type IToken, Lexer, type TokenType } from 'chevrotain';
import type { Origin } from './source.ts';

/** A token; `origin` is set where it differs from that of the line it stands in. */
export interface Token extends IToken {
  readonly origin?: Origin;
  /** Set where offsets do not tell whether a blank stands before it. */
  readonly glued?: boolean;
}

/** `$name` is the symbol `name` even where that is a keyword. */
export function symbolName(image: string): string {
  return image.charCodeAt(0) === 0x24 ? image.slice(1) : image;
}

/** Stands for every character beyond ASCII among those that a token begins with. */
export const BEYOND_ASCII = '\u0080';
const DIGITS = '0123456789';
/** What a name begins with; `$` in front of it comes on top. */
const NAME_STARTS = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_.?@', BEYOND_ASCII];

/** `starts`: the characters that a text of this type begins with, as the scanner asks; a pattern that is a string tells by itself, any other may begin with all. */
const token = (
  name: string,
  pattern: RegExp | string,
  { starts, ...extra }: { readonly starts?: Iterable<string>; readonly [option: string]: unknown } = {},
): TokenType =>
  createToken({ name, pattern, ...(starts === undefined ? {} : { start_chars_hint: [...starts] }), ...extra });
const abstract = (name: string, categories: TokenType[] = []): TokenType =>
  createToken({ name, pattern: Lexer.NA, categories });

const QUOTES = '\'"`';

const idStart = 'A-Za-z_.?@\\u0080-\\uffff';
const idBody = `${idStart}0-9$#~`;

export const Newline = token('Newline', /\r\n?|\n/, { starts: '\r\n', line_breaks: true });
/** A comment reaches to the end of its line; NASM joins continued lines first, so a `\` at its end continues it. */
export const Comment = token('Comment', /;[^\r\n\\]*(?:\\+(?:\r?\n)?[^\r\n\\]*)*/, {
  starts: ';',
  group: Lexer.SKIPPED,
  line_breaks: true,
});
export const Blank = token('Blank', /[ \t\f\v]+/, { starts: ' \t\f\v', group: Lexer.SKIPPED });
export const Continuation = token('Continuation', /\\\r?\n/, { starts: '\\', group: Lexer.SKIPPED, line_breaks: true });

export const Text = token('Text', /'[^'\r\n]*'|"[^"\r\n]*"|`(?:\\[^\r\n]|[^`\\\r\n])*`/, { starts: QUOTES });
export const OpenString = token('OpenString', /['"`][^\r\n]*/, { starts: QUOTES });
export const Numeral = token('Numeral', /(?:\d|\$\d)(?:[eE][+-]?\d|[0-9A-Za-z_.])*/, { starts: `${DIGITS}$` });
export const Identifier = token('Identifier', new RegExp(`\\$?[${idStart}][${idBody}]*`), {
  starts: [...NAME_STARTS, '$'],
});
/** `?` alone: "not initialised" in data, and the conditional operator. */
export const Question = token('Question', new RegExp(`\\?(?![${idBody}])`), { starts: '?' });

// What only the preprocessor understands. `a %b` is a preprocessor name for NASM too; a modulo needs a blank after its sign.
export const MacroName = token(
  'MacroName',
  new RegExp(`%(?:(?:\\$+|%|!)?[${idStart}][${idBody}]*|!(?:'[^'\\r\\n]*'|"[^"\\r\\n]*"|\`[^\`\\r\\n]*\`))`),
  { starts: '%' },
);
export const MacroArgument = token('MacroArgument', /%[-+]?\d+/, { starts: '%' });
export const MacroBrace = token('MacroBrace', /%\{[^}\r\n]*\}/, { starts: '%' });
export const MacroIndirect = token('MacroIndirect', /%\[/, { starts: '%' });
export const MacroSelf = token('MacroSelf', /%\*?\?\??/, { starts: '%' });
export const Paste = token('Paste', /%\+/, { starts: '%' });

export const Binary = abstract('Binary');
const binary = (name: string, pattern: RegExp | string, more: { categories?: TokenType[]; starts?: string } = {}) =>
  token(name, pattern, { ...more, categories: [Binary, ...(more.categories ?? [])] });
/** `+` and `-`: both an operator between two values and a sign. */
export const Sign = abstract('Sign');
export const Plus = binary('Plus', '+', { categories: [Sign] });
export const Minus = binary('Minus', '-', { categories: [Sign] });
// Operators of several spellings.
export const Equal = binary('Equal', /==?/, { starts: '=' });
export const NotEqual = binary('NotEqual', /!=|<>/, { starts: '!<' });
export const ShiftLeft = binary('ShiftLeft', /<<<?/, { starts: '<' });
export const ShiftRight = binary('ShiftRight', />>>?/, { starts: '>' });
export const Tilde = token('Tilde', '~', { categories: [Sign] });
export const Bang = token('Bang', '!', { categories: [Sign] });
const operators = [
  binary('LogicalOr', '||'),
  binary('LogicalXor', '^^'),
  binary('LogicalAnd', '&&'),
  binary('Spaceship', '<=>'),
  Equal,
  NotEqual,
  ShiftLeft,
  ShiftRight,
  binary('LessEqual', '<='),
  binary('GreaterEqual', '>='),
  binary('Less', '<'),
  binary('Greater', '>'),
  binary('Or', '|'),
  binary('Xor', '^'),
  binary('And', '&'),
  binary('SignedDivide', '//'),
  binary('Divide', '/'),
  binary('Multiply', '*'),
  binary('SignedModulo', '%%'),
  binary('Modulo', '%'),
];

export const LeftBracket = token('LeftBracket', '[');
export const RightBracket = token('RightBracket', ']');
export const LeftParen = token('LeftParen', '(');
export const RightParen = token('RightParen', ')');
export const LeftBrace = token('LeftBrace', '{');
export const RightBrace = token('RightBrace', '}');
export const Comma = token('Comma', ',');
export const Colon = token('Colon', ':');
export const SectionStart = token('SectionStart', '$$');
export const Here = token('Here', '$');
/** Any other character: the lexer never fails, the parser says what is wrong. */
export const Stray = token('Stray', /[\s\S]/, { line_breaks: true });

// Types that identifiers take on after preprocessing.
export const Register = abstract('Register');
export const Mnemonic = abstract('Mnemonic');
export const Prefix = abstract('Prefix');
/** `byte` … `zword`, `short`, `near`, `far`, `strict`, `rel`, `abs`, `nosplit`. */
export const Hint = abstract('Hint');
export const Data = abstract('Data');
export const Reserve = abstract('Reserve');
export const Times = abstract('Times');
export const Equ = abstract('Equ');
export const Incbin = abstract('Incbin');
export const Directive = abstract('Directive');
export const Dup = abstract('Dup');
export const Wrt = abstract('Wrt');
export const Seg = abstract('Seg');
/** `__?utf16?__` and its kin, in front of a string. */
export const StringFunction = abstract('StringFunction');

/** Types the lexer makes, in the order it tries them. */
export const lexed: readonly TokenType[] = [
  Newline,
  Blank,
  Comment,
  Continuation,
  Question,
  Identifier,
  Numeral,
  Comma,
  Text,
  OpenString,
  LeftBracket,
  RightBracket,
  Colon,
  Plus,
  Minus,
  MacroName,
  MacroArgument,
  MacroBrace,
  MacroIndirect,
  MacroSelf,
  Paste,
  ...operators,
  Tilde,
  Bang,
  LeftParen,
  RightParen,
  LeftBrace,
  RightBrace,
  SectionStart,
  Here,
  Stray,
];

/** Types that only the keyword step gives. */
export const named: readonly TokenType[] = [
  Register,
  Mnemonic,
  Prefix,
  Hint,
  Data,
  Reserve,
  Times,
  Equ,
  Incbin,
  Directive,
  Dup,
  Wrt,
  Seg,
  StringFunction,
  Binary,
  Sign,
];

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

/** Any UTF-16 unit, NUL included, in a form whose first character chevrotain can index. */
const anyUnit = '[\\u0000-\\uffff]';

const token = (name: string, pattern: RegExp | string, extra: object = {}): TokenType =>
  createToken({ name, pattern, ...extra });
const abstract = (name: string, categories: TokenType[] = []): TokenType =>
  createToken({ name, pattern: Lexer.NA, categories });

const idStart = 'A-Za-z_.?@\\u0080-\\uffff';
const idBody = `${idStart}0-9$#~`;

export const Newline = token('Newline', /\r\n?|\n/, { line_breaks: true });
/** A comment reaches to the end of its line; NASM joins continued lines first, so a `\` at its end continues it. */
export const Comment = token('Comment', /;[^\r\n\\]*(?:\\+(?:\r?\n)?[^\r\n\\]*)*/, {
  group: Lexer.SKIPPED,
  line_breaks: true,
});
export const Blank = token('Blank', /[ \t\f\v]+/, { group: Lexer.SKIPPED });
export const Continuation = token('Continuation', /\\\r?\n/, { group: Lexer.SKIPPED, line_breaks: true });

export const Text = token('Text', /'[^'\r\n]*'|"[^"\r\n]*"|`(?:\\[^\r\n]|[^`\\\r\n])*`/);
export const OpenString = token('OpenString', /['"`][^\r\n]*/);
export const Numeral = token('Numeral', /(?:\d|\$\d)(?:[eE][+-]?\d|[0-9A-Za-z_.])*/);
export const Identifier = token('Identifier', new RegExp(`\\$?[${idStart}][${idBody}]*`));
/** `?` alone: "not initialised" in data, and the conditional operator. */
export const Question = token('Question', new RegExp(`\\?(?![${idBody}])`));

// What only the preprocessor understands. `a %b` is a preprocessor name for NASM too; a modulo needs a blank after its sign.
export const MacroName = token(
  'MacroName',
  new RegExp(`%(?:(?:\\$+|%|!)?[${idStart}][${idBody}]*|!(?:'[^'\\r\\n]*'|"[^"\\r\\n]*"|\`[^\`\\r\\n]*\`))`),
);
export const MacroArgument = token('MacroArgument', /%[-+]?\d+/);
export const MacroBrace = token('MacroBrace', /%\{[^}\r\n]*\}/);
export const MacroIndirect = token('MacroIndirect', /%\[/);
export const MacroSelf = token('MacroSelf', /%\*?\?\??/);
export const Paste = token('Paste', /%\+/);

export const Binary = abstract('Binary');
const binary = (name: string, pattern: RegExp | string, categories: TokenType[] = []) =>
  token(name, pattern, { categories: [Binary, ...categories] });
/** `+` and `-`: both an operator between two values and a sign. */
export const Sign = abstract('Sign');
export const Plus = binary('Plus', '+', [Sign]);
export const Minus = binary('Minus', '-', [Sign]);
// Operators of several spellings.
export const Equal = binary('Equal', /==?/);
export const NotEqual = binary('NotEqual', /!=|<>/);
export const ShiftLeft = binary('ShiftLeft', /<<<?/);
export const ShiftRight = binary('ShiftRight', />>>?/);
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
export const Stray = token('Stray', new RegExp(anyUnit), { line_breaks: true });

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

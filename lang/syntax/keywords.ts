/**
 * Names with a meaning, given to identifiers after preprocessing. NASM's keywords ignore case; its symbols do not.
 */

import type { TokenType } from 'chevrotain';
import * as t from './tokens.ts';
import { STRING_FUNCTIONS } from './unicode-strings.ts';

/** What the syntax must know of the instruction set. Names come in lower case. */
export interface Vocabulary {
  isMnemonic(name: string): boolean;
  isRegister(name: string): boolean;
}

/** Bytes of a unit by its letter: `db`, `resw` … */
export const UNITS: Readonly<Record<string, number>> = { b: 1, w: 2, d: 4, q: 8, t: 10, o: 16, y: 32, z: 64 };

export const SIZES: Readonly<Record<string, 8 | 16 | 32 | 64 | 80 | 128 | 256 | 512>> = {
  byte: 8,
  word: 16,
  dword: 32,
  qword: 64,
  tword: 80,
  oword: 128,
  yword: 256,
  zword: 512,
};

const fixed = new Map<string, TokenType>();
const add = (type: TokenType, words: string) => {
  for (const word of words.split(' ')) fixed.set(word, type);
};
add(t.Prefix, 'rep repe repz repne repnz lock o16 o32 o64 a16 a32 a64 wait bnd xacquire xrelease');
add(t.Hint, `${Object.keys(SIZES).join(' ')} short near far strict rel abs nosplit`);
add(t.Data, 'db dw dd dq dt do dy dz');
add(t.Reserve, 'resb resw resd resq rest reso resy resz');
add(t.Times, 'times');
add(t.Equ, 'equ');
add(t.Incbin, 'incbin');
add(t.Dup, 'dup');
add(t.Wrt, 'wrt');
add(t.Seg, 'seg');
add(t.StringFunction, STRING_FUNCTIONS.join(' '));
add(
  t.Directive,
  'section segment global extern common static required default bits use64 use32 use16 align alignb org absolute cpu float sectalign',
);

/** True of a word that is an assembler directive (or `incbin`), whatever its case. */
export function isDirectiveWord(word: string): boolean {
  const type = fixed.get(word.toLowerCase());
  return type === t.Directive || type === t.Incbin;
}

/** Types of identifiers; remembers every spelling it has seen. */
export class Keywords {
  readonly #vocabulary: Vocabulary;
  readonly #seen = new Map<string, TokenType>();

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  /** The token type of a name: `Identifier` where it is none of NASM's words. */
  type(name: string): TokenType {
    let type = this.#seen.get(name);
    if (type === undefined) {
      type = this.#find(name.toLowerCase());
      this.#seen.set(name, type);
    }
    return type;
  }

  #find(name: string): TokenType {
    const type = fixed.get(name);
    if (type !== undefined) return type;
    if (this.#vocabulary.isRegister(name)) return t.Register;
    return this.#vocabulary.isMnemonic(name) ? t.Mnemonic : t.Identifier;
  }
}

/** Names to offer for a word that stands where an instruction should. */
export function statementWords(): string[] {
  const starts: TokenType[] = [t.Data, t.Reserve, t.Times, t.Directive, t.Prefix, t.Incbin];
  return [...fixed].filter(([, type]) => starts.includes(type)).map(([word]) => word);
}

/**
 * The words of a call, as one shape with holes for its registers and numbers: `load rax, [rsp + 8]` and `load rbx, [rsp + 16]` are
 * one shape. What the preprocessor does with a call depends on its shape and on what it asks of the words in the holes, and it asks
 * little: so calls of one shape share a plan (call-plan.ts).
 */

import { REGISTERS } from '../../isa/registers.ts';
import type { SourceLine } from '../../syntax/lexer.ts';
import { parseNumber } from '../../syntax/literals.ts';
import * as t from '../../syntax/tokens.ts';

/** Letters for holes, of the private ones. A token that is a hole: its number as one letter, then filler up to the length of the word. */
const FIRST_HOLE = 0xe100;
const LAST_HOLE = 0xe1ff;
const FILLER = '\ue001';
/** What stands for a number and for a register in a shape. */
const NUMBER = '\ue002';
const REGISTER = '\ue003';
/** Any of them. */
const LETTERS = /[\ue001-\ue003\ue100-\ue1ff]/;

const MOST_HOLES = LAST_HOLE - FIRST_HOLE + 1;
/** Decimal numbers of so many digits are exact. */
const MOST_PLAIN_DIGITS = 14;
/** Longer lines are rare and mostly data. */
const MOST_TOKENS = 64;

/** Numbers of the registers, from 0, by the name that a hole may hold. */
const REGISTER_NUMBERS: ReadonlyMap<string, number> = new Map(REGISTERS.map(({ name }, number) => [name, number]));

/** More than the number of any register. */
export const REGISTER_COUNT = REGISTERS.length;

/** True of a word that fills holes as long as it is the name of no macro. */
export function isRegisterWord(word: string): boolean {
  return REGISTER_NUMBERS.has(word);
}

/** True of a text that holds none of the letters, so that a hole can be told from a word. */
export function isFreeOfHoles(text: string): boolean {
  return !LETTERS.test(text);
}

/** A token in a hole's place; `hole` is its number. */
export interface FilledToken extends t.Token {
  readonly hole: number;
}

/** The hole that a token of a filled line came from; undefined of all others. */
export function holeOf(token: t.Token): number | undefined {
  return (token as Partial<FilledToken>).hole;
}

/** The words in the holes of one call. One object serves all calls, one after another: it is made for every line that calls a macro. */
export class CallWords {
  /** As they are written. */
  readonly texts: string[] = [];
  /** Values of the numbers; NaN for registers. */
  readonly numbers: number[] = [];
  /** Numbers of the registers; -1 for numbers. */
  readonly registers: number[] = [];
  #tokens: readonly t.Token[] = [];
  /** Indices of the tokens in holes. */
  readonly #places: number[] = [];

  /**
   * Reads the words of a line of a file; gives its shape, or undefined where it is no like of any other. Registers fill holes if they
   * are plain words. Hot: every call comes here.
   */
  read({ tokens, origin }: SourceLine, areRegistersPlain: boolean): string | undefined {
    if (tokens.length > MOST_TOKENS) return undefined;
    this.#tokens = tokens;
    const { text } = origin.file;
    let count = 0;
    let shape = '';
    let from = tokens[0]!.startOffset;
    for (let i = 0; i < tokens.length; i++) {
      const { image, tokenType, startOffset } = tokens[i]!;
      let number = Number.NaN;
      let register = -1;
      if (tokenType === t.Numeral) number = numberIn(image);
      else if (tokenType === t.Identifier) {
        if (areRegistersPlain) register = REGISTER_NUMBERS.get(image) ?? -1;
        if (register < 0 && image.startsWith('..@')) return undefined;
      }
      if (register < 0 && Number.isNaN(number)) continue;
      shape += text.slice(from, startOffset) + (register < 0 ? NUMBER : REGISTER);
      from = startOffset + image.length;
      this.texts[count] = image;
      this.numbers[count] = number;
      this.registers[count] = register;
      this.#places[count] = i;
      count++;
    }
    this.#places.length = count;
    const last = tokens[tokens.length - 1]!;
    return count > MOST_HOLES ? undefined : shape + text.slice(from, last.startOffset + last.image.length);
  }

  /** The line with holes in the places of the words. */
  withHoles(): readonly t.Token[] {
    const tokens = [...this.#tokens];
    for (const [hole, place] of this.#places.entries()) {
      const token = tokens[place]!;
      const image = String.fromCharCode(FIRST_HOLE + hole) + FILLER.repeat(token.image.length - 1);
      tokens[place] = { ...token, image };
    }
    return tokens;
  }

  /** A line that came out of one with holes, with the words in them again; undefined where a hole has become part of another word. */
  filled(tokens: readonly t.Token[]): readonly t.Token[] {
    return tokens.map((token) => {
      const hole = holeIn(token.image);
      return hole === undefined ? token : ({ ...token, image: this.texts[hole]!, hole } as FilledToken);
    });
  }
}

/** Value of a number that is an integer that a number of JavaScript holds; NaN of others. */
function numberIn(image: string): number {
  let plain = 0;
  for (let i = 0; i < image.length; i++) {
    const digit = image.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9 || i > MOST_PLAIN_DIGITS) {
      const value = parseNumber(image);
      return value !== undefined && value <= Number.MAX_SAFE_INTEGER ? Number(value) : Number.NaN;
    }
    plain = plain * 10 + digit;
  }
  return plain;
}

/** The hole that the token with this text is. */
export function holeIn(image: string): number | undefined {
  const letter = image.charCodeAt(0);
  return letter >= FIRST_HOLE && letter <= LAST_HOLE ? letter - FIRST_HOLE : undefined;
}

/** True where every token is either a hole or free of them: nothing has looked into one. */
export function areHolesWhole(tokens: readonly t.Token[]): boolean {
  return tokens.every(({ image }) => {
    const rest = holeIn(image) === undefined ? image : image.slice(1).replaceAll(FILLER, '');
    return isFreeOfHoles(rest);
  });
}

/** The holes among tokens. */
export function holesOf(tokens: readonly t.Token[]): number[] {
  return tokens.map(({ image }) => holeIn(image)).filter((hole) => hole !== undefined);
}

/**
 * A line of a body (of a macro, of a repetition) with what it became before. A body is read again and again, mostly with the same few
 * arguments: what the preprocessor and the parser made of a line the first time serves every later time in which the same arguments
 * meet the same macros. Measured on 5,000 macro calls: two thirds of the time.
 */

import { isDirectiveWord } from '../../syntax/keywords.ts';
import type { Expansion, Origin, SourceFile, Standing } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import { nameInAnyCall } from '../shared-names.ts';
import type { SharedStatement } from '../shared-statement.ts';
import type { Actual, Argument } from './argument.ts';

/** Versions of one line that are kept; a body that never sees the same arguments twice must not take all memory. */
const MOST_KEPT = 1000;

/** Separates arguments in a key; no token holds a line end. */
const BETWEEN = '\n';

export class LineTemplate {
  /** The word that the line begins with if that is a preprocessor directive, in lower case; else ''. */
  readonly word: string;
  /** Numbers of the arguments that the line names, 0 for their count; undefined where it depends on more. */
  readonly #parameters: readonly number[] | undefined;
  readonly #lines = new Map<string, SharedLine | 'unique'>();
  readonly #answers = new Map<string, boolean>();
  #version = 0;

  constructor(tokens: readonly t.Token[]) {
    const [first] = tokens;
    this.word = isDirective(first!) ? first!.image.toLowerCase() : '';
    this.#parameters = parametersOf(this.word === '' ? tokens : tokens.slice(1));
  }

  /** False of a line that depends on more than its call's arguments and labels. */
  get isRepeatable(): boolean {
    return this.#parameters !== undefined;
  }

  /** What tells this reading of the line from others; undefined where it cannot be shared. */
  key(call: Actual | undefined): string | undefined {
    const parameters = this.#parameters;
    if (parameters === undefined || (call === undefined && parameters.length > 0)) return undefined;
    let key = '';
    for (let i = 0; i < parameters.length; i++) {
      const parameter = parameters[i]!;
      if (parameter === 0) key += call!.arguments.length;
      else key += call!.arguments[parameter - 1]?.text ?? '';
      key += BETWEEN;
    }
    // A label of one call: no other call has it.
    return key.includes('..@') ? undefined : key;
  }

  /** What the line became the last time; `version` of the macros' meanings. `'unique'`: nothing that can be shared. */
  line(key: string, version: number): SharedLine | 'unique' | undefined {
    this.#forgetOlder(version);
    return this.#lines.get(key);
  }

  /** What the line's condition gave the last time. */
  answer(key: string, version: number): boolean | undefined {
    this.#forgetOlder(version);
    return this.#answers.get(key);
  }

  keepLine(key: string, version: number, line: SharedLine | 'unique'): void {
    this.#forgetOlder(version);
    if (this.#lines.size < MOST_KEPT) this.#lines.set(key, line);
  }

  keepAnswer(key: string, version: number, answer: boolean): void {
    this.#forgetOlder(version);
    if (this.#answers.size < MOST_KEPT) this.#answers.set(key, answer);
  }

  #forgetOlder(version: number): void {
    if (this.#version === version) return;
    this.#version = version;
    this.#lines.clear();
    this.#answers.clear();
  }
}

/** `%word`, but not `%%local`, `%$local`, `%!variable` nor `%?`. */
export function isDirective(token: t.Token): boolean {
  if (token.tokenType !== t.MacroName) return false;
  const second = token.image.charCodeAt(1);
  return second !== 0x25 && second !== 0x24 && second !== 0x21 && second !== 0x3f;
}

/** The arguments that tokens name; undefined where they name anything else that changes from call to call. */
function parametersOf(tokens: readonly t.Token[]): readonly number[] | undefined {
  const found = new Set<number>();
  for (const { tokenType, image } of tokens) {
    if (tokenType === t.MacroArgument || tokenType === t.MacroBrace) {
      const number = /^%\{?[-+]?(\d+)\}?$/.exec(image)?.[1];
      if (number === undefined || number === '00') return undefined;
      found.add(Number(number));
    } else if (tokenType === t.MacroName ? !image.startsWith('%%') : isOfOneCall(tokenType, image)) {
      return undefined;
    }
  }
  return [...found];
}

/** True of words that mean something else in another call; the label of a certain call is one. */
function isOfOneCall(type: t.Token['tokenType'], image: string): boolean {
  return OTHER_FORMS.has(type) || image.startsWith('..@');
}

const OTHER_FORMS = new Set([t.MacroIndirect, t.MacroSelf]);

/** A line as the parser sees it, for every call in which it comes out the same. */
export class SharedLine {
  readonly tokens: readonly t.Token[];
  /** What the assembler made of it. */
  statement: SharedStatement | undefined;
  /** Where it came out first: the places of its tokens are those of this call. */
  readonly #origin: Origin;
  readonly #arguments: readonly Argument[];
  readonly #standsElsewhere: boolean;

  constructor(tokens: readonly t.Token[], origin: Origin, call: Actual | undefined) {
    this.tokens = call === undefined ? tokens : tokens.map((token) => inAnyCall(token, call.serial));
    this.#origin = origin;
    this.#arguments = call?.arguments ?? [];
    this.#standsElsewhere = tokens.some((token) => token.origin !== undefined);
  }

  /** The origin of the line in another call: there its tokens stand at other places. */
  originIn(origin: Origin, call: Actual | undefined): Origin {
    if (!this.#standsElsewhere) return origin;
    return new SharedOrigin(origin, this, call?.arguments ?? []);
  }

  /** Where a token stands in a call with other arguments of the same text. */
  standing(token: Standing, actual: readonly Argument[]): Standing {
    if (token.origin === undefined) return token;
    const { image, startOffset, endOffset } = token;
    // What a single-line macro in the body made stands where that was called, and the body stands still.
    if (token.origin === this.#origin) return { image, startOffset, endOffset };
    for (let i = 0; i < this.#arguments.length; i++) {
      const at = this.#arguments[i]!.carried.findIndex(
        (each) => each.origin === token.origin && each.startOffset === startOffset,
      );
      if (at >= 0) return actual[i]!.carried[at]!;
    }
    return { image, startOffset, endOffset };
  }
}

function inAnyCall(token: t.Token, serial: number): t.Token {
  const image = nameInAnyCall(token.image, serial);
  return image === token.image ? token : { ...token, image };
}

class SharedOrigin implements Origin {
  readonly file: SourceFile;
  readonly expansion: Expansion | undefined;
  readonly #line: SharedLine;
  readonly #arguments: readonly Argument[];

  constructor({ file, expansion }: Origin, line: SharedLine, actual: readonly Argument[]) {
    this.file = file;
    this.expansion = expansion;
    this.#line = line;
    this.#arguments = actual;
  }

  standing(token: Standing): Standing {
    return this.#line.standing(token, this.#arguments);
  }
}

/**
 * True of a line that means the same wherever it comes out: a directive of the assembler works on its words, and a label of a call that has become
 * part of another word is another word in each call.
 */
export function isShareable(tokens: readonly t.Token[]): boolean {
  return !tokens.some(({ image, tokenType }, i) => {
    if (i === 0 && tokenType === t.LeftBracket) return true;
    return isDirectiveWord(image) || (image.indexOf('..@', 1) > 0 && tokenType !== t.Text);
  });
}

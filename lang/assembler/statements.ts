/** Preprocessed lines → statements, with the parser's errors turned into words. */

import type { Expression } from '../syntax/ast.ts';
import { instructionLine, keepOperands } from '../syntax/instruction-line.ts';
import { Keywords, statementWords, type Vocabulary } from '../syntax/keywords.ts';
import { endOf, type SourceLine, spanOf } from '../syntax/lexer.ts';
import {
  distinct,
  expressionShapes,
  type KnownShapes,
  operandShapes,
  shapeOf,
  statementShapes,
} from '../syntax/line-shapes.ts';
import { END_OF_LINE, type GrammarError, nasmParser, type ParsedLine, STARTS_BODY } from '../syntax/parser.ts';
import type { Origin, Span } from '../syntax/source.ts';
import { SyntaxFault } from '../syntax/syntax-fault.ts';
import * as t from '../syntax/tokens.ts';
import type { Diagnostics } from './diagnostics.ts';
import { isLeftOut, isLeftOutAlone, LEFT_OUT_NOTE, usesVectorRegister } from './left-out.ts';
import { asWritten } from './shared-names.ts';
import { didYouMean } from './suggest.ts';

/** The words of the instruction set, with a list to suggest from. */
export interface InstructionWords extends Vocabulary {
  mnemonics(): Iterable<string>;
  /** Multi-line macros, which stand where instructions do. */
  macros(): Iterable<string>;
}

export class StatementParser {
  readonly #keywords: Keywords;
  readonly #words: InstructionWords;
  readonly #diagnostics: Diagnostics;
  readonly #lines = statementShapes();
  readonly #expressions = expressionShapes();
  readonly #operands = operandShapes();

  constructor(words: InstructionWords, diagnostics: Diagnostics) {
    this.#keywords = new Keywords(words);
    this.#words = words;
    this.#diagnostics = diagnostics;
  }

  /** One line, its words classified, as a statement. A line that cannot be read is reported and keeps its label, so that uses of it are no second error. */
  parse(line: SourceLine): ParsedLine {
    const tokens = line.tokens as t.Token[];
    return this.#unknownInstruction(tokens, line.origin) ?? this.#attempt(tokens, line.origin);
  }

  /** Tokens that must be one expression; undefined (and reported) where they are not. */
  expression(tokens: readonly t.Token[], origin: Origin): Expression | undefined {
    const list = tokens as t.Token[];
    this.classify(list);
    try {
      return this.#again(this.#expressions, list, (own) => nasmParser().parseExpression(own));
    } catch (error) {
      this.#report(error, list, origin);
      return undefined;
    }
  }

  /**
   * Gives the words of a preprocessed line the types that the parser goes by. As in NASM the name of an instruction is a symbol like any
   * other where it stands before a colon, or behind what the statement does.
   */
  classify(tokens: readonly t.Token[]): void {
    let isBegun = false;
    for (let i = 0; i < tokens.length; i++) {
      const token = tokens[i]!;
      const before = token.tokenType;
      if (before !== t.Identifier && !BEGINS.has(before)) continue;
      let type = this.#keywords.type(token.image);
      if (i === 0 && MAY_BE_LABEL.has(type) && tokens[1]?.tokenType === t.Colon) type = t.Identifier;
      else if (isBegun && BEGINS.has(type)) type = t.Identifier;
      else if (BEGINS.has(type)) isBegun = true;
      if (type === before) continue;
      token.tokenType = type;
      token.tokenTypeIdx = type.tokenTypeIdx!;
    }
  }

  #attempt(tokens: t.Token[], origin: Origin): ParsedLine {
    try {
      const known = instructionLine(tokens, this.#operands);
      return known ?? this.#again(this.#lines, tokens, (own) => this.#parsed(own));
    } catch (error) {
      this.#report(error, tokens, origin);
      return { label: labelOf(tokens), times: undefined, body: { kind: 'none' } };
    }
  }

  #parsed(tokens: t.Token[]): ParsedLine {
    const parsed = nasmParser().parseLine(tokens);
    keepOperands(tokens, parsed, this.#operands);
    return parsed;
  }

  /** The tree of a line whose shape is known, or what the parser makes of it. */
  #again<T>(known: KnownShapes<T>, tokens: t.Token[], parse: (tokens: t.Token[]) => T): T {
    const shape = shapeOf(tokens);
    if (shape === undefined) return parse(tokens);
    const tree = known.tree(shape, tokens);
    if (tree !== undefined) return tree;
    const own = distinct(tokens);
    const parsed = parse(own);
    known.keep(shape, own, parsed);
    return parsed;
  }

  /** `movv rax, rbx` reads as a label followed by something that is no instruction: the first word is the mistake. */
  #unknownInstruction(tokens: t.Token[], origin: Origin): ParsedLine | undefined {
    if (tokens[0]!.tokenType !== t.Identifier) return undefined;
    if (tokens.length === 1) return this.#loneWord(tokens[0]!, origin);
    const next = tokens[1]!.tokenType;
    let at = 0;
    if (next === t.Colon) {
      if (tokens[2]?.tokenType !== t.Identifier) return undefined;
      at = 2;
    } else if (STARTS_BODY.has(next)) {
      return undefined;
    } else if (next === t.Identifier && tokens.length > 2 && this.#looksLikeLabel(tokens)) {
      at = 1;
    }
    const word = tokens[at]!;
    const span = spanOf(word, word, origin);
    if (usesVectorRegister(tokens.map((token) => token.image)) || isLeftOut(word.image)) {
      this.#diagnostics.unknown(span, `\`${word.image}\` is an instruction that gvm leaves out`, LEFT_OUT_NOTE);
    } else {
      this.#diagnostics.unknown(span, `unknown instruction \`${word.image}\`${this.#hint(word)}`);
    }
    return { label: at > 0 ? labelOf(tokens) : undefined, times: undefined, body: { kind: 'none' } };
  }

  #hint(word: t.Token): string {
    const { image } = word;
    const known = [...this.#words.macros(), ...this.#words.mnemonics(), ...statementWords()];
    // Macros heed case, NASM's own words do not.
    return didYouMean(image, known) || didYouMean(image.toLowerCase(), known);
  }

  /** A word alone is a label, but rarely meant as one. */
  #loneWord(word: t.Token, origin: Origin): ParsedLine | undefined {
    const span = spanOf(word, word, origin);
    if (isLeftOutAlone(word.image)) {
      this.#diagnostics.unknown(span, `\`${word.image}\` is an instruction that gvm leaves out`, LEFT_OUT_NOTE);
      return { label: undefined, times: undefined, body: { kind: 'none' } };
    }
    const text = `\`${asWritten(word.image)}\` alone on a line is a label without its colon${this.#hint(word)}`;
    this.#diagnostics.warning(span, text, 'label-orphan');
    return undefined;
  }

  /** `label mvo rax, 1`: the second word is nearer to an instruction than the first. */
  #looksLikeLabel(tokens: t.Token[]): boolean {
    const names = [...this.#words.mnemonics(), ...this.#words.macros()];
    return didYouMean(tokens[0]!.image, names) === '' && didYouMean(tokens[1]!.image, names) !== '';
  }

  #report(error: unknown, tokens: readonly t.Token[], origin: Origin): void {
    if (error instanceof SyntaxFault) {
      this.#diagnostics.error(spanOf(error.token, error.token, origin), error.message);
    } else if (isRecognitionException(error)) {
      this.#diagnostics.error(...describe(error, tokens, origin), ...this.#remedy(error, tokens));
    } else {
      throw error;
    }
  }

  /** Where what stands there is another assembler's: what NASM writes. */
  #remedy(error: GrammarError, tokens: readonly t.Token[]): string[] {
    const found = error.token as t.Token;
    if (found.image === '#' || found.image === '//') return ['a comment begins with `;`'];
    if (/^%[a-z]/i.test(found.image) && this.#words.isRegister(found.image.slice(1)))
      return ['NASM writes registers without `%` and numbers without `$`, and the destination first'];
    const at = tokens.indexOf(found);
    const before = tokens[at - 1];
    if (before === undefined || error.name !== 'NotAllInputParsedException') return [];
    const word = before.image.toLowerCase();
    if (word === 'ptr') return [`NASM has no \`ptr\`: write \`${tokens[at - 2]?.image ?? 'dword'} [address]\``];
    if (word === 'offset') return ['NASM has no `offset`: a name alone is its address, and `[name]` what stands there'];
    if (this.#words.isMnemonic(found.image.toLowerCase())) return ['a line holds one instruction'];
    const between = /[\w$.?@\]]$/.test(before.image) && /^[\w$.?@[]/.test(found.image);
    return at > 1 && between ? ['operands are separated by commas'] : [];
  }
}

/** Words that say what a statement does. */
const BEGINS: ReadonlySet<t.Token['tokenType']> = new Set([t.Mnemonic, t.Data, t.Reserve, t.Equ]);
const MAY_BE_LABEL: ReadonlySet<t.Token['tokenType']> = new Set([...BEGINS, t.Dup]);

function labelOf(tokens: readonly t.Token[]): ParsedLine['label'] {
  const [at, colon] = tokens;
  if (at?.tokenType !== t.Identifier) return undefined;
  return { name: at.image.replace(/^\$/, ''), at, colon: colon?.tokenType === t.Colon };
}

function isRecognitionException(error: unknown): error is GrammarError {
  return error instanceof Error && 'token' in error && 'context' in error;
}

/** The place and wording of a grammar error: what stands there, and what could. */
function describe(error: GrammarError, tokens: readonly t.Token[], origin: Origin): [Span, string] {
  const rule = error.context.ruleStack.at(-1) ?? 'line';
  const wanted = WANTED[rule] ?? 'something else';
  const found = error.token as t.Token;
  if (found.tokenType === END_OF_LINE) {
    const last = tokens.at(-1);
    if (last === undefined) return [{ origin, start: 0, end: 0 }, `expected ${wanted}`];
    const end = endOf(last);
    return [
      { origin: last.origin ?? origin, start: end, end: end + 1 },
      `expected ${missing(error, wanted)}, but the line ends`,
    ];
  }
  return [spanOf(found, found, origin), complaint(error, found, wanted)];
}

function complaint(error: GrammarError, found: t.Token, wanted: string): string {
  if (found.tokenType === t.OpenString) return `this string has no closing ${found.image[0]}`;
  if (found.tokenType === t.Stray) return `unexpected character ${character(found.image)}`;
  if (found.tokenType === t.MacroArgument) {
    return `\`${found.image}\` is a macro parameter and stands in no macro; as an operator \`%\` needs a blank behind it`;
  }
  if (error.name === 'NotAllInputParsedException')
    return `unexpected \`${asWritten(found.image)}\` after the end of the statement`;
  return `expected ${missing(error, wanted)}, found \`${asWritten(found.image)}\``;
}

function character(image: string): string {
  const code = image.codePointAt(0)!;
  return code > 32 && code < 127 ? `\`${image}\`` : `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** A missing token by name where the grammar wants exactly one. */
function missing(error: GrammarError, wanted: string): string {
  if (error.name !== 'MismatchedTokenException') return wanted;
  const name = /--> (\w+) <--/.exec(error.message)?.[1] ?? '';
  return CLOSING[name] ?? wanted;
}

const CLOSING: Readonly<Record<string, string>> = {
  RightBracket: '`]`',
  RightParen: '`)`',
  LeftParen: '`(`',
  Colon: '`:`',
  Text: 'a file name in quotes',
};

const WANTED: Readonly<Record<string, string>> = {
  line: 'a label or an instruction',
  body: 'an instruction',
  operation: 'an instruction',
  operand: 'an operand',
  memory: 'an address',
  item: 'a value',
  items: 'a value',
  expression: 'a value',
  value: 'a value',
  signed: 'a value',
  parenthesis: 'a value',
  transformed: 'a string',
  incbin: 'a file name in quotes',
  primitive: 'a directive',
};

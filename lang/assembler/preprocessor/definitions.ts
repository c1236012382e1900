/** Directives that define single-line macros (NASM manual §4.1, §4.2). */

import { textOf, tokensOf, touches } from '../../syntax/lexer.ts';
import { quoteBytes, stringBytes } from '../../syntax/literals.ts';
import type { Span } from '../../syntax/source.ts';
import * as t from '../../syntax/tokens.ts';
import type { Directing, DirectiveLine, DirectiveMeaning } from './directive.ts';
import { MAX_STRING } from './expansion-fault.ts';
import type { Parameter } from './macro-names.ts';
import { concatenated, part } from './strings.ts';
import { isName } from './token-run.ts';

/** `%define` and its kin: parameters, then the body as it stands. */
const define: DirectiveMeaning = (line, to) => {
  const name = to.name(line.rest[0], line);
  if (name === undefined) return;
  const definition = readParameters(line.rest);
  if (definition === undefined) {
    to.diagnostics.error(line.span, `the parameters of \`${line.word}\` are names that end with \`)\``);
    return;
  }
  const { parameters } = definition;
  const body = line.word.includes('xdefine') ? to.expand(definition.body, line.origin) : definition.body;
  const macro = { name, parameters, body, ignoreCase: line.word.startsWith('%i') };
  if (!to.macros.names.define(macro)) {
    to.diagnostics.error(line.span, `macro \`${name}\` is defined with and without parameters; %undef it first`);
  }
};

/** A directive that gives a name one computed value. */
function computed(value: (rest: readonly t.Token[], line: DirectiveLine, to: Directing) => string | undefined) {
  const meaning: DirectiveMeaning = (line, to) => {
    const name = to.name(line.rest[0], line);
    if (name === undefined) return;
    const text = value(to.expand(line.rest.slice(1), line.origin), line, to);
    if (text === undefined) return;
    const body = tokensOf(text, line.span);
    const macro = { name, parameters: undefined, body, ignoreCase: line.word.startsWith('%i') };
    if (!to.macros.names.define(macro)) {
      to.diagnostics.error(line.span, `macro \`${name}\` is defined with and without parameters; %undef it first`);
    }
  };
  return meaning;
}

const assign = computed((rest, line, to) => {
  if (rest.length > 0) return to.number(rest, line.origin)?.toString();
  to.diagnostics.error(line.span, `\`${line.word}\` needs a value`);
  return undefined;
});

const defineString = computed((rest) => quoteBytes(new TextEncoder().encode(textOf(rest))));

const defineTokens = computed((rest, line, to) => {
  const bytes = stringOperand(rest[0], line, to);
  return bytes === undefined ? undefined : new TextDecoder().decode(bytes);
});

const stringLength = computed((rest, line, to) => stringOperand(rest[0], line, to)?.length.toString());

const concatenate = computed((rest, line, to) => {
  const joined = concatenated(rest);
  if (!(joined instanceof Uint8Array)) {
    to.diagnostics.error(line.span, `\`${line.word}\` joins strings, and \`${joined.image}\` is none`);
    return undefined;
  }
  if (joined.length > MAX_STRING) to.diagnostics.fatal(line.span, `a string of more than ${MAX_STRING} bytes`);
  return quoteBytes(joined);
});

/** `%substr name string start, count`. */
const substring = computed((rest, line, to) => {
  const bytes = stringOperand(rest[0], line, to);
  if (bytes === undefined) return undefined;
  const after = rest.slice(rest[1]?.tokenType === t.Comma ? 2 : 1);
  const comma = after.findIndex((token) => token.tokenType === t.Comma);
  const parts = comma < 0 ? [after] : [after.slice(0, comma), after.slice(comma + 1)];
  if (parts.some((tokens) => tokens.length === 0)) {
    to.diagnostics.error(line.span, '`%substr` needs a string and where its part begins, counted from 1');
    return undefined;
  }
  const numbers = parts.map((tokens) => to.number(tokens, line.origin));
  if (numbers.includes(undefined)) return undefined;
  return quoteBytes(part(bytes, numbers[0]!, numbers[1] ?? 1n));
});

const pathSearch = computed((rest, line, to) => {
  const bytes = stringOperand(rest[0], line, to);
  if (bytes === undefined) return undefined;
  const wanted = new TextDecoder().decode(bytes);
  return quoteBytes(new TextEncoder().encode(to.find(wanted, line.origin.file.name)?.name ?? wanted));
});

function stringOperand(token: t.Token | undefined, line: DirectiveLine, to: Directing): Uint8Array | undefined {
  if (token?.tokenType === t.Text) return stringBytes(token.image);
  to.diagnostics.error(line.span, `\`${line.word}\` needs a name and a string`);
  return undefined;
}

const undefine: DirectiveMeaning = (line, to) => {
  const name = to.name(line.rest[0], line);
  if (name !== undefined) to.macros.names.undefine(name);
};

const defineAlias: DirectiveMeaning = (line, to) => {
  const name = to.name(line.rest[0], line);
  const target = to.name(line.rest[1], line);
  if (name === undefined || target === undefined) return;
  if (reaches(to, target, name)) {
    to.diagnostics.error(line.span, `\`${name}\` would be an alias of itself`);
    return;
  }
  to.macros.names.undefineAlias(name);
  const ignoreCase = false;
  to.macros.names.define({ name, parameters: undefined, body: [], ignoreCase, alias: target });
};

function reaches(to: Directing, from: string, name: string): boolean {
  for (let at: string | undefined = from; at !== undefined; at = to.macros.names.aliasOf(at))
    if (at === name) return true;
  return false;
}

const undefineAlias: DirectiveMeaning = (line, to) => {
  const name = to.name(line.rest[0], line);
  if (name !== undefined) to.macros.names.undefineAlias(name);
};

/** `%aliases on`, `%aliases off`, or a number. */
const aliases: DirectiveMeaning = (line, to) => {
  const tokens = to.expand(line.rest, line.origin);
  const word = tokens.length === 1 ? tokens[0]!.image.toLowerCase() : '';
  if (['on', 'yes', 'true'].includes(word) || tokens.length === 0) to.macros.names.followAliases(true);
  else if (['off', 'no', 'false'].includes(word)) to.macros.names.followAliases(false);
  else {
    const value = to.number(tokens, line.origin);
    if (value !== undefined) to.macros.names.followAliases(value !== 0n);
  }
};

export const DEFINITIONS: Readonly<Record<string, DirectiveMeaning>> = {
  '%define': define,
  '%idefine': define,
  '%xdefine': define,
  '%ixdefine': define,
  '%assign': assign,
  '%iassign': assign,
  '%defstr': defineString,
  '%idefstr': defineString,
  '%deftok': defineTokens,
  '%ideftok': defineTokens,
  '%strlen': stringLength,
  '%strcat': concatenate,
  '%substr': substring,
  '%pathsearch': pathSearch,
  '%undef': undefine,
  '%defalias': defineAlias,
  '%undefalias': undefineAlias,
  '%aliases': aliases,
};

/** What follows `%define`: `name body` or `name(parameters) body`; undefined where the parentheses hold something else. */
function readParameters(
  tokens: readonly t.Token[],
): { parameters: readonly Parameter[] | undefined; body: readonly t.Token[] } | undefined {
  const [name, open] = tokens;
  // A blank in front of the parenthesis makes it part of the body.
  if (open?.tokenType !== t.LeftParen || !touches(name!, open)) return { parameters: undefined, body: tokens.slice(1) };
  const close = tokens.findIndex((token) => token.tokenType === t.RightParen);
  if (close < 0) return undefined;
  if (close === 2) return { parameters: [], body: tokens.slice(3) };
  const parameters: Parameter[] = [];
  let words: t.Token[] = [];
  for (let i = 2; i <= close; i++) {
    const token = tokens[i]!;
    if (i < close && token.tokenType !== t.Comma) {
      words.push(token);
      continue;
    }
    const parameter = readParameter(words);
    if (parameter === undefined) return undefined;
    parameters.push(parameter);
    words = [];
  }
  return { parameters, body: tokens.slice(close + 1) };
}

/** `a`, `=a`, `&a`, `&&a`, `!a`, `a+`, or nothing: an argument that is not used. */
function readParameter(words: readonly t.Token[]): Parameter | undefined {
  const names = words.filter(isName);
  const signs = words.filter((word) => !isName(word)).map((word) => word.image);
  const known = signs.every((sign) => sign === '=' || sign === '&' || sign === '&&' || sign === '!' || sign === '+');
  if (names.length > 1 || !known) return undefined;
  return {
    name: names[0]?.image ?? '',
    evaluated: signs.includes('='),
    quoted: signs.includes('&') || signs.includes('&&'),
    greedy: signs.includes('+'),
  };
}

/** A macro with a body made of text, as `-D` and the standard macros need it. */
export function plainMacro(name: string, text: string, span: Span) {
  return { name, parameters: undefined, body: tokensOf(text, span), ignoreCase: false };
}

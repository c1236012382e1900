/** Directives about what surrounds the lines: other files, packages, contexts, messages, positions (NASM manual §4.6–4.11). */

import { spanOf, textOf } from '../../syntax/lexer.ts';
import { parseNumber, stringBytes } from '../../syntax/literals.ts';
import * as t from '../../syntax/tokens.ts';
import { didYouMean } from '../suggest.ts';
import type { Directing, DirectiveLine, DirectiveMeaning } from './directive.ts';
import { MAX_INCLUDES } from './line-sources.ts';
import { LEFT_OUT_PACKAGES, PACKAGES } from './packages.ts';
import { cannotFind } from './preprocessor-options.ts';
import { isName } from './token-run.ts';

const include: DirectiveMeaning = (line, to) => {
  const name = fileName(line, to);
  if (name === undefined) return;
  const { origin } = line;
  const place = spanOf(name.at, name.at, origin);
  if (to.sources.count('file') >= MAX_INCLUDES) {
    const text = `files include each other more than ${MAX_INCLUDES} deep; does a file include itself?`;
    to.diagnostics.fatal(place, text);
  }
  const found = to.find(name.wanted, origin.file.name);
  if (found === undefined) to.diagnostics.fatal(place, cannotFind(name.wanted, to.includePath));
  else to.enter(found.name, found.text);
};

const depend: DirectiveMeaning = (line, to) => {
  const name = fileName(line, to);
  if (name !== undefined) to.depend(name.wanted);
};

function fileName(line: DirectiveLine, to: Directing): { wanted: string; at: t.Token } | undefined {
  const [at] = to.expand(line.rest, line.origin);
  if (at?.tokenType === t.Text) return { wanted: new TextDecoder().decode(stringBytes(at.image)), at };
  to.diagnostics.error(line.span, `\`${line.word}\` needs a file name in quotes`);
  return undefined;
}

const use: DirectiveMeaning = ({ rest, origin, span }, to) => {
  const [at] = to.expand(rest, origin);
  if (at === undefined || !(isName(at) || at.tokenType === t.Text)) {
    to.diagnostics.error(span, '`%use` needs the name of a package');
    return;
  }
  const name = packageName(at);
  const source = PACKAGES.get(name);
  if (source === undefined) {
    const why = LEFT_OUT_PACKAGES.has(name) ? 'is a package that gvm leaves out' : 'is no package';
    const known = [...PACKAGES.keys()];
    const text = `\`${name}\` ${why}${didYouMean(name, known)}`;
    to.diagnostics.error(spanOf(at, at, origin), text, `packages: ${known.join(', ')}`);
  } else if (!to.packages.has(name)) {
    to.packages.add(name);
    to.enter(`%use ${name}`, source);
  }
};

/** A package by its name, in quotes or not, whatever its case. */
export function packageName(token: t.Token): string {
  return (token.tokenType === t.Text ? token.image.slice(1, -1) : token.image).toLowerCase();
}

const push: DirectiveMeaning = (line, to) => {
  to.contexts.push(line.rest.length === 0 ? undefined : to.name(line.rest[0], line), to.serial());
};

const pop: DirectiveMeaning = (line, to) => {
  const popped = to.contexts.pop(line.rest.length === 0 ? undefined : to.name(line.rest[0], line));
  if ('wrong' in popped) to.diagnostics.error(line.span, popped.wrong);
  else to.macros.names.forget(popped.prefix);
};

const rename: DirectiveMeaning = (line, to) => {
  const name = line.rest.length === 0 ? undefined : to.name(line.rest[0], line);
  if (!to.contexts.rename(name)) to.diagnostics.error(line.span, '`%repl` without `%push`');
};

/** `%error text`: macros in the text are expanded, a lone string loses its quotes. */
function messageOf({ rest, origin }: DirectiveLine, to: Directing): string {
  const tokens = to.expand(rest, origin);
  const [only] = tokens;
  const isString = tokens.length === 1 && only!.tokenType === t.Text;
  const text = isString ? new TextDecoder().decode(stringBytes(only!.image)) : textOf(tokens);
  return text || 'stopped by the source';
}

/** `%line 12+1 "file"`: what follows came from there; messages and `__?LINE?__` say so. */
const position: DirectiveMeaning = (line, to) => {
  const { rest, origin, span } = line;
  const numbers = rest.filter((token) => token.tokenType === t.Numeral).map((token) => parseNumber(token.image));
  const first = numbers[0];
  if (rest[0]?.tokenType !== t.Numeral || first === undefined || origin.expansion !== undefined) {
    to.diagnostics.error(span, '`%line` needs a line number, outside of macros: `%line 12+1 file`');
    return;
  }
  const hasStep = rest[1]?.tokenType === t.Plus && numbers[1] !== undefined;
  const name = rest.slice(hasStep ? 3 : 1);
  const isText = name[0]?.tokenType === t.Text;
  const file = name.length === 0 ? undefined : isText ? name[0]!.image.slice(1, -1) : textOf(name);
  origin.file.relabel(span.start, { line: Number(first), step: hasStep ? Number(numbers[1]) : 1, name: file });
};

/** What gvm has no use for and NASM takes without effect on the output. */
const ignored: DirectiveMeaning = () => {};

export const SURROUNDINGS: Readonly<Record<string, DirectiveMeaning>> = {
  '%include': include,
  '%depend': depend,
  '%use': use,
  '%push': push,
  '%pop': pop,
  '%repl': rename,
  '%line': position,
  '%error': (line, to) => to.diagnostics.error(line.span, messageOf(line, to)),
  '%fatal': (line, to) => to.diagnostics.fatal(line.span, messageOf(line, to)),
  '%warning': (line, to) => to.diagnostics.warning(line.span, messageOf(line, to), 'user'),
  '%pragma': ignored,
  '%null': ignored,
};

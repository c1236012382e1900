/** `%stacksize`, `%arg`, `%local` (NASM manual §4.8): names for what a procedure finds and keeps in its stack frame. */

import { spanOf, tokensOf } from '../../syntax/lexer.ts';
import * as t from '../../syntax/tokens.ts';
import { didYouMean } from '../suggest.ts';
import { plainMacro } from './definitions.ts';
import type { Directing, DirectiveLine, DirectiveMeaning } from './directive.ts';
import { LAYOUTS, SIZES } from './stack-layout.ts';
import { isName } from './token-run.ts';

const stackSize: DirectiveMeaning = ({ rest, origin, span }, to) => {
  const [name] = rest;
  const layout = LAYOUTS.get(name?.image.toLowerCase() ?? '');
  if (layout !== undefined) {
    to.frame.begin(layout);
    return;
  }
  const near = didYouMean(name?.image ?? '', LAYOUTS.keys());
  const place = name === undefined ? span : spanOf(name, name, origin);
  to.diagnostics.error(place, `\`%stacksize\` takes ${[...LAYOUTS.keys()].join(', ')}${near}`);
};

/** `name:size, name:size …`, each name with its size in whole stack slots; undefined where a fault was reported. */
function slots(
  { rest, origin, span, word }: DirectiveLine,
  to: Directing,
): { name: string; bytes: number }[] | undefined {
  const found: { name: string; bytes: number }[] = [];
  if (to.frame.layout === undefined) {
    // NASM goes on with what its passes have left behind.
    to.diagnostics.error(span, `\`${word}\` needs to know the frame: \`%stacksize flat64\` before it`);
    return undefined;
  }
  const { slot } = to.frame.layout;
  for (let at = 0; at === 0 || at < rest.length + 1; at += 4) {
    const [name, colon, size, comma] = rest.slice(at, at + 4);
    const isPair = name !== undefined && isName(name) && colon?.tokenType === t.Colon && size !== undefined;
    if (!isPair || (comma !== undefined && comma.tokenType !== t.Comma)) {
      to.diagnostics.error(span, `\`${word}\` takes names with their sizes: \`${word} count:dword, buffer:qword\``);
      return undefined;
    }
    const bytes = SIZES.get(to.expand([size], origin)[0]?.image.toLowerCase() ?? '');
    if (bytes === undefined) {
      const text = `\`${size.image}\` is no size of a stack slot${didYouMean(size.image, SIZES.keys())}`;
      to.diagnostics.error(spanOf(size, size, origin), text, `sizes: ${[...SIZES.keys()].join(', ')}`);
      return undefined;
    }
    found.push({ name: name.image, bytes: Math.ceil(bytes / slot) * slot });
    if (comma === undefined) break;
  }
  return found;
}

const argument: DirectiveMeaning = (line, to) => {
  const { frame } = to;
  for (const { name, bytes } of slots(line, to) ?? []) {
    to.macros.names.define(plainMacro(name, `(${frame.layout!.pointer}+${frame.argument})`, line.span));
    frame.argument += bytes;
  }
};

const local: DirectiveMeaning = (line, to) => {
  const { frame } = to;
  for (const { name, bytes } of slots(line, to) ?? []) {
    frame.locals += bytes;
    to.macros.names.define(plainMacro(name, `(${frame.layout!.pointer}-${frame.locals})`, line.span));
    addToLocalSize(bytes, line, to);
  }
};

/** `%$localsize`, which `enter` wants to know, belongs to the procedure's context. */
function addToLocalSize(bytes: number, line: DirectiveLine, to: Directing): void {
  const [word] = tokensOf('%$localsize', line.span);
  const name = to.name(word, line);
  if (name === undefined) return;
  if (!to.macros.names.defined(name)) {
    const text = '`%local` adds to `%$localsize`, which has no value yet: `%assign %$localsize 0`';
    to.diagnostics.error(line.span, text);
    return;
  }
  const before = to.number(to.expand([word!], line.origin), line.origin);
  if (before !== undefined) to.macros.names.define(plainMacro(name, `${before + BigInt(bytes)}`, line.span));
}

export const STACK_FRAMES: Readonly<Record<string, DirectiveMeaning>> = {
  '%stacksize': stackSize,
  '%arg': argument,
  '%local': local,
};

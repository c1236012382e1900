/** Directives that declare symbols: `global`, `static`, `extern`, `required`, `common` (NASM manual §7.6–7.9, §8.9.4). */

import * as elf from '../object/elf64.ts';
import { spanOf } from '../syntax/lexer.ts';
import type { Origin, Span } from '../syntax/source.ts';
import * as t from '../syntax/tokens.ts';
import type { Building, DirectiveBody } from './building.ts';
import type { AssemblySymbol } from './symbols.ts';

/** All the symbols that one directive names. */
export function declareAll(body: DirectiveBody, origin: Origin, span: Span, building: Building): undefined {
  for (const words of commaSeparated(body.words)) declare(body.name, words, origin, span, building);
}

function commaSeparated(words: readonly t.Token[]): t.Token[][] {
  const list: t.Token[][] = [[]];
  for (const word of words) {
    if (word.tokenType === t.Comma) list.push([]);
    else list.at(-1)!.push(word);
  }
  return list;
}

const TYPES: Readonly<Record<string, number>> = {
  function: elf.STT_FUNC,
  data: elf.STT_OBJECT,
  object: elf.STT_OBJECT,
  notype: elf.STT_NOTYPE,
};
const VISIBILITIES: Readonly<Record<string, number>> = { default: 0, internal: 1, hidden: 2, protected: 3 };

/** `global name:function hidden (size)`, `extern name:weak`, `common name size:align`. */
function declare(kind: string, words: readonly t.Token[], origin: Origin, span: Span, building: Building): void {
  const { assembly } = building;
  const [at, colon, ...attributes] = words;
  if (at === undefined || at.tokenType === t.Numeral || at.tokenType === t.Text) {
    assembly.diagnostics.error(
      at === undefined ? span : spanOf(at, at, origin),
      `\`${kind}\` needs the name of a symbol`,
    );
    return;
  }
  const name = at.image.replace(/^\$/, '');
  const symbol = assembly.symbols.mention(name, spanOf(at, at, origin));
  if (kind === 'common') {
    common(symbol, words.slice(1), origin, span, building);
    return;
  }
  if (kind === 'extern' || kind === 'required') {
    symbol.external ??= assembly.externalNamed(name);
    if (kind === 'required') symbol.external.used = true;
  } else if (kind === 'global' && symbol.binding === 'local') {
    symbol.binding = 'global';
  }
  if (colon === undefined) return;
  if (building.assembly.format === 'bin') {
    assembly.diagnostics.error(spanOf(colon, words.at(-1)!, origin), 'symbols of flat output have no type');
    return;
  }
  if (colon.tokenType !== t.Colon) {
    assembly.diagnostics.error(
      spanOf(colon, words.at(-1)!, origin),
      `unexpected \`${colon.image}\` after the symbol's name`,
    );
    return;
  }
  for (let i = 0; i < attributes.length; i++) {
    const word = attributes[i]!.image.toLowerCase();
    if (word === 'weak') symbol.binding = 'weak';
    else if (word in TYPES) symbol.type = TYPES[word]!;
    else if (word in VISIBILITIES) symbol.visibility = VISIBILITIES[word]!;
    else {
      symbol.size = building.expression(attributes.slice(i), origin);
      return;
    }
  }
}

function common(
  symbol: AssemblySymbol,
  words: readonly t.Token[],
  origin: Origin,
  span: Span,
  building: Building,
): void {
  if (building.assembly.format === 'bin') {
    building.assembly.diagnostics.error(span, 'flat output has no common symbols; reserve room with resb');
    return;
  }
  const colon = words.findIndex((word) => word.tokenType === t.Colon);
  const parts = colon < 0 ? [words] : [words.slice(0, colon), words.slice(colon + 1)];
  const numbers = parts.map((tokens) => {
    const expression = tokens.length > 0 ? building.expression(tokens, origin) : undefined;
    return expression === undefined ? undefined : building.assembly.number(expression, 'the size of a common symbol');
  });
  if (numbers[0] === undefined) {
    building.assembly.diagnostics.error(span, '`common` needs a name and a size');
    return;
  }
  symbol.external ??= building.assembly.externalNamed(symbol.name);
  symbol.external.used = true;
  symbol.binding = 'global';
  symbol.common = { size: numbers[0], align: numbers[1] ?? 8n };
}

/** Directives (NASM manual chapter 7 and §8.9): what `section`, `global`, `align` … mean. */

import * as elf from '../object/elf64.ts';
import type { Body, Expression } from '../syntax/ast.ts';
import { spanOf } from '../syntax/lexer.ts';
import type { Origin, Span } from '../syntax/source.ts';
import * as t from '../syntax/tokens.ts';
import type { Assembly, Work } from './assembly.ts';
import { TimesWork } from './data-work.ts';
import { applyAttribute } from './sections.ts';
import type { AssemblySymbol } from './symbols.ts';

type DirectiveBody = Extract<Body, { kind: 'directive' }>;

/** What a directive may ask of the program being built. */
export interface Building {
  readonly assembly: Assembly;
  expression(tokens: readonly t.Token[], origin: Origin): Expression | undefined;
  /** The work of a statement made of these tokens (`align 8, db 0`). */
  statement(tokens: readonly t.Token[], origin: Origin): Work | undefined;
}

/** Reads a directive; its lasting effect happens now, what belongs to the place is returned as work. */
export function directive(body: DirectiveBody, origin: Origin, building: Building): Work | undefined {
  const { assembly } = building;
  const span = spanOf(body.at, body.words.at(-1) ?? body.at, origin);
  switch (body.name) {
    case 'section':
    case 'segment':
      return section(body, origin, building);
    case 'global':
    case 'static':
    case 'extern':
    case 'required':
    case 'common':
      for (const words of commaSeparated(body.words)) declare(body.name, words, origin, span, building);
      return undefined;
    case 'default':
      return defaultMode(body, origin, assembly);
    case 'bits':
    case 'use64':
    case 'use32':
    case 'use16':
      if (body.name !== 'use64' && body.words[0]?.image !== '64') {
        assembly.diagnostics.error(span, 'only 64-bit code is assembled: `bits 64`');
      }
      return undefined;
    case 'align':
    case 'alignb':
      return align(body, origin, span, building);
    case 'org':
      return setOrigin(body, origin, span, building);
    case 'cpu':
      return undefined;
    default:
      assembly.diagnostics.error(span, `\`${body.name}\` is not supported`);
      return undefined;
  }
}

function commaSeparated(words: readonly t.Token[]): t.Token[][] {
  const list: t.Token[][] = [[]];
  for (const word of words) {
    if (word.tokenType === t.Comma) list.push([]);
    else list.at(-1)!.push(word);
  }
  return list;
}

function section(body: DirectiveBody, origin: Origin, { assembly, expression }: Building): Work | undefined {
  const [name, ...rest] = body.words;
  if (name === undefined) {
    assembly.diagnostics.error(spanOf(body.at, body.at, origin), `\`${body.name}\` needs a name`);
    return undefined;
  }
  const chosen = assembly.sectionNamed(name.tokenType === t.Text ? name.image.slice(1, -1) : name.image);
  for (let i = 0; i < rest.length; i++) {
    const word = rest[i]!;
    const key = word.image.toLowerCase();
    if (key === 'align' || key === 'start' || key === 'vstart') {
      const end = rest.findIndex((each, at) => at > i + 1 && each.tokenType === t.Identifier);
      const value = rest.slice(i + 2, end < 0 ? undefined : end);
      const parsed = value.length > 0 ? expression(value, origin) : undefined;
      if (key === 'align' && parsed !== undefined) setAlignment(chosen.attributes, parsed, assembly);
      i += 1 + value.length;
    } else if (!applyAttribute(chosen.attributes, key)) {
      assembly.diagnostics.error(spanOf(word, word, origin), `\`${word.image}\` is no attribute of a section`);
    }
  }
  return {
    place(pass) {
      pass.section = chosen;
    },
  };
}

function setAlignment(attributes: { align: number }, expression: Expression, assembly: Assembly): void {
  const align = assembly.number(expression, 'an alignment');
  if (align === undefined) return;
  if (!isPowerOfTwo(align)) assembly.error(expression, `an alignment must be a power of two, not ${align}`);
  else attributes.align = Number(align);
}

function isPowerOfTwo(value: bigint): boolean {
  return value > 0n && value <= 1n << 31n && (value & (value - 1n)) === 0n;
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

function defaultMode(body: DirectiveBody, origin: Origin, assembly: Assembly): Work | undefined {
  const modes = body.words.map((word) => word.image.toLowerCase());
  for (const word of body.words) {
    if (!['rel', 'abs', 'bnd', 'nobnd'].includes(word.image.toLowerCase())) {
      assembly.diagnostics.error(spanOf(word, word, origin), '`default` takes rel or abs');
    }
  }
  if (!modes.includes('rel') && !modes.includes('abs')) return undefined;
  return {
    place(pass) {
      pass.defaultRelative = modes.includes('rel');
    },
  };
}

/** `align` pads with one-byte nops, `alignb` reserves; both raise the section's own alignment (NASM's sectalign). */
function align(body: DirectiveBody, origin: Origin, span: Span, building: Building): Work | undefined {
  const { assembly } = building;
  const comma = body.words.findIndex((word) => word.tokenType === t.Comma);
  const tokens = comma < 0 ? body.words : body.words.slice(0, comma);
  const expression = tokens.length > 0 ? building.expression(tokens, origin) : undefined;
  if (expression === undefined) {
    if (tokens.length === 0) assembly.diagnostics.error(span, `\`${body.name}\` needs a number of bytes`);
    return undefined;
  }
  const filler = comma < 0 ? undefined : building.statement(body.words.slice(comma + 1), origin);
  if (comma >= 0 && filler === undefined) return undefined;
  const inner = filler ?? (body.name === 'align' ? PAD_NOP : PAD_ROOM);
  return {
    place(pass) {
      const boundary = pass.number(expression, 'an alignment');
      if (boundary === undefined) return;
      if (!isPowerOfTwo(boundary)) {
        pass.error(expression, `an alignment must be a power of two, not ${boundary}`);
        return;
      }
      const size = Number(boundary);
      pass.section.attributes.align = Math.max(pass.section.attributes.align, size);
      const count = (size - (pass.section.offset % size)) % size;
      if (count > 0) new TimesWork(countOf(count, body.at), inner).place(pass);
    },
  };
}

const NOP = Uint8Array.of(0x90);
const PAD_NOP: Work = { place: (pass) => pass.bytes(NOP) };
const PAD_ROOM: Work = { place: (pass) => pass.fill(1, 0) };

function countOf(value: number, at: t.Token): Expression {
  return { kind: 'number', value: BigInt(value), at };
}

function setOrigin(body: DirectiveBody, origin: Origin, span: Span, { assembly, expression }: Building): undefined {
  if (assembly.format !== 'bin') {
    assembly.diagnostics.error(span, '`org` has a meaning only in flat output (-f bin); the linker places an object');
    return;
  }
  const parsed = body.words.length > 0 ? expression(body.words, origin) : undefined;
  const value = parsed === undefined ? undefined : assembly.number(parsed, 'the origin');
  if (assembly.origin !== undefined) assembly.diagnostics.error(span, 'the program has an `org` already');
  else if (value !== undefined) assembly.origin = value;
}

/** A label that an `equ` gives a value. */
export function equ(body: Extract<Body, { kind: 'equ' }>, symbol: AssemblySymbol): Work {
  return {
    place(pass) {
      const value = pass.value(body.value);
      if (value.terms.some((term) => typeof term.of === 'string')) {
        pass.error(body.value, '`equ` gives a symbol a value, and a register is none; use %define');
        return;
      }
      if (!value.known) return;
      const before = symbol.value;
      const same =
        before !== undefined &&
        before.constant === value.constant &&
        before.terms.length === value.terms.length &&
        before.terms.every((term, i) => term.of === value.terms[i]!.of && term.factor === value.terms[i]!.factor);
      if (same) return;
      symbol.value = value;
      pass.changed = true;
    },
  };
}

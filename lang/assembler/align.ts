/** `align`, `alignb`, `sectalign` (NASM manual §4.12.12, §6.2, §7.3): padding to a boundary, and the section's own alignment. */

import type { Expression } from '../syntax/ast.ts';
import { spanOf } from '../syntax/lexer.ts';
import type { Origin, Span } from '../syntax/source.ts';
import * as t from '../syntax/tokens.ts';
import type { Assembly, Work } from './assembly.ts';
import type { Building, DirectiveBody } from './building.ts';
import { TimesWork } from './data-work.ts';
import { MODES, NOP, smartPadding } from './padding.ts';
import { isPowerOfTwo } from './section-directive.ts';
import { didYouMean } from './suggest.ts';

/** `align` pads with one-byte nops or as `%use smartalign` says, `alignb` reserves; both raise the section's alignment. */
export function align(body: DirectiveBody, origin: Origin, span: Span, building: Building): Work | undefined {
  const { assembly } = building;
  const comma = body.words.findIndex((word) => word.tokenType === t.Comma);
  const tokens = comma < 0 ? body.words : body.words.slice(0, comma);
  if (body.name === 'sectalign' && /^(?:on|off)$/i.test(tokens[0]?.image ?? '')) return undefined;
  const expression = tokens.length > 0 ? building.expression(tokens, origin) : undefined;
  if (expression === undefined) {
    if (tokens.length === 0) assembly.diagnostics.error(span, `\`${body.name}\` needs a number of bytes`);
    return undefined;
  }
  const filler = comma < 0 ? undefined : building.statement(body.words.slice(comma + 1), origin);
  if (comma >= 0 && filler === undefined) return undefined;
  return {
    place(pass) {
      const size = boundary(expression, pass);
      if (size === undefined) return;
      const { attributes } = pass.section;
      attributes.align = Math.max(attributes.align, size);
      const gap = (size - (pass.distance % size)) % size;
      if (gap === 0 || body.name === 'sectalign') return;
      if (filler === undefined && body.name === 'align' && pass.padding !== undefined) {
        pass.bytes(smartPadding(gap, pass.padding));
      } else {
        new TimesWork(literal(gap, body.at), filler ?? (body.name === 'align' ? PAD_NOP : PAD_ROOM)).place(pass);
      }
    },
  };
}

function boundary(expression: Expression, pass: Assembly): number | undefined {
  const value = pass.number(expression, 'an alignment');
  if (value === undefined || isPowerOfTwo(value)) return value === undefined ? undefined : Number(value);
  pass.error(expression, `an alignment must be a power of two, not ${value}`);
  return undefined;
}

function literal(value: number, at: t.Token): Expression {
  return { kind: 'number', value: BigInt(value), at };
}

const PAD_NOP: Work = { place: (pass) => pass.bytes(NOP) };
const PAD_ROOM: Work = { isRoom: true, place: (pass) => pass.fill(1, 0) };

/** `alignmode p6, 16`, as the package's macro hands it on. */
export function alignMode(body: DirectiveBody, origin: Origin, span: Span, building: Building): Work | undefined {
  const [name, , ...words] = body.words;
  const mode = MODES.get(name?.image.toLowerCase() ?? '');
  if (mode === undefined) {
    const place = name === undefined ? span : spanOf(name, name, origin);
    const near = didYouMean(name?.image ?? '', MODES.keys());
    building.assembly.diagnostics.error(place, `\`alignmode\` takes ${[...MODES.keys()].join(', ')}${near}`);
    return undefined;
  }
  const never = words[0]?.image.toLowerCase() === 'nojmp';
  const expression = words.length === 0 || never ? undefined : building.expression(words, origin);
  return {
    place(pass) {
      const given = expression === undefined ? undefined : pass.number(expression, 'the threshold of `alignmode`');
      const threshold = never ? Number.POSITIVE_INFINITY : given === undefined ? mode.threshold : Number(given);
      pass.padding = { fillers: mode.fillers, threshold };
    },
  };
}

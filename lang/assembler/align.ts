/** `align`, `alignb`, `sectalign` (NASM manual §4.12.12, §6.2, §7.3): padding to a boundary, and the section's own alignment. */

import type { Expression } from '../syntax/ast.ts';
import { spanOf } from '../syntax/lexer.ts';
import type { Origin, Span } from '../syntax/source.ts';
import * as t from '../syntax/tokens.ts';
import type { Assembly, Work } from './assembly.ts';
import type { Building, DirectiveBody } from './building.ts';
import { TimesWork } from './data-work.ts';
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

const NOP = 0x90;
const PAD_NOP: Work = { place: (pass) => pass.bytes(Uint8Array.of(NOP)) };
const PAD_ROOM: Work = { place: (pass) => pass.fill(1, 0) };

/** How `align` pads after `%use smartalign`: a table of fillers, and the gap beyond which it jumps. */
export interface Padding {
  readonly fillers: readonly string[];
  readonly threshold: number;
}

/** Prefixed nops (K7, K8): 1 to 8 bytes. */
const PREFIXED = [
  '90',
  '6690',
  '666690',
  '66666690',
  '6666669090',
  '666666906690',
  '66666690666690',
  '6666669066666690',
];
/** `nop` with a memory operand (P6): 1 to 8 bytes. */
const LONG = '90 6690 0f1f00 0f1f4000 0f1f440000 660f1f440000 0f1f8000000000 0f1f840000000000'.split(' ');

/** Fillers of each mode, and the threshold where the program names none. */
const MODES: ReadonlyMap<string, Padding> = new Map([
  ['generic', { fillers: PREFIXED, threshold: 8 }],
  ['nop', { fillers: ['90'], threshold: 16 }],
  ['p6', { fillers: LONG, threshold: 16 }],
  ['k7', { fillers: PREFIXED, threshold: 16 }],
  ['k8', { fillers: PREFIXED, threshold: 16 }],
]);

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

/** Beyond the threshold a jump over nops, else the longest fillers first. */
function smartPadding(gap: number, { fillers, threshold }: Padding): Uint8Array {
  if (gap > threshold) return jumpOver(gap);
  const bytes: number[] = [];
  while (bytes.length < gap) {
    const filler = fillers[Math.min(gap - bytes.length, fillers.length) - 1]!;
    bytes.push(...Buffer.from(filler, 'hex'));
  }
  return Uint8Array.from(bytes);
}

/** `jmp` in its shortest form, then nops. */
function jumpOver(gap: number): Uint8Array {
  const bytes = new Uint8Array(gap).fill(NOP);
  if (gap - 2 <= 127) {
    bytes.set([0xeb, gap - 2]);
  } else {
    bytes[0] = 0xe9;
    new DataView(bytes.buffer).setUint32(1, gap - 5, true);
  }
  return bytes;
}

/** Directives (NASM manual chapter 7): what each word means. Lasting effects happen when it is read, those of the place in each pass. */

import type { Body } from '../syntax/ast.ts';
import { spanOf, textOf } from '../syntax/lexer.ts';
import type { Origin, Span } from '../syntax/source.ts';
import { align, alignMode } from './align.ts';
import type { Work } from './assembly.ts';
import type { Building, DirectiveBody } from './building.ts';
import { declareAll } from './declarations.ts';
import type { Diagnostics } from './diagnostics.ts';
import { absolute, section } from './section-directive.ts';
import { didYouMean } from './suggest.ts';
import type { AssemblySymbol } from './symbols.ts';
import { sameValue } from './value.ts';

type Meaning = (body: DirectiveBody, origin: Origin, span: Span, building: Building) => Work | undefined;

const MEANINGS: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['section', (body, origin, _, building) => section(body, origin, building)],
  ['segment', (body, origin, _, building) => section(body, origin, building)],
  ['absolute', absolute],
  ['global', declareAll],
  ['static', declareAll],
  ['extern', declareAll],
  ['required', declareAll],
  ['common', declareAll],
  ['default', defaultMode],
  ['bits', bits],
  ['use64', bits],
  ['use32', bits],
  ['use16', bits],
  ['align', align],
  ['alignb', align],
  ['sectalign', align],
  ['smartalign', alignMode],
  ['org', setOrigin],
  ['cpu', processor],
  [
    'float',
    choice('the rounding of floating-point constants', ['daz', 'nodaz', 'near', 'up', 'down', 'zero', 'default']),
  ],
  ['list', choice('whether lines are listed', ['+', '-'])],
  ['warning', warning],
]);

/** Reads a directive; its lasting effect happens now, what belongs to the place is returned as work. */
export function directive(body: DirectiveBody, origin: Origin, building: Building): Work | undefined {
  const span = spanOf(body.at, body.words.at(-1) ?? body.at, origin);
  const meaning = MEANINGS.get(body.name);
  if (meaning !== undefined) return meaning(body, origin, span, building);
  const place = spanOf(body.at, body.at, origin);
  const { diagnostics } = building.assembly;
  if (body.name === 'map') {
    diagnostics.error(place, '`map` is a directive that gvm leaves out', 'gvm asm --map FILE writes a map');
  } else {
    diagnostics.unknown(place, `unknown directive \`${body.name}\`${didYouMean(body.name, MEANINGS.keys())}`);
  }
  return undefined;
}

function bits(body: DirectiveBody, _: Origin, span: Span, { assembly }: Building): undefined {
  if (body.name === 'use64' || (body.words.length === 1 && body.words[0]!.image === '64')) return;
  assembly.diagnostics.error(span, 'only 64-bit code is assembled: `bits 64`');
}

/** Processors that have every instruction gvm knows; an older one would forbid some. */
const PROCESSORS = ['x64', 'x86-64', 'any', 'all', 'default', 'latevex'];

function processor(body: DirectiveBody, _: Origin, span: Span, { assembly }: Building): undefined {
  const name = body.words.map((word) => word.image.toLowerCase()).join('');
  if (PROCESSORS.includes(name)) return;
  assembly.diagnostics.error(span, `\`cpu\` takes ${PROCESSORS.slice(0, 3).join(', ')}: only 64-bit code is assembled`);
}

/** A directive about something that does not reach the output: its words are checked, and that is all. */
function choice(subject: string, words: readonly string[]): Meaning {
  return (body, origin, span, { assembly }) => {
    const wrong = body.words.find((word) => !words.includes(word.image.toLowerCase()));
    if (wrong === undefined && body.words.length > 0) return undefined;
    const place = wrong === undefined ? span : spanOf(wrong, wrong, origin);
    assembly.diagnostics.error(place, `\`${body.name}\` says ${subject}: ${words.join(', ')}`);
    return undefined;
  };
}

/** `[warning +name]`, `[warning -name]`, `[warning *name]`, `[warning push]`, `[warning pop]`: from here on. */
function warning(body: DirectiveBody, _: Origin, span: Span): Work {
  const option = textOf(body.words).replace(/\s/g, '').toLowerCase();
  return {
    place(pass) {
      // Messages come while the source is read and while the bytes are written.
      if (pass.phase !== 'settle') changeWarnings(option, span, pass.diagnostics);
    },
  };
}

function changeWarnings(option: string, span: Span, diagnostics: Diagnostics): void {
  const { warnings } = diagnostics;
  if (option === '') {
    diagnostics.error(span, '`warning` needs the name of a warning, `push` or `pop`');
  } else if (option === 'push' || option === 'save') {
    warnings.push();
  } else if (option === 'pop' || option === 'restore') {
    if (!warnings.pop()) diagnostics.warning(span, '`[warning pop]` without `push`', 'warn-stack-empty');
  } else if (!warnings.apply(option)) {
    diagnostics.warning(span, `unknown warning \`${option}\``, 'unknown-warning');
  }
}

function defaultMode(body: DirectiveBody, origin: Origin, _: Span, { assembly }: Building): Work | undefined {
  const modes = body.words.map((word) => word.image.toLowerCase());
  for (const word of body.words) {
    if (!['rel', 'abs', 'bnd', 'nobnd', ','].includes(word.image.toLowerCase())) {
      assembly.diagnostics.error(spanOf(word, word, origin), '`default` takes rel or abs');
    }
  }
  if (modes.length === 0) assembly.diagnostics.error(spanOf(body.at, body.at, origin), '`default` takes rel or abs');
  if (!modes.includes('rel') && !modes.includes('abs')) return undefined;
  return {
    place(pass) {
      pass.defaultRelative = modes.lastIndexOf('rel') > modes.lastIndexOf('abs');
    },
  };
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
      if (symbol.value !== undefined && sameValue(symbol.value, value)) return;
      symbol.value = value;
      pass.changed = true;
    },
  };
}

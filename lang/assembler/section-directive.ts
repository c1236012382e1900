/** `section`, `segment` and `absolute` (NASM manual §7.4, §7.5, §8.1.3, §8.9.2): where the statements that follow go. */

import type { Expression } from '../syntax/ast.ts';
import { spanOf, textOf, touches } from '../syntax/lexer.ts';
import type { Origin, Span } from '../syntax/source.ts';
import type * as t from '../syntax/tokens.ts';
import type { Assembly, Work } from './assembly.ts';
import type { Building, DirectiveBody } from './building.ts';
import { absoluteSpace, applyAttribute, type Section } from './sections.ts';
import { didYouMean } from './suggest.ts';
import { sameValue } from './value.ts';

export function section(body: DirectiveBody, origin: Origin, building: Building): Work | undefined {
  const { assembly } = building;
  const { name, rest } = sectionName(body.words);
  if (name === undefined) {
    assembly.diagnostics.error(spanOf(body.at, body.at, origin), `\`${body.name}\` needs a name`);
    return undefined;
  }
  const isNew = !assembly.sections.some((each) => each.name === name);
  const chosen = assembly.sectionNamed(name);
  for (let i = 0; i < rest.length; ) {
    const end = endOfAttribute(rest, i);
    attribute(rest.slice(i, end), chosen, isNew, origin, building);
    i = end;
  }
  return {
    place(pass) {
      pass.section = chosen;
    },
  };
}

/** The name goes up to the first blank, whatever it is of: `.note.GNU-stack`. */
function sectionName(words: readonly t.Token[]): { name: string | undefined; rest: readonly t.Token[] } {
  if (words.length === 0) return { name: undefined, rest: words };
  let length = 1;
  while (length < words.length && touches(words[length - 1]!, words[length]!)) length++;
  return { name: textOf(words.slice(0, length)), rest: words.slice(length) };
}

/** An attribute is a word, or a word, `=` and a value up to the next word that is an attribute. */
function endOfAttribute(words: readonly t.Token[], from: number): number {
  if (words[from + 1]?.image !== '=') return from + 1;
  const next = words.findIndex((word, at) => at > from + 2 && isAttribute(word.image.toLowerCase()));
  return next < 0 ? words.length : next;
}

const ADDRESSES = ['start', 'vstart'] as const;
const ORDERS = ['follows', 'vfollows'] as const;
const FLAGS = 'progbits nobits note alloc noalloc exec noexec write nowrite tls merge strings'.split(' ');
const WORDS = [...FLAGS, 'align', ...ADDRESSES, ...ORDERS];

function isAttribute(word: string): boolean {
  return WORDS.includes(word);
}

function attribute(
  words: readonly t.Token[],
  chosen: Section,
  isNew: boolean,
  origin: Origin,
  { assembly, expression }: Building,
): void {
  const [first] = words;
  const key = first!.image.toLowerCase();
  const span = spanOf(first!, words.at(-1)!, origin);
  const value = words.slice(2);
  const address = ADDRESSES.find((each) => each === key);
  const order = ORDERS.find((each) => each === key);
  if (key === 'align' || address !== undefined) {
    const parsed = value.length > 0 ? expression(value, origin) : undefined;
    if (parsed === undefined) {
      if (value.length === 0) assembly.diagnostics.error(span, `\`${key}\` needs a number: \`${key}=16\``);
    } else if (key === 'align') {
      setAlignment(chosen, parsed, assembly);
    } else if (isForFlatOutput(key, span, assembly)) {
      const number = assembly.number(parsed, 'the address of a section');
      if (number !== undefined) chosen.placement = { ...chosen.placement, [address!]: number };
    }
  } else if (order !== undefined) {
    if (value.length === 0) assembly.diagnostics.error(span, `\`${key}\` needs the name of a section`);
    else if (isForFlatOutput(key, span, assembly)) chosen.placement = { ...chosen.placement, [order]: textOf(value) };
  } else if (!isAttribute(key)) {
    const text = `\`${first!.image}\` is no attribute of a section${didYouMean(key, WORDS)}`;
    assembly.diagnostics.error(span, text);
  } else {
    applyFlag(key, chosen, isNew, span, assembly);
  }
}

function isForFlatOutput(key: string, span: Span, assembly: Assembly): boolean {
  if (assembly.format === 'bin') return true;
  assembly.diagnostics.error(
    span,
    `\`${key}\` has a meaning only in flat output (-f bin); the linker places an object`,
  );
  return false;
}

function applyFlag(key: string, chosen: Section, isNew: boolean, span: Span, assembly: Assembly): void {
  const before = chosen.attributes.type;
  applyAttribute(chosen.attributes, key);
  const isStandard = !isNew || chosen.name === '.text' || chosen.name === '.data' || chosen.name === '.bss';
  if (assembly.format === 'bin' && isStandard && chosen.attributes.type !== before) {
    assembly.diagnostics.error(span, `section ${chosen.name} exists already, and not as ${key}`);
  }
}

function setAlignment(chosen: Section, expression: Expression, assembly: Assembly): void {
  const align = assembly.number(expression, 'an alignment');
  if (align === undefined) return;
  if (!isPowerOfTwo(align)) {
    assembly.error(expression, `an alignment must be a power of two, not ${align}`);
  } else {
    chosen.attributes.align = Number(align);
    chosen.placement = { ...chosen.placement, align: Number(align) };
  }
}

export function isPowerOfTwo(value: bigint): boolean {
  return value > 0n && value <= 1n << 31n && (value & (value - 1n)) === 0n;
}

/** `absolute ADDRESS`: labels and room from there on, and nothing that takes bytes. */
export function absolute(body: DirectiveBody, origin: Origin, span: Span, building: Building): Work | undefined {
  const parsed = body.words.length > 0 ? building.expression(body.words, origin) : undefined;
  if (parsed === undefined) {
    if (body.words.length === 0) building.assembly.diagnostics.error(span, '`absolute` needs an address');
    return undefined;
  }
  let space: Section | undefined;
  return {
    place(pass) {
      const start = pass.value(parsed);
      if (!start.known || start.terms.some((term) => typeof term.of === 'string')) {
        pass.error(parsed, 'the address behind `absolute` must be known at this line');
        return;
      }
      // The same space as in the pass before, so that its labels have not moved.
      if (space === undefined || !sameValue(space.start, start)) space = absoluteSpace(start);
      space.offset = 0;
      pass.section = space;
    },
  };
}

/** One pattern of a check line: text, `{{regex}}`, `[[VARIABLE:regex]]`, `[[VARIABLE]]` and `[[#number]]`, tried against a text. */

import {
  anyNumber,
  evaluate,
  implicitFormat,
  type NumberFormat,
  type NumericBlock,
  type NumericValue,
  parseNumericBlock,
  readNumber,
  writeNumber,
} from './expression.ts';
import { CheckFault } from './fault.ts';
import { escapeText, translate } from './regex.ts';

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'regex'; readonly source: string }
  | { readonly kind: 'define'; readonly name: string; readonly source: string }
  | { readonly kind: 'use'; readonly name: string }
  | { readonly kind: 'number'; readonly block: NumericBlock };

/** Values that earlier matches gave to variables. */
export class Variables {
  readonly texts = new Map<string, string>();
  readonly numbers = new Map<string, NumericValue>();
}

/** Where a pattern matched: offsets in the text it was tried on. */
export interface Match {
  readonly start: number;
  readonly end: number;
}

export class Pattern {
  readonly #parts: readonly Part[];
  /** Line of the source that holds the check: the value of `@LINE`. */
  readonly #line: number;

  /** `literal`: nothing in `text` is special. A mistake in the pattern is a {@link CheckFault}. */
  constructor(text: string, line: number, literal = false) {
    this.#line = line;
    this.#parts = literal ? [{ kind: 'text', text }] : parse(text);
  }

  /** Whether the pattern sets or needs variables, which a label must not. */
  get hasVariables(): boolean {
    return this.#parts.some((part) => part.kind === 'define' || part.kind === 'use' || part.kind === 'number');
  }

  /** The first match in `text`, whose variables are set; undefined if there is none. */
  match(text: string, variables: Variables): Match | undefined {
    const [only] = this.#parts;
    if (this.#parts.length === 1 && only!.kind === 'text') {
      const start = text.indexOf(only!.text);
      return start < 0 ? undefined : { start, end: start + only!.text.length };
    }
    const defined = new Map<string, NumberFormat | undefined>();
    const found = new RegExp(this.#source(variables, defined), 'm').exec(text);
    if (found === null) return undefined;
    for (const [name, format] of defined) {
      const value = found.groups![groupOf(name)]!;
      if (format === undefined) variables.texts.set(name, value);
      else variables.numbers.set(name, { value: readNumber(value, format), format });
    }
    return { start: found.index, end: found.index + found[0].length };
  }

  /** What the values of variables were, for a message: `"BASE" is "1000"`. */
  describe(variables: Variables): string[] {
    const names = this.#parts.flatMap((part) => {
      if (part.kind === 'use') return [part.name];
      return part.kind === 'number' ? mentioned(part.block) : [];
    });
    return [...new Set(names)].flatMap((name) => {
      const number = variables.numbers.get(name);
      const text = number === undefined ? variables.texts.get(name) : writeNumber(number.value, number.format);
      return text === undefined ? [] : [`with "${name}" equal to "${text}"`];
    });
  }

  /** The regular expression, with the present values of variables; fills `defined` with what its groups set. */
  #source(variables: Variables, defined: Map<string, NumberFormat | undefined>): string {
    const look = (name: string): NumericValue | undefined => {
      if (name === '@LINE')
        return { value: BigInt(this.#line), format: { conversion: 'u', alternate: false, precision: 0 } };
      return variables.numbers.get(name);
    };
    let source = '';
    for (const part of this.#parts) {
      switch (part.kind) {
        case 'text':
          source += escapeText(part.text);
          break;
        case 'regex':
          source += part.source;
          break;
        case 'define':
          if (variables.numbers.has(part.name)) throw new CheckFault(`'${part.name}' is a numeric variable already`);
          defined.set(part.name, undefined);
          source += `(?<${groupOf(part.name)}>${part.source})`;
          break;
        case 'use': {
          const value = variables.texts.get(part.name);
          if (defined.has(part.name)) source += `\\k<${groupOf(part.name)}>`;
          else if (value !== undefined) source += escapeText(value);
          else throw new CheckFault(`undefined variable: ${part.name}`);
          break;
        }
        case 'number': {
          const { block } = part;
          const format = block.format ?? implicitFormat(block.expression, look);
          const wanted =
            block.expression === undefined
              ? anyNumber(format)
              : escapeText(writeNumber(evaluate(block.expression, look), format));
          if (block.defines === undefined) source += `(?:${wanted})`;
          else {
            if (variables.texts.has(block.defines))
              throw new CheckFault(`'${block.defines}' is a string variable already`);
            defined.set(block.defines, format);
            source += `(?<${groupOf(block.defines)}>${wanted})`;
          }
        }
      }
    }
    return source;
  }
}

const groupOf = (name: string): string => `v_${name.replace('$', '_global_')}`;

function mentioned({ expression }: NumericBlock): string[] {
  const names: string[] = [];
  const walk = (each: NumericBlock['expression']): void => {
    if (each?.kind === 'variable') names.push(each.name);
    if (each?.kind === 'call') each.operands.forEach(walk);
  };
  walk(expression);
  return names;
}

function parse(text: string): Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < text.length; ) {
    if (text.startsWith('{{', at)) {
      const end = text.indexOf('}}', at + 2);
      if (end < 0) throw new CheckFault("'{{' is not closed by '}}'");
      // A repetition at the end of a regex shares its brace with the closing pair: {{x{2}}}.
      const close = text[end + 2] === '}' ? end + 1 : end;
      parts.push({ kind: 'regex', source: translate(text.slice(at + 2, close)) });
      at = close + 2;
    } else if (text.startsWith('[[', at)) {
      const end = variableEnd(text, at + 2);
      parts.push(variable(text.slice(at + 2, end)));
      at = end + 2;
    } else {
      let end = at + 1;
      while (end < text.length && !text.startsWith('{{', end) && !text.startsWith('[[', end)) end++;
      parts.push({ kind: 'text', text: text.slice(at, end) });
      at = end;
    }
  }
  return parts;
}

/** Index of the `]]` that closes a variable: brackets of its regex may nest, and a backslash keeps one from counting. */
function variableEnd(text: string, start: number): number {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (depth === 0 && text.startsWith(']]', at)) return at;
    if (text[at] === '\\') at++;
    else if (text[at] === '[') depth++;
    else if (text[at] === ']' && depth > 0) depth--;
  }
  throw new CheckFault("'[[' is not closed by ']]'");
}

function variable(inside: string): Part {
  if (inside.startsWith('#')) return { kind: 'number', block: parseNumericBlock(inside.slice(1)) };
  // FileCheck's older spelling of [[#@LINE+1]].
  if (inside.startsWith('@LINE')) return { kind: 'number', block: parseNumericBlock(inside) };
  const match = /^(\$?[A-Za-z_]\w*)(?::(.*))?$/s.exec(inside);
  if (match === null) throw new CheckFault(`invalid name in '[[${inside}]]'`);
  const [, name, source] = match;
  return source === undefined
    ? { kind: 'use', name: name! }
    : { kind: 'define', name: name!, source: translate(source) };
}

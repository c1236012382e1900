/** Directives with bodies: `%macro`, `%rep`, and what ends or turns them (NASM manual §4.3, §4.5). */

import { carried, spanOf } from '../../syntax/lexer.ts';
import type { BodyLine, LineReader } from './body-line.ts';
import { MACRO_CLOSES, MACRO_OPENS, REP_CLOSES, REP_OPENS } from './body-words.ts';
import type { DirectiveMeaning } from './directive.ts';
import { LineTemplate } from './line-template.ts';
import { macroHeader, parameterNumbers } from './macro-table.ts';

const MAX_REPETITIONS = 1_000_000n;

const macro: DirectiveMeaning = ({ word, rest, span, ...line }, to) => {
  const name = to.name(rest[0], { word, rest, span, ...line });
  const header = name === undefined ? undefined : macroHeader(rest.slice(1));
  if (name !== undefined && header === undefined) {
    to.diagnostics.error(
      span,
      `\`${word} ${name}\` needs a number of parameters: \`${word} ${name} 2\`, \`1-3\`, \`1-*\`, \`1+\``,
    );
  }
  const ignoreCase = word.startsWith('%i');
  const recursive = word === '%rmacro' || word === '%irmacro';
  to.collect({
    opens: MACRO_OPENS,
    closes: MACRO_CLOSES,
    span,
    word,
    finish: (body) => {
      if (header === undefined) return;
      const defaults = header.defaults.map((tokens) => tokens.map((token) => carried(token, line.origin)));
      if (to.bodies.has(name!, header)) {
        to.diagnostics.warning(span, `macro \`${name}\` was defined before`, 'pp-macro-redef-multi');
      }
      if (!header.greedy && defaults.length > header.maximum - header.minimum) {
        const text = `macro \`${name}\` has ${defaults.length} defaults for ${header.maximum - header.minimum} parameters`;
        to.diagnostics.warning(span, text, 'pp-macro-defaults');
      }
      const placesLabel = body.some(({ tokens }) => tokens.some(({ image }) => image === '%00'));
      to.bodies.define({
        name: name!,
        ...header,
        defaults,
        body: body.map(readAgain),
        placesLabel,
        ignoreCase,
        recursive,
      });
    },
  });
};

const unmacro: DirectiveMeaning = (line, to) => {
  const name = to.name(line.rest[0], line);
  if (name === undefined) return;
  const numbers = parameterNumbers(line.rest.slice(1));
  if (numbers === undefined) {
    const text = `\`${line.word} ${name}\` needs the number of parameters that the macro was defined with`;
    to.diagnostics.error(line.span, text);
    return;
  }
  to.bodies.remove(name, numbers, line.word === '%unimacro');
};

const repeat: DirectiveMeaning = ({ rest, origin, span }, to) => {
  const tokens = to.expand(rest, origin);
  const count = tokens.length === 0 ? 0n : (to.number(tokens, origin) ?? 0n);
  if (tokens.length === 0) to.diagnostics.error(span, '`%rep` needs a count');
  if (count > MAX_REPETITIONS) {
    const text = `\`%rep ${count}\` is more than ${MAX_REPETITIONS}`;
    to.diagnostics.fatal(spanOf(rest[0]!, rest.at(-1)!, origin), text);
  }
  if (count < 0n) to.diagnostics.warning(span, `\`%rep ${count}\` repeats nothing`, 'pp-rep-negative');
  const call = to.sources.top?.call;
  to.collect({
    opens: REP_OPENS,
    closes: REP_CLOSES,
    span,
    word: '%rep',
    finish: (body) => to.sources.push({ kind: 'rep', lines: new RepeatedLines(body, Number(count)), call }),
  });
};

/** A line of a file that becomes part of a body. */
function readAgain(line: BodyLine): BodyLine {
  const { tokens, origin, template } = line;
  return template === undefined ? { tokens, origin, template: new LineTemplate(tokens) } : line;
}

class RepeatedLines implements LineReader {
  readonly #body: readonly BodyLine[];
  #left: number;
  #next = 0;

  constructor(body: readonly BodyLine[], count: number) {
    this.#body = body.map(readAgain);
    this.#left = body.length === 0 ? 0 : Math.max(0, count);
  }

  next(): BodyLine | undefined {
    if (this.#left === 0) return undefined;
    const line = this.#body[this.#next++];
    if (this.#next === this.#body.length) {
      this.#next = 0;
      this.#left--;
    }
    return line;
  }
}

/** `%exitrep`, `%exitmacro`: what they leave takes its open conditions with it. */
function leave(kind: 'rep' | 'macro'): DirectiveMeaning {
  return ({ word, span }, to) => {
    if (to.sources.leave(kind)) to.conditions.drop(to.sources.depth + 1);
    else to.diagnostics.error(span, `\`${word}\` stands in no \`%${kind}\``);
  };
}

const rotate: DirectiveMeaning = ({ rest, origin, span }, to) => {
  const call = to.sources.top?.call;
  if (call === undefined) {
    to.diagnostics.error(span, '`%rotate` stands in no macro');
    return;
  }
  const tokens = to.expand(rest, origin);
  if (tokens.length === 0) {
    to.diagnostics.error(span, '`%rotate` needs a number of places');
    return;
  }
  const by = to.number(tokens, origin);
  const count = BigInt(call.arguments.length);
  if (by === undefined || count === 0n) return;
  const shift = Number(((by % count) + count) % count);
  call.arguments = [...call.arguments.slice(shift), ...call.arguments.slice(0, shift)];
};

/** An end word that nothing opened. */
function stray(opener: string): DirectiveMeaning {
  return ({ word, span }, to) => to.diagnostics.error(span, `\`${word}\` without \`${opener}\``);
}

export const BODIES: Readonly<Record<string, DirectiveMeaning>> = {
  '%macro': macro,
  '%imacro': macro,
  '%rmacro': macro,
  '%irmacro': macro,
  '%endmacro': stray('%macro'),
  '%endm': stray('%macro'),
  '%unmacro': unmacro,
  '%unimacro': unmacro,
  '%rep': repeat,
  '%endrep': stray('%rep'),
  '%exitrep': leave('rep'),
  '%exitmacro': leave('macro'),
  '%rotate': rotate,
};

/** What single-line macros ask of the preprocessor around them: numbers, names of contexts, the environment, NASM's functions. */

import type { Span } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';
import type { Contexts } from './contexts.ts';
import type { DirectiveLine } from './directive.ts';
import { ExpansionFault } from './expansion-fault.ts';
import { callFunction } from './functions.ts';
import type { EvaluateNow, PreprocessorOptions } from './preprocessor-options.ts';
import type { Surroundings } from './single-line.ts';

/** `test`: true where a condition of this kind holds (`%isdef()` is the function for `%ifdef`). */
export function expansionSurroundings(
  contexts: Contexts,
  environment: PreprocessorOptions['environment'],
  evaluate: EvaluateNow,
  test: (kind: string, line: DirectiveLine) => boolean,
): Surroundings {
  const number = (tokens: readonly Token[], { origin }: Span) => evaluate(tokens, origin) ?? 0n;
  return {
    number,
    local: (image, span) => {
      const symbol = contexts.symbol(image);
      if (symbol === undefined) throw new ExpansionFault(span, `\`${image}\` needs a context: \`%push\``);
      return symbol;
    },
    environment: (image, span) => {
      const name = image
        .replace(/^%\{?!/, '')
        .replace(/\}$/, '')
        .replace(/^(['"`])(.*)\1$/, '$2');
      const value = environment?.(name);
      if (value === undefined) throw new ExpansionFault(span, `the environment variable \`${name}\` is not set`);
      return value;
    },
    call: (name, inside, place, expand) =>
      callFunction(name, inside, place, {
        number,
        expand,
        test: (kind, rest, span) => test(kind, { word: `%is${kind}()`, rest, origin: span.origin, span }),
      }),
  };
}

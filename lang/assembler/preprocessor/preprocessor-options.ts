/** What the preprocessor is told of its surroundings, and how it asks them. */

import type { Origin } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';
import { didYouMean } from '../suggest.ts';

/** Finds an include file: `name` as written, `from` the file that asks. */
export interface IncludePath {
  (name: string, from: string): { name: string; text: string } | undefined;
  /** Names that are found wherever the question comes from, for who has mistyped one. */
  known?(): readonly string[];
}

/** Value of tokens that must be a number now; reports and gives undefined where they are not. */
export type EvaluateNow = (tokens: readonly Token[], origin: Origin) => bigint | undefined;

export interface PreprocessorOptions {
  readonly includePath: IncludePath;
  /** Value of an environment variable, for `%!NAME`; by default none is set. */
  readonly environment?: ((name: string) => string | undefined) | undefined;
  /** `__?OUTPUT_FORMAT?__`. */
  readonly format: string;
}

/** Said of an include file that is not there: also one that has been named without its folder is meant. */
export function cannotFind(name: string, path: IncludePath): string {
  const known = path.known?.() ?? [];
  const inFolder = known.find((each) => each.endsWith(`/${name}`));
  const hint = inFolder === undefined ? didYouMean(name, known) : `; did you mean \`${inFolder}\`?`;
  return `cannot find the include file \`${name}\`${hint}`;
}

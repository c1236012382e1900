/** What the preprocessor is told of its surroundings, and how it asks them. */

import type { Origin } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';

/** Finds an include file: `name` as written, `from` the file that asks. */
export type IncludePath = (name: string, from: string) => { name: string; text: string } | undefined;

/** Value of tokens that must be a number now; reports and gives undefined where they are not. */
export type EvaluateNow = (tokens: readonly Token[], origin: Origin) => bigint | undefined;

export interface PreprocessorOptions {
  readonly includePath: IncludePath;
  /** Value of an environment variable, for `%!NAME`; by default none is set. */
  readonly environment?: ((name: string) => string | undefined) | undefined;
  /** `__?OUTPUT_FORMAT?__`. */
  readonly format: string;
}

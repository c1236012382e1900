/** The preprocessor's directives: every word with its meaning, and those that shape the reading of lines. */

import { BODIES } from './bodies.ts';
import { DEFINITIONS } from './definitions.ts';
import type { DirectiveMeaning } from './directive.ts';
import { STACK_FRAMES } from './stack-frame.ts';
import { SURROUNDINGS } from './surroundings.ts';

export const MEANINGS: ReadonlyMap<string, DirectiveMeaning> = new Map(
  Object.entries({ ...DEFINITIONS, ...BODIES, ...STACK_FRAMES, ...SURROUNDINGS }),
);

/** Left out: `%clear` undoes the standard macros, so that no directive is left; with a word behind it NASM 2.16.01 does not come back. */
export const LEFT_OUT = new Set(['%clear', '%require']);

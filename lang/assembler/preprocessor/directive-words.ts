/** The preprocessor's directives: every word with its meaning, and those that shape the reading of lines. */

import { BODIES } from './bodies.ts';
import { DEFINITIONS } from './definitions.ts';
import type { DirectiveMeaning } from './directive.ts';
import { SURROUNDINGS } from './surroundings.ts';

export const MEANINGS: ReadonlyMap<string, DirectiveMeaning> = new Map(
  Object.entries({ ...DEFINITIONS, ...BODIES, ...SURROUNDINGS }),
);

/** Directives of NASM for other output: 16- and 32-bit stack frames, and what would undo the standard macros. */
export const LEFT_OUT = new Set(['%arg', '%local', '%stacksize', '%clear', '%aliases', '%require']);

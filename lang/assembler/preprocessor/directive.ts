/** What a preprocessor directive is given: its line, and the parts of the preprocessor that it may change. */

import type { Origin, Span } from '../../syntax/source.ts';
import type { Token } from '../../syntax/tokens.ts';
import type { Diagnostics } from '../diagnostics.ts';
import type { BodyLine } from './body-line.ts';
import type { ConditionNest } from './condition-nest.ts';
import type { Contexts } from './contexts.ts';
import type { LineSources } from './line-sources.ts';
import type { MacroTable } from './macro-table.ts';
import type { IncludePath } from './preprocessor-options.ts';
import type { SingleLineMacros } from './single-line.ts';
import type { StackFrame } from './stack-layout.ts';

/** One line that begins with a directive. */
export interface DirectiveLine {
  /** With its `%`, in lower case. */
  readonly word: string;
  /** What follows it, unexpanded. */
  readonly rest: readonly Token[];
  readonly origin: Origin;
  /** Place of the word. */
  readonly span: Span;
}

/** A body that is being read up to its end word. */
export interface Collecting {
  readonly opens: ReadonlySet<string>;
  readonly closes: ReadonlySet<string>;
  readonly span: Span;
  readonly word: string;
  finish(body: BodyLine[]): void;
}

/** The preprocessor as its directives see it. */
export interface Directing {
  readonly diagnostics: Diagnostics;
  readonly macros: SingleLineMacros;
  readonly bodies: MacroTable;
  readonly contexts: Contexts;
  readonly conditions: ConditionNest;
  readonly sources: LineSources;
  readonly frame: StackFrame;
  /** Names of the `%use` packages that are in. */
  readonly packages: Set<string>;
  /** Tokens with their macros expanded; faults are reported and give no tokens. */
  expand(tokens: readonly Token[], origin: Origin): readonly Token[];
  /** Value of expanded tokens that must be a number now; undefined where a fault was reported. */
  number(tokens: readonly Token[], origin: Origin): bigint | undefined;
  /** The name a directive defines or asks for (`%$x` belongs to its context); reports and gives undefined where it is none. */
  name(token: Token | undefined, line: DirectiveLine): string | undefined;
  /** True where an environment variable is set. */
  isSet(variable: string): boolean;
  /** A number that no macro call or context had before. */
  serial(): number;
  /** Reads lines up to an end word instead of assembling them. */
  collect(open: Collecting): void;
  /** Goes on with another file, as if its lines stood here. */
  enter(name: string, text: string): void;
  readonly includePath: IncludePath;
  /** Finds a file for `%include` and `%pathsearch`, and notes that the output depends on it. */
  find(name: string, from: string): { readonly name: string; readonly text: string } | undefined;
  /** Notes a file for `-M`. */
  depend(name: string): void;
}

export type DirectiveMeaning = (line: DirectiveLine, to: Directing) => void;

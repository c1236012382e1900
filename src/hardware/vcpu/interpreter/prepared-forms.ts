/**
 * Forms compiled ahead of time. The build puts here what its warm-up runs have compiled, so that V8's code cache holds it
 * too; without a build there are none, and every form is compiled when it is met.
 */

import type { Step } from './step.ts';

/** One form as source would yield it: its parameters' names, and the function that binds the environment. */
export interface PreparedForm {
  readonly parameters: readonly string[];
  readonly factory: (...environment: unknown[]) => Step;
}

/** Names of the environment that the factories take, in order. */
export const preparedFor: readonly string[] = [];
export const preparedForms: Readonly<Record<string, PreparedForm>> = {};

/** What a directive may ask of the program being built. */

import type { Body, Expression } from '../syntax/ast.ts';
import type { Origin } from '../syntax/source.ts';
import type { Token } from '../syntax/tokens.ts';
import type { Assembly, Work } from './assembly.ts';

export type DirectiveBody = Extract<Body, { kind: 'directive' }>;

export interface Building {
  readonly assembly: Assembly;
  expression(tokens: readonly Token[], origin: Origin): Expression | undefined;
  /** The work of a statement made of these tokens (`align 8, db 0`). */
  statement(tokens: readonly Token[], origin: Origin): Work | undefined;
}

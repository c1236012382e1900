/** What the assembler made of a line that several calls of a macro share. */

import type { Body } from '../syntax/ast.ts';
import type { ParsedLine } from '../syntax/parser.ts';
import type { Work } from './assembly.ts';
import { DataWork } from './data-work.ts';
import { InstructionWork } from './instruction-work.ts';

export interface SharedStatement {
  readonly parsed: ParsedLine;
  /** True where the line is its work and nothing else: no label, no `times`. */
  readonly isBare: boolean;
  /** Work that may stand at every place; undefined where each place needs its own. */
  readonly work: Work | undefined;
  /** Work to be made again for each place. */
  readonly model?: InstructionWork;
}

/** True of lines whose parse serves again: a directive may work on its words. */
export function isShareableStatement({ body }: ParsedLine): boolean {
  return SHAREABLE.has(body.kind);
}

const SHAREABLE: ReadonlySet<Body['kind']> = new Set(['none', 'instruction', 'data', 'reserve', 'equ']);

/** A statement that has been placed once, for all its places. */
export function sharedStatement(parsed: ParsedLine, work: Work | undefined): SharedStatement {
  const isBare = parsed.label === undefined && parsed.times === undefined;
  if (!(work instanceof InstructionWork)) return { parsed, isBare, work: work instanceof DataWork ? work : undefined };
  return work.constant === undefined ? { parsed, isBare, work: undefined, model: work } : { parsed, isBare, work };
}

/**
 * Instructions that the source has said before. Where no symbol and no place takes part, the same words give the same bytes: what
 * `push rbp` or a macro's body became the first time serves every later line. Measured: an eighth of
 * the time of 5,000 macro calls, a tenth of 100,000 mixed lines.
 */

import * as t from '../syntax/tokens.ts';
import type { InstructionWork } from './instruction-work.ts';

export class KnownInstructions {
  readonly #works = new Map<string, InstructionWork>();

  get(wording: string): InstructionWork | undefined {
    return this.#works.get(wording);
  }

  /** To be called once the instruction is placed. */
  remember(wording: string, work: InstructionWork): void {
    if (work.constant !== undefined) this.#works.set(wording, work);
  }
}

/** The words of a line that begins with an instruction and names no symbol and no place; undefined for all others. */
export function wordingOf(tokens: readonly t.Token[]): string | undefined {
  const start = tokens[0]!.tokenType;
  if (start !== t.Mnemonic && start !== t.Prefix) return undefined;
  let wording = '';
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]!;
    const type = token.tokenType;
    if (type === t.Identifier || type === t.Here || type === t.SectionStart) return undefined;
    wording += `${token.image} `;
  }
  return wording;
}

/** The assembler's part in the plans of calls (preprocessor/call-memory.ts): lines to bytes, without placing them. */

import type { ValueField } from '../isa/instruction.ts';
import type { Body } from '../syntax/ast.ts';
import type { Origin } from '../syntax/source.ts';
import type { Token } from '../syntax/tokens.ts';
import { Arithmetic } from './arithmetic.ts';
import type { Assembly, Item } from './assembly.ts';
import { CallBytes } from './call-bytes.ts';
import { DataWork } from './data-work.ts';
import type { Diagnostics } from './diagnostics.ts';
import { InstructionWork, type SymbolBranch } from './instruction-work.ts';
import { HoleLine, type LineAssembler } from './planned-line.ts';
import type { CallAssembler as CallAssembling } from './preprocessor/call-memory.ts';
import type { NumberOfHoles } from './preprocessor/hole-question.ts';
import { isOwnLabel } from './preprocessor/rehearsal.ts';
import type { StatementParser } from './statements.ts';

export class CallAssembler implements CallAssembling<CallBytes> {
  readonly bytes: CallBytes;
  readonly #assembly: Assembly;
  readonly #parser: StatementParser;
  readonly #diagnostics: Diagnostics;
  /** Numbers of labels by their names in a rehearsal, which are the same for all calls. */
  readonly #labels = new Map<string, number>();

  /** `keepsPieces`: see {@link CallBytes}. */
  constructor(assembly: Assembly, parser: StatementParser, diagnostics: Diagnostics, keepsPieces: boolean) {
    this.bytes = new CallBytes(keepsPieces);
    this.#assembly = assembly;
    this.#parser = parser;
    this.#diagnostics = diagnostics;
  }

  begin(): void {
    this.bytes.begin(this.#labels.size);
  }

  finish(): boolean {
    return this.bytes.finish();
  }

  number(tokens: readonly Token[], origin: Origin): NumberOfHoles | undefined {
    const expression = this.#diagnostics.quietly(() => this.#parser.expression(tokens, origin));
    const number = expression === undefined ? undefined : Arithmetic.of(expression);
    return number?.hasRegister === false ? number : undefined;
  }

  lineOf(tokens: readonly Token[], origin: Origin): HoleLine {
    return new HoleLine(tokens, this.#linesOf(origin));
  }

  #linesOf(origin: Origin): LineAssembler {
    const item = {
      index: -1,
      span: { origin, start: 0, end: 0 },
      origin,
      parent: '',
      label: undefined,
      work: undefined,
    };
    return {
      parse: (tokens) =>
        this.#diagnostics.quietly(() => {
          this.#parser.classify(tokens);
          return this.#parser.parse({ tokens, origin });
        }),
      assemble: (body, fields) => this.#diagnostics.quietly(() => this.#assemble(body, fields, item)),
      label: (name) => (isOwnLabel(name) ? this.#label(name) : undefined),
    };
  }

  #assemble(body: Body, fields: ValueField[], item: Item): Uint8Array | SymbolBranch | undefined {
    if (body.kind === 'data') return DataWork.anywhere(body);
    if (body.kind !== 'instruction') return undefined;
    const before = this.#assembly.item;
    this.#assembly.item = item;
    try {
      return InstructionWork.anywhere(body, this.#assembly, fields);
    } finally {
      this.#assembly.item = before;
    }
  }

  #label(name: string): number {
    let number = this.#labels.get(name);
    if (number === undefined) {
      number = this.#labels.size;
      this.#labels.set(name, number);
    }
    return number;
  }
}

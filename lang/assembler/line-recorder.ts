/** Notes where each instruction of the last pass stands and which line it came from; data among code may be one, too. */

import { SHF_EXECINSTR } from '../object/elf64.ts';
import { type LineRow, LineTable } from '../object/line-table.ts';
import { outermost } from '../syntax/source.ts';
import type { Assembly, Item } from './assembly.ts';
import { CallsWork } from './calls-work.ts';
import { DataWork, TimesWork } from './data-work.ts';
import { InstructionWork } from './instruction-work.ts';
import type { Section } from './sections.ts';

export class LineRecorder {
  readonly #assembly: Assembly;
  readonly #rows: LineRow[] = [];
  /** The instruction just placed: it ends where the next item finds its section. */
  #open: { readonly row: Omit<LineRow, 'end'>; readonly section: Section } | undefined;

  constructor(assembly: Assembly) {
    this.#assembly = assembly;
  }

  /** To be called before the item is placed. */
  record(item: Item): void {
    this.#close();
    const { sections, section } = this.#assembly;
    const { work } = item;
    if (work instanceof CallsWork) {
      this.#recordCalls(work);
      return;
    }
    const isCode = work instanceof InstructionWork || work instanceof TimesWork;
    // As NASM has it: `db 0x0f, 0x28, 0xc1` in code is how an instruction is written that the assembler does not know.
    if (!isCode && !(work instanceof DataWork && (section.attributes.flags & SHF_EXECINSTR) !== 0)) return;
    const span = outermost(item.span);
    const { name, line } = span.origin.file.place(span.start);
    const row = { section: sections.indexOf(section), offset: section.offset, file: name, line };
    this.#open = { row, section };
  }

  /** Every instruction of a call came from the line that calls. */
  #recordCalls({ calls }: CallsWork): void {
    const { sections, section } = this.#assembly;
    const index = sections.indexOf(section);
    const isCode = (section.attributes.flags & SHF_EXECINSTR) !== 0;
    for (const { line, start, pieces } of calls) {
      const { name, line: number } = line.origin.file.place(line.tokens[0]!.startOffset);
      let offset = section.offset + start;
      for (const piece of pieces) {
        const end = section.offset + start + piece.end;
        if (isCode || !piece.isData) this.#rows.push({ section: index, offset, file: name, line: number, end });
        offset = end;
      }
    }
  }

  #close(): void {
    if (this.#open !== undefined) this.#rows.push({ ...this.#open.row, end: this.#open.section.offset });
    this.#open = undefined;
  }

  table(): LineTable {
    this.#close();
    return new LineTable(this.#rows.sort((a, b) => a.section - b.section || a.offset - b.offset));
  }
}

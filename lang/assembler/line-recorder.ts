/** Notes where each instruction of the last pass stands and which line it came from. */

import { type LineRow, LineTable } from '../object/line-table.ts';
import { outermost } from '../syntax/source.ts';
import type { Assembly, Item } from './assembly.ts';
import { TimesWork } from './data-work.ts';
import { InstructionWork } from './instruction-work.ts';

export class LineRecorder {
  readonly #assembly: Assembly;
  readonly #rows: LineRow[] = [];

  constructor(assembly: Assembly) {
    this.#assembly = assembly;
  }

  /** To be called before the item is placed. */
  record(item: Item): void {
    if (!(item.work instanceof InstructionWork || item.work instanceof TimesWork)) return;
    const { sections, section } = this.#assembly;
    const span = outermost(item.span);
    const { file } = span.origin;
    const line = file.line(span.start);
    this.#rows.push({ section: sections.indexOf(section), offset: section.offset, file: file.name, line });
  }

  table(): LineTable {
    return new LineTable(this.#rows.sort((a, b) => a.section - b.section || a.offset - b.offset));
  }
}

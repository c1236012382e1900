/** Which source line each machine instruction came from. Filled by the assembler, carried through objects as DWARF .debug_line. */

/** Rows in ascending order of section, then offset; a row holds until the next one of its section. */
export interface LineRow {
  /** Index of the section in its object. */
  readonly section: number;
  readonly offset: number;
  /** Offset behind the last byte of the instruction. */
  readonly end: number;
  readonly file: string;
  readonly line: number;
}

export class LineTable {
  readonly rows: readonly LineRow[];

  constructor(rows: readonly LineRow[]) {
    this.rows = rows;
  }

  /** The row that covers an offset of a section, or undefined in front of the first. */
  find(section: number, offset: number): LineRow | undefined {
    let low = 0;
    let high = this.rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const row = this.rows[middle]!;
      if (row.section < section || (row.section === section && row.offset <= offset)) low = middle + 1;
      else high = middle;
    }
    const row = this.rows[low - 1];
    return row?.section === section ? row : undefined;
  }
}

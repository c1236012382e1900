/** The layout of a disassembly: labels at the left, statements indented, comments in a column. */

const COMMENT_COLUMN = 48;

export class SourceText {
  readonly #lines: string[] = [];

  /** Number that the next line will have, from 1. */
  get nextLine(): number {
    return this.#lines.length + 1;
  }

  line(text: string): void {
    this.#lines.push(text);
  }

  label(name: string): void {
    this.#lines.push(`${name}:`);
  }

  /** A statement with its address and bytes. */
  statement(text: string, address: bigint, bytes: Uint8Array): void {
    this.#commented(
      text,
      `${hexAddress(address)}  ${[...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}`,
    );
  }

  /** Data with its address and a remark: the instruction that the bytes are, the characters that they spell. */
  data(text: string, address: bigint, remark: string | undefined): void {
    this.#commented(text, remark === undefined ? hexAddress(address) : `${hexAddress(address)}  ${remark}`);
  }

  /** A line of its own; one that ends with `\\` would take the next line with it. */
  comment(text: string): void {
    this.#lines.push(`        ; ${text.replace(/[\\\s]+$/, '')}`);
  }

  #commented(text: string, comment: string): void {
    this.#lines.push(`${`        ${text} `.padEnd(COMMENT_COLUMN)}; ${comment}`);
  }

  text(): string {
    return this.#lines.map((line) => `${line}\n`).join('');
  }
}

const hexAddress = (address: bigint) => address.toString(16).padStart(8, '0');

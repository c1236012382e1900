/** An ELF string table being built: equal strings are stored once. */

const encoder = new TextEncoder();

export class StringTable {
  readonly #offsets = new Map<string, number>([['', 0]]);
  readonly #parts: Uint8Array[] = [Uint8Array.of(0)];
  #size = 1;

  /** Offset of a string, added if new. */
  add(text: string): number {
    let offset = this.#offsets.get(text);
    if (offset === undefined) {
      offset = this.#size;
      const bytes = encoder.encode(`${text}\0`);
      this.#offsets.set(text, offset);
      this.#parts.push(bytes);
      this.#size += bytes.length;
    }
    return offset;
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.#size);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

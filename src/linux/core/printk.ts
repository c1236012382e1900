/** The kernel's log: printk and what dmesg reads (kernel/printk/printk.c). */

import { type EventStream, event } from '../../event.ts';

/** Tracepoint printk:console: one line entered the log. */
export const consoleEvent = event(
  'console',
  'host',
  { text: 'string' },
  (e) => e.text,
  'The host kernel logged a line.',
);

/** Room for text, and entries, of a log of CONFIG_LOG_BUF_SHIFT 17 (kernel/printk/printk_ringbuffer.h: one entry for 2^5 bytes). */
const LOG_BYTES = 1 << 17;
const LOG_ENTRIES = 1 << 12;
/** What an entry takes beside its text: the number of its descriptor, before text that is aligned to it. */
const ID_BYTES = 8;
const roomOf = (line: string): number => ID_BYTES * (1 + Math.ceil(line.length / ID_BYTES));

/** The log of one host, line by line. */
export class KernelLog {
  readonly #stream: EventStream;
  readonly #lines: string[] = [];
  #bytes = 0;
  readonly #listeners = new Set<(line: string) => void>();

  constructor(stream: EventStream) {
    this.#stream = stream;
  }

  /** The last lines, as many as the ring holds, oldest first, without times. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** printk: one entry; a text of several lines makes several entries, a final newline is the usual end of one. */
  print(text: string): void {
    for (const line of text.replace(/\n$/, '').split('\n')) {
      this.#add(line);
      if (consoleEvent.on) consoleEvent(this.#stream, { text: line });
      for (const listener of this.#listeners) listener(line);
    }
  }

  #add(line: string): void {
    this.#lines.push(line);
    this.#bytes += roomOf(line);
    while (this.#lines.length > LOG_ENTRIES || (this.#bytes > LOG_BYTES && this.#lines.length > 1))
      this.#bytes -= roomOf(this.#lines.shift()!);
  }

  /** Call `listener` with every later line, at once when it is logged. Returns how to stop. */
  subscribe(listener: (line: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

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

/** The log of one host, line by line. */
export class KernelLog {
  readonly #stream: EventStream;
  readonly #lines: string[] = [];
  readonly #listeners = new Set<(line: string) => void>();

  constructor(stream: EventStream) {
    this.#stream = stream;
  }

  /** All lines since boot, oldest first, without times. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /** printk: one entry; a text of several lines makes several entries, a final newline is the usual end of one. */
  print(text: string): void {
    for (const line of text.replace(/\n$/, '').split('\n')) {
      this.#lines.push(line);
      if (consoleEvent.on) consoleEvent(this.#stream, { text: line });
      for (const listener of this.#listeners) listener(line);
    }
  }

  /** Call `listener` with every later line, at once when it is logged. Returns how to stop. */
  subscribe(listener: (line: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

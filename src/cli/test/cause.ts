/** What the machine was doing when it wrote a given line of its transcript: the guest access being served, and its events. */

import { type EventRecord, matchingEvents } from '../../event.ts';
import type { Observer } from '../observer.ts';
import type { Output } from '../output.ts';
import { traceLine } from '../trace.ts';

/** Events of one access that are shown: the first ones, and those just before the line. */
const FIRST = 2;
const LAST = 4;

/** Writes a transcript like any other, and stops to listen when line `line` begins. */
export class CauseFinder implements Output {
  /** The transcript so far ends within a line. */
  #inLine = false;
  readonly #line: number;
  #lines = 1;
  #events: EventRecord[] = [];
  #access = -1;
  #found: readonly string[] | undefined;
  #place: () => string = () => '';

  /** `line`: of the transcript, from 1. */
  constructor(line: number) {
    this.#line = line;
  }

  /** To be handed to the run. */
  readonly observe: Observer = ({ machine, program }) => {
    this.#place = () => {
      const rip = machine.cpus[0]?.rip;
      if (rip === undefined) return '';
      const at = program.symbolizer().symbolize(rip);
      const where = at?.file === undefined ? '' : ` (${at.file}:${at.line})`;
      return at === undefined ? '' : `, at ${at.symbol}+0x${at.offset.toString(16)}${where}`;
    };
    machine.stream.subscribe(matchingEvents('*,!console,!refusal'), (record) => {
      if (this.#found !== undefined) return;
      if (record.access !== this.#access) {
        this.#access = record.access;
        this.#events = [];
      }
      if (this.#events.length === FIRST + LAST) this.#events.splice(FIRST, 1);
      this.#events.push(record);
    });
    return undefined;
  };

  /** Notes on what wrote the line; none if it was never written. */
  get notes(): readonly string[] {
    return this.#found ?? [];
  }

  console(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.#look();
      this.#inLine = byte !== 0x0a;
      if (!this.#inLine) this.#lines++;
    }
  }

  line(tag: string, text: string): void {
    this.message(`[${tag}] ${text}`);
  }

  message(text: string): void {
    if (this.#inLine) this.#lines++;
    this.#inLine = false;
    for (const _ of text.split('\n')) {
      this.#look();
      this.#lines++;
    }
  }

  end(): void {}

  #look(): void {
    if (this.#found !== undefined || this.#lines < this.#line) return;
    const [served] = this.#events;
    if (served === undefined || served.access === 0) this.#found = ['written before the guest ran'];
    else
      this.#found = [
        `written while guest access ${served.access} was served${this.#place()}:`,
        ...this.#events.map((record) => `    [${record.event.layer}] ${traceLine(record)}`),
      ];
  }
}

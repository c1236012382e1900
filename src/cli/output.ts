/**
 * Where a run's words go: the guest's console to stdout, everything of gvm to stderr with a tag that says who speaks. A
 * transcript keeps both, in order, for golden tests.
 */

import { fstatSync, writeSync } from 'node:fs';
import { EXIT } from './exit-status.ts';
import { fileError } from './file-error.ts';

/** Receives a run's words as they come. */
export interface Output {
  /** Bytes of the guest's console, passed on as they are. */
  console(bytes: Uint8Array): void;
  /** One line of gvm: `[tag] text`. */
  line(tag: string, text: string): void;
  /** A message for the user: printed as it is, may have several lines. */
  message(text: string): void;
  /** No more will come. */
  end(): void;
}

const BUFFER_BYTES = 8192;
const NEWLINE = 0x0a;

/** The process's own stdout and stderr. The console is buffered by the line, so that a character is not a system call. */
export class StandardOutput implements Output {
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #used = 0;
  /** The console's last byte that was written ended a line. */
  #atLineStart = true;

  console(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.#buffer[this.#used++] = byte;
      if (byte === NEWLINE || this.#used === BUFFER_BYTES) this.#flush();
    }
  }

  line(tag: string, text: string): void {
    this.message(`[${tag}] ${text}`);
  }

  message(text: string): void {
    this.#flush();
    const apart = !this.#atLineStart && isSameFile(1, 2);
    if (apart) this.#atLineStart = true;
    writeAll(2, new TextEncoder().encode(`${apart ? '\n' : ''}${text}\n`));
  }

  end(): void {
    this.#flush();
  }

  #flush(): void {
    const used = this.#used;
    if (used === 0) return;
    this.#used = 0;
    this.#atLineStart = this.#buffer[used - 1] === NEWLINE;
    writeAll(1, this.#buffer.subarray(0, used));
  }
}

/** Whether what is written to one comes out beside what is written to the other, on a terminal or in a file. */
function isSameFile(one: number, other: number): boolean {
  const [a, b] = [fstatSync(one), fstatSync(other)];
  return a.dev === b.dev && a.ino === b.ino;
}

/** Put a command's answer on stdout. */
export const print = (text: string): void => writeStdout(new TextEncoder().encode(text));
/** All of these bytes on stdout; where that cannot be, the process ends. */
export const writeStdout = (bytes: Uint8Array): void => writeAll(1, bytes);

/**
 * Write all of it to stdout or stderr, however slowly the reader of a pipe takes it; a reader that is gone ends the process as SIGPIPE would, and so
 * does a file that takes no more, with a word on stderr if that does.
 */
function writeAll(fd: 1 | 2, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'EPIPE') process.exit(141);
      if (code === 'EAGAIN') continue;
      if (fd === 1) writeAll(2, new TextEncoder().encode(`gvm: stdout: ${fileError(error)}\n`));
      process.exit(EXIT.USAGE);
    }
  }
}

/** Only what gvm has to tell the user: the guest's console and the host's log would stand in the way of a report on stdout. */
export class MessagesOnly implements Output {
  readonly #output: Output;

  constructor(output: Output) {
    this.#output = output;
  }

  console(): void {}

  line(): void {}

  message(text: string): void {
    this.#output.message(text);
  }

  end(): void {
    this.#output.end();
  }
}

/** Bytes of a transcript that are kept: more than anybody reads, and less than a guest that prints without end would take. */
export const TRANSCRIPT_BYTES = 16 << 20;
const FIRST_BYTES = 1 << 14;

/** A run's words as one text: the console as it is, gvm's lines tagged and on lines of their own. */
export class Transcript implements Output {
  readonly #encoder = new TextEncoder();
  #bytes = new Uint8Array(FIRST_BYTES);
  #used = 0;
  #lost = 0;

  console(bytes: Uint8Array): void {
    this.#keep(bytes);
  }

  line(tag: string, text: string): void {
    this.message(`[${tag}] ${text}`);
  }

  message(text: string): void {
    const apart = this.#used > 0 && this.#bytes[this.#used - 1] !== NEWLINE;
    this.#keep(this.#encoder.encode(`${apart ? '\n' : ''}${text}\n`));
  }

  end(): void {}

  get text(): string {
    return new TextDecoder().decode(this.#bytes.subarray(0, this.#used));
  }

  /** Bytes beyond {@link TRANSCRIPT_BYTES}, which are not kept. */
  get lost(): number {
    return this.#lost;
  }

  #keep(bytes: Uint8Array): void {
    const kept = Math.min(bytes.length, TRANSCRIPT_BYTES - this.#used);
    this.#lost += bytes.length - kept;
    const end = this.#used + kept;
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(TRANSCRIPT_BYTES, Math.max(end, 2 * this.#bytes.length)));
      grown.set(this.#bytes.subarray(0, this.#used));
      this.#bytes = grown;
    }
    this.#bytes.set(kept === bytes.length ? bytes : bytes.subarray(0, kept), this.#used);
    this.#used = end;
  }
}

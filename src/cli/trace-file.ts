/**
 * A file that is either whole or not there: it is written under another name and gets its own when it is complete. A pipe or a
 * device is written as it is.
 */

import { closeSync, openSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { fileError } from './file-error.ts';
import { writeStdout } from './output.ts';
import { UsageError } from './usage-error.ts';

/** Bytes gathered before they are written. */
const BUFFER = 1 << 18;
/** Bytes that a character may take. */
const WIDEST = 3;

export class TraceFile {
  readonly #path: string;
  /** Where it is written until it is whole; the path itself if that is no regular file. */
  readonly #temporary: string;
  readonly #fd: number;
  // Text is encoded as it comes: to join it first, and flatten what was joined, takes three times as long.
  readonly #buffer = Buffer.allocUnsafe(BUFFER);
  #used = 0;

  /** `path`: `-` is stdout. What goes wrong is a {@link UsageError}, here and later. */
  constructor(path: string) {
    this.#path = path;
    try {
      const present = path === '-' ? undefined : statSync(path, { throwIfNoEntry: false });
      const direct = path === '-' || (present !== undefined && !present.isFile() && !present.isDirectory());
      this.#temporary = direct ? path : `${path}.${process.pid}.part`;
      // To open the other name would say nothing of a folder.
      this.#fd = path === '-' ? 1 : openSync(present?.isDirectory() ? path : this.#temporary, 'w');
    } catch (error) {
      throw this.#fault(error);
    }
    // A reader of stdout that is gone ends the process at once.
    process.once('exit', this.#atExit);
  }

  readonly #atExit = (): void => this.abandon();

  write(text: string): void {
    const room = text.length * WIDEST;
    if (this.#used + room > BUFFER) this.#flush();
    if (room > BUFFER) this.#put(Buffer.from(text));
    else this.#used += this.#buffer.write(text, this.#used);
  }

  /** All is written: the file gets its name. */
  finish(): void {
    this.#flush();
    if (this.#path === '-') return;
    try {
      closeSync(this.#fd);
      if (this.#temporary !== this.#path) renameSync(this.#temporary, this.#path);
      process.off('exit', this.#atExit);
    } catch (error) {
      this.abandon();
      throw this.#fault(error);
    }
  }

  /** It will not be whole: nothing of it stays. */
  abandon(): void {
    process.off('exit', this.#atExit);
    if (this.#temporary !== this.#path) rmSync(this.#temporary, { force: true });
  }

  #flush(): void {
    const bytes = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    this.#put(bytes);
  }

  #put(bytes: Uint8Array): void {
    if (this.#path === '-') {
      writeStdout(bytes);
      return;
    }
    for (let done = 0; done < bytes.length; ) {
      try {
        done += writeSync(this.#fd, bytes, done);
      } catch (error) {
        if ((error as { code?: string }).code === 'EAGAIN') continue;
        this.abandon();
        throw this.#fault(error);
      }
    }
  }

  #fault(error: unknown): UsageError {
    return new UsageError(`gvm: ${this.#path}: ${fileError(error)}`);
  }
}

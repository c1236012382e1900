/**
 * Where a run's words go: the guest's console to stdout, everything of gvm to stderr with a tag that says who speaks. A
 * transcript keeps both, in order, for golden tests.
 */

import { writeSync } from 'node:fs';

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

/** The process's own stdout and stderr. The console is buffered by the line, so that a character is not a system call. */
export class StandardOutput implements Output {
  readonly #buffer = new Uint8Array(BUFFER_BYTES);
  #used = 0;

  console(bytes: Uint8Array): void {
    for (const byte of bytes) {
      this.#buffer[this.#used++] = byte;
      if (byte === 0x0a || this.#used === BUFFER_BYTES) this.#flush();
    }
  }

  line(tag: string, text: string): void {
    this.message(`[${tag}] ${text}`);
  }

  message(text: string): void {
    this.#flush();
    write(2, new TextEncoder().encode(`${text}\n`));
  }

  end(): void {
    this.#flush();
  }

  #flush(): void {
    if (this.#used === 0) return;
    write(1, this.#buffer.subarray(0, this.#used));
    this.#used = 0;
  }
}

/** Write all of it, however slowly the reader of a pipe takes it; a reader that is gone ends the process as SIGPIPE would. */
function write(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'EPIPE') process.exit(141);
      if (code !== 'EAGAIN') throw error;
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

/** A run's words as one text: the console as it is, gvm's lines tagged and on lines of their own. */
export class Transcript implements Output {
  readonly #decoder = new TextDecoder();
  #text = '';

  console(bytes: Uint8Array): void {
    this.#text += this.#decoder.decode(bytes, { stream: true });
  }

  line(tag: string, text: string): void {
    this.message(`[${tag}] ${text}`);
  }

  message(text: string): void {
    if (this.#text !== '' && !this.#text.endsWith('\n')) this.#text += '\n';
    this.#text += `${text}\n`;
  }

  end(): void {}

  get text(): string {
    return this.#text;
  }
}

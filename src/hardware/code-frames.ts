/**
 * Which bytes of RAM are code that a processor has decoded, and who keeps what was made of it. A processor's
 * instruction cache is coherent: a store by itself, by another processor or by a device's DMA is seen by what it fetches next,
 * at the latest when it serialises (SDM vol. 3A §12.6, §8.1.3). So whoever writes RAM says where, which costs a byte's look
 * where no code is. Data may lie in one frame with code, as in a flat image: to write those changes nothing.
 */

const PAGE_BITS = 12;
const OFFSET = (1 << PAGE_BITS) - 1;
/** A bit for each byte of a frame. */
const BYTES_OF_BITS = 1 << (PAGE_BITS - 3);
const CODE = 1;
const SHARED = 2;

/** A processor that keeps decoded code, and translations by which its stores reach RAM unseen. */
export interface CodeKeeper {
  /** One more frame holds code: each next store into a page has to ask again. */
  guard(): void;
  /** `bytes` bytes at host offset `host`, all in one page frame, have been written, and some of them are code. */
  written(host: number, bytes: number): void;
}

/** The frames of one RAM. A byte that once was code counts as code for good. */
export class CodeFrames {
  /** How often code was written. */
  changes = 0;
  /** Of each frame, CODE and SHARED. */
  readonly #marks: Uint8Array;
  /** Of each frame with code a bit for each of its bytes: it has been decoded. */
  readonly #decoded = new Map<number, Uint8Array>();
  /** Frames that are both. */
  readonly #sharedCode: number[] = [];
  readonly #keepers: CodeKeeper[] = [];

  /** `size` bytes of RAM. */
  constructor(size: number) {
    this.#marks = new Uint8Array(size >>> PAGE_BITS);
  }

  /** Whether the frame that host offset `host` lies in holds code. */
  holds(host: number): boolean {
    return (this.#marks[host >>> PAGE_BITS]! & CODE) !== 0;
  }

  /** Somebody is about to decode from the frame. */
  add(host: number): void {
    if (this.holds(host)) return;
    this.#decoded.set(host >>> PAGE_BITS, new Uint8Array(BYTES_OF_BITS));
    this.#mark(host, CODE);
    for (const keeper of this.#keepers) keeper.guard();
  }

  /** `bytes` bytes at `host`, all in one frame that was {@link add}ed, have been decoded, and what was made of them is kept. */
  decoded(host: number, bytes: number): void {
    const bits = this.#decoded.get(host >>> PAGE_BITS)!;
    const start = host & OFFSET;
    for (let at = start; at < start + bytes; at++) bits[at >> 3]! |= 1 << (at & 7);
  }

  /** Whether some of `bytes` bytes at `host`, all in one frame that holds code, have been decoded. */
  areCode(host: number, bytes: number): boolean {
    const bits = this.#decoded.get(host >>> PAGE_BITS)!;
    const start = host & OFFSET;
    for (let at = start; at < start + bytes; at++) if ((bits[at >> 3]! & (1 << (at & 7))) !== 0) return true;
    return false;
  }

  /** `bytes` bytes at `host`, all in one frame, have been written. Hot. */
  changed(host: number, bytes: number): void {
    if ((this.#marks[host >>> PAGE_BITS]! & CODE) !== 0 && this.areCode(host, bytes)) this.#tell(host, bytes);
  }

  /** From now on the frame's bytes are also in the hands of somebody who says only when he may have written: {@link sharedChanged}. */
  share(host: number): void {
    if ((this.#marks[host >>> PAGE_BITS]! & SHARED) === 0) this.#mark(host, SHARED);
  }

  /** Who has frames in his hands may have written any of them. Hot: each KVM_RUN comes here, and there is hardly ever one. */
  sharedChanged(): void {
    const shared = this.#sharedCode;
    for (let index = 0; index < shared.length; index++) this.#tell(shared[index]!, 1 << PAGE_BITS);
  }

  #mark(host: number, mark: number): void {
    const page = host >>> PAGE_BITS;
    this.#marks[page] = this.#marks[page]! | mark;
    if (this.#marks[page] === (CODE | SHARED)) this.#sharedCode.push(frameOf(host));
  }

  #tell(host: number, bytes: number): void {
    this.changes++;
    for (const keeper of this.#keepers) keeper.written(host, bytes);
  }

  /** Tell `keeper` from now on; returns how it stops. */
  keep(keeper: CodeKeeper): () => void {
    this.#keepers.push(keeper);
    return () => {
      const at = this.#keepers.indexOf(keeper);
      if (at >= 0) this.#keepers.splice(at, 1);
    };
  }
}

const frameOf = (host: number): number => host - (host & OFFSET);

/** The translator's place in a vCPU. It is loaded, and its tables are made, when code is hot for the first time. */

import type { Block, CodeCache, CodePage } from './code-cache.ts';
import type { Execution, HotTier } from './execution.ts';
import type { Processor } from './processor.ts';
import { STORAGE_BYTES } from './translator/layout.ts';
import { Translator } from './translator/translator.ts';

/** When code is translated, and how much of it. */
export interface Eagerness {
  /** Entries of a block before it counts as hot. */
  readonly threshold: number;
  /** Whether to follow branches that have not been taken yet. */
  readonly eager: boolean;
}

/** What the translator of one vCPU has done. The times are the machine's, and tell nothing to the guest. */
export interface TranslationStatistics {
  regions: number;
  /** Guest instructions in them. */
  instructions: number;
  /** Bytes of WebAssembly. */
  bytes: number;
  /** Time spent translating, and the longest single translation. */
  milliseconds: number;
  longest: number;
  /** Regions dropped for room, and because their code was written. */
  evicted: number;
  invalidated: number;
}

interface Parts extends Processor {
  readonly code: CodeCache;
  readonly execution: Execution;
}

/** Runs hot code through a {@link Translator}. */
export class TranslatedTier implements HotTier {
  readonly threshold: number;
  readonly #parts: Parts;
  readonly #eager: boolean;
  #translator: Translator | undefined;

  constructor(parts: Parts, { threshold, eager }: Eagerness) {
    this.#parts = parts;
    this.threshold = threshold;
    this.#eager = eager;
  }

  get statistics(): Readonly<TranslationStatistics> | undefined {
    return this.#translator?.statistics;
  }

  run(address: number, page: CodePage, offset: number, block: Block, limit: number): number {
    this.#translator ??= this.#load();
    return this.#translator === undefined ? 0 : this.#translator.run(address, page, offset, block, limit);
  }

  /** Undefined if the processors' storage is used up: then all stays with the interpreter. */
  #load(): Translator | undefined {
    const { memory, execution, code } = this.#parts;
    const storage = memory.reserve(STORAGE_BYTES);
    return storage === undefined ? undefined : new Translator(this.#parts, execution, code, storage, this.#eager);
  }
}

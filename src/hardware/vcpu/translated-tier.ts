/** The translator's place in a vCPU. It is loaded, and its tables are made, when code is hot for the first time. */

import { watch } from '../../event.ts';
import type { Block, CodePage } from './code-cache.ts';
import { eptWalk, guestPageWalk } from './events.ts';
import { type HotTier, NEVER_HOT } from './execution.ts';
import type { QuickPort } from './quick-port.ts';
import type { Eagerness, TranslationStatistics } from './translation.ts';
import { STORAGE_BYTES } from './translator/layout.ts';
import { type TranslatedProcessor, Translator } from './translator/translator.ts';

/** Runs hot code through a {@link Translator}. */
export class TranslatedTier implements HotTier {
  threshold: number;
  readonly #cpu: TranslatedProcessor;
  readonly #eagerness: Eagerness;
  readonly #quickPort: () => QuickPort | undefined;
  #translator: Translator | undefined;

  /** `quickPort` gives, once there is code to translate, who serves its port accesses where they stand. */
  constructor(cpu: TranslatedProcessor, eagerness: Eagerness, quickPort: () => QuickPort | undefined) {
    this.#cpu = cpu;
    this.#quickPort = quickPort;
    this.#eagerness = eagerness;
    this.threshold = eagerness.first ?? eagerness.threshold;
  }

  get statistics(): Readonly<TranslationStatistics> | undefined {
    return this.#translator?.statistics;
  }

  run(address: number, page: CodePage, offset: number, block: Block, limit: number): number {
    // A walk inside a region would be told with the time of the region's beginning.
    if (guestPageWalk.on || eptWalk.on) return 0;
    this.#translator ??= this.#load();
    return this.#translator === undefined ? 0 : this.#translator.run(address, page, offset, block, limit);
  }

  again(limit: number): number {
    if (this.#translator === undefined || (watch.on && (guestPageWalk.on || eptWalk.on))) return 0;
    return this.#translator.again(limit);
  }

  /** Undefined if the processors' storage is used up: then all stays with the interpreter. */
  #load(): Translator | undefined {
    const { memory } = this.#cpu;
    const storage = memory.reserve(STORAGE_BYTES);
    this.threshold = storage === undefined ? NEVER_HOT : this.#eagerness.threshold;
    this.#cpu.execution.hotTier = this;
    return storage === undefined ? undefined : new Translator(this.#cpu, storage, this.#eagerness, this.#quickPort());
  }
}

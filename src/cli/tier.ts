/** `--tier`: how guest code is executed. Whatever is chosen, the guest, its host and every report but that of the tier say the same. */

import type { Eagerness, TranslationStatistics } from '../hardware/vcpu/translation.ts';

/** Code entered this often is worth a millisecond of translation; the first time ten, for which the translator is loaded. */
const HOT = 1000;
const FIRST_HOT = 20_000;

/** By name; undefined: nothing is translated. */
const tiers = {
  interpret: undefined,
  translate: { threshold: 2, eager: true },
  auto: { threshold: HOT, first: FIRST_HOT, eager: false },
} as const satisfies Record<string, Eagerness | undefined>;

export type TierName = keyof typeof tiers;

export const DEFAULT_TIER: TierName = 'auto';

export const eagernessOf = (tier: TierName = DEFAULT_TIER): Eagerness | undefined => tiers[tier];

/** The option of every command that runs a guest. */
export const tierOption = {
  choices: Object.keys(tiers) as TierName[],
  default: DEFAULT_TIER,
  describe: 'execute guest code by the interpreter, translated to WebAssembly, or translated where it is hot',
} as const;

/** A line for a report. The times are this machine's. */
export const translationLine = ({
  regions,
  instructions,
  bytes,
  milliseconds,
  longest,
  evicted,
  invalidated,
}: Readonly<TranslationStatistics>): string =>
  `translated: ${regions} regions, ${instructions} instructions to ${bytes} bytes of WebAssembly, in ` +
  `${milliseconds.toFixed(1)} ms (longest ${longest.toFixed(1)} ms); ${evicted} evicted, ${invalidated} overwritten`;

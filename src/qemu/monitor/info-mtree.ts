/** The monitor's `info mtree -f`: address spaces as the ranges that accesses meet (softmmu/memory.c: mtree_print_flatview). */

import type { AddressSpace } from '../memory/address-space.ts';
import type { FlatRange } from '../memory/flat-view.ts';

const hex = (value: number) => value.toString(16).padStart(16, '0');

/** memory_region_type, and `rom` for what is read only. */
function typeOf({ region, readonly, romd }: FlatRange): string {
  if (readonly) return 'rom';
  if (region.kind === 'ram-device') return 'ramd';
  if (region.kind === 'rom-device') return romd ? 'romd' : 'i/o';
  return region.kind === 'ram' ? 'ram' : 'i/o';
}

/** KVM has a memory slot there. */
const inKvm = ({ region }: FlatRange): boolean => region.isRam;

function rangeLine(range: FlatRange): string {
  const { start, end, region, offset } = range;
  const at = offset === 0 ? '' : ` @${hex(offset)}`;
  return `  ${hex(start)}-${hex(end - 1)} (prio ${region.priority}, ${typeOf(range)}): ${region.name}${at}${inKvm(range) ? ' KVM' : ''}`;
}

/** In the order of `spaces`; spaces with the same root share one view. */
export function infoMtreeFlat(spaces: readonly AddressSpace[]): readonly string[] {
  const roots = [...new Set(spaces.map(({ root }) => root))];
  return roots.flatMap((root, index) => {
    const sharing = spaces.filter((space) => space.root === root);
    const { ranges } = sharing[0]!.view;
    return [
      `FlatView #${index}`,
      ...sharing.map(({ name }) => ` AS "${name}", root: ${root.name}`),
      ` Root memory region: ${root.name}`,
      ...(ranges.length === 0 ? ['  No rendered FlatView'] : ranges.map(rangeLine)),
      '',
    ];
  });
}

/**
 * Flat views: a tree of regions rendered to disjoint ranges in ascending order (softmmu/memory.c, render_memory_region).
 *
 * Rendering is depth first, and a region fills only what earlier ones have left free: so priority, order of insertion
 * and nesting alone decide who answers at an address.
 */

import type { MemoryRegion } from './region.ts';

/** A piece of one terminating region, as it stands in an address space: MemoryRegionSection of the listeners. */
export interface FlatRange {
  readonly start: number;
  /** First address behind it. */
  readonly end: number;
  readonly region: MemoryRegion;
  /** Offset in the region of the byte at `start`. */
  readonly offset: number;
  readonly readonly: boolean;
  /** A ROM device that is read as memory. */
  readonly romd: boolean;
  /** Writes to it are to be noted; no difference that would make it another range. */
  readonly logged: boolean;
}

/** Whether a listener would see no difference. */
export const sameRange = (a: FlatRange, b: FlatRange): boolean =>
  a.start === b.start &&
  a.end === b.end &&
  a.region === b.region &&
  a.offset === b.offset &&
  a.readonly === b.readonly &&
  a.romd === b.romd;

/** The rendered ranges of one address space, with the look-up that every access makes. */
export class FlatView {
  readonly ranges: readonly FlatRange[];
  #last: FlatRange | undefined;

  constructor(ranges: readonly FlatRange[]) {
    this.ranges = ranges;
  }

  /** The range that holds `address`, undefined in a hole. Hot: a device is usually asked twice in a row. */
  lookup(address: number): FlatRange | undefined {
    const last = this.#last;
    if (last !== undefined && address >= last.start && address < last.end) return last;
    const ranges = this.ranges;
    let low = 0;
    let high = ranges.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const range = ranges[middle]!;
      if (address < range.start) high = middle - 1;
      else if (address >= range.end) low = middle + 1;
      else {
        this.#last = range;
        return range;
      }
    }
    return undefined;
  }
}

/** generate_memory_topology: what an address space with this root shows. */
export function renderFlatView(root: MemoryRegion): FlatView {
  const rendered: FlatRange[] = [];
  render(rendered, root, 0, 0, 2 ** 64, false);
  return new FlatView(simplify(rendered));
}

/** `base` is where offset 0 of the region's container would lie; [clipStart, clipEnd) is what may be seen of it. */
function render(
  rendered: FlatRange[],
  region: MemoryRegion,
  base: number,
  clipStart: number,
  clipEnd: number,
  underReadonly: boolean,
): void {
  if (!region.enabled) return;
  const origin = base + region.address;
  const start = Math.max(clipStart, origin);
  const end = Math.min(clipEnd, origin + region.size);
  if (start >= end) return;
  const readonly = underReadonly || region.readonly;
  if (region.alias !== undefined) {
    const target = region.alias;
    render(rendered, target, origin - target.address - region.aliasOffset, start, end, readonly);
    return;
  }
  for (const subregion of region.subregions) render(rendered, subregion, origin, start, end, readonly);
  if (region.terminates) fillGaps(rendered, region, origin, start, end, readonly);
}

function fillGaps(
  rendered: FlatRange[],
  region: MemoryRegion,
  origin: number,
  start: number,
  end: number,
  readonly: boolean,
): void {
  let from = start;
  for (let i = 0; i <= rendered.length && from < end; i++) {
    const taken = rendered[i];
    const until = Math.min(end, taken?.start ?? end);
    if (from < until) {
      const { romd, logged } = region;
      rendered.splice(i++, 0, { start: from, end: until, region, offset: from - origin, readonly, romd, logged });
    }
    if (taken !== undefined) from = Math.max(from, taken.end);
  }
}

/** flatview_simplify: neighbours that continue each other become one range. */
function simplify(rendered: readonly FlatRange[]): FlatRange[] {
  const merged: FlatRange[] = [];
  for (const range of rendered) {
    const before = merged.at(-1);
    const continues =
      before !== undefined &&
      before.end === range.start &&
      before.region === range.region &&
      before.offset + (before.end - before.start) === range.offset &&
      before.readonly === range.readonly;
    if (continues) merged[merged.length - 1] = { ...before, end: range.end };
    else merged.push(range);
  }
  return merged;
}

/** Which I/O address a mapping gets that asked for none (iopt_alloc_iova in drivers/iommu/iommufd/io_pagetable.c of Linux 6.6). */

import { PAGE_SIZE } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { EINVAL, ENOSPC, EOVERFLOW } from '../uapi/errno.ts';

/** A run of addresses, both ends included. */
export interface IovaSpan {
  readonly start: bigint;
  readonly last: bigint;
}

const PAGE = BigInt(PAGE_SIZE);
const LAST = 0xffff_ffff_ffff_ffffn;
/** The first page is never chosen, so that an address of 0 stays a sign of a mistake; nor is the last. */
const EVERYWHERE: IovaSpan = { start: PAGE, last: LAST - PAGE };

export interface Wish {
  /** The user address of the memory: what of its alignment can be kept is kept, for the sake of large pages. */
  readonly memory: bigint;
  readonly length: bigint;
  /** What the space demands. */
  readonly alignment: bigint;
  /** Where addresses may be chosen; empty: everywhere. */
  readonly allowed: readonly IovaSpan[];
  readonly used: readonly IovaSpan[];
}

/** The lowest free address; -EOVERFLOW for half of all there is, -EINVAL if the memory is less aligned than the space, -ENOSPC. */
export function chooseIova(kernel: Kernel, { memory, length, alignment, allowed, used }: Wish): bigint | number {
  if (length >= LAST / 2n) return kernel.refuse(EOVERFLOW, 'no address is looked for that long');
  const power = roundUpToPower(length);
  const own = memory === 0n ? power : memory & -memory;
  const kept = own < power ? own : power;
  if (kept < alignment) {
    return kernel.refuse(
      EINVAL,
      `memory at 0x${memory.toString(16)} cannot have an I/O address that is a multiple of ${alignment}`,
    );
  }
  for (const free of within(allowed.length === 0 ? [EVERYWHERE] : allowed, used)) {
    const start = (((free.start + kept - 1n) / kept) * kept) | (memory % PAGE);
    if (start < free.last && free.last - start >= length - 1n) return start;
  }
  return kernel.refuse(ENOSPC, `no ${length} bytes of I/O addresses are free in one piece`);
}

/** What of `spans` is in none of `holes`, in order. */
export function within(spans: readonly IovaSpan[], holes: readonly IovaSpan[]): readonly IovaSpan[] {
  return holes
    .reduce<readonly IovaSpan[]>(
      (left, hole) =>
        left.flatMap((span) =>
          hole.last < span.start || hole.start > span.last
            ? [span]
            : [
                { start: span.start, last: hole.start - 1n },
                { start: hole.last + 1n, last: span.last },
              ].filter(({ start, last }) => start <= last),
        ),
      spans,
    )
    .toSorted((a, b) => (a.start < b.start ? -1 : 1));
}

function roundUpToPower(value: bigint): bigint {
  let power = 1n;
  while (power < value) power <<= 1n;
  return power;
}

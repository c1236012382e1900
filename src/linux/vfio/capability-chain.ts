/** The chains of capabilities behind VFIO's info structures: headers that point to the next one (vfio_info_cap_add). */

import { ENOMEM } from '../uapi/errno.ts';
import { vfio_info_cap_header } from '../uapi/vfio.ts';

export interface Capability {
  readonly id: number;
  readonly version: number;
  /** What follows the header. */
  readonly body: Uint8Array;
}

/**
 * The chain as bytes that stand `at` bytes from the structure's start: `next` counts from there, and is 0 in the last.
 * -ENOMEM. Linux 6.1 puts one right behind the other; alignment came later.
 */
export function capabilityChain(
  memory: { kmalloc(what: string): boolean },
  capabilities: readonly Capability[],
  at: number,
): Uint8Array | number {
  // The chain grows by one capability at a time.
  for (const _ of capabilities) if (!memory.kmalloc('a chain of capabilities')) return -ENOMEM;
  const header = vfio_info_cap_header.size;
  const chain = new Uint8Array(capabilities.reduce((sum, { body }) => sum + header + body.length, 0));
  const view = new DataView(chain.buffer);
  let start = 0;
  for (const [i, { id, version, body }] of capabilities.entries()) {
    const end = start + header + body.length;
    const next = i + 1 < capabilities.length ? at + end : 0;
    vfio_info_cap_header.write(view, { id, version, next }, start);
    chain.set(body, start + header);
    start = end;
  }
  return chain;
}

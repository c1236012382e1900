/** Where a linear address of the guest leads, as QEMU itself looks it up (target/i386/helper.c: x86_cpu_get_phys_page_attrs_debug). */

import { PAGE_SIZE } from '../../../address.ts';
import type { AddressSpace } from '../../memory/address-space.ts';

const PRESENT = 1n;
const LARGE = 0x80n;
/** The address in an entry. */
const ADDRESS = 0x000f_ffff_ffff_f000n;
const ENTRIES = 512n;
/** The lowest bit of a linear address that each level looks at: the second and third may end the walk, with a page of 1 GiB or 2 MiB. */
const LEVELS = [39n, 30n, 21n, 12n] as const;

/** The physical page of `linear` by four levels of tables at `cr3`; undefined if it is not mapped. */
export function physicalAddress(memory: AddressSpace, cr3: bigint, linear: bigint): number | undefined {
  const entry = new DataView(new ArrayBuffer(8));
  let table = cr3 & ADDRESS;
  for (const shift of LEVELS) {
    memory.read(Number(table + 8n * ((linear >> shift) % ENTRIES)), entry, 0, 8);
    const value = entry.getBigUint64(0, true);
    if ((value & PRESENT) === 0n) return undefined;
    table = value & ADDRESS;
    if ((value & LARGE) === 0n || shift === LEVELS[0] || shift === LEVELS[3]) continue;
    const span = 1n << shift;
    return Number((table & -span) | (linear & (span - 1n) & -BigInt(PAGE_SIZE)));
  }
  return Number(table);
}

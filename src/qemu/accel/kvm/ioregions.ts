/**
 * Ranges that a file serves by KVM's hand, told to KVM as they appear and vanish. Experimental: neither Linux nor QEMU has them; the
 * shape is that of the patches of 2020 (memory_region_set_ioregionfd).
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import {
  KVM_ENABLE_CAP,
  KVM_IOREGION_DEASSIGN,
  KVM_IOREGION_PIO,
  KVM_SET_IOREGION,
  kvm_enable_cap,
  kvm_ioregion,
} from '../../../linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../linux/uapi/kvm-capability.ts';
import { Abort } from '../../error.ts';
import type { FlatRange } from '../../memory/flat-view.ts';
import type { System } from '../../system.ts';
import type { KvmState } from './kvm-all.ts';

/** KVM_SET_IOREGION for a range whose region has one; nothing for others. QEMU cannot go on where KVM refuses. */
export function setIoregion(
  system: System,
  kvm: KvmState,
  { start, end, region, offset }: FlatRange,
  { pio, assign }: { readonly pio: boolean; readonly assign: boolean },
): void {
  if (region.ioregion === undefined) return;
  const { fd, offset: inFile } = region.ioregion;
  // Switched on as often as it is needed: KVM does not mind.
  const cap = { cap: KVM_CAP.IOREGIONFD, arg0: 1n };
  system.ioctlStruct(kvm.vm, KVM_ENABLE_CAP, kvm_enable_cap, cap);
  const result = system.ioctlStruct(kvm.vm, KVM_SET_IOREGION, kvm_ioregion, {
    guest_paddr: BigInt(start),
    memory_size: BigInt(end - start),
    file_offset: BigInt(inFile + offset),
    fd,
    flags: (pio ? KVM_IOREGION_PIO : 0) | (assign ? 0 : KVM_IOREGION_DEASSIGN),
  });
  if (result >= 0) return;
  system.error(`KVM_SET_IOREGION: ${strerror(-result)} (${-result})`);
  throw new Abort();
}

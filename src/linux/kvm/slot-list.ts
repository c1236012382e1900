/** A VM's memory slots in words. */

import { PAGE_SIZE } from '../../address.ts';
import { isReadonly, KVM_USER_MEM_SLOTS, logsDirtyPages } from './memslots.ts';
import type { Vm } from './vm.ts';

const hex = (value: number) => value.toString(16).padStart(16, '0');

/** A line for each slot, by guest address. */
export function memorySlots(vm: Vm): readonly string[] {
  return [...vm.memslots.all()]
    .sort((a, b) => a.baseGfn - b.baseGfn)
    .map((slot) => {
      const first = slot.baseGfn * PAGE_SIZE;
      const notes = [
        ...(slot.id >= KVM_USER_MEM_SLOTS ? ["KVM's own"] : []),
        isReadonly(slot) ? 'read-only' : 'read-write',
        ...(logsDirtyPages(slot) ? ['dirty log'] : []),
      ];
      return (
        `  ${hex(first)}-${hex(first + slot.pages * PAGE_SIZE - 1)} (slot ${slot.id}, ${notes.join(', ')}): ` +
        `hva 0x${slot.userspaceAddress.toString(16)}`
      );
    });
}

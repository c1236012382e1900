/** A device's page is walked to at each access: the guest's tables count as they stand, whether it says INVLPG or not. */

import { expect, test } from 'vitest';
import { KVM_EXIT_HLT, KVM_EXIT_MMIO, RUN_MMIO_PHYS_ADDR } from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from './guest.ts';

/** Of the four entries that map a gigabyte each, the last, and what it may hold. */
const ENTRY = 0x3000 + 3 * 8;
const GIGABYTE = 0x4000_0000;
const MMIO = 0xd000_0000;

/** Where the stores of the guest went, up to its HLT. */
function stores(text: string): readonly number[] {
  const guest = new Guest(text, 'none', { irqchip: false });
  const seen: number[] = [];
  for (;;) {
    expect(guest.resume()).toBe(0);
    if (guest.exitReason !== KVM_EXIT_MMIO) break;
    seen.push(Number(guest.run.getBigUint64(RUN_MMIO_PHYS_ADDR, true)));
  }
  expect(guest.exitReason).toBe(KVM_EXIT_HLT);
  return seen;
}

test('a store follows the entry that was changed before it, though nothing was invalidated', () => {
  const turn = (gigabyte: number) => `mov rax, ${gigabyte * GIGABYTE + 0x83}\n mov [${ENTRY}], rax\n`;
  const text = `mov ebx, ${MMIO}\n${[3, 2, 2, 1, 3].map((each) => `${turn(each)} mov [rbx], al\n mov [rbx + 4096], al\n`).join('')} hlt`;
  expect(stores(text)).toEqual(
    [3, 2, 2, 1, 3].flatMap((each) => [0x1000_0000, 0x1000_1000].map((within) => each * GIGABYTE + within)),
  );
});

test('the accessed and dirty bits that the guest clears are set again', () => {
  const text = `mov ebx, ${MMIO}
        mov     [rbx], al
        mov     rax, ${3 * GIGABYTE + 0x83}
        mov     [${ENTRY}], rax
        mov     [rbx], al
        movzx   ecx, byte [${ENTRY}]
        mov     [rbx + rcx], al
        hlt`;
  // The last store's address tells the entry's low bits.
  expect(stores(text).at(-1)).toBe(MMIO + 0xe3);
});

/** The emulator takes the address that an exit reports, and walks where that would say nothing of the access at hand. */

import { expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { matchingEvents } from '../../../src/event.ts';
import {
  KVM_EXIT_HLT,
  KVM_EXIT_IO,
  KVM_EXIT_MMIO,
  RUN_MMIO_DATA,
  RUN_MMIO_IS_WRITE,
  RUN_MMIO_LEN,
  RUN_MMIO_PHYS_ADDR,
} from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from './guest.ts';

/** Of the four entries that map a gigabyte each, the last, and one for a gigabyte that a table of its own divides. */
const ENTRY = 0x3000 + 3 * 8;
const TABLE_ENTRY = 0x3000 + 2 * 8;
const GIGABYTE = 0x4000_0000;
const MMIO = 0xd000_0000;
const IN_THE_TABLES_GIGABYTE = 2 * GIGABYTE + 0x123_4568;
const LARGE_PAGE = 0x83;

/** What user space serves, up to the HLT; a read is answered with `answer` of its address, after `between`. */
function accesses(
  text: string,
  answer: (address: number) => number,
  between: (guest: Guest) => void = () => {},
  listened: readonly string[] = [],
): readonly string[] {
  const guest = new Guest(text, 'none', { irqchip: false });
  const unsubscribe = listened.map((name) => guest.kernel.stream.subscribe(matchingEvents(name), () => {}));
  const seen: string[] = [];
  for (;;) {
    expect(guest.resume()).toBe(0);
    const { run, exitReason } = guest;
    if (exitReason === KVM_EXIT_IO) seen.push(`out ${guest.pioData[0]}`);
    if (exitReason === KVM_EXIT_HLT) break;
    if (exitReason === KVM_EXIT_IO) continue;
    expect([exitReason, seen.length < 50]).toEqual([KVM_EXIT_MMIO, true]);
    const address = Number(run.getBigUint64(RUN_MMIO_PHYS_ADDR, true));
    const length = run.getUint32(RUN_MMIO_LEN, true);
    if (run.getUint8(RUN_MMIO_IS_WRITE) !== 0) {
      seen.push(`write ${address.toString(16)} ${length}: ${run.getUint8(RUN_MMIO_DATA)}`);
      continue;
    }
    seen.push(`read ${address.toString(16)} ${length}`);
    run.setBigUint64(RUN_MMIO_DATA, BigInt(answer(address)), true);
    between(guest);
  }
  // Others would be told as well.
  for (const each of unsubscribe) each();
  return seen;
}

test('a read is not a write: the same address may be read only', () => {
  const text = `mov rax, ${3 * GIGABYTE + 0x81}
        mov     [${ENTRY}], rax
        mov     ebx, ${MMIO}
        mov     al, [rbx]
        mov     esi, ebx
        mov     edi, ebx
        mov     word [0x6000 + 14 * 16], halt   ; #PF
        movsb
        hlt
halt:   mov     al, 90
        mov     edx, 0x2000
        out     dx, al
        hlt`;
  expect(accesses(text, () => 5)).toEqual(['read d0000000 1', 'read d0000000 1', 'out 90']);
});

test.each([
  ['', []],
  [', and walks are made to be told of', ['guest_page_walk']],
])('the answer to a read is its own, though the entry on its way has been changed meanwhile%s', (_, listened) => {
  const seen = accesses(
    `mov ebx, ${MMIO}\n mov al, [rbx]\n mov [rbx], al\n hlt`,
    (address) => address >>> 30,
    (guest) => {
      guest.qemu.user.memory.write((guest.ram + ENTRY + 3) as Hva, Uint8Array.of((1 * GIGABYTE) >>> 24));
    },
    listened,
  );
  expect(seen).toEqual(['read d0000000 1', 'write 50000000 1: 3']);
});

test('the address is that of the access which left, though another one is walked to before it', () => {
  // Bytes in two pages are looked up each time, by no TLB. The page's first access is a violation, and tells of none.
  const source = 0x40_0ffe;
  const text = `mov dword [${source}], 0x11223344
        mov     edi, ${MMIO}
        mov     [rdi], dl
        mov     esi, ${source}
        movsd
        hlt`;
  expect(accesses(text, () => 0).at(-1)).toBe(`write d0000000 4: ${0x44}`);
});

test('an exit for a port says nothing of memory', () => {
  const page = 0x40_0000;
  const table = 0x20_0000;
  const reload = 'mov rax, cr3\n mov cr3, rax\n';
  // The first touch of a page is an exit; then its address leads to another page, from which a port is written.
  const text = `mov dword [${table}], ${LARGE_PAGE}
        mov     dword [${table} + 8], ${table + LARGE_PAGE}
        mov     dword [${table} + 16], ${page + LARGE_PAGE}
        mov     dword [0x3000], ${table + 3}
        ${reload}
        mov     byte [0x7800], 17
        mov     esi, ${page + 0x7800}
        mov     al, [rsi]
        mov     dword [${table} + 16], ${LARGE_PAGE}
        ${reload}
        mov     edx, 0x2000
        outsb
        hlt`;
  expect(accesses(text, () => 0)).toEqual(['out 17']);
});

test('the exit was for a table that lies where no memory is: KVM finds no entry there', () => {
  const text = `mov rax, ${MMIO + 3}
        mov     [${TABLE_ENTRY}], rax
        mov     word [0x6000 + 14 * 16], halt   ; #PF
        mov     rbx, ${IN_THE_TABLES_GIGABYTE}
        mov     [rbx], bl
        hlt
halt:   mov     rax, cr2
        mov     edx, 0x2000
        out     dx, al
        hlt`;
  expect(accesses(text, () => 0)).toEqual([`out ${IN_THE_TABLES_GIGABYTE & 0xff}`]);
});

/**
 * Random changes of memory slots and reads of their dirty logs, while a guest reads and writes there: results, bitmaps, what the guest finds
 * and what it leaves for are the host's own KVM's.
 */

import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import type { Draws } from '../../linux/syscalls/draws.ts';
import { OVER, PAGE, RAM_END } from './exit-guest.ts';
import { testGuests } from './guests.ts';
import { Pair, SERVED } from './pair.ts';

const TURN = 0x81;
const TURNS = 40;
const ACCESSES = 4;
/** Slots lie in so many pages behind RAM, and are of so many. */
const WINDOW = 32;
const SLOT_PAGES = 8;
const SLOTS = [1, 2, 3];
const BITMAP_AT = WINDOW * PAGE;
const BITMAP_BYTES = 8;
const BUFFER_BYTES = BITMAP_AT + PAGE;

/**
 * What the processor reads by itself it may map writable, and then it counts as dirty; so does memory that an instruction is about to change.
 * The host's KVM, which interprets the guest, sees what is written: here nothing is only read, and changed only within a page.
 */
function access(draws: Draws): string[] {
  const page = RAM_END + draws.next(WINDOW) * PAGE;
  return draws.once(2)
    ? [`mov ebx, ${page + draws.pick([0, 8, PAGE - 4])}`, draws.pick(['inc dword [rbx]', 'add [rbx], eax'])]
    : [`mov ebx, ${page + draws.pick([0, 8, PAGE - 2])}`, draws.pick(['mov [rbx], al', 'mov [rbx], ebx'])];
}

function program(draws: Draws): string {
  const turns = Array.from({ length: TURNS }, () => [
    `out ${TURN}, al`,
    ...Array.from({ length: ACCESSES }, () => access(draws)).flat(),
  ]).flat();
  return ['bits 64', ...turns, `out ${OVER}, al`, 'hlt'].join('\n');
}

const bits = (draws: Draws) => Uint8Array.from({ length: BITMAP_BYTES }, () => draws.next(256));

function change(pair: Pair, draws: Draws): void {
  const slot = draws.pick(SLOTS);
  switch (draws.next(5)) {
    case 0:
    case 1: {
      const pages = draws.once(4) ? 0 : draws.pick([1, 4, SLOT_PAGES]);
      const at = RAM_END + draws.pick([0, 4, 6, 12, 20]) * PAGE;
      const flags = draws.pick([0, 1, 1, 1, uapi.KVM_MEM_READONLY, uapi.KVM_MEM_READONLY | 1, 4]);
      pair.setSlot(slot, at, pages * PAGE, draws.pick([0, 2, 8]) * PAGE, flags);
      break;
    }
    case 2: {
      const range = { first_page: BigInt(draws.pick([0, 0, 0, 64, 3])), num_pages: draws.pick([64, 8, 4, 1, 0]) };
      pair.put('buffer', BITMAP_AT, bits(draws));
      pair.clearDirtyLog({ slot, ...range }, BITMAP_AT);
      break;
    }
    default:
      pair.put('buffer', BITMAP_AT, new Uint8Array(BITMAP_BYTES));
      pair.getDirtyLog(slot, BITMAP_AT);
      pair.peek('buffer', BITMAP_AT, BITMAP_BYTES);
  }
}

function play(draws: Draws): Pair {
  const pair = new Pair(program(draws), BUFFER_BYTES);
  if (draws.once(2)) {
    const cap = { cap: KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2, arg0: BigInt(draws.pick([1, 3])) };
    pair.ioctl('vm', uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, cap);
  }
  for (;;) {
    const exit = pair.run();
    const [kind, port, length] = exit.split(' ');
    if (!SERVED.includes(kind!) || (kind === 'out' && port === OVER.toString(16))) break;
    if (kind === 'read') pair.answer(Uint8Array.from({ length: Number(length) }, () => draws.next(256)));
    for (let changes = draws.next(kind === 'out' ? 5 : 2); changes > 0; changes--) change(pair, draws);
  }
  pair.peek('buffer', 0, WINDOW * PAGE);
  return pair;
}

testGuests(30, play);

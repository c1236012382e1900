/**
 * Random instructions that leave the guest: which accesses user space gets to see, in what pieces, with which registers, and what the
 * instructions come to with its answers are the host's own KVM's; so is what stays in the kernel. The host's KVM interprets its guest, so an
 * OUT that user space serves has passed the emulator there, and RIP is behind it.
 */

import * as uapi from '../../../src/linux/uapi/kvm.ts';
import type { Draws } from '../../linux/syscalls/draws.ts';
import { exitProgram, OVER, PAGE, PORT, RAM_END, READ_ONLY, SECOND, SLOT_BYTES } from './exit-guest.ts';
import { testGuests } from './guests.ts';
import { Pair, SERVED } from './pair.ts';
import { hex } from './real-kvm.ts';

const MAX_EXITS = 300;
const BUFFER_BYTES = 2 * SLOT_BYTES;
const CHANGED_BYTES = 64;
/** The six flags of arithmetic, in the lowest 16 bits of RFLAGS. */
const ARITHMETIC = 0x8d5;

const random = (draws: Draws, count: number) => Uint8Array.from({ length: count }, () => draws.next(256));

/** Who is to take some of the accesses in the kernel. */
function takers(pair: Pair): void {
  const zone = (addr: number, size: number, pio: number) =>
    pair.ioctl('vm', uapi.KVM_REGISTER_COALESCED_MMIO, uapi.kvm_coalesced_mmio_zone, { addr: BigInt(addr), size, pio });
  zone(RAM_END + PAGE - 6, 12, 0);
  zone(PORT + 4, 2, 1);
  const { PIO, DATAMATCH } = { PIO: uapi.KVM_IOEVENTFD_FLAG_PIO, DATAMATCH: uapi.KVM_IOEVENTFD_FLAG_DATAMATCH };
  pair.ioeventfd(0, { addr: BigInt(RAM_END + 4), len: 4 });
  pair.ioeventfd(0, { addr: BigInt(READ_ONLY + PAGE), len: 2 });
  pair.ioeventfd(1, { addr: BigInt(RAM_END + 2), len: 1, datamatch: 0n, flags: DATAMATCH });
  pair.ioeventfd(1, { addr: BigInt(PORT), len: 1, datamatch: 0n, flags: PIO | DATAMATCH });
  pair.ioeventfd(2, { addr: BigInt(PORT + 2), len: 2, flags: PIO });
  // No byte has these values.
  for (const addr of [PORT, PORT + 1, PORT + 3])
    pair.ioeventfd(2, { addr: BigInt(addr), len: 1, datamatch: 0x100n, flags: PIO | DATAMATCH });
}

function prepared(draws: Draws): Pair {
  const pair = new Pair(exitProgram(draws), BUFFER_BYTES);
  pair.setSlot(1, SECOND, SLOT_BYTES, 0, 0);
  pair.setSlot(2, READ_ONLY, SLOT_BYTES, SLOT_BYTES, uapi.KVM_MEM_READONLY);
  if (draws.once(2)) takers(pair);
  pair.put('ram', RAM_END - PAGE, random(draws, PAGE));
  pair.put('buffer', 0, random(draws, BUFFER_BYTES));
  return pair;
}

/** What user space does before it goes back: it may change memory that the instruction has read, and answers a read. */
function serve(pair: Pair, draws: Draws, exit: string): void {
  const [kind, , bytes, count] = exit.split(' ');
  if (kind !== 'out' && draws.once(3)) pair.getRegs();
  if (draws.once(8)) pair.put('ram', RAM_END - draws.pick([CHANGED_BYTES, PAGE / 2]), random(draws, CHANGED_BYTES));
  if (draws.once(8)) {
    const edge = draws.pick([0, SLOT_BYTES - CHANGED_BYTES, SLOT_BYTES, 2 * SLOT_BYTES - CHANGED_BYTES]);
    pair.put('buffer', edge, random(draws, CHANGED_BYTES));
  }
  if (kind === 'in') pair.answer(random(draws, Number(bytes) * Number(count)));
  if (kind === 'read') pair.answer(random(draws, Number(bytes)));
}

function play(draws: Draws): Pair {
  const pair = prepared(draws);
  for (let exits = 0; exits < MAX_EXITS; exits++) {
    const immediate = exits > 0 && draws.once(6);
    if (immediate) pair.setImmediateExit(1);
    const exit = pair.run();
    if (immediate) pair.setImmediateExit(0);
    if (immediate && !SERVED.includes(exit.split(' ')[0]!)) pair.getRegs();
    else if (!SERVED.includes(exit.split(' ')[0]!) || exit.startsWith(`out ${OVER.toString(16)} `)) break;
    else serve(pair, draws, exit);
  }
  pair.peek('ram', RAM_END - PAGE, PAGE);
  pair.peek('buffer', 0, BUFFER_BYTES);
  pair.count();
  return pair;
}

/** KVM_GET_REGS without the flags of arithmetic, which some instructions leave undefined: the program shows the others itself. */
function settled(line: string, answer: string): string {
  if (!line.includes(` ${uapi.KVM_GET_REGS.number.toString(16)} `)) return answer;
  const [result, text = ''] = answer.split(' ');
  const bytes = Buffer.from(text, 'hex');
  const at = uapi.kvm_regs.offsets.rflags;
  bytes.writeUInt16LE(bytes.readUInt16LE(at) & ~ARITHMETIC, at);
  return `${result} ${hex(bytes)}`;
}

testGuests(40, play, settled);

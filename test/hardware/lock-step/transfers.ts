/** Parts of random programs whose next instruction is found at run time: jumps through registers and tables; and whole strings. */

import type { Generator } from '../../oracle/generator.ts';

/** A program under construction, as far as parts of it need it. */
export interface Writer {
  readonly random: Generator;
  /** Address of what is emitted next. */
  readonly here: number;
  emit(...bytes: readonly number[]): void;
  /** mov register, imm64 */
  load(register: number, value: bigint): void;
  /** The four bytes of a number. */
  long(value: number): readonly number[];
  /** Put four bytes at an address of what has been emitted. */
  patch(address: number, value: number): void;
}

const RAX = 0;
const RCX = 1;
const RSI = 6;
const RDI = 7;
const REP = 0xf3;
const REPNE = 0xf2;
const OPERAND_SIZE = 0x66;
const REX_W = 0x48;
const CLD = 0xfc;
const STD = 0xfd;

/** jmp rel32, whose target {@link landHere} gives: the address of its displacement. */
function jumpForward(writer: Writer): number {
  writer.emit(0xe9, 0, 0, 0, 0);
  return writer.here - 4;
}

const landHere = (writer: Writer, at: number): void => writer.patch(at, writer.here - (at + 4));

/** One of some bodies, by the low bits of the quad at `counter`: through a table of addresses that lies among the code. */
export function choose(writer: Writer, counter: number, body: () => void): void {
  const { random } = writer;
  const cases = random.pick([2, 4, 8]);
  const over = jumpForward(writer);
  const table = writer.here;
  for (let each = 0; each < cases; each++) writer.emit(0, 0, 0, 0, 0, 0, 0, 0);
  landHere(writer, over);
  const register = random.pick([RAX, RCX, 8, 9]);
  const [high, low] = [register >> 3, register & 7];
  // mov register, [counter]; and register, cases - 1; jmp [table + register * 8]
  writer.emit(0x40 | (high << 2), 0x8b, 0x04 | (low << 3), 0x25, ...writer.long(counter));
  writer.emit(0x40 | high, 0x83, 0xe0 | low, cases - 1);
  writer.emit(0x40 | (high << 1), 0xff, 0x24, 0xc5 | (low << 3), ...writer.long(table));
  const ends: number[] = [];
  for (let each = 0; each < cases; each++) {
    writer.patch(table + 8 * each, writer.here);
    if (random.once(2)) body();
    else writer.emit(REX_W, 0xff, 0xc0 | random.pick([RAX, RCX, RSI]));
    ends.push(jumpForward(writer));
  }
  for (const end of ends) landHere(writer, end);
}

/** Over some bytes by way of a register, or of the stack as a return without a call. */
export function jumpThrough(writer: Writer, body: () => void): void {
  const register = writer.random.pick([RAX, RCX, RSI, RDI]);
  const at = writer.here + 2;
  writer.load(register, 0n);
  if (writer.random.once(3)) writer.emit(0x50 | register, 0xc3);
  else writer.emit(0xff, 0xe0 | register);
  body();
  writer.patch(at, writer.here);
}

/** A repeated string instruction between two places, mostly of a length that a page has room for, mostly upwards. */
export function repeatString(writer: Writer, place: () => bigint): void {
  const { random } = writer;
  writer.load(RDI, place());
  writer.load(RSI, random.once(4) ? place() : BigInt(random.below(64)) + place());
  const downwards = random.once(5);
  const short = downwards || !random.once(8);
  writer.load(RCX, short ? BigInt(random.below(random.pick([4, 70, 700, 5000]))) : random.value());
  if (random.once(3)) writer.load(RAX, BigInt(random.below(256)) * 0x0101010101010101n);
  writer.emit(downwards ? STD : CLD);
  const size = random.below(4);
  if (size === 1) writer.emit(OPERAND_SIZE);
  writer.emit(random.once(4) ? REPNE : REP);
  if (size === 3) writer.emit(REX_W);
  // movs, stos, lods, cmps, scas; of bytes or wider
  writer.emit(random.pick([0xa4, 0xa4, 0xaa, 0xaa, 0xac, 0xa6, 0xae]) | (size === 0 ? 0 : 1));
  if (downwards) writer.emit(CLD);
}

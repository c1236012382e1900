/**
 * Faults, paging, privilege, debugging and changing code: the same images on the model's CPU and on QEMU's (TCG), and what
 * they write to the serial port. `GVM_TCG=write` writes the transcripts anew; read each line that changes.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { runOnGvm, runOnTcg, tcgAnswers, tcgBody } from '../oracle/tcg-machine.ts';

const IMAGES = ['faults', 'restart', 'paging', 'privilege', 'debug', 'code'] as const;

/** Where QEMU 7.2's TCG is not silicon: what is tried, by the start of its line, and what TCG makes of it. */
interface Difference {
  readonly image: (typeof IMAGES)[number];
  readonly tried: string;
  readonly tcg: string;
  readonly why: string;
}
const BRANCH =
  'TCG checks a branch target when it fetches there: rip is the target, and the branch is done (SDM: #GP before it)';
const GATE =
  'TCG makes the error code of a gate of long mode from 16 × the vector, not 8 × (SDM vol. 3A §6.13), and has no EXT bit in it';
const LAX = 'TCG does not check it';
const NO_SS = 'TCG knows no #SS for non-canonical addresses of the stack segment';
const RESERVED = 'TCG leaves P out of the error code where a reserved bit is set (SDM vol. 3A §4.7)';
const READS_FIRST = 'TCG reads before it writes, silicon asks for the write at once';
const DIFFERENCES: readonly Difference[] = [
  { image: 'faults', tried: 'lock on mov', tcg: 'ok', why: LAX },
  { image: 'faults', tried: 'lock on bt', tcg: 'ok', why: LAX },
  {
    image: 'faults',
    tried: 'non-canonical load by rsp',
    tcg: 'vector 8 0 rip d cs 10 0 ss 18 7ffffff70000 9f000',
    why: NO_SS,
  },
  { image: 'faults', tried: 'non-canonical load by rbp', tcg: 'vector d 0 rip a cs 10 0 ss 18 0 0', why: NO_SS },
  { image: 'faults', tried: 'non-canonical jmp', tcg: 'vector d 0 rip 800000000000 cs 10 0 ss 18 0 0', why: BRANCH },
  {
    image: 'faults',
    tried: 'non-canonical call pushes nothing',
    tcg: 'vector d 0 rip 800000000000 cs 10 0 ss 18 fffffffffffffff8 fffffffffffffff0',
    why: BRANCH,
  },
  { image: 'faults', tried: 'non-canonical ret', tcg: 'vector d 0 rip 800000000000 cs 10 0 ss 18 0 0', why: BRANCH },
  { image: 'faults', tried: 'null selector into ss, rpl 3', tcg: 'ok', why: LAX },
  {
    image: 'faults',
    tried: 'iretq, non-canonical',
    tcg: 'vector d 0 rip 800000000000 cs 10 0 ss 18 fffffffffffffff8 fffffffffffffff0',
    why: BRANCH,
  },
  { image: 'faults', tried: 'wrmsr of LSTAR, non-canonical', tcg: 'ok', why: LAX },
  { image: 'faults', tried: 'mov cr0: NW without CD', tcg: 'ok', why: LAX },
  { image: 'faults', tried: 'mov cr0: bits that are not there', tcg: 'ok 8003fff3', why: 'TCG keeps reserved bits' },
  { image: 'faults', tried: 'mov cr0: an upper bit', tcg: 'ok', why: LAX },
  { image: 'faults', tried: 'mov cr8: more than four bits', tcg: 'ok', why: LAX },
  { image: 'faults', tried: 'a gate that is absent', tcg: 'vector b 422 rip 17 cs 10 0 ss 18 0 0', why: GATE },
  { image: 'faults', tried: 'a gate of another type', tcg: 'vector d 422 rip 17 cs 10 0 ss 18 0 0', why: GATE },
  { image: 'faults', tried: 'beyond the limit of the IDT', tcg: 'vector d 422 rip 8 cs 10 0 ss 18 0 0', why: GATE },
  {
    image: 'faults',
    tried: 'an error while an exception is delivered: #NP',
    tcg: 'vector b 62 rip 8 cs 10 0 ss 18 0 0',
    why: GATE,
  },
  {
    image: 'restart',
    tried: 'add to memory across the edge: no flags, no bytes',
    tcg: 'vector e 0 rip 9 cs 10 0 ss 18 0 9f000 cr2 40005000 1111111100000000',
    why: READS_FIRST,
  },
  {
    image: 'restart',
    tried: 'xadd across the edge leaves the register',
    tcg: 'vector e 0 rip 5 cs 10 0 ss 18 0 9f000 cr2 40005000 5',
    why: READS_FIRST,
  },
  {
    image: 'restart',
    tried: 'bts far away, where no page is',
    tcg: 'vector e 0 rip 5 cs 10 0 ss 18 0 9f000 cr2 40005ff8',
    why: READS_FIRST,
  },
  {
    image: 'restart',
    tried: 'enter whose room ends in no page',
    tcg: 'vector e 2 rip e cs 10 0 ss 18 3ff75008 9f000 cr2 40005000 40007008',
    why: 'TCG does not try the new top of the stack (SDM vol. 2, ENTER), so the next push faults',
  },
  {
    image: 'restart',
    tried: 'sgdt across the edge writes no part',
    tcg: 'vector e 2 rip 0 cs 10 0 ss 18 0 9f000 cr2 40005000 111100a700000000',
    why: 'TCG has stored the limit when the base faults',
  },
  {
    image: 'paging',
    tried: 'a read-modify-write of no page',
    tcg: 'vector e 0 rip 0 cs 10 0 ss 18 0 0 cr2 40005123',
    why: READS_FIRST,
  },
  { image: 'paging', tried: 'a reserved bit', tcg: 'vector e 8 rip 0 cs 10 0 ss 18 0 0 cr2 40006000', why: RESERVED },
  {
    image: 'paging',
    tried: 'a reserved bit, write',
    tcg: 'vector e a rip 0 cs 10 0 ss 18 0 0 cr2 40006000',
    why: RESERVED,
  },
  {
    image: 'paging',
    tried: 'EFER.NXE off: bit 63 is reserved',
    tcg: 'vector e 8 rip 19 cs 10 0 ss 18 0 0 cr2 40004000',
    why: RESERVED,
  },
  {
    image: 'paging',
    tried: 'a large page at no multiple of its size',
    tcg: 'vector e 8 rip c cs 10 0 ss 18 0 0 cr2 40400000',
    why: RESERVED,
  },
  {
    image: 'paging',
    tried: 'user: a reserved bit',
    tcg: 'vector e e rip 5aa cs 33 0 ss 2b 40008ff0 98000 cr2 40006000',
    why: RESERVED,
  },
  {
    image: 'privilege',
    tried: 'int with a gate of privilege 0',
    tcg: 'vector d 412 rip 19 cs 33 0 ss 2b 40008ff0 98000',
    why: GATE,
  },
  {
    image: 'privilege',
    tried: 'lar, lsl',
    tcg: 'ok a09b00 ffffffff 7',
    why: 'bits 19:16 are the limit’s, and undefined by the manual; processors give them, TCG does not',
  },
  { image: 'debug', tried: 'general detect', tcg: 'ok', why: 'TCG does not look at DR7.GD' },
  { image: 'debug', tried: 'DR7 afterwards', tcg: 'ok 2400', why: 'so GD is still set' },
  { image: 'debug', tried: 'DR4 is DR6, without CR4.DE', tcg: 'ok ffff0ff0 2400', why: 'so GD is still set' },
  { image: 'debug', tried: 'int1', tcg: 'vector 6 0 rip 0 cs 10 0 ss 18 0 fffffffffffffff8', why: 'TCG has no INT1' },
];

const transcriptOf = (image: string) => new URL(`../oracle/tcg/${image}.transcript`, import.meta.url);
const isOf = (line: string, { tried }: Difference) => line.startsWith(`${tried}: `);

describe.each(IMAGES)('%s', (image) => {
  const body = tcgBody(image);

  test('the model’s CPU writes its transcript', () => {
    const { text } = runOnGvm(body);
    if (process.env['GVM_TCG'] === 'write') writeFileSync(transcriptOf(image), text);
    expect(text).toBe(readFileSync(transcriptOf(image), 'latin1'));
  });

  test.skipIf(!tcgAnswers)(
    tcgAnswers
      ? 'QEMU’s CPU writes the same'
      : 'QEMU’s CPU writes the same: skipped, needs qemu-system-x86_64 7.2 and nasm',
    { timeout: 180_000 },
    () => {
      const lines = readFileSync(transcriptOf(image), 'latin1').split('\n');
      const known = DIFFERENCES.filter((difference) => difference.image === image);
      expect(known.filter((difference) => !lines.some((line) => isOf(line, difference)))).toEqual([]);
      const expected = lines.map((line) => {
        const difference = known.find((each) => isOf(line, each));
        if (difference === undefined) return line;
        const { tried, tcg, why } = difference;
        expect(`${tried}: ${tcg}`, `no difference any more: ${why}`).not.toBe(line);
        return `${tried}: ${tcg}`;
      });
      expect(runOnTcg(body).text.split('\n')).toEqual(expected);
    },
  );
});

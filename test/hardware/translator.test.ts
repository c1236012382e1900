/** Bounds of the translator: how much code it makes, and that it forgets old code when there is too much of it. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { MAX_REGIONS, SURVEY } from '../../src/hardware/vcpu/translator/region-cache.ts';
import { FlatMachine } from './flat-machine.ts';
import { assembled } from './privilege-machine.ts';

const CODE = 0x10_0000;
const HOT: Eagerness = { threshold: 2, eager: false };

/** Run to HLT, and the same interpreted: both come to the same registers, rip and count of instructions. */
function runBoth(text: string, eagerness = HOT) {
  const code = assembled(`${text}\nhlt`, CODE);
  const [interpreted, translated] = [new FlatMachine(code).cpu, new FlatMachine(code).cpu];
  translated.translate(eagerness);
  const seen = [interpreted, translated].map((cpu) => {
    expect(cpu.run(1e9)).toBe(EXIT_REASON.HLT);
    return {
      rip: cpu.rip,
      retired: cpu.retired,
      registers: Array.from({ length: 16 }, (_, each) => cpu.register(each)),
    };
  });
  expect(seen[1]).toEqual(seen[0]);
  return { ...translated.translation!, registers: seen[1]!.registers };
}

test('code behind branches to the next instruction is made once, not once for each way', () => {
  const branches = 'test al, 1\njz $ + 2\nadd eax, 3\n'.repeat(40);
  const { regions, bytes } = runBoth(`mov ecx, 50\nagain: ${branches}\ndec ecx\njnz again`);
  expect(regions).toBeGreaterThan(0);
  expect(bytes).toBeLessThan(60_000);
});

const loops = (count: number, name: string) =>
  Array.from(
    { length: count },
    (_, each) => `mov ecx, 9\n${name}${each}: add eax, ${each}\ndec ecx\njnz ${name}${each}`,
  );
/** Takes as long as the translator looks whether a region is still in use, but has one region. */
const pastime = (name: string) => `mov ecx, ${SURVEY / 2}\n${name}: add ebx, ecx\ndec ecx\njnz ${name}`;

test('regions that are not entered any more make room for new ones, and are made again when they are needed', () => {
  const [first, second] = [loops(MAX_REGIONS, 'one'), loops(MAX_REGIONS / 4, 'two')].map((each) => each.join('\n'));
  const phase = (name: string, code: string) => `mov r15d, 4\n${name}:\n${code}\ndec r15d\njnz ${name}`;
  const { regions, evicted } = runBoth(
    `mov r14d, 2\nagain:\n${phase('first', first!)}\n${pastime('idle1')}\n${phase('second', second!)}
    ${pastime('idle3')}\n${phase('third', loops(9, 'three').join('\n'))}\n dec r14d\njnz again`,
  );
  expect(evicted).toBeGreaterThan(MAX_REGIONS / 2);
  // Of code that has all been run by now, regions are larger.
  expect(regions).toBeGreaterThan(MAX_REGIONS + 20);
  expect(regions - evicted).toBeLessThanOrEqual(MAX_REGIONS);
});

test('code beyond what the cache holds is left to the interpreter, not translated and dropped all the time', () => {
  const text = loops(MAX_REGIONS + 200, 'l').join('\n');
  const { regions, evicted } = runBoth(`mov r15d, 60\nagain:\n${text}\ndec r15d\njnz again`);
  expect(evicted).toBe(0);
  expect(regions).toBe(MAX_REGIONS);
});

test('code that is written all the time is hardly translated any more', () => {
  // The loop of each turn has another number to add.
  const { regions, registers } = runBoth(`
        mov     r15d, 500
        lea     rdi, [rel number]
again:  add     dword [rdi], 1
        mov     ecx, 40
each:   db      0x05
number: dd      0
        dec     ecx
        jnz     each
        dec     r15d
        jnz     again`);
  expect(registers[0]).toBe(BigInt((40 * 500 * 501) / 2));
  expect(regions).toBeGreaterThan(1);
  expect(regions).toBeLessThan(20);
});

test('data among code may be written without the code being translated again', () => {
  const { regions, invalidated } = runBoth(`
        mov     ecx, 1000
        lea     rdi, [rel number]
again:  add     qword [rdi], 1
        add     rax, [rdi]
        dec     ecx
        jnz     again
        jmp     done
number: dq      0
done:`);
  // One more behind the store, which the interpreter does.
  expect(regions).toBeLessThanOrEqual(2);
  expect(invalidated).toBe(0);
});

test('code that goes on into the next page sees what is written there, though nothing leads to it but the page before', () => {
  // What begins the second page is written at the end of each turn, so it is not decoded when the loop becomes hot.
  const { registers } = runBoth(`
        mov     r15d, 100
        lea     rdi, [rel number]
        lea     rbx, [rel change]
        jmp     again
change: add     dword [rdi], 1
        jmp     again
        times   4096 - 32 - ($ - $$) nop
again:  dec     r15d
        jz      done
        times   4096 - ($ - $$) nop
        db      0x05
number: dd      0
        jmp     rbx
done:`);
  expect(registers[0]).toBe(BigInt((99 * 98) / 2));
});

test('a region ends where it would take long to make', () => {
  const straight = Array.from({ length: 5000 }, (_, each) => `add eax, ${each}`).join('\n');
  const { regions, instructions, longest } = runBoth(
    `mov ecx, 20\nagain: ${straight}\ndec ecx\njz done\njmp again\ndone:`,
  );
  expect(regions).toBeGreaterThan(5);
  expect(instructions / regions).toBeLessThanOrEqual(400);
  expect(longest).toBeGreaterThan(0);
});

test('large code is translated about once, wherever its regions happen to end', () => {
  const part = (each: number) =>
    `add rax, rcx\nadd ecx, 1\ntest cl, 1\njz s${each}\nadd edi, 3\ns${each}: xor eax, ecx`;
  const parts = Array.from({ length: 400 }, (_, each) => part(each));
  const { instructions } = runBoth(`mov r15d, 60\nagain:\n${parts.join('\n')}\ndec r15d\njnz again`, {
    threshold: 5,
    eager: false,
  });
  expect(instructions).toBeGreaterThan(2000);
  expect(instructions).toBeLessThan(3 * 2400);
});

/** The checksum of `text`, a few hundred times: as GCC makes it, a loop of eight turns in one over the bytes. */
const checksum = (text: string) => `
        mov     r15d, 300
again:  lea     rsi, [rel text]
        mov     rdi, rsi
        add     rdi, ${text.length}
        mov     eax, -1
each:   movzx   edx, byte [rsi]
        xor     eax, edx
        mov     edx, 8
bit:    mov     ecx, eax
        and     eax, 1
        neg     eax
        shr     ecx, 1
        and     eax, 0xedb88320
        xor     eax, ecx
        sub     edx, 1
        jnz     bit
        add     rsi, 1
        cmp     rdi, rsi
        jnz     each
        not     eax
        dec     r15d
        jnz     again
        hlt
text:   db      '${text}'
`;

test('a loop that fixes how often it goes round is made as all its turns', () => {
  const { instructions, registers } = runBoth(checksum('123456789'));
  // The check value of CRC-32/ISO-HDLC.
  expect(registers[0]).toBe(0xcbf43926n);
  expect(instructions).toBeGreaterThan(64);
});

/** Some turns, each by a bit of what the turns before have made: where it is looked for, how far it moves, what it is taken into. */
interface Turns {
  readonly polynomial: number;
  readonly bit: number;
  readonly move: number;
  readonly turns: number;
  /** Whether the other register has the result, and is copied back. */
  readonly swapped: boolean;
  readonly stores: boolean;
}

const mixture = ({ polynomial, bit, move, turns, swapped, stores }: Turns, name: number) => `
        mov     esi, 40
each${name}: mov edi, 0x300000
        xor     eax, esi
        mov     edx, ${turns}
turn${name}: mov ecx, eax
        ${bit === 0 ? '' : `shr ecx, ${bit}`}
        and     ecx, 1
        neg     ecx
        and     ecx, 0x${polynomial.toString(16)}
        shr     eax, ${move}
        mov     ebx, eax
        ${swapped ? 'xor ecx, eax\nmov eax, ecx' : 'xor eax, ecx'}
        sub     edx, 1
        jnz     turn${name}
        ${stores ? 'mov [rdi], eax' : ''}
        add     r8, rax
        add     r9, rcx
        add     r10, rbx
        sub     esi, 1
        jnz     each${name}`;

test('turns that each take a bit of the last one come to what they come to, whatever the bit and the polynomial', () => {
  const turns = fc.record({
    polynomial: fc.oneof(
      fc.constantFrom(0xedb88320, 0x82f63b78, 0x80000001, 0xffffffff),
      fc.integer({ min: 0, max: 0xffff_ffff }),
    ),
    bit: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 31 })),
    move: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 9 })),
    turns: fc.integer({ min: 1, max: 20 }),
    swapped: fc.boolean(),
    stores: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(turns, { minLength: 8, maxLength: 8 }), (all) => {
      runBoth(`mov r15d, 3\nmov eax, -1\nagain:\n${all.map(mixture).join('\n')}\ndec r15d\njnz again`);
    }),
    { numRuns: 25, seed: 32 },
  );
});

/** Begins with a copy of R14D and takes what `constant` picks into it, in each of five turns. */
const accumulated = (register: string, constant: number) => `mov edx, ecx\nand edx, ${constant}\nxor ${register}, edx`;

test('sums that have parts in common are told apart', () => {
  runBoth(`
        mov     r15d, 500
        mov     eax, 0xdeadbeef
        ; What the last turn has left.
again:  add     r9, rbx
        add     r10, rsi
        add     r11, r8
        xor     r8d, r8d
        mov     ebx, r14d
        mov     esi, r14d
        mov     edi, 5
turn:   mov     ecx, eax
        and     ecx, 1
        neg     ecx
        ${accumulated('ebx', 0x1234567)}
        ${accumulated('esi', 0x89)}
        ${accumulated('r8d', 0x5a5a)}
        shr     eax, 1
        sub     edi, 1
        jnz     turn
        imul    eax, eax, 69069
        add     eax, r15d
        add     r14d, 3
        dec     r15d
        jnz     again`);
});

/** Loops that store as they go, up or down to a limit by some condition, in 32 bits and in 64. */
const bounded = ['jne', 'jb', 'jbe', 'jl', 'jle', 'ja', 'jae', 'jg', 'jge'].flatMap((condition, each) => {
  const down = ['ja', 'jae', 'jg', 'jge'].includes(condition);
  return [1, 3].flatMap((step) =>
    ['a', 'c'].map((register) => {
      const [from, to] = down ? [900 * step, 7] : [7, 7 + 900 * step];
      const label = `${condition}${step}${register}`;
      const wide = register === 'a' ? 'rax' : 'rcx';
      return `
        mov     ${wide}, ${from}
        mov     rdi, 0x30000${each}
${label}: mov   [rdi], al
        add     rdi, 5
        ${down ? 'sub' : 'add'} ${register === 'a' ? 'eax' : 'rcx'}, ${step}
        cmp     ${register === 'a' ? 'eax' : 'rcx'}, ${down && condition === 'ja' ? to + 1 : to}
        ${condition} ${label}
        add     r8, ${wide}
        add     r9, rdi
        xor     r10b, [rdi - 3000]`;
    }),
  );
});

test('a loop whose turns are made several at a time ends where its branch says', () => {
  const { regions } = runBoth(`mov r15d, 3\nagain:\n${bounded.join('\n')}\ndec r15d\njnz again`, {
    threshold: 2,
    eager: false,
  });
  expect(regions).toBeGreaterThan(bounded.length);
});

/** Bounds of the translator: how much code it makes, and that it forgets old code when there is too much of it. */

import { expect, test } from 'vitest';
import { EXIT_REASON } from '../../src/hardware/vcpu/exit.ts';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { MAX_REGIONS } from '../../src/hardware/vcpu/translator/region-cache.ts';
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

test('old regions make room for new ones, and are made again when they are needed', () => {
  const loops = MAX_REGIONS + 100;
  const text = Array.from(
    { length: loops },
    (_, each) => `mov ecx, 9\nl${each}: add eax, ${each}\ndec ecx\njnz l${each}`,
  );
  const { regions, evicted } = runBoth(`mov r15d, 2\nagain:\n${text.join('\n')}\ndec r15d\njnz again`);
  expect(evicted).toBeGreaterThanOrEqual(MAX_REGIONS / 4);
  expect(regions).toBeGreaterThan(loops);
  expect(regions - evicted).toBeLessThanOrEqual(MAX_REGIONS);
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

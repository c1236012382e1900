/** CPUID tells the truth: what it claims the CPU does, and what the CPU has not it does not claim. */

import { describe, expect, test } from 'vitest';
import { findCpuid, supportedCpuid } from '../../../src/linux/kvm/cpuid.ts';
import { PrivilegeMachine } from '../../hardware/privilege-machine.ts';

type Word = 'eax' | 'ebx' | 'ecx' | 'edx';
const UD = 6;
const HLT = 12;

const claims = (leaf: number, word: Word, bit: number): boolean =>
  ((findCpuid(supportedCpuid, leaf, 0)![word] >>> bit) & 1) === 1;
/** Control-register bits a feature needs are turned on first; the memory operand is RAM. */
const runs = (source: string): number | undefined => {
  const machine = new PrivilegeMachine(`mov rbp, 0x300000\n xor ecx, ecx\n${source}\n hlt`);
  machine.cpu.setRegister(0, 0n);
  const { vector, reason } = machine.run();
  return vector ?? (reason === HLT ? undefined : -reason);
};

describe('what CPUID claims', () => {
  test.each<[string, number, Word, number, string]>([
    ['CMPXCHG16B', 1, 'ecx', 13, 'cmpxchg16b [rbp]'],
    ['PCID', 1, 'ecx', 17, 'mov eax, 0x20020\n mov cr4, rax'],
    ['MOVBE', 1, 'ecx', 22, 'movbe eax, [rbp]'],
    ['POPCNT', 1, 'ecx', 23, 'popcnt eax, ecx'],
    ['RDRAND', 1, 'ecx', 30, 'rdrand rax'],
    ['DE', 1, 'edx', 2, 'mov eax, 0x28\n mov cr4, rax'],
    ['TSC', 1, 'edx', 4, 'rdtsc'],
    ['CMPXCHG8B', 1, 'edx', 8, 'cmpxchg8b [rbp]'],
    ['SYSENTER', 1, 'edx', 11, 'mov ecx, 0x174\n rdmsr'],
    ['PGE', 1, 'edx', 13, 'mov eax, 0xa0\n mov cr4, rax'],
    ['CMOV', 1, 'edx', 15, 'cmovz eax, ecx'],
    ['CLFLUSH', 1, 'edx', 19, 'clflush [rbp]'],
    ['FSGSBASE', 7, 'ebx', 0, 'mov eax, 0x10020\n mov cr4, rax\n rdgsbase rax'],
    ['BMI1', 7, 'ebx', 3, 'andn eax, ecx, edx\n tzcnt eax, ecx\n blsi eax, ecx\n bextr eax, ecx, edx'],
    ['SMEP', 7, 'ebx', 7, 'mov eax, 0x100020\n mov cr4, rax'],
    ['BMI2', 7, 'ebx', 8, 'pdep eax, ecx, edx\n mulx eax, ecx, edx\n rorx eax, ecx, 3\n bzhi eax, ecx, edx'],
    ['INVPCID', 7, 'ebx', 10, 'mov eax, 2\n invpcid rax, [rbp]'],
    ['RDSEED', 7, 'ebx', 18, 'rdseed eax'],
    ['ADX', 7, 'ebx', 19, 'adcx eax, ecx\n adox eax, ecx'],
    ['SMAP', 7, 'ebx', 20, 'mov eax, 0x200020\n mov cr4, rax\n stac\n clac'],
    ['CLFLUSHOPT', 7, 'ebx', 23, 'clflushopt [rbp]'],
    ['CLWB', 7, 'ebx', 24, 'clwb [rbp]'],
    ['UMIP', 7, 'ecx', 2, 'mov eax, 0x820\n mov cr4, rax'],
    ['RDPID', 7, 'ecx', 22, 'rdpid rax'],
    ['CLDEMOTE', 7, 'ecx', 25, 'cldemote [rbp]'],
    ['SERIALIZE', 7, 'edx', 14, 'serialize'],
    ['LAHF', 0x80000001, 'ecx', 0, 'lahf'],
    ['LZCNT', 0x80000001, 'ecx', 5, 'lzcnt eax, ecx'],
    ['PREFETCHW', 0x80000001, 'ecx', 8, 'prefetchw [rbp]'],
    ['RDTSCP', 0x80000001, 'edx', 27, 'rdtscp'],
    ['WBNOINVD', 0x80000008, 'ebx', 9, 'wbnoinvd'],
  ])('%s', (_, leaf, word, bit, source) => {
    expect(claims(leaf, word, bit)).toBe(true);
    expect(runs(source)).toBeUndefined();
  });

  test.each<[string, number, Word, number, string]>([
    ['x87', 1, 'edx', 0, 'db 0xd9, 0xe8'],
    ['MMX', 1, 'edx', 23, 'db 0x0f, 0x77'],
    ['FXSR', 1, 'edx', 24, 'db 0x0f, 0xae, 0x45, 0x00'],
    ['SSE', 1, 'edx', 25, 'db 0x0f, 0x28, 0xc1'],
    ['SSE2', 1, 'edx', 26, 'db 0x66, 0x0f, 0xef, 0xc0'],
    ['XSAVE', 1, 'ecx', 26, 'xgetbv'],
    ['AVX', 1, 'ecx', 28, 'db 0xc5, 0xf8, 0x28, 0xc1'],
    ['AVX-512', 7, 'ebx', 16, 'db 0x62, 0xf1, 0x7c, 0x48, 0x28, 0xc1'],
  ])('%s is not claimed, and is #UD', (_, leaf, word, bit, source) => {
    expect(claims(leaf, word, bit)).toBe(false);
    expect(runs(source)).toBe(UD);
  });
});

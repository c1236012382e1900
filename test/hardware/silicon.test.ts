/** The interpreter against the host CPU: the same bytes from the same random state, every register, flag and memory byte compared. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { MiB } from '../../src/address.ts';
import { AF, CF, DF, OF, PF, SF, STATUS_FLAGS, ZF } from '../../src/hardware/vcpu/flags.ts';
import { FlatMachine } from './flat-machine.ts';

const DATA = 0x10000000;
const CODE = 0x20000000;
const DATA_BYTES = 2048;
const CODE_BYTES = 32;
const RECORD_BYTES = 16 * 8 + 16 + CODE_BYTES + DATA_BYTES;
const SIGFPE = 8;
const REPEATS = 40;

/** Flags that the manual leaves undefined after an instruction (SDM vol. 2), by mnemonic. */
const UNDEFINED: Readonly<Record<string, number>> = {
  and: AF,
  or: AF,
  xor: AF,
  test: AF,
  mul: SF | ZF | AF | PF,
  imul: SF | ZF | AF | PF,
  div: STATUS_FLAGS,
  idiv: STATUS_FLAGS,
  shl: AF | OF | CF,
  shr: AF | OF | CF,
  sar: AF | OF | CF,
  rol: OF,
  ror: OF,
  shld: AF | OF | CF,
  shrd: AF | OF | CF,
  bt: OF | SF | AF | PF,
  bts: OF | SF | AF | PF,
  btr: OF | SF | AF | PF,
  btc: OF | SF | AF | PF,
  bsf: CF | OF | SF | AF | PF,
  bsr: CF | OF | SF | AF | PF,
  tzcnt: OF | SF | AF | PF,
  lzcnt: OF | SF | AF | PF,
};

const sized = {
  8: ['al', 'cl', 'bl', 'dh', 'r9b', 'sil'],
  16: ['ax', 'cx', 'bx', 'r9w'],
  32: ['eax', 'ecx', 'ebx', 'r9d'],
  64: ['rax', 'rcx', 'rbx', 'r9'],
} as const;
const word = { 8: 'byte', 16: 'word', 32: 'dword', 64: 'qword' } as const;
const widths = [8, 16, 32, 64] as const;

/** rbp points into the data; r12 is a small index. */
function lines(): string[] {
  const all: string[] = [];
  for (const width of widths) {
    const [a, b, c, r9] = sized[width];
    const memory = `${word[width]} [rbp+r12*4+24]`;
    for (const name of ['add', 'adc', 'sub', 'sbb', 'cmp', 'and', 'or', 'xor', 'test', 'xchg', 'xadd', 'cmpxchg']) {
      all.push(`${name} ${b}, ${c}`, `${name} ${a}, ${r9}`, `${name} ${memory}, ${b}`);
      if (!['xchg', 'xadd', 'cmpxchg'].includes(name))
        all.push(`${name} ${c}, ${width === 8 ? '-3' : '0x1234'}`, `${name} ${memory}, -7`);
      if (!['xadd', 'cmpxchg'].includes(name)) all.push(`${name} ${b}, ${memory}`);
    }
    for (const name of ['inc', 'dec', 'neg', 'not', 'mul', 'imul']) all.push(`${name} ${b}`, `${name} ${memory}`);
    for (const name of ['div', 'idiv']) {
      all.push(`${name} ${b}`, `xor edx, edx\n ${name} ${c}`, `${width === 64 ? 'cqo' : 'cdq'}\n ${name} ${memory}`);
    }
    for (const name of ['shl', 'shr', 'sar', 'rol', 'ror']) {
      all.push(
        `${name} ${c}, 1`,
        `${name} ${c}, 5`,
        `${name} ${c}, cl`,
        `${name} ${memory}, cl`,
        `${name} ${memory}, 3`,
      );
    }
    for (const condition of ['o', 'no', 'b', 'ae', 'z', 'nz', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g']) {
      if (width === 8)
        all.push(
          `set${condition} bl`,
          `set${condition} byte [rbp]`,
          `j${condition} .c${condition}\n inc ebx\n .c${condition}:`,
        );
      else
        all.push(
          `cmov${condition} ${b}, ${c}`,
          `cmp ${b}, ${c}\n j${condition} .d${condition}${width}\n mov ebx, 77\n .d${condition}${width}:`,
        );
    }
    if (width > 8) {
      for (const name of ['bt', 'bts', 'btr', 'btc'])
        all.push(
          `${name} ${b}, ${c}`,
          `${name} ${c}, 13`,
          `and ecx, 1023\n ${name} ${memory}, ${sized[width][1]}`,
          `${name} ${memory}, 9`,
        );
      for (const name of ['bsf', 'bsr', 'tzcnt', 'lzcnt', 'popcnt'])
        all.push(`${name} ${b}, ${c}`, `${name} ${b}, ${memory}`);
      all.push(`imul ${b}, ${c}`, `imul ${b}, ${memory}, 0x77`, `imul ${c}, ${b}, -5`);
      for (const name of ['shld', 'shrd'])
        all.push(`${name} ${b}, ${c}, 5`, `and ecx, ${width - 1}\n ${name} ${memory}, ${r9}, cl`);
      all.push(`lea ${b}, [rcx+r9*8-5]`, `lea ${b}, [ecx+r9d*2+7]`);
      all.push(`movzx ${b}, cl`, `movsx ${b}, ${width === 64 ? 'sil' : 'dh'}`, `movsx ${b}, byte [rbp+3]`);
    }
    if (width > 16) all.push(`bswap ${b}`, `movzx ${b}, word [rbp+5]`, `movsx ${b}, cx`);
    const suffix = { 8: 'b', 16: 'w', 32: 'd', 64: 'q' }[width];
    for (const prefix of ['', 'rep ']) {
      for (const name of ['movs', 'stos', 'lods'])
        all.push(`lea rsi, [rbp+8]\n lea rdi, [rbp+64]\n mov ecx, 5\n ${prefix}${name}${suffix}`);
    }
    for (const prefix of ['', 'repe ', 'repne ']) {
      for (const name of ['cmps', 'scas'])
        all.push(`mov rsi, rbp\n lea rdi, [rbp+64]\n mov ecx, 6\n ${prefix}${name}${suffix}`);
    }
    all.push(`std\n lea rsi, [rbp+40]\n lea rdi, [rbp+48]\n mov ecx, 4\n rep movs${suffix}\n cld`);
    all.push(`mov ${memory}, ${b}`, `mov ${b}, ${memory}`, `mov ${b}, ${c}`);
  }
  all.push('cbw', 'cwde', 'cdqe', 'cwd', 'cdq', 'cqo', 'movsxd rbx, ecx', 'clc', 'stc', 'cmc', 'lahf', 'sahf');
  all.push(
    'push rbx\n pop rcx',
    'push word [rbp]',
    'push -7',
    'push 0x12345678',
    'pop qword [rsp+8]',
    'pushfq\n pop rax\n and eax, 0x8d5',
    'and ecx, 0xcd5\n push rcx\n popfq',
  );
  all.push(
    'call .f\n jmp .e\n .f: mov ebx, 5\n ret\n .e:',
    'mov ecx, 3\n .l: add ebx, ecx\n loop .l',
    'lea rbx, [rel $+5]\n sub rbx, 0x20000000',
    'mov al, [abs 0x10000020]',
    'xchg ah, bl',
    'mov dh, cl',
  );
  return all;
}

const have = (tool: string) => spawnSync('sh', ['-c', `command -v ${tool}`]).status === 0;
const ready = have('nasm') && have('gcc') && process.arch === 'x64';

/** A small fixed-seed generator (xorshift64*), so that a failure can be repeated. */
function generator(seed: bigint): () => bigint {
  let state = seed;
  return () => {
    state ^= state >> 12n;
    state = BigInt.asUintN(64, state ^ (state << 25n));
    state ^= state >> 27n;
    return BigInt.asUintN(64, state * 0x2545f4914f6cdd1dn);
  };
}

describe('the interpreter does what the host CPU does', () => {
  test.skipIf(!ready)(
    ready ? 'every form, random and edge values' : 'skipped: needs nasm, gcc and an x86-64 host',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'gvm-silicon-'));
      try {
        const all = lines();
        const source = all
          .map((line, index) => `c${index}: ${line}\n times ${CODE_BYTES}-($-c${index}) nop`)
          .join('\n');
        writeFileSync(join(folder, 'cases.asm'), `bits 64\norg ${CODE}\n${source}\n`);
        execFileSync('nasm', ['-f', 'bin', '-o', join(folder, 'cases.bin'), join(folder, 'cases.asm')]);
        execFileSync('gcc', [
          '-O1',
          '-o',
          join(folder, 'native'),
          new URL('../oracle/native.c', import.meta.url).pathname,
        ]);
        const code = readFileSync(join(folder, 'cases.bin'));
        const input = makeRecords(all, code);
        const { stdout } = spawnSync(join(folder, 'native'), { input, maxBuffer: input.length + 1 });
        expect(stdout.length).toBe(input.length);
        const machine = new FlatMachine(new Uint8Array(), MiB(640));
        const wrong: string[] = [];
        all.forEach((line, index) => {
          for (let repeat = 0; repeat < REPEATS; repeat++) {
            const at = (index * REPEATS + repeat) * RECORD_BYTES;
            const problem = compare(
              machine,
              line,
              input.subarray(at, at + RECORD_BYTES),
              stdout.subarray(at, at + RECORD_BYTES),
            );
            if (problem === undefined) continue;
            wrong.push(`${line.replaceAll('\n', ';')}: ${problem}`);
            break;
          }
        });
        expect(wrong).toEqual([]);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});

function makeRecords(all: readonly string[], code: Uint8Array): Buffer {
  const next = generator(0x9e3779b97f4a7c15n);
  const edges = [
    0n,
    1n,
    2n,
    0xffffffffffffffffn,
    0x7fn,
    0x80n,
    0x7fffn,
    0x8000n,
    0x7fffffffn,
    0x80000000n,
    0x7fffffffffffffffn,
    0x8000000000000000n,
    31n,
    32n,
    64n,
  ];
  const value = () => (next() % 3n === 0n ? edges[Number(next() % BigInt(edges.length))]! : next() >> (next() % 64n));
  const input = Buffer.alloc(all.length * REPEATS * RECORD_BYTES);
  for (let index = 0; index < all.length * REPEATS; index++) {
    const at = index * RECORD_BYTES;
    for (let register = 0; register < 16; register++) input.writeBigUInt64LE(value(), at + register * 8);
    input.writeBigUInt64LE(BigInt(DATA + 1536), at + 4 * 8);
    input.writeBigUInt64LE(BigInt(DATA + 512), at + 5 * 8);
    input.writeBigUInt64LE(next() % 8n, at + 12 * 8);
    input.writeBigUInt64LE((next() & BigInt(STATUS_FLAGS)) | 0x202n, at + 128);
    const which = Math.floor(index / REPEATS);
    input.set(code.subarray(which * CODE_BYTES, (which + 1) * CODE_BYTES), at + 144);
    for (let byte = 480; byte < 1024; byte += 8) input.writeBigUInt64LE(value(), at + 144 + CODE_BYTES + byte);
  }
  return input;
}

function compare(machine: FlatMachine, line: string, before: Buffer, native: Buffer): string | undefined {
  const { cpu, memory } = machine;
  const data = before.subarray(144 + CODE_BYTES);
  memory.bytes.set(data, DATA);
  const { bytes } = memory;
  bytes.set(before.subarray(144, 144 + CODE_BYTES), CODE);
  bytes[CODE + CODE_BYTES] = 0xf4;
  cpu.memoryChanged(CODE as never);
  for (let register = 0; register < 16; register++) cpu.setRegister(register, before.readBigInt64LE(register * 8));
  cpu.rflags = before.readBigUInt64LE(128);
  cpu.rip = BigInt(CODE);
  const signal = Number(native.readBigUInt64LE(136));
  const reason = cpu.run(1000);
  // No IDT: an exception ends in a triple fault.
  const faulted = reason === 2;
  if (signal !== 0 || faulted) return (signal === SIGFPE) === faulted ? undefined : `signal ${signal}, exit ${reason}`;
  for (let register = 0; register < 16; register++) {
    const expected = native.readBigUInt64LE(register * 8);
    const actual = cpu.register(register);
    if (actual !== expected) return `register ${register}: ${actual.toString(16)}, CPU has ${expected.toString(16)}`;
  }
  const mnemonic = /(?:^|\n| )(?:repn?e? )?([a-z]+)[^\n]*$/.exec(line.split('\n').at(-1)!)?.[1] ?? '';
  const checked = (STATUS_FLAGS | DF) & ~(UNDEFINED[mnemonic] ?? 0);
  const flags = [Number(cpu.rflags) & checked, Number(native.readBigUInt64LE(128)) & checked];
  if (flags[0] !== flags[1]) return `flags ${flags[0]!.toString(16)}, CPU has ${flags[1]!.toString(16)} (${mnemonic})`;
  const after = native.subarray(144 + CODE_BYTES);
  for (let byte = 0; byte < DATA_BYTES; byte++) {
    if (bytes[DATA + byte] !== after[byte]) return `memory +${byte}: ${bytes[DATA + byte]}, CPU has ${after[byte]}`;
  }
  return undefined;
}

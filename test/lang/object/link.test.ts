/** Rules of the linker, the flat writer and the readers that need no outside tool. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDiagnostic } from '../../../lang/assembler/diagnostics.ts';
import { readArchive, writeArchive } from '../../../lang/object/archive.ts';
import { toFlat } from '../../../lang/object/flat.ts';
import { buildLibrary } from '../../../lang/object/library-archive.ts';
import { KERNEL_LAYOUT, link } from '../../../lang/object/link.ts';
import { ObjectFault, type ObjectFile } from '../../../lang/object/object-file.ts';
import { readElf } from '../../../lang/object/read-elf.ts';
import { readObject } from '../../../lang/object/read-object.ts';
import { symbolizer } from '../../../lang/object/symbolize.ts';
import { writeObject } from '../../../lang/object/write-object.ts';
import { object } from '../assembler/tools.ts';

function complaints(objects: readonly ObjectFile[]): string[] {
  const result = link(objects, [], KERNEL_LAYOUT);
  return 'image' in result ? [] : result.diagnostics.map(formatDiagnostic);
}

function image(objects: readonly ObjectFile[]): Uint8Array {
  const result = link(objects, [], KERNEL_LAYOUT);
  if ('image' in result) return result.image;
  throw new Error(result.diagnostics.map(formatDiagnostic).join('\n'));
}

const START = 'global startup_64\nstartup_64: ret\n';

describe('what cannot be linked', () => {
  test('an undefined symbol is named once, at its first use, with a near name', () => {
    const program = object(`${START}extern prink\n call prink\n call prink`);
    const library = object('global printk\nprintk: ret');
    expect(complaints([program, library])).toEqual([
      'main.asm:4:7: error: undefined symbol `prink`; did you mean `printk`?\n    4 |  call prink\n      |       ^~~~~',
    ]);
  });

  test('two definitions of one symbol', () => {
    const [said] = complaints([object(START), object('global startup_64\nstartup_64: nop')]);
    expect(said).toContain('main.asm:2:1: error: symbol `startup_64` is defined twice');
  });

  test('no entry', () => {
    expect(complaints([object('nop')])).toEqual([
      'error: the program has no entry point: no object defines `startup_64`',
    ]);
  });

  test('an address that does not fit its field', () => {
    const [said] = complaints([object(`${START} mov eax, startup_64`)]);
    expect(said).toContain('main.asm:3: the address 0xffffffff81000000 of .text does not fit a 32-bit field');
  });
});

test('weak symbols yield to strong ones and may stay undefined', () => {
  const weak = object('global f:weak\nf: ret\nextern nowhere:weak\nsection .data\n dq nowhere');
  const strong = object(`${START}global f\n nop\nf: ret`);
  const linked = image([weak, strong]);
  expect(symbolizer(linked, 'i').address('f')! & 0xfn).not.toBe(0n);
  const data = readElf(linked, 'i').sections.find((section) => section.name === '.data')!;
  expect([...data.data]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
});

test('common symbols share one room, and a definition replaces them', () => {
  const one = object(`${START}common shared 8:8\nsection .data\n dq shared`);
  const two = object('common shared 8:8\nsection .data\n dq shared');
  const linked = readElf(image([one, two]), 'i');
  const view = new DataView(linked.sections.find((section) => section.name === '.data')!.data.slice().buffer);
  expect(view.getBigUint64(0, true)).toBe(view.getBigUint64(8, true));
});

test('edges of the image and of named sections', () => {
  const text = `${START}extern _text, _etext, __bss_start, _end, __start_list, __stop_list\nsection list write\n dq 1, 2\nsection .bss\nresb 16\nsection .data\nedges: dq _text, _etext, __bss_start, _end, __start_list, __stop_list`;
  const file = readElf(image([object(text)]), 'i');
  const data = file.sections.find((section) => section.name === '.data')!;
  const view = new DataView(data.data.slice().buffer);
  const [start, end, bss, last, listStart, listStop] = Array.from({ length: 6 }, (_, i) =>
    view.getBigUint64(i * 8, true),
  );
  const list = file.sections.find((section) => section.name === 'list')!;
  const room = file.sections.find((section) => section.name === '.bss')!;
  expect([start, end]).toEqual([0xffffffff81000000n, 0xffffffff81000001n]);
  expect([listStart, listStop]).toEqual([list.address, list.address + 16n]);
  expect([bss, last]).toEqual([room.address, room.address + 16n]);
});

test('an object survives being written and read', () => {
  const before = object(`${START}extern x\n call x\nsection .data\n dq startup_64\nsection .bss\n resb 5`);
  const after = readObject(writeObject(before, { debug: false }), before.name);
  const plain = ({ sections, symbols }: ObjectFile) => ({
    sections: sections.map(({ data, ...rest }) => ({ ...rest, data: [...data] })),
    symbols: symbols.map(({ reference: _, ...rest }) => rest),
  });
  expect(plain(after)).toEqual(plain(before));
});

test('flat output refuses what only a linker could fill', () => {
  const result = toFlat(object('extern away\n call away'));
  expect('diagnostics' in result && result.diagnostics.map(formatDiagnostic)).toEqual([
    'main.asm:2:7: error: undefined symbol `away`: flat output is not linked with anything\n    2 |  call away\n      |       ^~~~',
  ]);
});

test('flat output: org, and an origin given by the caller', () => {
  const flat = object('org 0x100\n dq $', { format: 'bin' });
  const bytes = (result: ReturnType<typeof toFlat>) => ('bytes' in result ? [...result.bytes] : []);
  expect(bytes(toFlat(flat))).toEqual([0, 1, 0, 0, 0, 0, 0, 0]);
  expect(bytes(toFlat(flat, 0x2000n))).toEqual([0, 0x20, 0, 0, 0, 0, 0, 0]);
});

test('a library is built from sources, equal bytes from equal sources, with lines', () => {
  const sources = [{ name: 'lib/f.gasm', text: 'global f\n\nf: ret' }];
  const build = () => {
    const result = buildLibrary(sources, () => undefined);
    if ('archive' in result) return result.archive;
    throw new Error('must build');
  };
  expect(build()).toEqual(build());
  const result = link([object(`${START}extern f\n call f`)], [readArchive(build(), 'lib.a')], KERNEL_LAYOUT);
  if (!('image' in result)) throw new Error('must link');
  const lookup = symbolizer(result.image, 'i');
  expect(lookup.symbolize(lookup.address('f')!)).toEqual({ symbol: 'f', offset: 0n, file: 'lib/f.gasm', line: 3 });
  expect(lookup.symbolize(0x1234n)).toBeUndefined();
});

test('an address that a function and a mark share has the function’s name', () => {
  const linked = image([object('global f:function, startup_64, mark\nf:\nmark: nop\nstartup_64: ret')]);
  expect(symbolizer(linked, 'i').symbolize(0xffffffff81000000n)?.symbol).toBe('f');
});

describe('hostile files', () => {
  const good = writeObject(object(`${START}extern x\n call x\nsection .data\n dq startup_64`), { debug: true });
  const linked = image([object(START)]);
  const archive = writeArchive([{ name: 'a.o', bytes: good }]);

  /** Reads; an ObjectFault is an answer, anything else thrown is a defect. */
  function reads(read: () => unknown): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof ObjectFault)) throw error;
      expect(error.message).toMatch(/^hostile/);
    }
  }

  const mutation = (bytes: Uint8Array) =>
    fc
      .array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 8 })
      .chain((changes) => fc.nat(bytes.length).map((length) => ({ changes, length })))
      .map(({ changes, length }) => {
        const copy = bytes.slice();
        for (const [at, value] of changes) copy[at] = value;
        return length % 3 === 0 ? copy.subarray(0, length) : copy;
      });

  test('objects', () => {
    fc.assert(
      fc.property(mutation(good), (bytes) => reads(() => readObject(bytes, 'hostile'))),
      { numRuns: 3000, seed: 1 },
    );
  });

  test('images, and look-ups in them', () => {
    fc.assert(
      fc.property(mutation(linked), (bytes) =>
        reads(() => symbolizer(bytes, 'hostile').symbolize(0xffffffff81000000n)),
      ),
      { numRuns: 3000, seed: 1 },
    );
  });

  test('archives', () => {
    fc.assert(
      fc.property(mutation(archive), (bytes) => reads(() => readArchive(bytes, 'hostile'))),
      {
        numRuns: 3000,
        seed: 1,
      },
    );
  });

  test.each<[string, Uint8Array, string]>([
    ['text', new TextEncoder().encode('hello'), 'hostile: is no ELF file'],
    ['a cut header', linked.slice(0, 20), 'hostile: ends within its file header'],
    ['another machine', Uint8Array.from(linked, (byte, i) => (i === 18 ? 40 : byte)), 'hostile: is not for x86-64'],
    ['a shared library', Uint8Array.from(linked, (byte, i) => (i === 16 ? 3 : byte)), 'hostile: has type 3'],
  ])('%s', (_, bytes, message) => {
    expect(() => readElf(bytes, 'hostile')).toThrow(message);
  });
});

/**
 * Source instructions made from the instruction table: for every row and operand size, one operand at a time goes through registers,
 * addressing forms and values while the others stay at a plain choice. Wrong sizes and impossible addresses are among them.
 */

import type { SourceInstruction, SourceOperand, Width } from '../../../lang/isa/instruction.ts';
import { type OperandPattern, widthOf } from '../../../lang/isa/operand-pattern.ts';
import { generalRegisters, REGISTERS, type Register, registerNamed } from '../../../lang/isa/registers.ts';
import { type Shape, shapeOf } from '../../../lang/isa/shape.ts';
import { CONDITIONS, ROWS } from '../../../lang/isa/table.ts';

type SourceMemory = Extract<SourceOperand, { kind: 'memory' }>;

const named = (name: string): Register => registerNamed(name)!;

/** A memory operand from a few words: base, index, scale, displacement. */
function at(base?: string, index?: string, scale?: 1 | 2 | 4 | 8, displacement = 0n): SourceMemory {
  return {
    kind: 'memory',
    displacement,
    ...(base ? { base: named(base) } : {}),
    ...(index ? { index: named(index) } : {}),
    ...(scale ? { scale } : {}),
  };
}

/** Addressing forms that every row with memory is tried with. */
const USUAL: readonly SourceMemory[] = [
  at('rax'),
  at('r13', 'r9', 4, 0x12345n),
  at('rsp', undefined, undefined, 8n),
  { ...at('rcx'), segment: named('fs') },
  at('ebx', 'edi', 8, -4n),
  at(undefined, undefined, undefined, 0x1000n),
  { kind: 'memory', displacement: undefined, relative: true },
  { kind: 'memory', displacement: undefined },
];

/** Every form worth a line; tried with mov, lea and add. */
export function addressingForms(): readonly SourceMemory[] {
  const forms: SourceMemory[] = [...USUAL];
  const bases = ['rax', 'rbp', 'rsp', 'r12', 'r13', 'r8', 'eax', 'ebp', 'esp', 'r13d'];
  const displacements = [0n, 1n, -1n, 127n, 128n, -128n, -129n, 0x7fffffffn, -0x80000000n, 0xffffffffn];
  for (const base of bases)
    for (const displacement of displacements) forms.push(at(base, undefined, undefined, displacement));
  for (const base of bases) {
    const narrow = named(base).width === 32;
    for (const index of narrow ? ['ecx', 'ebp', 'esp', 'r12d'] : ['rcx', 'rbp', 'rsp', 'r12', 'r13']) {
      for (const scale of [undefined, 1, 2, 8] as const) forms.push(at(base, index, scale, scale === 8 ? 0x40n : 0n));
    }
  }
  for (const index of ['rax', 'rbp', 'rsp', 'r12', 'r13', 'ecx']) {
    for (const scale of [1, 2, 4, 8] as const) {
      for (const displacement of [0n, 5n, 500n]) {
        forms.push(at(undefined, index, scale, displacement));
        forms.push({ ...at(undefined, index, scale, displacement), nosplit: true });
      }
    }
  }
  for (const displacementWidth of [8, 32, 64] as const) {
    for (const base of ['rax', 'rbp', 'r12', undefined]) {
      for (const displacement of [0n, 5n, 300n])
        forms.push({ ...at(base, undefined, undefined, displacement), displacementWidth });
    }
    forms.push({ ...at('rax', 'rcx', 4), displacementWidth });
  }
  for (const segment of ['es', 'cs', 'ss', 'ds', 'fs', 'gs'].map(named)) {
    forms.push({ ...at('rax'), segment }, { ...at(undefined, undefined, undefined, 0x28n), segment });
  }
  forms.push(
    { ...at(undefined, undefined, undefined, 0x1000n), addressWidth: 32 },
    { ...at(undefined, undefined, undefined, 0x1000n), addressWidth: 32, displacementWidth: 64 },
    { ...at(undefined, undefined, undefined, 0xffffffffn), addressWidth: 32 },
    at(undefined, undefined, undefined, -1n),
    at(undefined, undefined, undefined, 0x1122334455667788n),
    { ...at(undefined, undefined, undefined, 0x1122334455667788n), displacementWidth: 64 },
    { ...at('rbx'), displacement: undefined },
    { ...at('rsp', 'rbx', 4), displacement: undefined },
    at('rax', 'ecx'),
    at('ax'),
    at('al', 'rcx'),
  );
  return forms;
}

const VALUES = [
  0n,
  1n,
  5n,
  -1n,
  127n,
  128n,
  -128n,
  -129n,
  255n,
  256n,
  0x7fffn,
  0xfff0n,
  0xffffn,
  0x10000n,
  0x7fffffffn,
  0x80000000n,
  0xfffffff0n,
  0xffffffffn,
  -0x80000000n,
  -0x80000001n,
  0x100000000n,
  0x1122334455667788n,
  -0x1122334455667788n,
  undefined,
];

function values(): readonly SourceOperand[] {
  const samples: SourceOperand[] = VALUES.map((value) => ({ kind: 'immediate', value }));
  for (const width of [8, 16, 32, 64] as const) {
    for (const value of [1n, 5n, 300n, -5n, undefined]) {
      samples.push({ kind: 'immediate', value, width }, { kind: 'immediate', value, width, strict: true });
    }
  }
  for (const value of [1n, 5n, 500n, -5n]) samples.push({ kind: 'immediate', value, strict: true });
  return samples;
}

const asRegister = (register: Register): SourceOperand => ({ kind: 'register', register });

function registers(width: Width | 0 | 128): readonly SourceOperand[] {
  if (width === 0 || width === 128) return [];
  const wanted = [1, 0, 4, 5, 7, 8, 12, 13, 15].map((number) => generalRegisters(width)[number]!);
  const high = REGISTERS.filter((each) => each.class === 'high-byte' && width === 8);
  const wrong = generalRegisters(width === 32 ? 16 : 32)[3]!;
  return [...wanted, ...high, wrong].map(asRegister);
}

/** Memory in the usual forms: sized, then without a size, then with a wrong one. */
function memories(width: Width | 0 | 128): readonly SourceOperand[] {
  const size = width === 0 ? {} : { width };
  return [...USUAL.map((each) => ({ ...each, ...size })), USUAL[0]!, { ...USUAL[0]!, width: width === 16 ? 32 : 16 }];
}

/** Samples for an operand; the first is the plain one. */
function samples(pattern: OperandPattern, rowWidth: Width): readonly SourceOperand[] {
  const width = widthOf(pattern, rowWidth);
  const ofClass = (name: string) => REGISTERS.filter((each) => each.class === name).map(asRegister);
  switch (pattern.kind) {
    case 'register':
      return registers(width);
    case 'rm':
      return [...registers(width), ...memories(width)];
    case 'memory':
    case 'far':
      return memories(width);
    case 'fixed':
      return [asRegister(pattern.register!)];
    case 'accumulator':
      return [asRegister(generalRegisters(width as Width)[0]!)];
    case 'segment':
      return [...ofClass('segment')].reverse();
    case 'control':
    case 'debug':
      return ofClass(pattern.kind);
    case 'moffs':
      return [
        { ...at(undefined, undefined, undefined, 0x1122334455667788n), displacementWidth: 64 },
        { ...at(undefined, undefined, undefined, 0x1000n), addressWidth: 32 },
        { ...at(undefined, undefined, undefined, 0x28n), displacementWidth: 64, segment: named('gs') },
        { kind: 'memory', displacement: undefined, displacementWidth: 64, width: width as Width },
      ];
    case 'one':
      return [{ kind: 'immediate', value: 1n }];
    case 'relative':
      // The assembler always says how wide a branch is.
      return [{ kind: 'immediate', value: undefined, width: width as Width }];
    case 'immediate':
      return values();
    case 'implied-memory':
      return [];
  }
}

function ofShape(
  shape: Shape,
  mnemonics: readonly string[],
  found: Map<string, SourceInstruction>,
  text: (s: SourceInstruction) => string,
): void {
  const widths = shape.widths.length > 0 ? shape.widths : [shape.fixedWidth ?? 64];
  const prefixes = shape.written.some((each) => each.kind === 'far') ? ['far'] : [];
  const add = (source: SourceInstruction) => {
    const key = text(source);
    if (!found.has(key)) found.set(key, source);
  };
  for (const width of widths) {
    const choices = shape.written.map((pattern) => samples(pattern, width));
    const plain = choices.map((each) => each[0]!);
    for (const mnemonic of mnemonics) add({ mnemonic, prefixes, operands: plain });
    const mnemonic = mnemonics[0]!;
    choices.forEach((choice, varied) => {
      for (const sample of choice)
        add({ mnemonic, prefixes, operands: plain.map((each, i) => (i === varied ? sample : each)) });
      // The same with memory elsewhere, so that sizes have to come from somewhere.
      const memoryAt = shape.written.findIndex((each) => each.kind === 'rm' || each.kind === 'memory');
      if (memoryAt < 0 || memoryAt === varied) return;
      for (const memory of [
        USUAL[0]!,
        { ...USUAL[1]!, width: widthOf(shape.written[memoryAt]!, width) || 8 },
      ] as SourceOperand[]) {
        for (const sample of choice) {
          add({
            mnemonic,
            prefixes,
            operands: plain.map((each, i) => (i === varied ? sample : i === memoryAt ? memory : each)),
          });
        }
      }
    });
    if (shape.row.lock)
      add({
        mnemonic,
        prefixes: ['lock'],
        operands: plain.map((each, i) =>
          i === 0 ? { ...USUAL[0]!, width: widthOf(shape.written[0]!, width) as Width } : each,
        ),
      });
    if (shape.row.repeat !== 'none') {
      for (const prefix of ['rep', 'repe', 'repne', 'a32', 'gs'])
        add({ mnemonic, prefixes: [prefix], operands: plain });
    }
  }
}

/** Every generated instruction, by its text. */
export function generate(text: (source: SourceInstruction) => string): ReadonlyMap<string, SourceInstruction> {
  const found = new Map<string, SourceInstruction>();
  for (const row of ROWS) {
    if (row.only === 'decode') continue;
    const stem = row.mnemonic.slice(0, -2);
    const names = row.encoding.includes('+cc')
      ? CONDITIONS.flat().map((each) => stem + each)
      : [row.mnemonic, ...row.aliases];
    ofShape(shapeOf(row), names, found, text);
  }
  const eax = asRegister(named('ecx'));
  for (const form of addressingForms()) {
    for (const operands of [
      [eax, form],
      [form, asRegister(named('r9'))],
      [asRegister(named('rax')), form],
    ] as SourceOperand[][]) {
      const source = { mnemonic: 'mov', prefixes: [], operands };
      found.set(text(source), source);
    }
    const add = {
      mnemonic: 'add',
      prefixes: [],
      operands: [
        { ...form, width: 32 },
        { kind: 'immediate', value: 7n },
      ],
    } as SourceInstruction;
    found.set(text(add), add);
  }
  return found;
}

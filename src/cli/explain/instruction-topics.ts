/** Instructions, from the instruction table: forms, encodings, flags, prefixes, other names. */

import { formOf } from '../../../lang/isa/forms.ts';
import { CONDITIONS, candidates, mnemonics, type Row } from '../../../lang/isa/table.ts';
import type { TopicSource } from './topic-source.ts';

const FLAGS: Readonly<Record<string, string>> = {
  o: 'OF',
  s: 'SF',
  z: 'ZF',
  a: 'AF',
  p: 'PF',
  c: 'CF',
  d: 'DF',
  i: 'IF',
};

/** What each condition asks of the flags (SDM vol. 1, appendix B). */
const CONDITION_TESTS = [
  'OF=1',
  'OF=0',
  'CF=1',
  'CF=0',
  'ZF=1',
  'ZF=0',
  'CF=1 or ZF=1',
  'CF=0 and ZF=0',
  'SF=1',
  'SF=0',
  'PF=1',
  'PF=0',
  'SF≠OF',
  'SF=OF',
  'ZF=1 or SF≠OF',
  'ZF=0 and SF=OF',
];

/** Marks of an encoding (SDM vol. 2 §3.1.1), as far as the table uses them. */
const MARKS: readonly (readonly [pattern: RegExp, meaning: string])[] = [
  [/^\/r$/, '/r: ModRM names a register and a register or memory'],
  [/^\/[0-7]$/, '/0 … /7: the digit stands in the register field of ModRM'],
  [/^i[bwdq]$/, 'ib iw id iq: an immediate of 1, 2, 4, 8 bytes'],
  [/^i[zv]$/, 'iz: an immediate of the operand size, 4 bytes at most; iv: in full'],
  [/^c[bd]$/, 'cb cd: a branch distance of 1 or 4 bytes'],
  [/^mo$/, 'mo: an address as long as addresses are'],
  [/\+r$/, '+r: the register is part of the opcode'],
  [/\+cc$/, '+cc: the condition is part of the opcode'],
  [/^o(16|32|64)$/, 'o16 o32 o64: with this operand size only'],
  [/^[df]64$/, 'd64 f64: the operand size is 64 without REX.W'],
  [/^vex$/, 'vex: behind a VEX prefix'],
  [/^np$/, 'np: without the prefixes 66, F2 and F3'],
];

export const instructionTopics: TopicSource = {
  kind: 'instruction',
  names: mnemonics,
  explain(name) {
    const { rows, condition } = candidates(name)!;
    const facts = [
      ...synonyms(name, rows, condition),
      ...(condition === undefined ? [] : [['condition', CONDITION_TESTS[condition]!]]),
      ['flags', flagsOf(rows)],
      ...(rows.some(({ lock }) => lock) ? [['lock', 'taken where the first operand is memory']] : []),
      ...repeats(rows),
    ].map(([key, text]) => `  ${key!.padEnd(10)} ${text}`);
    return ['', ...facts, '', ...formLines(name, rows), ...legend(rows)];
  },
};

function synonyms(name: string, rows: readonly Row[], condition: number | undefined): string[][] {
  const [row] = rows;
  const names = [row!.mnemonic, ...row!.aliases].flatMap((each) =>
    condition === undefined ? [each] : CONDITIONS[condition]!.map((test) => each.slice(0, -2) + test),
  );
  const others = names.filter((each) => each !== name);
  return others.length === 0 ? [] : [['also', others.join(', ')]];
}

function flagsOf(rows: readonly Row[]): string {
  const letters = new Set(rows.flatMap(({ flags }) => [...flags]));
  if (letters.has('*')) return 'all may change';
  if (letters.size === 0) return 'none changes';
  const names = Object.keys(FLAGS).filter((letter) => letters.has(letter));
  return `${names.map((letter) => FLAGS[letter]).join(' ')} may change`;
}

function repeats(rows: readonly Row[]): string[][] {
  const repeat = rows.find((row) => row.repeat !== 'none')?.repeat;
  if (repeat === undefined) return [];
  return [['repeat', repeat === 'rep' ? 'rep: rcx times' : 'repe, repne: rcx times, while ZF is 1 or 0']];
}

/** Forms and encodings in two columns; what only the decoder has is no form. */
function formLines(name: string, rows: readonly Row[]): string[] {
  const forms = rows.map((row) => [formOf(name, row), row.encoding] as const);
  const width = Math.max('form'.length, ...forms.map(([form]) => form.length));
  const line = (form: string, encoding: string) => `  ${form.padEnd(width)}   ${encoding}`;
  return [...new Set([line('form', 'encoding'), ...forms.map(([form, encoding]) => line(form, encoding))])];
}

function legend(rows: readonly Row[]): string[] {
  const tokens = rows.flatMap(({ encoding }) => encoding.split(' '));
  const marks = MARKS.filter(([pattern]) => tokens.some((token) => pattern.test(token)));
  return marks.length === 0 ? [] : ['', ...marks.map(([, meaning]) => `  ${meaning}`)];
}

/** The forms a mnemonic has, for people: error notes and `gvm explain`. */

import { candidates, type Row } from './table.ts';

/** Operands of every form of a mnemonic, as notes in an error show them: `add rm8, r8`. */
export function formsOf(mnemonic: string): readonly string[] {
  const found = candidates(mnemonic);
  if (!found) return [];
  return [...new Set(found.rows.filter(({ only }) => only === 'both').map((row) => formOf(mnemonic, row)))];
}

/** Operands of one row, for people. */
export function formOf(mnemonic: string, row: Row): string {
  const operands = row.operands
    .split(', ')
    .filter((each) => !each.startsWith('{'))
    .map(readable)
    .join(', ');
  return operands === '' ? mnemonic : `${mnemonic} ${operands}`;
}

const WORDS: Record<string, string> = { v: '16|32|64', y: '32|64', s: '64|16' };

function readable(name: string): string {
  const plain = name.replace(/[?!]$/, '').replace(/na$/, '');
  if (plain === 'one') return '1';
  if (plain === 'm' || plain === 'mem') return 'memory';
  if (plain.startsWith('simm') || plain.startsWith('uimm')) return plain.slice(1);
  if (plain === 'immv') return 'imm';
  if (plain === 'rotate8') return 'imm8';
  if (plain.startsWith('bare')) return plain.replace('bare', 'imm');
  if (/^a[vys]$/.test(plain)) return plain === 'av' ? 'ax|eax|rax' : 'eax|rax';
  const sized = /^(rmr|rm|r|vex|m|moffs)([vys]|\d+)$/.exec(plain);
  if (!sized) return plain;
  const kind = { rmr: 'r', rm: 'r/m', r: 'r', vex: 'r', m: 'm', moffs: 'moffs' }[sized[1]!]!;
  return kind + (WORDS[sized[2]!] ?? sized[2]!);
}

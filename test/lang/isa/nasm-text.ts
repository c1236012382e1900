/** Source instructions as NASM text, for the oracle tests. A value that is undefined is written as the label `here`. */

import type { SourceInstruction, SourceOperand } from '../../../lang/isa/instruction.ts';

const SIZE_WORDS: Record<number, string> = {
  8: 'byte',
  16: 'word',
  32: 'dword',
  64: 'qword',
  80: 'tword',
  128: 'oword',
};

/** One line of NASM source. */
export function nasmText({ mnemonic, prefixes, operands }: SourceInstruction): string {
  const far = prefixes.includes('far') ? 'far ' : '';
  const before = prefixes.filter((each) => each !== 'far').map((each) => `${each} `);
  const branch = /^(j|call|loop)/.test(mnemonic);
  const texts = operands.map((each) =>
    branch && each.kind === 'immediate' ? branchText(mnemonic, each.width) : operandText(each),
  );
  return `${before.join('')}${mnemonic} ${texts.map((each) => far + each).join(', ')}`.trimEnd();
}

/** A branch to itself; NASM allows no size word where an instruction has one size only. */
function branchText(mnemonic: string, width: number | undefined): string {
  if (/^(loop|jrcxz|jecxz)/.test(mnemonic)) return '$';
  return width === 8 ? 'short $' : width === 32 ? 'near $' : '$';
}

function operandText(operand: SourceOperand): string {
  if (operand.kind === 'register') return operand.register.name;
  const words: string[] = [];
  if (operand.kind === 'immediate') {
    if (operand.strict) words.push('strict');
    if (operand.width !== undefined) words.push(SIZE_WORDS[operand.width]!);
    return [...words, operand.value === undefined ? 'here' : `${operand.value}`].join(' ');
  }
  if (operand.width !== undefined) words.push(SIZE_WORDS[operand.width]!);
  const inside: string[] = [];
  if (operand.addressWidth !== undefined && !operand.base && !operand.index) inside.push(`a${operand.addressWidth}`);
  if (operand.displacementWidth !== undefined) inside.push(SIZE_WORDS[operand.displacementWidth]!);
  if (operand.nosplit) inside.push('nosplit');
  if (operand.relative) inside.push('rel');
  const terms: string[] = [];
  if (operand.base) terms.push(operand.base.name);
  if (operand.index)
    terms.push(operand.scale === undefined ? operand.index.name : `${operand.index.name}*${operand.scale}`);
  if (operand.displacement === undefined) terms.push('here');
  else if (operand.displacement !== 0n || terms.length === 0) terms.push(`${operand.displacement}`);
  const segment = operand.segment ? `${operand.segment.name}:` : '';
  return [...words, `[${[...inside, segment + terms.join('+')].join(' ')}]`].join(' ');
}

/** `gvm explain`: topics from the tables, near misses, and status 2 for what there is not. */

import { describe, expect, test } from 'vitest';
import { mnemonics } from '../../lang/isa/table.ts';
import type { TopicSource } from '../../src/cli/explain/topic-source.ts';
import { explain } from '../../src/cli/explain/topics.ts';
import { gvm } from './gvm.ts';

describe('instructions', () => {
  test('forms, encodings and flags', () => {
    const text = explain('ADD');
    expect(text).toMatch(/^add \(instruction\)\n/);
    expect(text).toMatch(/^ {2}flags +OF SF ZF AF PF CF may change$/m);
    expect(text).toMatch(/^ {2}add r\/m16\|32\|64, imm8 +83 \/0 ib$/m);
    expect(text).toContain('taken where the first operand is memory');
  });

  test('conditions and other names', () => {
    const text = explain('jnae');
    expect(text).toMatch(/^ {2}also +jb, jc$/m);
    expect(text).toMatch(/^ {2}condition +CF=1$/m);
    expect(text).toMatch(/^ {2}flags +none changes$/m);
    expect(explain('movsb')).toMatch(/^ {2}repeat +rep: rcx times$/m);
  });

  test('there is an explanation for every mnemonic', () => {
    for (const name of mnemonics()) expect(explain(name)).toMatch(/\n {2}form +encoding\n {2}\S/);
  });
});

test('a name of several kinds gets all its explanations', () => {
  const source = (kind: string): TopicSource => ({ kind, names: () => ['Wait'], explain: () => [`a ${kind}`] });
  expect(explain('wait', [source('verb'), source('noun')])).toBe('Wait (verb)\na verb\n\nWait (noun)\na noun\n');
});

test('the command', () => {
  expect(gvm('explain', 'ret')).toMatchObject({ status: 0, stdout: explain('ret'), stderr: '' });
  expect(gvm('explain', 'movv')).toMatchObject({
    status: 2,
    stdout: '',
    stderr: "gvm explain: there is no topic 'movv'; did you mean `mov`?\n",
  });
  expect(gvm('explain')).toMatchObject({
    status: 2,
    stderr: 'gvm explain: a topic is needed; see gvm explain --help\n',
  });
});

/** Decoded code that processor after processor uses: known again by its bytes, and by nothing else. */

import { expect, test } from 'vitest';
import { Leftovers } from '../../src/cli/leftovers.ts';
import { Transcript } from '../../src/cli/output.ts';
import { run } from '../../src/cli/run.ts';
import { CodeMemory } from '../../src/hardware/vcpu/code-memory.ts';
import { library } from '../expect-golden.ts';
import { plainRun } from '../plain-run.ts';

const PAGE = 4096;
const block = (...offsets: number[]) => ({ plans: [], offsets });

test('a block is known at its offset of any page, by all of its bytes', () => {
  const memory = new Uint8Array(3 * PAGE);
  const known = new CodeMemory();
  const bytes = [0x48, 0x89, 0xd8, 0x90, 0xc3];
  memory.set(bytes, 100);
  const first = block(100, 103, 104, 105);
  known.remember(memory, 0, first);
  memory.set(bytes, PAGE + 100);
  memory.set(bytes, PAGE + 200);
  memory.set([0x48, 0x89, 0xd8, 0x90, 0xcb], 2 * PAGE + 100);
  expect(known.recall(memory, PAGE, 100)).toBe(first);
  expect(known.recall(memory, PAGE, 200), 'at another offset').toBeUndefined();
  expect(known.recall(memory, 2 * PAGE, 100), 'with another last byte').toBeUndefined();
  const second = block(100, 103, 104, 105);
  known.remember(memory, 2 * PAGE, second);
  expect(known.recall(memory, 2 * PAGE, 100)).toBe(second);
  expect(known.recall(memory, PAGE, 100)).toBe(first);
});

test('a block at the end of a page does not depend on what lies behind', () => {
  const memory = new Uint8Array(2 * PAGE);
  const known = new CodeMemory();
  memory[PAGE - 1] = 0xc3;
  const last = block(PAGE - 1, PAGE);
  known.remember(memory, 0, last);
  memory[PAGE] = 0xff;
  expect(known.recall(memory, 0, PAGE - 1)).toBe(last);
});

test('a run says the same, whatever ran before it in the process', () => {
  const said = (file: string, leftovers?: Leftovers) => {
    const output = new Transcript();
    const status = run(
      { ...plainRun(file), trace: 'kvm_pio[port=0x1000-0x1fff]' },
      library,
      output,
      undefined,
      leftovers,
    );
    return `${output.text}${status}`;
  };
  const files = ['programs/lessons/01-hello-port.gasm', 'programs/vm-buffer/virtual-address.gasm'];
  const leftovers = new Leftovers();
  const alone = files.map((file) => said(file));
  for (const _ of [1, 2]) expect(files.map((file) => said(file, leftovers))).toEqual(alone);
});

/** failslab and fail_page_alloc by their files (Documentation/fault-injection/fault-injection.rst of Linux 6.1). */

import { expect, test } from 'vitest';
import { GFP_ATOMIC, GFP_HIGHUSER_MOVABLE, GFP_KERNEL } from '../../../src/linux/core/gfp.ts';
import { EINVAL, ENOENT } from '../../../src/linux/uapi/errno.ts';
import { O_WRONLY } from '../../../src/linux/uapi/syscalls.ts';
import { boot, program } from './machine.ts';

const SLAB = '/sys/kernel/debug/failslab';
const PAGES = '/sys/kernel/debug/fail_page_alloc';

function machine() {
  const kernel = boot();
  const { process, syscalls, echo, cat } = program(kernel, 'sh');
  const set = (path: string, text: string) => echo(path, `${text}\n`, O_WRONLY);
  /** By another process, whose own allocations do not fail. */
  const root = program(kernel, 'root');
  const settings = (directory: string, values: Readonly<Record<string, string>>) => {
    for (const [name, value] of Object.entries(values))
      expect(root.echo(`${directory}/${name}`, value, O_WRONLY)).toBe(value.length);
  };
  /** The outcomes of allocations on behalf of the process: which of them failed. */
  const failures = (count: number, gfp = GFP_KERNEL) => {
    kernel.current = process;
    return Array.from({ length: count }, (_, n) => n + 1).filter(() => !kernel.kmalloc('struct thing', gfp));
  };
  return { kernel, process, syscalls, set, settings, cat, failures };
}

test('the files and what is in them at first', () => {
  const { cat, process } = machine();
  const files = ['probability', 'interval', 'times', 'verbose', 'task-filter', 'ignore-gfp-wait'];
  expect(files.map((name) => cat(`${SLAB}/${name}`))).toEqual(['0\n', '1\n', '1\n', '2\n', 'N\n', 'Y\n']);
  expect(cat(`${PAGES}/ignore-gfp-highmem`)).toBe('Y\n');
  expect(cat(`${PAGES}/min-order`)).toBe('1\n');
  expect(cat('/proc/self/fail-nth')).toBe('0\n');
  expect(cat(`/proc/${process.pid}/make-it-fail`)).toBe('0\n');
  expect(cat('/proc/self/comm')).toBe('sh\n');
});

test('what a file does not take is EINVAL', () => {
  const { set } = machine();
  for (const [path, text] of [
    [`${SLAB}/probability`, 'often'],
    [`${SLAB}/interval`, '-1'],
    [`${SLAB}/times`, '0x100000000'],
    [`${SLAB}/task-filter`, 'maybe'],
    ['/proc/self/fail-nth', '-1'],
    ['/proc/self/fail-nth', '4294967296'],
    ['/proc/self/make-it-fail', '2'],
    ['/proc/self/comm', '1'],
  ] as const)
    expect([path, set(path, text)]).toEqual([path, -EINVAL]);
});

test('fail-nth: the N-th allocation of the task fails, once; what may wait only without ignore-gfp-wait', () => {
  const { kernel, process, set, failures } = machine();
  process.failNth = 3;
  expect(failures(5)).toEqual([]);
  expect(process.failNth).toBe(3);
  expect(failures(5, GFP_ATOMIC)).toEqual([3]);
  expect(set(`${SLAB}/ignore-gfp-wait`, 'N')).toBe(2);
  process.failNth = 3;
  expect(failures(5)).toEqual([3]);
  expect(process.failNth).toBe(0);
  expect(kernel.log.lines.slice(-3)).toEqual([
    'FAULT_INJECTION: forcing a failure.',
    'name failslab, interval 1, probability 0, space 0, times 0',
    `CPU: 0 PID: ${process.pid} Comm: sh: no memory for struct thing`,
  ]);
});

test('another task has a number of its own, and /proc shows who is there', () => {
  const { kernel, syscalls, set, failures, cat } = machine();
  set(`${SLAB}/ignore-gfp-wait`, 'N');
  const other = program(kernel, 'other');
  expect(set(`/proc/${other.process.pid}/fail-nth`, '1')).toBe(2);
  expect(failures(3)).toEqual([]);
  expect(other.syscalls.eventfd(0, 0)).toBe(-12);
  expect(syscalls.readlink('/proc/self')).not.toBe(other.syscalls.readlink('/proc/self'));
  const names = () => (syscalls.readdir('/proc') as readonly { name: string }[]).map(({ name }) => name);
  expect(names()).toContain(String(other.process.pid));
  other.process.exit();
  expect(names()).not.toContain(String(other.process.pid));
  expect(cat(`/proc/${other.process.pid}/fail-nth`)).toBe(-ENOENT);
});

test('probability, interval and times choose among the chances of all tasks, task-filter the tasks', () => {
  const { process, settings, failures } = machine();
  settings(SLAB, { verbose: '0', 'ignore-gfp-wait': 'N', times: '2', 'task-filter': 'Y', probability: '100' });
  expect(failures(3)).toEqual([]);
  process.makeItFail = true;
  expect(failures(3)).toEqual([1, 2]);
  settings(SLAB, { times: '-1', interval: '4' });
  expect(failures(12)).toEqual([4, 8, 12]);
  settings(SLAB, { interval: '1', probability: '25' });
  const often = failures(4000).length;
  expect(often).toBeGreaterThan(900);
  expect(often).toBeLessThan(1100);
});

test('fail_page_alloc: pages of the kernel fail from min-order on, those of user space without ignore-gfp-highmem', () => {
  const { kernel, process, settings } = machine();
  const { pages } = kernel;
  settings(PAGES, { verbose: '0', 'ignore-gfp-wait': 'N', times: '-1', 'task-filter': 'Y', probability: '100' });
  process.makeItFail = true;
  kernel.current = process;
  expect(pages.allocate(0)).toBeDefined();
  expect(pages.allocate(1)).toBeUndefined();
  expect(pages.allocate(1, GFP_HIGHUSER_MOVABLE)).toBeDefined();
  settings(PAGES, { 'ignore-gfp-highmem': 'N', 'min-order': '0' });
  kernel.current = process;
  expect(pages.allocate(0)).toBeUndefined();
  expect(pages.allocate(0, GFP_HIGHUSER_MOVABLE)).toBeUndefined();
});

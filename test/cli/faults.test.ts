/**
 * Each allocation that the host's kernel makes for QEMU fails once, by failslab and fail_page_alloc in the program's own lines: QEMU says
 * what it was refused, or goes on without; nothing of ours breaks, and the guest sees no wrong values.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { EXIT } from '../../src/cli/exit-status.ts';
import { Leftovers } from '../../src/cli/leftovers.ts';
import { Transcript } from '../../src/cli/output.ts';
import { run } from '../../src/cli/run.ts';
import { library } from '../expect-golden.ts';
import { plainRun } from '../plain-run.ts';

const leftovers = new Leftovers();
const folder = mkdtempSync(join(tmpdir(), 'gvm-faults-'));
afterAll(() => rmSync(folder, { recursive: true }));

const program = readFileSync('programs/vm-buffer/vm-buffer.gasm', 'utf8');

/** The program, with its `nth` allocation of the capability failing; its status and what was said. */
function runWith(capability: string, nth: number, settings: Readonly<Record<string, string>>) {
  const set = (name: string, value: string) => `; host: echo ${value} > /sys/kernel/debug/${capability}/${name}\n`;
  const all = { 'ignore-gfp-wait': 'N', interval: String(nth), ...settings, probability: '100' };
  const lines = Object.entries(all).map(([name, value]) => set(name, value));
  const file = join(folder, 'faulty.gasm');
  // After the program's own lines of the host.
  const at = program.lastIndexOf('\n; host:') + 1;
  const behind = program.indexOf('\n', at) + 1;
  writeFileSync(file, program.slice(0, behind) + lines.join('') + program.slice(behind));
  const output = new Transcript();
  const status = run(plainRun(file), library, output, undefined, leftovers);
  return { status, text: output.text };
}

/** The last two are QEMU's, which gives an error number away with its sign, and asserts that KVM takes its routes. */
const REFUSAL = /[Cc]annot allocate memory|eventfd|Unknown error -12|kvm_irqchip_commit_routes: Assertion/;

test.each([
  ['failslab', {}, 150],
  ['fail_page_alloc', { 'min-order': '0' }, 15],
] as const)('%s', (capability, settings, atLeast) => {
  let nth = 1;
  for (;;) {
    const { status, text } = runWith(capability, nth, settings);
    expect([EXIT.OK, EXIT.USAGE, EXIT.HOST_FAILED], text).toContain(status);
    if (!text.includes('FAULT_INJECTION')) break;
    if (status === EXIT.OK) expect(text).toMatch(/"vm_buffer_test"|no VM: VFIO has given no kvm pointer/);
    else expect(text).toMatch(REFUSAL);
    // Of the entries of a routing table some are enough.
    nth += text.includes('no memory for struct kvm_kernel_irq_routing_entry') ? 7 : 1;
  }
  expect(nth).toBeGreaterThan(atLeast);
});

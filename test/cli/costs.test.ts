/** `--costs`: the guest's clock sees what the host's steps are charged. */

import { expect, test } from 'vitest';
import { gvmWith } from './gvm.ts';

/** Prints how many ticks one port write to QEMU took. */
const program = (directive = '') => `${directive}
        bits    64
        default rel
%include "gvm/driver.inc"
        global  init_module
        section .text
init_module:
        push    rbp
        mov     rbp, rsp
        rdtsc
        mov     ecx, eax
        mov     dx, 0x80
        out     dx, al
        rdtsc
        sub     eax, ecx
        printk  \`%u\\n\`, eax
        xor     eax, eax
        pop     rbp
        ret
`;
const ticks = (stdout: string) => Number(stdout.trim().split('\n').at(-1));

test('without it a write takes its instructions; with it the exit, the way to QEMU and back', () => {
  const free = ticks(gvmWith({ 'a.gasm': program() }, 'run', 'a.gasm').stdout);
  expect(free).toBeLessThan(10);
  const charged = ticks(gvmWith({ 'a.gasm': program() }, 'run', 'a.gasm', '--costs', 'model').stdout);
  expect(charged).toBeGreaterThan(350 + 2180 + 270);
  expect(ticks(gvmWith({ 'a.gasm': program('; gvm: --costs model') }, 'run', 'a.gasm').stdout)).toBe(charged);
});

test('a file replaces figures, and lies beside the program that names it', () => {
  const model = ticks(gvmWith({ 'a.gasm': program() }, 'run', 'a.gasm', '--costs', 'model').stdout);
  const files = { 'p/costs.json': '{ "kvm_exit": 100350 }', 'p/a.gasm': program('; gvm: --costs costs.json') };
  expect(ticks(gvmWith(files, 'run', 'p/a.gasm').stdout)).toBe(model + 100_000);
});

test('statistics count the same time, once', () => {
  // What is printed must not depend on the time.
  const silent = (text: string) => text.replace('sub     eax, ecx', 'xor     eax, eax');
  const file = { 'a.gasm': silent(program()), 'b.gasm': silent(program('; gvm: --costs model')) };
  const [without, withCosts] = ['a.gasm', 'b.gasm'].map((name) => gvmWith(file, 'stat', name).stdout);
  expect(withCosts).toBe(without);
  expect(without).toMatch(/IO_INSTRUCTION/);
});

test('what is refused', () => {
  const refusal = (text: string) => {
    const { status, stderr } = gvmWith({ 'a.gasm': program(), 'c.json': text }, 'run', 'a.gasm', '--costs', 'c.json');
    expect(status).toBe(2);
    return stderr.trim();
  };
  expect(refusal('{')).toMatch(/^gvm: --costs c\.json: .*JSON/);
  expect(refusal('[1]')).toContain('not an object of nanoseconds by event');
  expect(refusal('{ "kvm_exits": 1 }')).toContain("there is no event 'kvm_exits'");
  expect(refusal('{ "kvm_exit": 1.5 }')).toContain('kvm_exit costs 1.5, not a whole number');
  expect(refusal('{ "kvm_exit": "1" }')).toContain('kvm_exit costs "1"');
  expect(gvmWith({ 'a.gasm': program() }, 'run', 'a.gasm', '--costs', 'no.json').stderr).toContain(
    'no.json: No such file or directory',
  );
});

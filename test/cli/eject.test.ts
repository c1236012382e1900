/** A PCI function that the guest ejects is gone: what it had begun touches neither the guest's memory nor its interrupts any more. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { gvmWith, ROOT } from './gvm.ts';

/** Sets `start` going on the function in slot 4, ejects it, and prints the first word of its page after 200 ms. */
const program = (options: string, device: string, start: string) => `; gvm: ${options}
bits 64
default rel
%include "gvm/driver.inc"
%include "linux/delay.inc"
%include "linux/slab.inc"
section .data
align 8
ids:    pci_device 0x1234, ${device}
        pci_device_end
        module_pci_driver 'ejecter', ids, probe
section .text
probe:  push rbx
        push r12
        push r13
        mov r12, rdi
        invoke pci_enable_device, r12
        invoke pci_set_master, r12
        invoke pci_iomap, r12, 0, 0
        mov rbx, rax
        invoke kzalloc, 4096, GFP_KERNEL
        mov r13, rax
        mov dword [r13], 0x5a5a
        invoke virt_to_phys, r13
${start}
        mov edi, 0xae08
        outl 1 << 4, edi
        invoke msleep, 200
        printk \`page %#x\\n\`, dword [r13]
        xor eax, eax
        pop r13
        pop r12
        pop rbx
        ret
`;

test('edu: the DMA that runs does not end', () => {
  const dma = `        mov rcx, 0x40000
        mov [rbx + 0x80], rcx
        mov [rbx + 0x88], rax
        mov qword [rbx + 0x90], 4
        mov qword [rbx + 0x98], 3`;
  const { stdout, status } = gvmWith({ 'x.gasm': program('-device edu,addr=4', '0x11e8', dma) }, 'run', 'x.gasm');
  expect([stdout.includes('page 0x5a5a'), status]).toEqual([true, 0]);
});

test('e1000: a frame that waits for it is lost, and its line stays down', () => {
  const folder = join(ROOT, 'programs/e1000');
  const source = readFileSync(join(folder, 'interrupt.gasm'), 'utf8');
  const waiting = '        lea     rdi, [receiver]\n        mov     esi, RXT0\n        call    wait_for\n';
  expect(source).toContain(waiting);
  const ejecting = '        mov edi, 0xae08\n        outl 1 << 4, edi\n        invoke msleep, 2000\n';
  const changed = source.replace(waiting, ejecting).replace('bits ', '%include "linux/delay.inc"\nbits ');
  const files = { 'x.gasm': changed, 'e1000.inc': readFileSync(join(folder, 'e1000.inc')) };
  const { stdout, stderr, status } = gvmWith(files, 'run', 'x.gasm');
  expect([stdout.includes('received 0 bytes, status 0x0: ""\n'), status]).toEqual([true, 0]);
  expect(stderr).not.toContain('gsi 11 level 1');
});

const device = (more: string) => `export default { name: 'mine', vendor: 0x1234, device: 1, pin: 'A', ${more}
  bars: [{ space: 'memory', size: 16, registers: [{ name: 'go', offset: 0, write(d, v) {
    const again = () => {
      d.log('tick');
      d.dmaWrite(v, Uint8Array.of(1));
      d.after(1e6, again);
    };
    d.after(1e6, again);
  } }] }] };\n`;
const runMine = (more: string) =>
  gvmWith(
    { 'mine.ts': device(more), 'x.gasm': program('-device ./mine.ts,addr=4', '1', '        mov [rbx], eax') },
    'run',
    'x.gasm',
  );

test('one of the user’s own: it is told, and its timers are called off', () => {
  const { stdout, stderr, status } = runMine("unplug(d) { d.log('goes'); d.after(1, () => d.log('late')); },");
  expect([stderr, status]).toEqual(['mine: goes\n', 0]);
  expect(stdout).toContain('page 0x5a5a');
});

test('one that throws as it goes', () => {
  const { stderr, status } = runMine("unplug() { throw new Error('no') },");
  expect(stderr).toBe('./mine.ts:1: error: unplug: no\ngvm: a device of your own failed\n');
  expect(status).toBe(5);
});

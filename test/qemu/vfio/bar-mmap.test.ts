/** BARs mapped into the guest: what its instructions do to a device's registers, and how often that leaves the guest. */

import { describe, expect, test } from 'vitest';
import { plugIn } from '../../../src/cli/physical-devices.ts';
import { hostKeepsPages } from '../../linux/leaks.ts';
import { exitWith, type Finished, Host } from '../bench.ts';

const NAME = '0000:06:0d.0';
const config = (offset: number) => `mov eax, ${0x8000_2000 + offset}\nmov dx, 0xcf8\nout dx, eax\nmov dx, 0xcfc\n`;
/** BAR0 at 0x10000000, COMMAND.MEMORY on; RSI is the BAR, RDI the device's memory in its second page. */
const PLACED = `${config(0x10)}mov eax, 0x10000000\nout dx, eax\n${config(4)}mov ax, 2\nout dx, ax\nmov esi, 0x10000000\nlea rdi, [rsi + 0x1000]\n`;
const TOUCHED = 'mov eax, [rsi]\nmov dword [rdi], 0\n';
const exit = (value: string) => `movzx eax, ${value}\nmov dx, 0x501\nout dx, eax\n`;

function run(guest: string, events = '', options = ''): Finished {
  const host = new Host();
  plugIn(host.kernel, [`copier@${NAME}`]);
  hostKeepsPages(host.kernel);
  host.modprobe('vfio_pci');
  host.echo('vfio-pci', `/sys/bus/pci/devices/${NAME}/driver_override`);
  host.echo(NAME, '/sys/bus/pci/drivers_probe');
  const device = `vfio-pci,host=${NAME},addr=4${options}`;
  return host.qemu(['-device', 'isa-debug-exit', '-device', device], guest, events);
}

/** The guest's status: isa-debug-exit's value. */
const status = (end: Finished): number => ((end.end?.code ?? 0) - 1) / 2;

describe('instructions on the device’s memory', () => {
  test.each([
    ['a byte', 'mov byte [rdi + 3], 0x5a\n', 'byte [rdi + 3]', 0x5a],
    ['a word', 'mov word [rdi + 2], 0x5a00\n', 'byte [rdi + 3]', 0x5a],
    ['eight bytes', 'mov rax, 0x5a00000000000000\nmov [rdi + 8], rax\n', 'byte [rdi + 15]', 0x5a],
    ['a dword over two of the bus', 'mov dword [rdi + 2], 0x5a000000\n', 'byte [rdi + 5]', 0x5a],
    ['read, change, write', 'mov dword [rdi], 0x50\nadd dword [rdi], 10\n', 'byte [rdi]', 0x5a],
    ['exchange', 'mov eax, 0x5a\nxchg [rdi], eax\n', 'byte [rdi]', 0x5a],
    ['compare and exchange', 'xor eax, eax\nmov ecx, 0x5a\nlock cmpxchg [rdi], ecx\n', 'byte [rdi]', 0x5a],
    ['push and pop', 'lea rsp, [rdi + 64]\npush 0x5a\npop rax\n', 'al', 0x5a],
    ['a string into it', 'mov al, 0x5a\nmov ecx, 9\nmov rbx, rdi\nrep stosb\nmov rdi, rbx\n', 'byte [rdi + 8]', 0x5a],
    ['a dword that ends in the next page', 'mov dword [rdi - 2], 0x5a000000\n', 'byte [rdi + 1]', 0x5a],
  ])('%s', (_, code, read, expected) => {
    expect(status(run(PLACED + code + exit(read)))).toBe(expected);
  });

  test('the same with every access trapped', () => {
    const code = 'mov dword [rdi], 0x50\nadd dword [rdi], 10\n';
    expect(status(run(PLACED + code + exit('byte [rdi]'), '', ',x-no-mmap=on'))).toBe(0x5a);
  });
});

test('no exit after the first touch of a page', () => {
  const loop = `${TOUCHED}out 0x80, al\nmov ecx, 1000\n.again: mov eax, [rsi]\nmov [rdi], ecx\nloop .again\nout 0x80, al\n`;
  const { trace } = run(PLACED + loop + exitWith('0'), 'kvm_exit,kvm_pio');
  const marks = trace.flatMap((line, at) => (line.includes('pio_write at 0x80') ? [at] : []));
  const between = trace.slice(marks[0]! + 1, marks[1]!);
  // The exit that the second mark itself is.
  expect(between.map((line) => line.split(' ').slice(0, 5).join(' '))).toEqual([
    expect.stringContaining('kvm_exit vcpu 0 reason IO_INSTRUCTION'),
  ]);
});

test('a reset takes the pages away, and the next touch brings them back', () => {
  // PCI_AF_CTRL.FLR of the copier's Advanced Features capability at 0x70.
  const reset = `${config(0x74)}mov al, 1\nout dx, al\n`;
  const code = `mov dword [rdi], 0x5a\n${reset}mov eax, [rdi]\n`;
  const { trace, end } = run(`${PLACED}${code}mov dx, 0x501\nout dx, eax\n`, 'kvm_unmap_hva_range,kvm_page_fault');
  expect(end?.code).toBe(1);
  const kinds = trace
    .filter((line) => /unmap_hva_range|address 0x0000000010001/.test(line))
    .map((line) => line.split(' ')[0]);
  // BAR 0 and BAR 2 are mapped; the process's end unmaps all there is.
  const unmapped = 'kvm_unmap_hva_range';
  const from = kinds.indexOf('kvm_page_fault');
  expect(kinds.slice(from, from + 4)).toEqual(['kvm_page_fault', unmapped, unmapped, 'kvm_page_fault']);
});

test('with memory decoding off nothing is mapped: reads give 0', () => {
  const off = `${config(4)}xor eax, eax\nout dx, ax\n`;
  expect(status(run(`${PLACED}${TOUCHED}${off}${exit('byte [rsi]')}`))).toBe(0);
});

test('code does not run from a device: KVM reports an internal error', () => {
  expect(run(`${PLACED}jmp rdi\n`).end?.reason).toBe('internal-error');
});

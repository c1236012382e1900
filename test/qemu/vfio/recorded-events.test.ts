/**
 * KVM's events beside those of a real one (Linux 6.1.192, QEMU 7.2.22), for mtty and a guest that touches each of its registers in every
 * width, by strings too, and takes two interrupts. In recorded/mtty-events.txt a line is a VM exit: the access, then the events up to the
 * next entry with their texts. The processor was AMD's: of its exits the access is compared, which Intel's qualification tells as well.
 * Left out are RIPs, timer interrupts of the recording's host and what they interrupted, and what went to the serial port.
 */

import { readFileSync } from 'node:fs';
import { assert, expect, test } from 'vitest';
import { EXIT_REASON, exitReasonName, IO_QUALIFICATION } from '../../../src/hardware/vcpu/exit.ts';
import { Host, MDEV } from '../bench.ts';

const recorded = readFileSync(new URL('recorded/mtty-events.txt', import.meta.url), 'utf8')
  .trimEnd()
  .split('\n');

/** What stands here for a recorded line; undefined for nothing. */
function here(line: string): string | undefined {
  // QEMU's TCG was the processor: it leaves for a string instruction before it looks at RCX, here one with RCX 0 makes no access.
  if (/^rep \w+ \d \w+ \| kvm_emulate_insn [\w ]+ \| kvm_entry$/.test(line)) return undefined;
  // The PIIX3's IDE and power management, functions 1 and 3 of slot 1, are left out.
  return line.replace(/0x(7010|7113)8086/, '0xffffffff');
}
const expected = (lines: readonly string[]) => lines.map(here).filter((line) => line !== undefined);

const EVENTS =
  'kvm_exit,kvm_entry,kvm_pio,kvm_emulate_insn,kvm_userspace_exit,kvm_set_irq,kvm_pic_set_irq,kvm_ioapic_set_irq,kvm_inj_virq,kvm_ack_irq';
const OURS = exitReasonName(EXIT_REASON.IO_INSTRUCTION);

/** The access of an exit's qualification, in the words of the recording. */
function accessOf(qualification: number): string {
  const has = (bit: number) => (qualification & bit) !== 0;
  const name = `${has(IO_QUALIFICATION.REPEATED) ? 'rep ' : ''}${has(IO_QUALIFICATION.IN) ? 'in' : 'out'}`;
  const size = (qualification & IO_QUALIFICATION.SIZE_MASK) + 1;
  const port = (qualification >>> IO_QUALIFICATION.PORT_SHIFT).toString(16);
  return `${name}${has(IO_QUALIFICATION.STRING) ? 's' : ''} ${size} 0x${port}`;
}

/** The trace as lines of the recording: its exits for ports, each with what follows. */
function exits(trace: readonly string[]): string[] {
  const all: string[][] = [];
  for (const line of trace) {
    const exit = /^kvm_exit vcpu 0 reason (\w+) .* info1 0x(\w+)/.exec(line);
    if (exit !== null) all.push([exit[1] === OURS ? accessOf(Number.parseInt(exit[2]!, 16)) : '']);
    else if (line.startsWith('kvm_entry')) all.at(-1)?.push('kvm_entry');
    else if (line.startsWith('kvm_emulate_insn'))
      all.at(-1)?.push(line.replace(/(kvm_emulate_insn) \w+:\w+:([\w ]+) \(\w+\)/, '$1 $2'));
    else all.at(-1)?.push(line.trimEnd());
  }
  return all.filter(([access]) => access !== '').map((events) => events.join(' | '));
}

const ACCUMULATOR: Readonly<Record<number, string>> = { 1: 'al', 2: 'ax', 4: 'eax' };
const LETTER: Readonly<Record<number, string>> = { 1: 'b', 2: 'w', 4: 'd' };
const DATA: Readonly<Record<number, string>> = { 1: 'db', 2: 'dw', 4: 'dd' };
const STRINGS = 0x90000;

/** The recorded guest: its accesses in their order; an interrupt leads from the access behind which it came to the next one. */
function guest(lines: readonly string[]): string {
  const text: string[] = [];
  let string: string[] = [];
  for (const [index, line] of lines.entries()) {
    const [, rep, way, size, port] = /^(rep )?(in|out)s? (\d) (\w+)/.exec(line) ?? [];
    assert(way !== undefined, line);
    const width = Number(size);
    const value = /kvm_pio .* count (\d+) val (\w+)/.exec(line);
    const set = `mov edx, ${port}`;
    if (rep !== undefined && value !== null) string = way === 'out' ? [...string, value[2]!] : Array(Number(value[1]));
    else if (rep !== undefined) {
      // With the last element gone or come, the instruction leaves once more: these are all of one instruction.
      const source = `jmp .s${index}\n.d${index}: ${DATA[width]} ${string.join(', ')}\n.s${index}: lea rsi, [rel .d${index}]`;
      text.push(set, `mov ecx, ${string.length}`, ...(way === 'out' ? [source] : [`mov edi, ${STRINGS}`]));
      text.push(`rep ${way}s${LETTER[width]}`);
      string = [];
    } else if (way === 'in') text.push(set, `in ${ACCUMULATOR[width]}, dx`);
    else if (line.includes('kvm_inj_virq'))
      text.push(
        `lea rdi, [rel .i${index}]`,
        'call gate',
        set,
        `mov eax, ${value![2]}`,
        'sti',
        'nop',
        `out dx, al\n.i${index}:`,
      );
    else text.push(set, `mov eax, ${value![2]}`, `out dx, ${ACCUMULATOR[width]}`);
  }
  return text.join('\n');
}

const port = (at: number, value: number) => `mov al, ${value}\n mov edx, ${at}\n out dx, al`;
const config = (register: number, value: number) =>
  `mov eax, ${register}\n mov edx, 0xcf8\n out dx, eax\n mov edx, 0xcfc\n mov eax, ${value}\n out dx, eax`;
const TABLE = 0x80000;
const VECTOR = 0x2b;
/** What firmware and the guest's start had done: BAR 0 and COMMAND, the 8259s at 0x20 and 0x28 with inputs 10 and 11 by level. */
const PREPARE = [
  config(0x80002010, 0xc010),
  config(0x80002004, 0x103),
  config(0x8000203c, 0x0b),
  ...[
    [0x20, 0x11],
    [0x21, 0x20],
    [0x21, 0x04],
    [0x21, 0x01],
    [0xa0, 0x11],
    [0xa1, 0x28],
    [0xa1, 0x02],
    [0xa1, 0x01],
    [0x21, 0xff],
    [0xa1, 0xff],
    [0x4d1, 0x0c],
  ].map(([at, value]) => port(at!, value!)),
  `mov esp, ${STRINGS}\n lidt [rel .idtr]\n jmp .ready\n.idtr: dw 0xfff\n dq ${TABLE}\n.ready: push rax`,
];
/** Vector 0x2b leads to rdi. */
const GATE = `gate: mov eax, edi\n and eax, 0xffff\n mov ecx, cs\n shl ecx, 16\n or eax, ecx\n mov [${TABLE + 16 * VECTOR}], eax
 mov eax, edi\n and eax, 0xffff0000\n or eax, 0x8e00\n mov [${TABLE + 16 * VECTOR + 4}], eax
 shr rdi, 32\n mov [${TABLE + 16 * VECTOR + 8}], rdi\n ret\n`;

test('the events of a recorded guest, their order and their text', () => {
  const host = new Host();
  host.createMdev('mtty');
  const machine = ['-nodefaults', '-m', '64'];
  const devices = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x04', '-device', `vfio-pci,sysfsdev=${MDEV},addr=4`];
  const source = `${PREPARE.join('\n')}\n mov al, 0x7e\n out 0x80, al\n${guest(recorded)}\n hlt\n${GATE}`;
  const { init, trace } = host.qemu([...machine, ...devices], source, EVENTS);
  expect(init).toBeUndefined();
  const all = exits(trace);
  const from = all.findIndex((line) => line.includes('at 0x80 size 1 count 1 val 0x7e'));
  expect(from).toBeGreaterThan(0);
  expect(all.slice(from + 1)).toEqual(expected(recorded));
});

/** Registers: the general ones under all their names, flags, control registers with their bits, and PCI configuration space. */

import * as flags from '../../hardware/vcpu/flags.ts';
import * as paging from '../../hardware/vcpu/paging.ts';
import * as pci from '../../linux/uapi/pci.ts';
import { FLAG_BITS, GENERAL } from '../registers.ts';
import type { TopicSource } from './topic-source.ts';

interface Register {
  readonly text: string;
  readonly bits?: readonly (readonly [bit: number, name: string])[];
}

/** Names of the low 32, 16 and 8 bits, and of bits 15:8. */
function parts(name: string, number: number): readonly (readonly [name: string, what: string])[] {
  if (number >= 8)
    return [
      [`${name}d`, 'bits 31:0'],
      [`${name}w`, 'bits 15:0'],
      [`${name}b`, 'bits 7:0'],
    ];
  const short = name.slice(1);
  const low = short.endsWith('x') ? `${short[0]}l` : `${short}l`;
  const high = short.endsWith('x') ? [[`${short[0]}h`, 'bits 15:8'] as const] : [];
  return [[`e${short}`, 'bits 31:0'], [short, 'bits 15:0'], [low, 'bits 7:0'], ...high];
}

const roles: Readonly<Record<string, string>> = {
  rax: 'result of a function; accumulator of IN, OUT, MUL, DIV',
  rcx: '4th argument; count of shifts, REP and LOOP',
  rdx: '3rd argument; port of IN and OUT; high half of MUL and DIV',
  rbx: 'kept by functions',
  rsp: 'stack pointer',
  rbp: 'kept by functions; frame pointer',
  rsi: '2nd argument; source of string instructions',
  rdi: '1st argument; destination of string instructions',
  r8: '5th argument',
  r9: '6th argument',
};

const indexOfBit = (mask: bigint): number => mask.toString(2).length - 1;
/** Constants `PREFIX_NAME` of a module as a register's bits. */
const bitsNamed = (module: Readonly<Record<string, unknown>>, prefix: string): Register['bits'] =>
  Object.entries(module).flatMap(([name, value]) =>
    name.startsWith(prefix) && typeof value === 'bigint'
      ? [[indexOfBit(value), name.slice(prefix.length)] as const]
      : [],
  );

function registers(): ReadonlyMap<string, Register> {
  const found = new Map<string, Register>();
  GENERAL.forEach((name, number) => {
    const names = parts(name, number);
    const role = roles[name] ?? (number >= 12 ? 'kept by functions' : 'free for a function to use');
    const rest = names.map(([part, what]) => `${part} is ${what}`).join(', ');
    found.set(name, { text: `General register ${number}, 64 bits: ${rest}. System V: ${role}.` });
    for (const [part, what] of names) found.set(part, { text: `Register ${number}: ${what} of ${name}.` });
  });
  found.set('rip', { text: 'Address of the next instruction.' });
  found.set('rflags', {
    text: `Flags. Arithmetic sets ${FLAG_BITS.filter(([bit]) => (flags.STATUS_FLAGS >> bit) & 1)
      .map(([, name]) => name)
      .join(', ')}.`,
    bits: FLAG_BITS,
  });
  const control = (name: string, text: string, prefix: string) =>
    found.set(name, { text, bits: bitsNamed(paging as unknown as Readonly<Record<string, unknown>>, prefix)! });
  control('cr0', 'Control register 0: protection and paging.', 'CR0_');
  control('cr4', 'Control register 4: extensions of the architecture.', 'CR4_');
  control('efer', 'MSR 0xc0000080: long mode, no-execute, SYSCALL.', 'EFER_');
  found.set('cr2', { text: 'Control register 2: the address that the last page fault was about.' });
  found.set('cr3', {
    text: "Control register 3: where the guest's page tables begin, and the process-context identifier.",
  });
  found.set('cr8', { text: 'Control register 8: the task priority, four bits; interrupts of a lower class wait.' });
  return found;
}

export const registerTopics: TopicSource = {
  kind: 'register',
  names: () => registers().keys(),
  explain(name) {
    const { text, bits = [] } = registers().get(name)!;
    const rows = [...bits].sort(([a], [b]) => a - b).map(([bit, label]) => `    ${String(bit).padStart(4)}  ${label}`);
    return [`  ${text}`, ...(rows.length === 0 ? [] : ['', '  bits:', ...rows])];
  },
};

const constants = Object.entries(pci as unknown as Readonly<Record<string, unknown>>).flatMap(([name, value]) =>
  typeof value === 'number' && /^PCI_(?!CLASS_|CAP_|MSI_|MSIX_|AF_|CFG_|CONFIG_)/.test(name)
    ? [[name, value] as const]
    : [],
);
const names = new Set(constants.map(([name]) => name));

/** `PCI_COMMAND_IO` is a bit of `PCI_COMMAND`; `PCI_IO_BASE_UPPER16` a register of its own. */
function isBit(name: string): boolean {
  if (/_RANGE_|^PCI_BASE_ADDRESS_[A-Z]/.test(name)) return true;
  return !name.includes('UPPER') && [...names].some((register) => name.startsWith(`${register}_`));
}

/** Registers of the header, by their offset. */
const configuration: ReadonlyMap<string, number> = new Map(
  constants.filter(([name, value]) => value < 0x40 && !isBit(name)),
);

export const configTopics: TopicSource = {
  kind: 'PCI configuration register',
  names: () => configuration.keys(),
  explain(name) {
    const bits = constants.filter(([each]) => each.startsWith(`${name}_`) && isBit(each));
    return [
      `  Offset 0x${configuration.get(name)!.toString(16).padStart(2, '0')} of configuration space (include/uapi/linux/pci_regs.h).`,
      '',
      `  show it    gvm run FILE --trace 'pci_cfg_*[offset=${configuration.get(name)}]'`,
      ...(bits.length === 0
        ? []
        : ['', '  bits:', ...bits.map(([each, value]) => `    0x${value.toString(16).padStart(4, '0')}  ${each}`)]),
    ];
  },
};

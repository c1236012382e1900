/** What a user does wrong gets one clear message on stderr that names the place, and the documented exit status. */

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { COMMAND, gvm, gvmWith, ROOT } from './gvm.ts';

/** A program whose init_module is `body`, with comment lines in front. */
const program = (body: string, head = '') =>
  `${head}        bits 64\n        default rel\n        global init_module\n        section .text\ninit_module:\n${body}\n`;

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1003';
const DIRECTORY = '/sys/class/mdev_bus/vmbuf/mdev_supported_types/vmbuf-1';

test.each([
  ['a syntax error', program(' mov rax, [rbx'), 3, 'p.gasm:6:15: error: expected `]`'],
  [
    'an unknown instruction',
    program(' movv rax, rbx'),
    3,
    'p.gasm:6:2: error: unknown instruction `movv`; did you mean `mov`?',
  ],
  ['wrong operands', program(' out dx, ebx'), 3, 'p.gasm:6:10: error: `out` does not take ebx'],
  ['an undefined symbol', program(' call nothing'), 3, 'p.gasm:6:7: error: symbol `nothing` is not defined'],
  ['a missing include', program(' %include "no.inc"'), 3, 'p.gasm:6:'],
  ['a mistyped include', program(' %include "linux/prinkt.inc"'), 3, 'did you mean `linux/printk.inc`?'],
  ['an include without its folder', program(' %include "pci.inc"'), 3, 'did you mean `linux/pci.inc`?'],
  ['what the library has, undeclared', program(' call kzalloc'), 3, 'note: %include "linux/slab.inc" declares it'],
  [
    'an entry that is not global',
    'init_module: ret\n',
    3,
    'p.gasm: error: `init_module` is not global: the guest library, which calls it, cannot see it\n   = note: write `global init_module`',
  ],
  [
    'a mistyped option of its own',
    program(' ret', '; gvm: -devise edu\n'),
    2,
    'p.gasm:1: error: -devise is no option that a program may give itself; did you mean `-device`?',
  ],
  ['an empty source', '', 3, 'p.gasm: error: the program does not define `init_module`'],
  ['bytes that are no text', '\u0000\u0001', 3, 'p.gasm:1:'],
  [
    'a read through a null pointer',
    program(' mov rax, [abs 0]\n ret'),
    4,
    'gvm: the guest crashed at rip 0xffffffff81000000 init_module+0x0 (p.gasm:6)',
  ],
  ['a general protection fault', program(' mov rbx, 0x8000000000000000\n mov rax, [rbx]\n ret'), 4, '(p.gasm:7)'],
  ['a run into zeros', program(' jmp 0xffffffff81200000'), 4, 'gvm: the guest crashed at rip 0xffffffff81200000'],
  [
    'a vector instruction',
    program(' db 0x0f, 0x58, 0xc1\n ret'),
    4,
    'is not implemented; compile C with -mgeneral-regs-only',
  ],
  [
    'a jump to a device',
    program(' extern ioremap\n mov edi, 0xfebf0000\n mov esi, 4096\n call ioremap\n jmp rax'),
    4,
    'is no memory but MMIO, and code cannot be fetched from there',
  ],
  [
    'a triple fault',
    program(' lidt [none]\n ud2\n section .rodata\nnone: dw 0\n dq 0'),
    4,
    'triple fault at rip 0xffffffff81000007 init_module+0x7 (p.gasm:7)',
  ],
  [
    'a halt for good',
    program(' cli\n hlt'),
    1,
    'halted for good, with interrupts off, at rip 0xffffffff81000001 init_module+0x1 (p.gasm:7)',
  ],
  [
    'an access that the library makes',
    program(' extern inb\n mov edi, 0x2f0\n call inb\n mov edi, 0x2f0\n call inb\n xor eax, eax\n ret'),
    0,
    '/portio.gasm:17), called at p.gasm:8\n',
  ],
  [
    'a halt that nothing ends',
    program(' sti\n hlt\n jmp init_module'),
    1,
    'halted for good, for an interrupt that nothing will raise now, at rip 0xffffffff81000001 init_module+0x1 (p.gasm:7)',
  ],
  ['a failing init_module', program(' mov eax, -5\n ret'), 1, 'gvm: the guest ended with status 5'],
  [
    'a bad UUID',
    program(' ret', `; host: modprobe vmbuf\n; host: echo 123 > ${DIRECTORY}/create\n`),
    2,
    'p.gasm:2: error: echo: write error: Invalid argument',
  ],
  [
    'the same UUID twice',
    program(
      ' ret',
      `; host: modprobe vmbuf\n; host: echo ${UUID} > ${DIRECTORY}/create\n; host: echo ${UUID} > ${DIRECTORY}/create\n`,
    ),
    2,
    'p.gasm:3: error: echo: write error: File exists',
  ],
  [
    'an unknown module',
    program(' ret', '; host: modprobe nosuch\n'),
    2,
    'p.gasm:1: error: modprobe: FATAL: Module nosuch not found.',
  ],
  ['a bad module parameter', program(' ret', '; host: modprobe vmbuf bars=many\n'), 2, 'p.gasm:1: error: modprobe'],
  ['an unknown host command', program(' ret', '; host: frobnicate\n'), 2, 'p.gasm:1: error: sh: frobnicate: not found'],
  ['an open quote', program(' ret', '; host: echo "x\n'), 2, 'p.gasm:1: error: sh: syntax error'],
  ['an unknown option in the program', program(' ret', '; gvm: --frob\n'), 2, 'p.gasm:1: error: --frob is no option'],
  ['an option without its value', program(' ret', '; gvm: --plug\n'), 2, 'p.gasm:1: error: --plug takes a value'],
  ['a value for one without', program(' ret', '; gvm: --explain=1\n'), 2, 'p.gasm:1: error: --explain=1 is no option'],
  [
    'a value behind =',
    program(' ret', '; gvm: --costs=nosuch.json\n'),
    2,
    'gvm: --costs ./nosuch.json: No such file or directory',
  ],
  [
    'an unknown device',
    program(' ret', '; gvm: -device nosuch\n'),
    2,
    "-device nosuch: 'nosuch' is not a valid device model name",
  ],
  ['an unknown property', program(' ret', '; gvm: -device pci-bridge,chassis_nr=1,color=red\n'), 2, 'color'],
  [
    'a device that is not there',
    program(' ret', `; gvm: -device vfio-pci,sysfsdev=/sys/bus/mdev/devices/${UUID}\n`),
    2,
    'no such host device',
  ],
] as const)('%s', (_, source, status, message) => {
  const ran = gvmWith({ 'p.gasm': source }, 'run', 'p.gasm');
  expect(ran.stderr).toContain(message);
  expect(ran.status).toBe(status);
  expect(ran.stderr).not.toMatch(/^\s+at .*[:(]\d+/m);
});

test.each([
  [['run', 'missing.gasm'], 2, 'gvm: missing.gasm: No such file or directory'],
  [['run', '.'], 2, 'gvm: .: Is a directory'],
  [['run', '/dev/zero'], 2, 'gvm: /dev/zero: File too large'],
  ...['run', 'trace', 'stat', 'regs', 'mtree', 'lspci', 'asm', 'disasm'].map(
    (command) => [[command], 2, `gvm ${command}: a file is needed; see gvm ${command} --help\n`] as const,
  ),
  [['completion'], 2, 'gvm completion: a shell is needed'],
  [['stat', '--frob', 'x.gasm'], 2, 'gvm stat: there is no option --frob; see gvm stat --help\n'],
  [['asm', '--frob', 'x.gasm'], 2, 'gvm asm: there is no option --frob; see gvm asm --help\n'],
  [['run', 'a.gasm', 'b.gasm'], 2, 'one file at a time'],
  [
    ['run', 'programs/vm-buffer/vm-buffer.gasm', '--trase', 'x'],
    2,
    'gvm run: there is no option --trase; did you mean `--trace`? see gvm run --help\n',
  ],
  [['run', 'programs/vm-buffer/vm-buffer.gasm', '--trace', 'nosuch_*'], 2, "no event matches 'nosuch_*'"],
  [['run', 'programs/vm-buffer/vm-buffer.gasm', '--trace', 'kvm_pio[prot=1]'], 2, "event kvm_pio has no field 'prot'"],
  [
    ['run', 'programs/vm-buffer/vm-buffer.gasm', '--trace', 'kvm_pio[port=COM1]'],
    2,
    "gvm: --trace: kvm_pio[port=…] takes a number, or two with a - between, not 'COM1'\n",
  ],
  [
    ['run', 'programs/vm-buffer/vm-buffer.gasm', '--trace', 'kvm_pio[write=1]'],
    2,
    "kvm_pio[write=…] takes true or false, not '1'\n",
  ],
  [['run', 'x.gasm', '--timeout'], 2, 'gvm run: --timeout takes a value; see gvm run --help\n'],
  [['run', 'x.gasm', '--tier', 'fast'], 2, "--tier takes one of interpret, translate, auto, not 'fast'; see gvm"],
  [['walk', 'x.gasm'], 2, 'gvm walk: a file and an address are needed; see gvm walk --help\n'],
  [['run', 'programs/vm-buffer/vm-buffer.gasm', '--max-insns', '0'], 2, '--max-insns takes a number'],
  [['run', 'programs/vm-buffer/vm-buffer.gasm', '-m', 'much'], 2, "-m much: Parameter 'size' expects"],
  [['run', 'programs/vm-buffer/vm-buffer.gasm', '-device'], 2, '-device: requires an argument'],
  [['stat', 'programs/vm-buffer/vm-buffer.gasm', '--max-insns', 'x'], 2, 'gvm stat: --max-insns takes a number'],
  [['trace', 'x.gasm', '--max-insns', '-1'], 2, 'gvm trace: --max-insns takes a number of instructions, 1 or more\n'],
  [['walk', 'x.gasm', 'rax', '--max-insns', '0.5'], 2, 'gvm walk: --max-insns takes a number of instructions'],
  [['run', 'x.gasm', '--trace', '*', '--trace', 'nosuch'], 2, 'gvm: x.gasm: No such file or directory\n'],
  [['run', 'x.asm', '--flat', '0', '--trace', '*'], 2, '--trace means a machine, and --flat runs without one\n'],
  [['run', 'x.asm', '--flat', '0', '--plug', 'x'], 2, '--plug means a machine, and --flat runs without one\n'],
  [['run', 'x.asm', '--flat', '0', '-m', '1G'], 2, '-m means a machine, and --flat runs without one\n'],
  [
    ['walk', 'programs/vm-buffer/vm-buffer.gasm', '0', 'raxx'],
    2,
    "gvm walk: 'raxx' is neither an address nor a register nor a label of the program",
  ],
  [['ruin'], 2, "gvm: there is no command 'ruin'; did you mean `run`?"],
  [['fly'], 2, "gvm: there is no command 'fly'; there are run, trace,"],
  [[], 2, 'Commands:'],
  [['asm', 'missing.asm'], 2, 'gvm: missing.asm: No such file or directory'],
] as const)('gvm %j', (args, status, message) => {
  const ran = gvm(...args);
  expect(ran.stderr).toContain(message);
  expect(ran.status).toBe(status);
  expect(ran.stdout).toBe('');
});

test('a guest that loops for ever ends at the limit, and is told where it was', () => {
  const ran = gvmWith({ 'p.gasm': program('.l: jmp .l') }, 'run', 'p.gasm', '--max-insns', '100000');
  expect(ran.stderr).toContain(
    'gvm: stopped after 100000 guest instructions (--max-insns) at rip 0xffffffff81000000 init_module+0x0 (p.gasm:6)',
  );
  expect(ran.status).toBe(124);
});

test('of an option that is given twice the last counts', () => {
  const files = { 'p.gasm': program(' xor eax, eax\n ret') };
  expect(gvmWith(files, 'run', 'p.gasm', '--max-insns', '1', '--max-insns', '5').stderr).toContain('after 5 guest');
  expect(gvmWith(files, 'run', 'p.gasm', '--trace', 'nosuch', '--trace', 'kvm_userspace_exit').stderr).toMatch(
    /^\[kvm\] kvm_userspace_exit/m,
  );
  const { stdout, status } = gvmWith(
    files,
    'stat',
    'p.gasm',
    '--event',
    'mmio',
    '--event',
    'vmexit',
    '--vs',
    'q',
    '--vs',
    'p.gasm',
  );
  expect([stdout.includes('MMIO Access'), stdout.includes('VM-EXIT'), status]).toEqual([true, true, 0]);
});

test("--exit-map qemu gives isa-debug-exit's own status", () => {
  expect(gvmWith({ 'p.gasm': program(' xor eax, eax\n ret') }, 'run', 'p.gasm', '--exit-map', 'qemu').status).toBe(1);
  expect(gvmWith({ 'p.gasm': program(' mov eax, -3\n ret') }, 'run', 'p.gasm', '--exit-map', 'qemu').status).toBe(7);
});

test('a refused host command says which rule was broken', () => {
  const create = `; host: echo ${UUID} > ${DIRECTORY}/create\n`;
  const ran = gvmWith({ 'p.gasm': program(' ret', `; host: modprobe vmbuf\n${create}${create}`) }, 'run', 'p.gasm');
  expect(ran.stderr).toContain(`= note: mdev ${UUID} exists already on this host`);
});

test('--explain says the rule behind each errno that QEMU met', () => {
  const head = `; host: modprobe mtty\n; host: echo ${UUID} > /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create\n; gvm: -device vfio-pci,sysfsdev=/sys/bus/mdev/devices/${UUID}\n`;
  const files = { 'p.gasm': program(' xor eax, eax\n ret', head) };
  expect(gvmWith(files, 'run', 'p.gasm', '--explain').stderr).toMatch(/^\[explain\] E[A-Z]+: /m);
  expect(gvmWith(files, 'run', 'p.gasm').stderr).not.toContain('[explain]');
});

const full = existsSync('/dev/full') ? test : test.skip;
const PROGRAM = 'programs/vm-buffer/vm-buffer.gasm';
full.each([
  [['--help']],
  [['run', PROGRAM]],
  [['run', '-device', 'help']],
  [['run', '--trace', 'help']],
  [['stat', PROGRAM]],
  [['trace', PROGRAM]],
  [['regs', PROGRAM]],
  [['host', '-c', 'ls /']],
  [['asm', '-E', PROGRAM]],
  [['explain', 'add']],
  [['test', PROGRAM]],
  [['completion', 'bash']],
])('a full disk behind the stdout of gvm %j is told in a line; a reader that is gone, in none', (args) => {
  const into = (to: string) =>
    spawnSync('bash', ['-c', `set -o pipefail; "$0" '${COMMAND}' "$@" ${to}`, process.execPath, ...args], {
      cwd: ROOT,
      encoding: 'utf8',
    });
  const ran = into('> /dev/full');
  expect(ran.stderr.split('\n').slice(-2)).toEqual(['gvm: stdout: No space left on device', '']);
  expect([ran.status, ran.stderr.includes('internal error')]).toEqual([2, false]);
  // Nobody to tell.
  expect(into('> /dev/full 2> /dev/full').status).toBe(2);
  const gone = into('| exec 0<&-');
  expect([gone.status, gone.stderr.includes('gvm:')]).toEqual([141, false]);
});

test.each([
  ['-devcie', 'gvm run: there is no option -devcie; did you mean `-device`?'],
  ['-loadvm', 'gvm run: there is no option -loadvm;'],
])('one dash and a word is an option of QEMU’s, not letters: %s', (option, message) => {
  const { stderr, status } = gvm('run', 'programs/lessons/01-hello-port.gasm', option, 'x');
  expect(stderr).toBe(`${message} see gvm run -help for QEMU's, gvm run --help for gvm's own\n`);
  expect(status).toBe(2);
});

test.each(['-help', '-h'])('gvm run %s lists QEMU’s options', (word) => {
  const { stdout, status } = gvm('run', word);
  expect(stdout).toMatch(/^-m \[size=\]MEGS\[KMG\] .*\n-device NAME\[,PROPERTY=VALUE\]… /);
  expect(status).toBe(0);
});

test.each(['run', 'stat', 'trace', 'regs', 'lspci'])(
  'gvm %s takes NASM’s letters with their values glued',
  (command) => {
    const source = '%include "more.inc"\n%ifndef GIVEN\n%error not given\n%endif\n';
    const files = { 'x.gasm': program(' xor eax, eax\n ret', source), 'more/more.inc': '; nothing\n' };
    const { stderr, status } = gvmWith(files, command, 'x.gasm', '-DGIVEN=1', '-Imore');
    expect([status, stderr.includes('error')]).toEqual([0, false]);
  },
);

/** Whole guests: how QEMU starts, what it gives the guest, how it ends. */

import { describe, expect, test } from 'vitest';
import { exitWith, Host } from './bench.ts';

const DEBUG_EXIT = ['-device', 'isa-debug-exit'];

describe('how it ends', () => {
  test.each([
    ['0', 1],
    ['1', 3],
    ['0x7fffffff', 0xffff_ffff],
    ['-22', 0xffff_ffea * 2 + 1],
  ])('isa-debug-exit: %s makes (v << 1) | 1', (value, code) => {
    expect(new Host().qemu(DEBUG_EXIT, exitWith(value)).end).toEqual({ reason: 'debug-exit', code });
  });

  test('isa-debug-exit sits where iobase says', () => {
    const argv = ['-device', 'isa-debug-exit,iobase=0xf4,iosize=4'];
    const guest = `${exitWith('1')}\nmov al, 5\nout 0xf4, al\n`;
    expect(new Host().qemu(argv, guest).end).toEqual({ reason: 'debug-exit', code: 11 });
  });

  test('a triple fault asks for a reset, and there is none: shutdown', () => {
    expect(new Host().qemu(DEBUG_EXIT, 'ud2').end).toEqual({ reason: 'shutdown', code: 0 });
  });

  test('hlt with nothing to wake it', () => {
    expect(new Host().qemu(DEBUG_EXIT, 'cli\nhlt').end).toEqual({ reason: 'halted', code: 0 });
  });

  test('the instruction limit interrupts KVM_RUN', () => {
    const host = new Host();
    host.kvm.instructionLimit = 10_000;
    expect(host.qemu(DEBUG_EXIT, 'here: jmp here').end).toEqual({ reason: 'interrupted', code: 0 });
  });

  test('everything is closed and unmapped afterwards', () => {
    const host = new Host();
    const before = host.kernel.pages.used;
    host.createMdev('mtty');
    const withMdev = host.kernel.pages.used;
    const used = () => {
      host.qemu(
        [...DEBUG_EXIT, '-device', `vfio-pci,sysfsdev=/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001`],
        exitWith('0'),
      );
      return host.kernel.pages.used;
    };
    expect(used()).toBe(withMdev);
    expect(used()).toBe(withMdev);
    expect(withMdev).toBe(before);
    expect(host.kvm.vms).toEqual([]);
  });
});

describe('what the guest finds at its entry', () => {
  /** Run `check`, which leaves a truth in al, and see it as the status. */
  const holds = (check: string) =>
    new Host().qemu(DEBUG_EXIT, `${check}\nmovzx eax, al\nmov dx, 0x501\nout dx, eax`).end?.code;
  const TRUE = 3;

  test.each([
    ['long mode with paging', 'mov rax, cr0\nbt rax, 31\nsetc al'],
    ['interrupts off', 'mov rsp, 0x80000\npushfq\npop rax\nbt rax, 9\nsetnc al'],
    ['ring 0 in __BOOT_CS', 'mov ax, cs\ncmp ax, 0x10\nsete al'],
    ['__BOOT_DS', 'mov ax, ds\ncmp ax, 0x18\nsete al'],
    ['boot_params in rsi', 'cmp rsi, 0x10000\nsete al'],
    ['one e820 entry', 'cmp byte [rsi + 0x1e8], 1\nsete al'],
    ['e820: RAM from 0', 'cmp qword [rsi + 0x2d0], 0\nsete al'],
    ['e820: 64 MiB', 'cmp qword [rsi + 0x2d8], 64 << 20\nsete al'],
    ['e820: type RAM', 'cmp dword [rsi + 0x2e0], 1\nsete al'],
    ['rsp 0', 'test rsp, rsp\nsetz al'],
    [
      'the direct map and the identity map show the same',
      'mov rbx, 0xffff888000010000\nmov rcx, [rbx + 0x2d8]\ncmp rcx, [0x102d8]\nsete al',
    ],
    ['itself at 16 MiB', 'lea rbx, [rel startup_64]\nmov rcx, [rbx]\ncmp rcx, [abs 0x1000000]\nsete al'],
  ])('%s', (_what, check) => {
    expect(holds(check)).toBe(TRUE);
  });

  test('a null pointer faults: with no IDT, that is a triple fault', () => {
    expect(new Host().qemu(DEBUG_EXIT, 'mov al, [abs 8]').end?.reason).toBe('shutdown');
    expect(new Host().qemu(DEBUG_EXIT, `mov al, [abs 0x1000]\n${exitWith('0')}`).end?.reason).toBe('debug-exit');
  });

  test('-m sets the memory map', () => {
    const guest = 'cmp qword [rsi + 0x2d8], 32 << 20\nsete al\nmovzx eax, al\nmov dx, 0x501\nout dx, eax';
    expect(new Host().qemu(['-m', '32', ...DEBUG_EXIT], guest).end?.code).toBe(3);
  });
});

describe('devices of the board', () => {
  const say = (text: string) =>
    [...text].map((c) => `mov dx, 0x3f8\nmov al, ${c.charCodeAt(0)}\nout dx, al\n`).join('');

  test('COM1 writes on stdout, a byte at a time', () => {
    const { stdout, trace } = new Host().qemu(DEBUG_EXIT, say('Hi\n') + exitWith('0'), 'sys_write');
    expect(stdout).toBe('Hi\n');
    expect(trace.filter((line) => line.includes('write(1<'))).toHaveLength(3);
  });

  test('-nodefaults leaves the port out, -serial stdio brings it back', () => {
    expect(new Host().qemu(['-nodefaults', ...DEBUG_EXIT], say('Hi') + exitWith('0')).stdout).toBe('');
    const argv = ['-nodefaults', '-serial', 'stdio', ...DEBUG_EXIT];
    expect(new Host().qemu(argv, say('Hi') + exitWith('0')).stdout).toBe('Hi');
  });

  test('outsb to COM1 arrives whole', () => {
    const guest = `lea rsi, [rel text]\nmov ecx, 3\nmov dx, 0x3f8\ncld\nrep outsb\n${exitWith('0')}\ntext: db 'abc'`;
    expect(new Host().qemu(DEBUG_EXIT, guest).stdout).toBe('abc');
  });

  test('a memory hole reads 0 and takes writes', () => {
    const guest = `mov rbx, 0x8000000\nmov dword [rbx], 5\nmov eax, [rbx]\nmov dx, 0x501\nout dx, eax`;
    expect(new Host().qemu(DEBUG_EXIT, guest).end).toEqual({ reason: 'debug-exit', code: 1 });
  });

  test('a user page outlives nothing: two runs on one host give the same', () => {
    const run = () => {
      const { stdout, trace, end } = new Host().qemu(DEBUG_EXIT, say('x') + exitWith('3'), 'sys_*,kvm_*');
      return JSON.stringify({ stdout, trace, end });
    };
    expect(run()).toBe(run());
  });
});

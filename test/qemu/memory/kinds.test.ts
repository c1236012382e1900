/** ROM, ROM devices, mapped device memory, the re-entrancy guard; what KVM is told of eventfds and coalesced ranges. */

import { describe, expect, test } from 'vitest';
import { GiB, hva } from '../../../src/address.ts';
import { matchingEvents } from '../../../src/event.ts';
import { MEMTX_ACCESS_ERROR, MEMTX_DECODE_ERROR, MEMTX_OK } from '../../../src/qemu/memory/access.ts';
import type { OddAccess } from '../../../src/qemu/memory/address-space.ts';
import { type MemoryRegionOps, sizes } from '../../../src/qemu/memory/region.ts';
import { exitWith, Host } from '../bench.ts';
import { Unplugged } from '../pci/unplugged.ts';
import { Recorder, read, topologyOf, write } from './io-space.ts';

/** A machine, the first byte of a mapping of its process, and what QEMU asks of KVM (addresses of the process left out). */
function board(events = 'kvm_set_user_memory,kvm_set_ioeventfd_*,sys_ioctl') {
  const unplugged = new Unplugged([], { firmware: true });
  const { machine } = unplugged;
  const host = hva(machine.system.syscalls.mmap(0x4000, 3, 0x22, -1, 0));
  const trace: string[] = [];
  for (const stream of [unplugged.stream, unplugged.host.stream]) {
    stream.subscribe(matchingEvents(events), ({ event, fields }) => trace.push(event.text(fields as never)));
  }
  return { unplugged, machine, host, trace, root: machine.memory.root };
}

describe('ROM', () => {
  test('reads as memory; a write is a decode error and changes nothing', () => {
    const { machine, host, root } = board();
    machine.system.memory.write(host, Uint8Array.of(1, 2, 3, 4));
    root.addSubregion(GiB(3), machine.topology.rom('rom', 0x1000, host));
    expect(write(machine.memory, GiB(3), 4, 0xffff_ffffn)).toBe(MEMTX_DECODE_ERROR);
    expect(read(machine.memory, GiB(3), 4)).toBe(0x0403_0201n);
  });
});

describe('a ROM device', () => {
  test('is a read-only slot, written by callbacks; out of ROM mode it has no slot and is read by them too', () => {
    const { machine, host, root, trace } = board('kvm_set_user_memory');
    const recorder = new Recorder();
    const flash = machine.topology.romDevice('flash', 0x1000, host, recorder.ops('flash', sizes(1, 4), sizes(1, 4)));
    root.addSubregion(GiB(3), flash);
    machine.system.memory.write(host, Uint8Array.of(0x55));
    expect(read(machine.memory, GiB(3), 1)).toBe(0x55n);
    expect(write(machine.memory, GiB(3) + 4, 2, 0xaabbn)).toBe(MEMTX_OK);
    flash.setRomd(false);
    expect(read(machine.memory, GiB(3) + 8, 1)).toBe(8n);
    expect(recorder.calls).toEqual(['flash: write 2 @4 = 0xaabb', 'flash: read 1 @8 = 0x8']);
    expect(trace.map((line) => line.replace(/ ua=\S+/, ''))).toEqual([
      'Slot#1 flags=0x2 gpa=0xc0000000 size=0x1000 ret=0',
      'Slot#1 flags=0x0 gpa=0xc0000000 size=0x0 ret=0',
    ]);
  });
});

describe('a RAM device', () => {
  test('is a writable slot; QEMU’s own accesses keep their width, unaligned ones too', () => {
    const { machine, host, root, trace } = board('kvm_set_user_memory');
    root.addSubregion(GiB(3), machine.topology.ramDevice('bar', 0x1000, host));
    expect(trace.map((line) => line.replace(/ ua=\S+/, ''))).toEqual([
      'Slot#1 flags=0x0 gpa=0xc0000000 size=0x1000 ret=0',
    ]);
    write(machine.memory, GiB(3) + 1, 4, 0x4433_2211n);
    write(machine.memory, GiB(3) + 8, 8, 0x8877_6655_4433_2211n);
    expect([...machine.system.memory.read(host, 5)]).toEqual([0, 0x11, 0x22, 0x33, 0x44]);
    expect(read(machine.memory, GiB(3) + 3, 2)).toBe(0x4433n);
    expect(read(machine.memory, GiB(3) + 8, 8)).toBe(0x8877_6655_4433_2211n);
  });
});

test('an access to a RAM device ends with what of it is seen, one to registers does not', () => {
  const { machine, host, root } = board();
  root.addSubregion(GiB(3), machine.topology.ramDevice('bar', 0x1000, host), 1);
  const recorder = new Recorder();
  root.addSubregion(GiB(3) + 0xffc, machine.topology.io('next', 8, recorder.ops('next', sizes(1, 8), sizes(1, 8))), 2);
  write(machine.memory, GiB(3) + 0xff8, 8, 0x8877_6655_4433_2211n);
  expect([...machine.system.memory.read(hva(host + 0xff8), 8)]).toEqual([0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0]);
  expect(recorder.calls).toEqual(['next: write 4 @0 = 0x88776655']);
  expect(read(machine.memory, GiB(3) + 0xff8, 8)).toBe(0x0302_0100_4433_2211n);
});

describe('the re-entrancy guard', () => {
  /** A device that, when written, writes to `target` in the same space. */
  function nesting(target: number) {
    const topology = topologyOf();
    const root = topology.container('root', 0x1_0000);
    const space = topology.addressSpace('memory', root);
    const odd: OddAccess[] = [];
    space.onOddAccess = (access) => odd.push(access);
    const results: number[] = [];
    const ops: MemoryRegionOps = {
      read: () => 0,
      write: () => results.push(write(space, target, 4, 1n)),
      valid: sizes(1, 4),
      impl: sizes(1, 4),
    };
    const guard = { engaged: false };
    root.addSubregion(0, topology.io('dma', 16, ops, guard));
    root.addSubregion(0x100, topology.io('same', 16, ops, guard));
    const recorder = new Recorder();
    root.addSubregion(0x200, topology.io('other', 16, recorder.ops('other', sizes(1, 4), sizes(1, 4))));
    return { space, odd, results, recorder };
  }

  test.each([0, 0x100])('a device’s access to its own region at 0x%x is refused', (target) => {
    const { space, odd, results } = nesting(target);
    expect(write(space, 0, 4, 1n)).toBe(MEMTX_OK);
    expect(results).toEqual([MEMTX_ACCESS_ERROR]);
    expect(odd).toMatchObject([{ why: 'nested', address: target }]);
    write(space, 0, 4, 1n);
    expect(results).toHaveLength(2);
  });

  test('another device’s is not', () => {
    const { space, results, recorder } = nesting(0x200);
    write(space, 0, 4, 1n);
    expect([results, recorder.calls]).toEqual([[MEMTX_OK], ['other: write 4 @0 = 0x1']]);
  });
});

describe('ioeventfds of regions', () => {
  const eventfdOf = (b: ReturnType<typeof board>) => b.machine.system.eventNotifier();
  const ops = new Recorder().ops('dev', sizes(1, 4), sizes(1, 4));

  test('stand where the region is visible, and move with it', () => {
    const b = board('kvm_set_ioeventfd_*');
    const { machine, root, trace } = b;
    const fd = eventfdOf(b);
    const region = machine.topology.io('dev', 0x1000, ops);
    const eventfd = { offset: 0x10, size: 4, data: 0xfan, fd };
    region.addEventfd(eventfd);
    expect(trace).toEqual([]);
    root.addSubregion(GiB(3), region);
    root.deleteSubregion(region);
    root.addSubregion(0xf000_0000, region);
    region.deleteEventfd(eventfd);
    expect(trace).toEqual([
      `fd: ${fd} @0xc0000010 val=0xfa assign: 1 size: 4 match: 1`,
      `fd: ${fd} @0xc0000010 val=0xfa assign: 0 size: 4 match: 1`,
      `fd: ${fd} @0xf0000010 val=0xfa assign: 1 size: 4 match: 1`,
      `fd: ${fd} @0xf0000010 val=0xfa assign: 0 size: 4 match: 1`,
    ]);
  });

  test('one behind the end of what is visible does not exist', () => {
    const b = board('kvm_set_ioeventfd_*');
    const region = b.machine.topology.io('dev', 0x1000, ops);
    for (const offset of [0x3fc, 0x3fd]) region.addEventfd({ offset, size: 4, data: undefined, fd: eventfdOf(b) });
    b.root.addSubregion(GiB(3), b.machine.topology.alias('part', region, 0, 0x400));
    expect(b.trace).toEqual([expect.stringMatching(/@0xc00003fc val=0x0 assign: 1 size: 4 match: 0$/)]);
  });

  test('of ports go to the port bus, with 16 bits of data', () => {
    const b = board('kvm_set_ioeventfd_*');
    const region = b.machine.topology.io('dev', 8, ops);
    region.addEventfd({ offset: 2, size: 2, data: 0x1_2345n, fd: eventfdOf(b) });
    b.machine.isaIo.addSubregion(0xc000, region);
    expect(b.trace).toEqual([expect.stringMatching(/@0xc002 val=0x2345 assign: 1 size: 2 match: 1$/)]);
  });

  test('of memory match 32 bits, however wide they are', () => {
    const b = board('kvm_set_ioeventfd_*');
    const region = b.machine.topology.io('dev', 8, ops);
    region.addEventfd({ offset: 0, size: 8, data: 0x5_0000_0007n, fd: eventfdOf(b) });
    b.root.addSubregion(GiB(3), region);
    expect(b.trace).toEqual([expect.stringMatching(/@0xc0000000 val=0x7 assign: 1 size: 8 match: 1$/)]);
  });

  test('come and go in order of their addresses where windows change places', () => {
    const b = board('kvm_set_ioeventfd_*');
    const one = b.machine.topology.io('one', 8, ops);
    const two = b.machine.topology.io('two', 8, ops);
    for (const region of [one, two]) region.addEventfd({ offset: 0, size: 4, data: undefined, fd: eventfdOf(b) });
    b.root.addSubregion(GiB(2), one);
    b.root.addSubregion(GiB(3), two);
    b.trace.length = 0;
    b.machine.topology.transaction(() => {
      b.root.deleteSubregion(one);
      b.root.deleteSubregion(two);
      b.root.addSubregion(GiB(1), two);
      b.root.addSubregion(GiB(2) + 8, one);
    });
    expect(b.trace.map((line) => /@(\w+) .*assign: (\d)/.exec(line)?.slice(1).join(' '))).toEqual([
      '0x40000000 1',
      '0x80000000 0',
      '0x80000008 1',
      '0xc0000000 0',
    ]);
  });

  test('two that match the same writes end QEMU, as KVM refuses the second', () => {
    const b = board();
    const region = b.machine.topology.io('dev', 8, ops);
    for (let i = 0; i < 2; i++) region.addEventfd({ offset: 0, size: 0, data: undefined, fd: eventfdOf(b) });
    expect(() => b.root.addSubregion(GiB(3), region)).toThrow(
      'kvm_mem_ioeventfd_add: error adding ioeventfd: File exists',
    );
  });
});

describe('coalesced ranges', () => {
  test('are told as far as they are visible, and taken back', () => {
    const topology = topologyOf();
    const root = topology.container('root', 0x1_0000);
    const space = topology.addressSpace('memory', root);
    const told: string[] = [];
    space.register({
      name: 'kvm',
      priority: 10,
      regionAdd() {},
      regionDelete() {},
      coalescedAdd: (start, size) => told.push(`+0x${start.toString(16)}+${size}`),
      coalescedDelete: (start, size) => told.push(`-0x${start.toString(16)}+${size}`),
    });
    const recorder = new Recorder();
    const index = topology.io('index', 4, recorder.ops('index', sizes(0, 0), sizes(0, 0)));
    index.addCoalescing(0, 4);
    root.addSubregion(0xcf8, index);
    // A byte of another device inside splits the zone: a dword no longer fits one.
    root.addSubregion(0xcf9, topology.io('reset', 1, recorder.ops('reset', sizes(0, 0), sizes(0, 0))), 1);
    expect(told).toEqual(['+0xcf8+4', '-0xcf8+4', '+0xcf8+1', '+0xcfa+2']);
  });

  test('an access to the region finds the ring flushed', () => {
    const topology = topologyOf();
    const root = topology.container('root', 0x1_0000);
    const space = topology.addressSpace('memory', root);
    const recorder = new Recorder();
    const data = topology.io('data', 4, recorder.ops('data', sizes(0, 0), sizes(0, 0)));
    data.setFlushCoalesced();
    root.addSubregion(0, data);
    topology.flushCoalesced = () => recorder.calls.push('flush');
    read(space, 0, 4);
    expect(recorder.calls).toEqual(['flush', expect.stringContaining('read 4 @0')]);
  });
});

describe('warnings name the place, once', () => {
  const loop = (access: string) => `mov ecx, 3\nagain: ${access}\ndec ecx\njnz again\n${exitWith('0')}`;
  test.each([
    ['mov rax, [0x8000000]', 'guest read of 8 bytes at address 0x8000000: nothing is there, reads 0'],
    ['mov byte [0x8000000], 1', 'guest write of 1 byte at address 0x8000000: nothing is there, ignored'],
    ['in al, 0x99', 'guest read of 1 byte at port 0x99: nothing is there, reads all ones'],
    ['out 0x99, eax', 'guest write of 4 bytes at port 0x99: nothing is there, ignored'],
    ['mov dx, 0x3fe\nout dx, eax', "guest write of 4 bytes at port 0x3fe: goes over the end of 'serial', cut there"],
    [
      'mov dx, 0x3f6\nout dx, eax',
      'guest write of 4 bytes at port 0x3f6: goes over the end of unassigned space, cut there',
    ],
    ['mov dx, 0xffff\nout dx, eax', 'guest write of 4 bytes at port 0xffff: nothing is there, ignored'],
    ['mov dx, 0xffff\nin ax, dx', 'guest read of 2 bytes at port 0xffff: nothing is there, reads all ones'],
  ])('%s', (access, warning) => {
    const { stderr, end } = new Host().qemu(['-m', '64M', '-device', 'isa-debug-exit'], loop(access));
    const lines = stderr.trimEnd().split('\n');
    expect(lines[0]).toMatch(
      new RegExp(`warning: ${warning.replace(/[()]/g, '.')}, at rip 0xffffffff8100[0-9a-f]{4}$`),
    );
    expect(lines.filter((line) => line.includes(' at rip '))).toHaveLength(1);
    expect(end).toEqual({ reason: 'debug-exit', code: 1 });
  });

  test.each(['out 0x80, al', 'out 0x80, eax', 'in al, 0x80', 'out 0xf0, al', 'in ax, 0xf0'])(
    'none for `%s`: the board has that port',
    (access) => {
      const { stderr, end } = new Host().qemu(['-m', '64M', '-device', 'isa-debug-exit'], loop(access));
      expect(stderr).toBe('');
      expect(end).toEqual({ reason: 'debug-exit', code: 1 });
    },
  );

  test('a BAR that is there, but switched off, is named', () => {
    // edu's BAR 0 at 0x8000000, and COMMAND as it is after power-on; then with memory decoding.
    const config = (register: number, value: number) =>
      `mov dx, 0xcf8\nmov eax, 0x80002000 + ${register}\nout dx, eax\nmov dx, 0xcfc\nmov eax, ${value}\nout dx, eax\n`;
    const { stderr } = new Host().qemu(
      ['-m', '64M', '-device', 'isa-debug-exit', '-device', 'edu,addr=4'],
      `${config(0x10, 0x8000000)}mov eax, [0x8000004]\n${config(4, 2)}mov eax, [0x8000004]\n${exitWith('0')}`,
    );
    expect(stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(
        /read of 4 bytes at address 0x8000004: nothing is there, reads 0: BAR 0 of 00:04.0 \(edu\) is switched off in its command register \(see pci_enable_device\), at rip/,
      ),
    ]);
  });

  test('a write’s place is the write’s, although rip is past it when the write is served', () => {
    const places = ['mov al, [0x8000000]', 'mov [0x8000000], al', 'lock inc byte [0x8000000]', 'in al, 0x99'].map(
      (access) => {
        const { stderr } = new Host().qemu(['-m', '64M', '-device', 'isa-debug-exit'], loop(access));
        return [...stderr.matchAll(/at rip (0x[0-9a-f]+)/g)].map(([, rip]) => rip);
      },
    );
    expect(new Set(places.flat()).size).toBe(1);
  });
});

/** The roads of one guest access through KVM_RUN: events in their order, kvm_run, and completion at re-entry. */

import { describe, expect, test } from 'vitest';
import type { Gpa } from '../../../src/address.ts';
import { EXIT_REASON } from '../../../src/hardware/vcpu/exit.ts';
import type { IoDevice } from '../../../src/linux/kvm/io-bus.ts';
import { EINTR, EINVAL } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Bench } from './bench.ts';
import { load, memoryAccess, portAccess, type Step, store } from './scripted-cpu.ts';

const exitWith =
  (reason: Parameters<typeof Object.is>[0]): Step =>
  (cpu) => {
    cpu.exit.instructionLength = 2;
    cpu.exit.qualification = 0;
    return reason;
  };

describe('OUT', () => {
  test('to user space: the event order of the captures, RIP at the instruction until re-entry', () => {
    const bench = new Bench();
    bench.listen('kvm_*,!kvm_mmu_get_page');
    bench.cpu.setRegister(0, 0xffff_ffff_ddcc_bbaan);
    expect(bench.enter(portAccess(4, false, 0xc106))).toBe(0);
    expect(bench.exitReason).toBe(run.KVM_EXIT_IO);
    expect(run.kvm_run_io.read(bench.run, run.KVM_RUN_UNION)).toEqual({
      direction: 1,
      size: 4,
      port: 0xc106,
      count: 1,
      data_offset: 0x1000n,
    });
    expect([...bench.pioData.subarray(0, 4)]).toEqual([0xaa, 0xbb, 0xcc, 0xdd]);
    expect(bench.cpu.rip).toBe(0x1000n);
    bench.enter();
    expect(bench.events.slice(0, 4)).toEqual([
      'kvm_entry: vcpu 0, rip 0x1000',
      'kvm_exit: vcpu 0 reason IO_INSTRUCTION rip 0x1000 info1 0x00000000c1060003 info2 0x0000000000000000 ' +
        'intr_info 0x00000000 error_code 0x00000000',
      'kvm_pio: pio_write at 0xc106 size 4 count 1 val 0xddccbbaa ',
      'kvm_userspace_exit: reason KVM_EXIT_IO (2)',
    ]);
    expect(bench.events[4]).toBe('kvm_entry: vcpu 0, rip 0x1001');
  });

  test('RIP moved by user space: the access is over, nothing is skipped', () => {
    const bench = new Bench();
    bench.enter(portAccess(1, false, 0x80));
    bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_REGS, uapi.kvm_regs, { rip: 0x5000n });
    let entered = 0n;
    bench.enter((cpu) => {
      entered = cpu.rip;
      return EXIT_REASON.HLT;
    });
    expect(entered).toBe(0x5000n);
  });

  test('port 0x7e: RIP is past the instruction before user space sees it', () => {
    const bench = new Bench();
    bench.enter(portAccess(1, false, 0x7e));
    expect(bench.cpu.rip).toBe(0x1001n);
    bench.enter();
    expect(bench.cpu.rip).toBe(0x1002n); // the HLT
  });

  test('to a device in the kernel: kvm_exit, kvm_pio, kvm_entry, and user space sees nothing', () => {
    const bench = new Bench();
    const written: number[][] = [];
    const device: IoDevice = {
      write: (port, data) => {
        written.push([port, ...data]);
        return 0;
      },
    };
    bench.vm.pioBus.register(0x40, 4, device);
    bench.listen('kvm_exit,kvm_pio,kvm_entry,kvm_userspace_exit');
    bench.cpu.setRegister(0, 0x1234n);
    expect(bench.enter(portAccess(2, false, 0x41))).toBe(0);
    expect(written).toEqual([[0x41, 0x34, 0x12]]);
    expect(bench.events.map((line) => line.split(':')[0])).toEqual([
      'kvm_entry',
      'kvm_exit',
      'kvm_pio',
      'kvm_entry',
      'kvm_exit',
      'kvm_userspace_exit',
    ]);
    expect(bench.exitReason).toBe(run.KVM_EXIT_HLT);
  });
});

describe('IN', () => {
  test.each([
    [1, 0x1122_3344_5566_77f0n],
    [2, 0x1122_3344_5566_f1f0n],
    [4, 0x0000_0000_f3f2_f1f0n],
  ] as const)('of %i bytes is merged into RAX at re-entry; kvm_pio comes with the value', (size, rax) => {
    const bench = new Bench();
    bench.listen('kvm_pio,kvm_userspace_exit,kvm_entry');
    bench.cpu.setRegister(0, 0x1122_3344_5566_7788n);
    bench.enter(portAccess(size, true, 0xcfc));
    expect(bench.run.getUint8(run.RUN_IO_DIRECTION)).toBe(0);
    bench.pioData.set([0xf0, 0xf1, 0xf2, 0xf3]);
    bench.enter();
    expect(bench.cpu.register(0)).toBe(rax);
    expect(bench.events.slice(1, 4)).toEqual([
      'kvm_userspace_exit: reason KVM_EXIT_IO (2)',
      `kvm_pio: pio_read at 0xcfc size ${size} count 1 val 0x${(0xf3f2f1f0 % 2 ** (8 * size)).toString(16)} `,
      'kvm_entry: vcpu 0, rip 0x1001',
    ]);
  });

  test('RIP moved by user space: the value is dropped', () => {
    const bench = new Bench();
    bench.cpu.setRegister(0, 7n);
    bench.enter(portAccess(4, true, 0xcfc));
    bench.cpu.rip = 0x5000n;
    bench.enter();
    expect(bench.cpu.register(0)).toBe(7n);
  });

  test('immediate_exit finishes the instruction and returns EINTR without entering the guest', () => {
    const bench = new Bench();
    bench.listen('kvm_userspace_exit');
    bench.enter(portAccess(1, true, 0x60));
    const { entries } = bench.cpu;
    bench.pioData[0] = 0x5a;
    bench.run.setUint8(run.RUN_IMMEDIATE_EXIT, 1);
    expect(bench.enter()).toBe(-EINTR);
    expect(bench.cpu.entries).toBe(entries);
    expect(bench.cpu.register(0)).toBe(0x5an);
    expect(bench.cpu.rip).toBe(0x1001n);
    expect(bench.events.at(-1)).toBe('kvm_userspace_exit: reason restart (4)');
  });
});

describe('string I/O', () => {
  const RCX = 1;
  const RDI = 7;

  test('REP OUTS: one element an exit, registers already moved on, RIP still there', () => {
    const bench = new Bench();
    bench.cpu.setRegister(RCX, 3n);
    bench.cpu.instruction = (port, cpu) => {
      port.writePort(0x3f8, Uint8Array.of(0x41 + Number(cpu.register(RCX))));
      cpu.setRegister(RCX, cpu.register(RCX) - 1n);
      return 'paused';
    };
    const seen: number[] = [];
    for (let i = 0; i < 3; i++) {
      bench.enter(portAccess(1, false, 0x3f8, true, true));
      expect(bench.run.getUint32(run.RUN_IO_COUNT, true)).toBe(1);
      expect([bench.cpu.register(RCX), bench.cpu.rip]).toEqual([BigInt(2 - i), 0x1000n]);
      seen.push(bench.pioData[0]!);
    }
    expect(seen).toEqual([0x44, 0x43, 0x42]);
  });

  test('REP OUTS to a device in the kernel stays in the emulator', () => {
    const bench = new Bench();
    let count = 0;
    bench.vm.pioBus.register(0x3f8, 1, {
      write: () => {
        count++;
        return 0;
      },
    });
    bench.cpu.setRegister(RCX, 5n);
    bench.cpu.instruction = (port, cpu) => {
      port.writePort(0x3f8, Uint8Array.of(1));
      cpu.setRegister(RCX, cpu.register(RCX) - 1n);
      return 'paused';
    };
    const { entries } = bench.cpu;
    bench.enter(portAccess(1, false, 0x3f8, true, true));
    expect([count, bench.cpu.entries - entries]).toEqual([5, 2]);
  });

  // [RCX, RDI, size, elements of the first exit]
  test.each([
    [4n, 0x2000n, 1, 4],
    [512n, 0x2000n, 1, 512],
    [4096n, 0x2000n, 1, 1024],
    [256n, 0x2000n, 2, 256],
    [4096n, 0x2000n, 2, 512],
    [100n, 0x2ff0n, 1, 16],
    [100n, 0x2ff0n, 2, 16], // bytes to the end of the page, taken for a count
  ] as const)('REP INS of %i at %i, size %i: one exit of %i elements', (count, rdi, size, elements) => {
    const bench = new Bench();
    bench.listen('kvm_pio');
    const read: number[] = [];
    bench.cpu.setRegister(RCX, count);
    bench.cpu.setRegister(RDI, rdi);
    bench.cpu.instruction = (port, cpu) => {
      const data = new Uint8Array(size);
      if (port.readPort(0xc100, data) === 'later') return 'userspace';
      read.push(data[0]!);
      cpu.setRegister(RCX, cpu.register(RCX) - 1n);
      return 'paused';
    };
    bench.enter(portAccess(size, true, 0xc100, true, true));
    expect(bench.run.getUint32(run.RUN_IO_COUNT, true)).toBe(elements);
    expect(bench.cpu.register(RCX)).toBe(count);
    for (let i = 0; i < elements; i++) bench.pioData[i * size] = i & 0xff;
    bench.enter();
    expect(read).toEqual(Array.from({ length: elements }, (_, i) => i & 0xff));
    expect(bench.events[0]).toBe(`kvm_pio: pio_read at 0xc100 size ${size} count ${elements} val 0x0 (...)`);
  });
});

describe('MMIO', () => {
  const BAR = 0xfebc0000;

  test('first write: violation, MMIO entry, emulated in the same exit; RIP past the instruction', () => {
    const bench = new Bench();
    bench.listen('*,!kvm_entry,!sys_*,!kvm_tdp*,!kvm_mmu_spte*,!kvm_mmu_get_page');
    bench.enter(memoryAccess(BAR, true, store(BAR, [1, 2, 3, 4])));
    expect(bench.events).toEqual([
      `kvm_exit: vcpu 0 reason EPT_VIOLATION rip 0x1000 info1 0x0000000000000182 info2 0x0000000000000000 ` +
        'intr_info 0x00000000 error_code 0x00000000',
      'kvm_page_fault: vcpu 0 rip 0x1000 address 0x00000000febc0000 error_code 0x182',
      expect.stringMatching(/^mark_mmio_spte: sptep:ffff8880[0-9a-f]{8} gfn febc0 access 6 gen 0$/),
      'kvm_emulate_insn: 0:1000: (prot64)',
      'vcpu_match_mmio: gva 0xfebc0000 gpa 0xfebc0000 Write GPA',
      'kvm_mmio: mmio write len 4 gpa 0xfebc0000 val 0x4030201',
      'kvm_userspace_exit: reason KVM_EXIT_MMIO (6)',
    ]);
    expect(run.kvm_run_mmio.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({
      phys_addr: BigInt(BAR),
      len: 4,
      is_write: 1,
    });
    expect(run.kvm_run_mmio.read(bench.run, run.KVM_RUN_UNION).data.subarray(0, 4)).toEqual(Uint8Array.of(1, 2, 3, 4));
    expect(bench.cpu.rip).toBe(0x1003n);
  });

  test('a later access misconfigures; with the vCPU’s memory of the page there is nothing between exit and emulation', () => {
    const bench = new Bench();
    bench.enter(memoryAccess(BAR, true, store(BAR, [1])));
    bench.listen('kvm_exit,kvm_page_fault,check_mmio_spte,handle_mmio_page_fault,kvm_mmio');
    bench.enter(memoryAccess(BAR + 8, true, store(BAR + 8, [2])));
    expect(bench.events.map((line) => line.split(' rip')[0])).toEqual([
      'kvm_exit: vcpu 0 reason EPT_MISCONFIG',
      'kvm_mmio: mmio write len 1 gpa 0xfebc0008 val 0x2',
    ]);
  });

  test('without it the entry’s generation is checked; a change of the slots makes it stale', () => {
    const bench = new Bench();
    const touch = (at: number) => bench.enter(memoryAccess(at, true, store(at, [1])));
    touch(BAR);
    touch(BAR + 0x1000);
    bench.listen('check_mmio_spte,handle_mmio_page_fault,mark_mmio_spte');
    touch(BAR);
    expect(bench.events).toEqual([
      'check_mmio_spte: spte febc0006 kvm_gen 0 spte-gen 0 valid 1',
      'handle_mmio_page_fault: addr:0 gfn febc0 access 0',
    ]);
    bench.events.length = 0;
    bench.setSlot(0, 0, 4096, bench.qemu.map(4096));
    touch(BAR);
    expect(bench.events[0]).toBe('check_mmio_spte: spte febc0006 kvm_gen 2 spte-gen 0 valid 0');
    expect(bench.events[1]).toMatch(/^mark_mmio_spte: .* gen 2$/);
  });

  test('a slot made where MMIO was: the stale entry becomes memory', () => {
    const bench = new Bench();
    bench.enter(memoryAccess(BAR, false, load(BAR, 4)));
    bench.enter();
    bench.setSlot(0, BAR, 4096, bench.qemu.map(4096));
    bench.enter(memoryAccess(BAR, false, load(BAR, 4)));
    expect(bench.exitReason).toBe(run.KVM_EXIT_HLT);
    expect(bench.cpu.access(BAR, true)).toBeUndefined();
  });

  test('a read: unsatisfied first, its value at re-entry, the instruction runs again', () => {
    const bench = new Bench();
    bench.listen('kvm_mmio,kvm_emulate_insn,kvm_userspace_exit');
    bench.enter(memoryAccess(BAR, false, load(BAR, 4)));
    expect(bench.cpu.rip).toBe(0x1000n);
    bench.run.setUint32(run.RUN_MMIO_DATA, 0xcafef00d, true);
    bench.enter();
    expect(bench.cpu.register(0)).toBe(0xcafef00dn);
    expect(bench.events.slice(0, 4)).toEqual([
      'kvm_emulate_insn: 0:1000: (prot64)',
      'kvm_mmio: mmio unsatisfied-read len 4 gpa 0xfebc0000 val 0x0',
      'kvm_userspace_exit: reason KVM_EXIT_MMIO (6)',
      'kvm_mmio: mmio read len 4 gpa 0xfebc0000 val 0xcafef00d',
    ]);
    expect(bench.cpu.rip).toBe(0x1004n); // the load's 3 bytes and the HLT
  });

  test('a read across two pages is two exits, the lower address first', () => {
    const bench = new Bench();
    bench.enter(memoryAccess(BAR + 0xffe, false, load(BAR + 0xffe, 4)));
    expect(run.kvm_run_mmio.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({
      phys_addr: BigInt(BAR + 0xffe),
      len: 2,
    });
    bench.run.setUint16(run.RUN_MMIO_DATA, 0x2211, true);
    const { entries } = bench.cpu;
    bench.enter();
    expect(run.kvm_run_mmio.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({
      phys_addr: BigInt(BAR + 0x1000),
      len: 2,
    });
    expect(bench.cpu.entries).toBe(entries);
    bench.run.setUint16(run.RUN_MMIO_DATA, 0x4433, true);
    bench.enter();
    expect(bench.cpu.register(0)).toBe(0x44332211n);
  });

  test('a write across two pages: the second exit comes without entering the guest', () => {
    const bench = new Bench();
    const at = BAR + 0xfff;
    bench.enter(
      memoryAccess(at, true, (port, cpu) => {
        port.writeMemory(0n as never, at as Gpa, Uint8Array.of(1));
        port.writeMemory(0n as never, (at + 1) as Gpa, Uint8Array.of(2));
        cpu.skipInstruction();
        return 'retired';
      }),
    );
    const { entries } = bench.cpu;
    expect(bench.enter()).toBe(0);
    expect(bench.cpu.entries).toBe(entries);
    expect(run.kvm_run_mmio.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({
      phys_addr: BigInt(at + 1),
      is_write: 1,
    });
  });

  test('half in RAM, half not: RAM is served by the emulator, user space sees the rest', () => {
    const bench = new Bench();
    const hva = bench.qemu.map(4096);
    bench.setSlot(0, 0, 4096, hva);
    bench.qemu.user.memory.write((hva + 0xffe) as never, Uint8Array.of(0x11, 0x22));
    bench.enter(memoryAccess(0x1000, false, load(0xffe, 4)));
    expect(run.kvm_run_mmio.read(bench.run, run.KVM_RUN_UNION)).toMatchObject({ phys_addr: 0x1000n, len: 2 });
    bench.run.setUint16(run.RUN_MMIO_DATA, 0x4433, true);
    bench.enter();
    expect(bench.cpu.register(0)).toBe(0x44332211n);
  });

  test('a device in the kernel answers without user space, and is read once only', () => {
    const bench = new Bench();
    let reads = 0;
    bench.vm.mmioBus.register(BAR, 4, {
      read: (_at, data) => {
        data.fill(++reads);
        return 0;
      },
    });
    // One instruction that reads the kernel's device and then one of user space.
    bench.enter(
      memoryAccess(BAR, false, (port, cpu) => {
        const first = new Uint8Array(1);
        const second = new Uint8Array(1);
        if (port.readMemory(0n as never, BAR as Gpa, first) === 'later') return 'userspace';
        if (port.readMemory(0n as never, (BAR + 8) as Gpa, second) === 'later') return 'userspace';
        cpu.setRegister(0, BigInt(first[0]! * 256 + second[0]!));
        cpu.skipInstruction();
        return 'retired';
      }),
    );
    bench.run.setUint8(run.RUN_MMIO_DATA, 0x77);
    bench.enter();
    expect([reads, bench.cpu.register(0)]).toEqual([1, 0x177n]);
  });

  test('a write to a READONLY slot goes to user space, a read does not', () => {
    const bench = new Bench();
    bench.setSlot(0, 0x8000, 4096, bench.qemu.map(4096), 2);
    bench.enter(memoryAccess(0x8000, false, load(0x8000, 4)));
    expect(bench.exitReason).toBe(run.KVM_EXIT_HLT);
    expect(bench.cpu.access(0x8000, false)).toBeUndefined();
    bench.enter(memoryAccess(0x8000, true, store(0x8000, [9])));
    expect(bench.exitReason).toBe(run.KVM_EXIT_MMIO);
    expect(bench.run.getUint8(run.RUN_MMIO_IS_WRITE)).toBe(1);
  });
});

describe('ioeventfd', () => {
  const BAR = 0xfebc0000;
  const withEventfd = (args: Partial<Parameters<typeof uapi.kvm_ioeventfd.encode>[0]>) => {
    const bench = new Bench();
    const fd = bench.qemu.user.syscalls.eventfd(0, 0o4000);
    bench.qemu.pass(bench.vmFd, uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, { fd, ...args });
    const signals = () => {
      const got = bench.qemu.user.syscalls.read(fd, bench.qemu.scratch, 8);
      return got < 0 ? 0 : new DataView(bench.qemu.user.memory.read(bench.qemu.scratch, 8).buffer).getUint32(0, true);
    };
    return { bench, signals };
  };

  test('a port write of the right size and value signals and stays in the kernel; others and reads do not', () => {
    const { bench, signals } = withEventfd({ addr: 0xc010n, len: 2, flags: 3, datamatch: 0x42n });
    bench.cpu.setRegister(0, 0x42n);
    bench.enter(portAccess(2, false, 0xc010));
    expect([bench.exitReason, signals()]).toEqual([run.KVM_EXIT_HLT, 1]);
    for (const step of [portAccess(1, false, 0xc010), portAccess(2, true, 0xc010), portAccess(2, false, 0xc011)]) {
      bench.enter(step);
      expect([bench.exitReason, signals()]).toEqual([run.KVM_EXIT_IO, 0]);
    }
    bench.cpu.setRegister(0, 0x43n);
    bench.enter(portAccess(2, false, 0xc010));
    expect([bench.exitReason, signals()]).toEqual([run.KVM_EXIT_IO, 0]);
  });

  test('any length in memory: the fast bus, even for a read', () => {
    const { bench, signals } = withEventfd({ addr: BigInt(BAR), len: 0 });
    bench.listen('kvm_exit,kvm_fast_mmio,kvm_emulate_insn,kvm_entry');
    bench.enter(memoryAccess(BAR, true, store(BAR, [1, 2])));
    expect(signals()).toBe(1);
    bench.events.length = 0;
    bench.cpu.setRegister(0, 5n);
    bench.enter(memoryAccess(BAR, false, load(BAR, 4)));
    expect(bench.events.slice(1, 4).map((line) => line.split(' rip')[0])).toEqual([
      'kvm_exit: vcpu 0 reason EPT_MISCONFIG',
      'kvm_fast_mmio: fast mmio at gpa 0xfebc0000',
      'kvm_entry: vcpu 0,',
    ]);
    expect([signals(), bench.cpu.register(0)]).toEqual([1, 5n]);
  });
});

describe('other exits', () => {
  test('HLT without an interrupt controller in the kernel is user space’s, past the instruction', () => {
    const bench = new Bench();
    expect(bench.enter()).toBe(0);
    expect([bench.exitReason, bench.cpu.rip]).toEqual([run.KVM_EXIT_HLT, 0x1001n]);
  });

  test('a triple fault is KVM_EXIT_SHUTDOWN', () => {
    const bench = new Bench();
    bench.enter(exitWith(EXIT_REASON.TRIPLE_FAULT));
    expect(bench.exitReason).toBe(run.KVM_EXIT_SHUTDOWN);
  });

  test('an exit without a handler is KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON', () => {
    const bench = new Bench();
    bench.enter(exitWith(EXIT_REASON.WBINVD));
    expect(bench.exitReason).toBe(run.KVM_EXIT_INTERNAL_ERROR);
    expect(bench.run.getUint32(run.RUN_INTERNAL_SUBERROR, true)).toBe(4);
    expect(bench.run.getUint32(run.RUN_INTERNAL_DATA, true)).toBe(54);
  });

  test('VMCALL: one that there is not', () => {
    const bench = new Bench();
    bench.listen('kvm_hypercall');
    bench.cpu.setRegister(0, 2n);
    bench.enter(exitWith(EXIT_REASON.VMCALL));
    expect(BigInt.asIntN(64, bench.cpu.register(0))).toBe(-1000n);
    expect(bench.events).toEqual(['kvm_hypercall: nr 0x2 a0 0x0 a1 0x0 a2 0x0 a3 0x0']);
  });

  test('CPUID answers from the entries that were set; a leaf out of range is the last basic one, as on Intel', () => {
    const bench = new Bench();
    const entries = [
      { function: 0, eax: 1, ebx: 0x756e6547 },
      { function: 1, eax: 0x306c3, ebx: 2, ecx: 3, edx: 4 },
    ];
    const bytes = new Uint8Array(8 + 40 * entries.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, entries.length, true);
    for (const [i, entry] of entries.entries()) uapi.kvm_cpuid_entry2.write(view, entry, 8 + 40 * i);
    bench.qemu.user.memory.write(bench.qemu.scratch, bytes);
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_SET_CPUID2, bench.qemu.scratch)).toBe(0);
    bench.listen('kvm_cpuid');
    const cpuid = (leaf: bigint) => {
      bench.cpu.setRegister(0, leaf);
      bench.cpu.setRegister(1, 0n);
      bench.enter(exitWith(EXIT_REASON.CPUID));
      return [0, 3, 1, 2].map((register) => bench.cpu.register(register));
    };
    expect(cpuid(1n)).toEqual([0x306c3n, 2n, 3n, 4n]);
    expect(cpuid(0x20n)).toEqual([0x306c3n, 2n, 3n, 4n]);
    expect(bench.events).toEqual([
      'kvm_cpuid: func 1 idx 0 rax 306c3 rbx 2 rcx 3 rdx 4, cpuid entry found',
      'kvm_cpuid: func 20 idx 0 rax 306c3 rbx 2 rcx 3 rdx 4, cpuid entry not found (out of range)',
    ]);
  });

  test('an unknown MSR is #GP at the next entry, a known one is read', () => {
    const bench = new Bench();
    bench.listen('kvm_msr,kvm_inj_exception');
    bench.cpu.setRegister(1, 0x277n);
    bench.enter(exitWith(EXIT_REASON.MSR_READ));
    expect(bench.cpu.register(2)).toBe(0x70406n);
    bench.cpu.setRegister(1, 0x1234n);
    bench.enter(exitWith(EXIT_REASON.MSR_READ));
    expect(bench.cpu.injected).toEqual([{ vector: 13, errorCode: 0 }]);
    expect(bench.events).toEqual([
      'kvm_msr: msr_read 277 = 0x7040600070406',
      'kvm_msr: msr_read 1234 = 0x0 (#GP)',
      'kvm_inj_exception: #GP (0x0)',
    ]);
  });

  test('an instruction that cannot be emulated: KVM_INTERNAL_ERROR_EMULATION with the exit’s information, #UD pending', () => {
    const bench = new Bench();
    bench.enter(memoryAccess(0xfebc0000, false, () => 'undecodable'));
    expect(bench.exitReason).toBe(run.KVM_EXIT_INTERNAL_ERROR);
    expect(bench.run.getUint32(run.RUN_INTERNAL_SUBERROR, true)).toBe(1);
    expect(bench.run.getUint32(run.RUN_INTERNAL_NDATA, true)).toBe(6);
    expect(bench.run.getUint32(run.RUN_INTERNAL_DATA + 8, true)).toBe(EXIT_REASON.EPT_VIOLATION);
    bench.enter();
    expect(bench.cpu.injected).toEqual([{ vector: 6, errorCode: undefined }]);
  });
});

describe('KVM_RUN', () => {
  test('a pending signal ends it with EINTR and KVM_EXIT_INTR', () => {
    const bench = new Bench();
    bench.listen('kvm_userspace_exit');
    bench.qemu.process.pendingSignal = 'SIGTERM';
    expect(bench.enter()).toBe(-EINTR);
    expect([bench.exitReason, bench.cpu.entries]).toEqual([run.KVM_EXIT_INTR, 0]);
    expect(bench.events).toEqual(['kvm_userspace_exit: reason restart (4)']);
  });

  test('when the instruction limit is used up the process gets SIGXCPU', () => {
    const bench = new Bench();
    bench.vm.instructionLimit = 10;
    const spin: Step = (cpu) => {
      cpu.retired += 4;
      return EXIT_REASON.PREEMPTION_TIMER;
    };
    expect(bench.enter(spin, spin, spin, spin, spin)).toBe(-EINTR);
    expect([bench.cpu.entries, bench.vm.retired, bench.exitReason]).toEqual([3, 12, run.KVM_EXIT_INTR]);
    expect(bench.qemu.process.pendingSignal).toBe('SIGXCPU');
  });

  test('register sets that are not offered, and CR8 with five bits, are EINVAL', () => {
    const bench = new Bench();
    bench.run.setUint32(run.RUN_DIRTY_REGS, 8, true);
    expect(bench.enter()).toBe(-EINVAL);
    bench.run.setUint32(run.RUN_DIRTY_REGS, 0, true);
    bench.run.setUint32(run.RUN_CR8, 0x10, true);
    expect(bench.enter()).toBe(-EINVAL);
    bench.run.setUint32(run.RUN_CR8, 5, true);
    expect(bench.enter()).toBe(0);
    expect(bench.cpu.control(8)).toBe(5n);
  });

  test('if_flag and ready_for_interrupt_injection follow RFLAGS.IF', () => {
    const bench = new Bench();
    bench.cpu.rflags = 0x202n;
    bench.enter();
    expect([bench.run.getUint8(run.RUN_IF_FLAG), bench.run.getUint8(run.RUN_READY_FOR_INTERRUPT_INJECTION)]).toEqual([
      1, 1,
    ]);
  });
});

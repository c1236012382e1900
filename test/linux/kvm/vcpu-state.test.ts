/** What user space saves, restores and asks of a vCPU: FPU, kvm_run's register sets, MSR filters, clocks, signals, statistics. */

import { describe, expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { EINTR } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import * as stats from '../../../src/linux/uapi/kvm-stats.ts';
import { Bench } from './bench.ts';
import { Guest } from './guest.ts';

describe('FPU', () => {
  test('starts as FNINIT leaves it; KVM_SET_FPU is seen by KVM_GET_XSAVE, and the other way', () => {
    const { qemu, vcpuFd } = new Bench();
    qemu.ioctl(vcpuFd, uapi.KVM_GET_FPU, qemu.scratch);
    expect(qemu.answer(uapi.kvm_fpu)).toMatchObject({ fcw: 0x37f, fsw: 0, ftwx: 0, mxcsr: 0 });
    const given = {
      fcw: 0x27f,
      fsw: 1,
      ftwx: 2,
      last_opcode: 3,
      last_ip: 4n,
      last_dp: 5n,
      xmm: new Uint8Array(256).fill(6),
    };
    expect(qemu.pass(vcpuFd, uapi.KVM_SET_FPU, uapi.kvm_fpu, given)).toBe(0);
    expect(qemu.ioctl(vcpuFd, uapi.KVM_GET_XSAVE, qemu.scratch)).toBe(0);
    const { region } = qemu.answer(uapi.kvm_xsave);
    const view = new DataView(region.buffer);
    expect([view.getUint16(0, true), view.getUint32(24, true), view.getBigUint64(512, true), region[160]]).toEqual([
      0x27f,
      0x1f80,
      3n,
      6,
    ]);
    view.setUint16(0, 0x37f, true);
    expect(qemu.pass(vcpuFd, uapi.KVM_SET_XSAVE, uapi.kvm_xsave, { region })).toBe(0);
    qemu.ioctl(vcpuFd, uapi.KVM_GET_FPU, qemu.scratch);
    expect(qemu.answer(uapi.kvm_fpu)).toMatchObject({ ...given, fcw: 0x37f });
    qemu.ioctl(vcpuFd, uapi.KVM_GET_XCRS, qemu.scratch);
    expect(qemu.answer(uapi.kvm_xcrs).nr_xcrs).toBe(0);
  });
});

test.each([true, false])(
  'an interrupt on its way is in the bitmap of KVM_GET_SREGS, and KVM_SET_SREGS puts it there: irqchip %s',
  (irqchip) => {
    // x86.c: __get_sregs, __set_sregs
    const guest = new Guest('sti\n nop\n out 0x80, al', 'none', { irqchip });
    const { qemu, vcpuFd } = guest;
    qemu.ioctl(vcpuFd, uapi.KVM_GET_SREGS, qemu.scratch);
    const sregs = qemu.answer(uapi.kvm_sregs);
    sregs.interrupt_bitmap[0x41 >> 3] = 2;
    expect(qemu.pass(vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, sregs)).toBe(0);
    qemu.ioctl(vcpuFd, uapi.KVM_GET_SREGS, qemu.scratch);
    expect(qemu.answer(uapi.kvm_sregs).interrupt_bitmap).toEqual(sregs.interrupt_bitmap);
    guest.resume();
    expect(guest.taken).toEqual([0x41]);
  },
);

describe('register sets in kvm_run', () => {
  const { regs, sregs, events } = run.kvm_sync_regs.offsets;
  test('shown where they are wanted, taken where they are dirty', () => {
    const guest = new Guest('mov ebx, 0x77\n hlt\n hlt', 'none', { irqchip: false });
    guest.run.setUint32(run.RUN_VALID_REGS, 7, true);
    guest.resume();
    const shown = uapi.kvm_regs.read(guest.run, run.RUN_SYNC_REGS + regs);
    guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch);
    expect(shown).toEqual(guest.qemu.answer(uapi.kvm_regs));
    expect(shown.rbx).toBe(0x77n);
    guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_SREGS, guest.qemu.scratch);
    expect(uapi.kvm_sregs.read(guest.run, run.RUN_SYNC_REGS + sregs)).toEqual(guest.qemu.answer(uapi.kvm_sregs));
    guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_VCPU_EVENTS, guest.qemu.scratch);
    expect(uapi.kvm_vcpu_events.read(guest.run, run.RUN_SYNC_REGS + events)).toEqual(
      guest.qemu.answer(uapi.kvm_vcpu_events),
    );
    uapi.kvm_regs.write(guest.run, { ...shown, rbx: 0x99n }, run.RUN_SYNC_REGS + regs);
    guest.run.setUint32(run.RUN_DIRTY_REGS, run.KVM_SYNC_X86_REGS, true);
    guest.resume();
    expect(guest.run.getUint32(run.RUN_DIRTY_REGS, true)).toBe(0);
    guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch);
    expect(guest.qemu.answer(uapi.kvm_regs).rbx).toBe(0x99n);
  });

  test('sregs that no CPU can have are refused there too', () => {
    const bench = new Bench();
    uapi.kvm_sregs.write(bench.run, { cr0: 0x80000000n }, run.RUN_SYNC_REGS + sregs);
    bench.run.setUint32(run.RUN_DIRTY_REGS, run.KVM_SYNC_X86_REGS | run.KVM_SYNC_X86_SREGS, true);
    uapi.kvm_regs.write(bench.run, { rbx: 0x55n }, run.RUN_SYNC_REGS + regs);
    expect(bench.enter()).toBe(-22);
    // The set before was taken, and is no longer dirty.
    expect(bench.run.getUint32(run.RUN_DIRTY_REGS, true)).toBe(run.KVM_SYNC_X86_SREGS);
    expect(bench.cpu.register(3)).toBe(0x55n);
  });

  test('a refused KVM_RUN leaves kvm_run as any other does', () => {
    // x86.c: kvm_arch_vcpu_ioctl_run
    const bench = new Bench();
    bench.run.setBigUint64(run.RUN_CR8, 0x10n, true);
    bench.run.setBigUint64(run.RUN_APIC_BASE, 0n, true);
    bench.run.setUint32(run.RUN_VALID_REGS, run.KVM_SYNC_X86_REGS, true);
    bench.cpu.setRegister(3, 0x77n);
    expect(bench.enter()).toBe(-22);
    expect(bench.run.getBigUint64(run.RUN_CR8, true)).toBe(0n);
    expect(bench.run.getBigUint64(run.RUN_APIC_BASE, true)).toBe(0xfee00900n);
    expect(uapi.kvm_regs.read(bench.run, run.RUN_SYNC_REGS + regs).rbx).toBe(0x77n);
  });
});

describe('MSR filter', () => {
  const LSTAR = 0xc0000082;
  const UNKNOWN = 0x99;
  /** Refuse LSTAR, reads and writes. */
  function filtered(text: string, reasons = 0): Guest {
    const guest = new Guest(text, 'none', { irqchip: false });
    const ranges = new Uint8Array(384);
    const bitmap = BigInt(guest.qemu.scratch + 8192);
    ranges.set(uapi.kvm_msr_filter_range.encode({ flags: 3, base: LSTAR, nmsrs: 1, bitmap }));
    const { pass } = guest.qemu;
    const call = pass.bind(guest.qemu);
    expect(call(guest.vmFd, uapi.KVM_X86_SET_MSR_FILTER, uapi.kvm_msr_filter, { ranges })).toBe(0);
    const cap = { cap: KVM_CAP.X86_USER_SPACE_MSR, arg0: BigInt(reasons) };
    expect(call(guest.vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, cap)).toBe(0);
    return guest;
  }
  const asked = (guest: Guest) => run.kvm_run_msr.read(guest.run, run.KVM_RUN_UNION);

  test('a refused MSR is #GP although the CPU has it; others pass', () => {
    const guest = filtered(`mov ecx, ${LSTAR - 1}\n rdmsr\n inc ecx\n rdmsr\n hlt`);
    guest.listen('kvm_msr');
    guest.qemu.process.alarm = undefined;
    guest.vm.instructionLimit = guest.vm.retired + 200;
    guest.resume();
    expect(guest.taken[0]).toBe(13);
    expect(guest.events.slice(0, 2)).toEqual([
      'kvm_msr: msr_read c0000081 = 0x0',
      'kvm_msr: msr_read c0000082 = 0x0 (#GP)',
    ]);
  });

  test('user space answers: the value of a read, #GP for an error', () => {
    const guest = filtered(`mov ecx, ${LSTAR}\n rdmsr\n mov eax, 5\n mov edx, 6\n wrmsr\n hlt`, 4);
    expect([guest.resume(), guest.exitReason]).toEqual([0, run.KVM_EXIT_X86_RDMSR]);
    expect(asked(guest)).toMatchObject({ reason: 4, index: LSTAR });
    guest.run.setBigUint64(run.RUN_MSR_DATA, 0x1_0000_0002n, true);
    expect([guest.resume(), guest.exitReason]).toEqual([0, run.KVM_EXIT_X86_WRMSR]);
    expect(asked(guest)).toMatchObject({ reason: 4, index: LSTAR, data: 0x6_0000_0005n });
    guest.run.setUint8(run.RUN_MSR_ERROR, 1);
    guest.vm.instructionLimit = guest.vm.retired + 100;
    guest.resume();
    expect(guest.taken[0]).toBe(13);
  });

  test('MSRs that nobody has, and values that they refuse, are user space’s if it asks for them', () => {
    const guest = filtered(`mov ecx, ${UNKNOWN}\n rdmsr\n mov ecx, 0x140\n wrmsr\n hlt`, 3);
    expect([guest.resume(), guest.exitReason]).toEqual([0, run.KVM_EXIT_X86_RDMSR]);
    expect(asked(guest)).toMatchObject({ reason: 2, index: UNKNOWN });
    guest.run.setBigUint64(run.RUN_MSR_DATA, 7n, true);
    expect([guest.resume(), guest.exitReason]).toEqual([0, run.KVM_EXIT_X86_WRMSR]);
    expect(asked(guest)).toMatchObject({ reason: 1, index: 0x140, data: 7n });
    expect([guest.resume(), guest.exitReason]).toEqual([0, run.KVM_EXIT_HLT]);
  });

  test('everything refused but a range, and the x2APIC’s registers never', () => {
    const guest = new Guest('hlt', 'none', { irqchip: false });
    const ranges = new Uint8Array(384);
    guest.qemu.user.memory.write((guest.qemu.scratch + 8192) as Hva, Uint8Array.of(1));
    ranges.set(
      uapi.kvm_msr_filter_range.encode({ flags: 1, base: 0x10, nmsrs: 2, bitmap: BigInt(guest.qemu.scratch + 8192) }),
    );
    const filter = { flags: uapi.KVM_MSR_FILTER_DEFAULT_DENY, ranges };
    expect(guest.qemu.pass(guest.vmFd, uapi.KVM_X86_SET_MSR_FILTER, uapi.kvm_msr_filter, filter)).toBe(0);
    const { msrFilter } = guest.vm;
    const allows = (index: number, write: boolean) => msrFilter!.allows(index, write);
    expect([
      allows(0x10, false),
      allows(0x11, false),
      allows(0x10, true),
      allows(LSTAR, false),
      allows(0x80b, true),
    ]).toEqual([true, false, false, false, true]);
  });
});

test('feature MSRs: their list and their values, on /dev/kvm', () => {
  const { qemu, kvmFd } = new Bench();
  expect(qemu.pass(kvmFd, uapi.KVM_GET_MSR_FEATURE_INDEX_LIST, uapi.kvm_msr_list, { nmsrs: 8 })).toBe(0);
  expect(qemu.answer(uapi.kvm_msr_list).nmsrs).toBe(1);
  const bytes = new Uint8Array(8 + 32);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 2, true);
  view.setUint32(8, 0x8b, true);
  view.setUint32(24, 0x10, true);
  qemu.user.memory.write(qemu.scratch, bytes);
  expect(qemu.ioctl(kvmFd, uapi.KVM_GET_MSRS, qemu.scratch)).toBe(1);
  const answered = qemu.user.memory.read(qemu.scratch, 40);
  expect(new DataView(answered.buffer).getBigUint64(16, true)).toBe(0x1_0000_0000n);
});

test('kvmclock goes on from what it is set to; the counter has a rate', () => {
  const guest = new Guest('mov ecx, 1000\n.l: dec ecx\n jnz .l\n hlt', 'none', { irqchip: false });
  const { qemu, vmFd } = guest;
  const clock = () => {
    expect(qemu.ioctl(vmFd, uapi.KVM_GET_CLOCK, qemu.scratch)).toBe(0);
    return qemu.answer(uapi.kvm_clock_data);
  };
  expect(qemu.pass(vmFd, uapi.KVM_SET_CLOCK, uapi.kvm_clock_data, { ...clock(), clock: 5_000_000n })).toBe(0);
  expect(clock()).toMatchObject({ clock: 5_000_000n, flags: uapi.KVM_CLOCK_TSC_STABLE });
  guest.resume();
  expect(clock().clock).toBeGreaterThanOrEqual(5_002_000n);
  expect(qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_TSC_KHZ)).toBe(1_000_000);
  expect(qemu.ioctl(guest.vcpuFd, uapi.KVM_SET_TSC_KHZ, 1_000_200)).toBe(0);
});

test('KVM_SET_SIGNAL_MASK: a blocked signal does not end KVM_RUN, until the mask goes', () => {
  const bench = new Bench();
  const mask = (set: bigint) => {
    const bytes = new Uint8Array(12);
    bytes[0] = 8;
    new DataView(bytes.buffer).setBigUint64(4, set, true);
    bench.qemu.user.memory.write(bench.qemu.scratch, bytes);
    return bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_SET_SIGNAL_MASK, bench.qemu.scratch);
  };
  bench.qemu.process.pendingSignal = 'SIGALRM';
  expect(mask(1n << 13n)).toBe(0);
  expect(bench.enter()).toBe(0);
  expect(mask(1n << 12n)).toBe(0);
  expect(bench.enter()).toBe(-EINTR);
  expect(mask(1n << 13n)).toBe(0);
  expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_SET_SIGNAL_MASK, 0)).toBe(0);
  expect(bench.enter()).toBe(-EINTR);
});

describe('statistics', () => {
  /** The whole file, decoded by what it says of itself. */
  function read(bench: Bench, fd: number): { id: string; values: Record<string, number> } {
    const at = (bench.qemu.scratch + 4096) as Hva;
    const bytes = new Uint8Array(8192);
    let length = 0;
    for (let got = 1; got > 0; length += got) {
      got = bench.qemu.user.syscalls.read(fd, at, 100);
      expect(got).toBeGreaterThanOrEqual(0);
      bytes.set(bench.qemu.user.memory.read(at, got), length);
    }
    const view = new DataView(bytes.buffer);
    const text = (from: number) => new TextDecoder().decode(bytes.subarray(from, bytes.indexOf(0, from)));
    const header = stats.kvm_stats_header.read(view);
    const values: Record<string, number> = {};
    for (let index = 0; index < header.num_desc; index++) {
      const from = header.desc_offset + index * stats.kvm_stats_desc.size;
      const { offset, size } = stats.kvm_stats_desc.read(view, from);
      expect(size).toBe(1);
      values[text(from + stats.kvm_stats_desc.offsets.name)] = Number(
        view.getBigUint64(header.data_offset + offset, true),
      );
    }
    return { id: text(header.id_offset), values };
  }

  test('of a vCPU: exits by kind', () => {
    const guest = new Guest(
      'out 0x80, al\n out 0x80, al\n mov ebx, 0xfebc0000\n mov eax, [rbx]\n vmcall\n hlt',
      'none',
      {
        irqchip: false,
      },
    );
    const fd = guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_STATS_FD);
    for (let n = 0; n < 10 && guest.exitReason !== run.KVM_EXIT_HLT; n++) guest.resume();
    const { id, values } = read(guest, fd);
    expect(id).toBe(`kvm-${guest.qemu.process.pid}/vcpu-0`);
    expect(values).toMatchObject({ io_exits: 2, mmio_exits: 1, hypercalls: 1, halt_exits: 1, insn_emulation: 1 });
    expect(values['exits']).toBe(2 + 1 + 1 + 1 + values['pf_fixed']!);
  });

  test('stand in the order of struct kvm_vcpu_stat; the fd needs no argument, and names the vCPU', () => {
    const guest = new Guest('hlt', 'none', { irqchip: false });
    const fd = guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_STATS_FD, 5);
    expect(guest.qemu.process.files.get(fd)!.path).toContain('kvm-vcpu-stats:0');
    const names = Object.keys(read(guest, fd).values);
    expect(names.indexOf('halt_wait_ns')).toBeLessThan(names.indexOf('pf_taken'));
    expect(names.slice(names.indexOf('pf_spurious'), names.indexOf('exits'))).toEqual([
      'pf_spurious',
      'pf_fast',
      'pf_mmio_spte_created',
      'pf_guest',
    ]);
  });

  test('of a VM: pages by size; the file keeps the VM', () => {
    const guest = new Guest('hlt', 'none', { irqchip: false });
    const fd = guest.qemu.ioctl(guest.vmFd, uapi.KVM_GET_STATS_FD);
    guest.resume();
    expect(read(guest, fd).values).toMatchObject({ pages_2m: 0, pages_1g: 0 });
    expect(read(guest, guest.qemu.ioctl(guest.vmFd, uapi.KVM_GET_STATS_FD)).values['pages_4k']).toBeGreaterThan(0);
    const { syscalls } = guest.qemu.user;
    syscalls.close(guest.vmFd);
    syscalls.close(guest.vcpuFd);
    syscalls.munmap(0x7ffff7ff0000 as Hva, 1);
    expect(guest.module.vms).toHaveLength(1);
  });
});

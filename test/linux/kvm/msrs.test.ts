/** MSRs as a guest meets them (arch/x86/kvm/x86.c: kvm_get_msr_common, kvm_set_msr_common; mtrr.c): what is read, taken, and #GP. */

import { describe, expect, test } from 'vitest';
import { EINVAL } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Guest } from './guest.ts';

const STOP = 'out 0x80, al\n';
const GP = 13;

/** Run `text`: RDX:RAX when it came to its end, 'gp' if it did not. */
function outcome(text: string): bigint | 'gp' {
  const guest = new Guest(`${text}${STOP}`, 'none');
  guest.vm.instructionLimit = guest.vm.retired + 300;
  guest.resume();
  if (guest.taken[0] === GP) return 'gp';
  expect(guest.taken).toEqual([]);
  guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch);
  const { rax, rdx } = guest.qemu.answer(uapi.kvm_regs);
  return (rdx << 32n) | rax;
}
const read = (index: number) => `mov ecx, ${index}\n rdmsr\n`;
const write = (index: number, value: bigint) =>
  `mov ecx, ${index}\n mov eax, ${value & 0xffff_ffffn}\n mov edx, ${value >> 32n}\n wrmsr\n`;

describe('what a guest reads', () => {
  test.each([
    ['MTRRcap', 0xfe, 0x508n],
    ['the first variable MTRR', 0x200, 0n],
    ['the last', 0x20f, 0n],
    ['beyond the last', 0x210, 'gp'],
    ['a fixed MTRR', 0x26f, 0n],
    ['none between them', 0x251, 'gp'],
    ['MISC_ENABLE', 0x1a0, 1n],
    ['PLATFORM_INFO', 0xce, 0x8000_0000n],
    ['PERF_STATUS', 0x198, 0x400_0000_03e8n],
    ['FSB_FREQ', 0xcd, 3n],
    ['FEATURE_CONTROL', 0x3a, 0n],
    ['MCG_CAP', 0x179, 0x20n],
    ['MCG_CTL, which MCG_CAP has not', 0x17b, 'gp'],
    ['the last bank of machine checks', 0x47f, 0n],
    ['RAPL_POWER_UNIT', 0x606, 0n],
    ['TSC_ADJUST', 0x3b, 0n],
    ['TSC_DEADLINE in another mode', 0x6e0, 0n],
    ['DEBUGCTL', 0x1d9, 0n],
    ['an x2APIC register', 0x802, 'gp'],
    ['microcode to load', 0x79, 'gp'],
    ['a VMX capability', 0x480, 'gp'],
  ] as const)('%s', (_name, index, value) => {
    expect(outcome(read(index))).toBe(value);
  });
});

describe('what a guest writes', () => {
  test.each([
    ['a base with its type', 0x202, 0xd000_0006n, 0xd000_0006n],
    ['a base with a reserved type', 0x202, 2n, 'gp'],
    ['a base with reserved bits', 0x202, 0x106n, 'gp'],
    ['a base above physical memory', 0x202, 1n << 60n, 'gp'],
    ['a mask', 0x203, 0xf000_0800n, 0xf000_0800n],
    ['a mask with reserved bits', 0x203, 0x400n, 'gp'],
    ['fixed types', 0x250, 0x0605_0401_0000_0606n, 0x0605_0401_0000_0606n],
    ['a fixed type that is none', 0x250, 0x0306_0606_0606_0606n, 'gp'],
    ['the default type', 0x2ff, 0xc06n, 0xc06n],
    ['a default type that is none', 0x2ff, 0xc03n, 'gp'],
    ['the PAT', 0x277, 0x0106_0406_0007_0406n, 0x0106_0406_0007_0406n],
    ['the PAT with a type that is none', 0x277, 0x0206_0406_0007_0406n, 'gp'],
    ['MTRRcap', 0xfe, 0x508n, 'gp'],
    // Linux does so before it reads which microcode there is.
    ['the microcode’s revision, in vain', 0x8b, 0n, 0x1_0000_0000n],
    ['MISC_ENABLE', 0x1a0, 0x85_0089n, 0x85_0009n],
    ['MISC_ENABLE: that there is no BTS', 0x1a0, 0x801n, 'gp'],
    ['the lock of FEATURE_CONTROL', 0x3a, 1n, 1n],
    ['VMX in FEATURE_CONTROL', 0x3a, 5n, 'gp'],
    ['PLATFORM_INFO', 0xce, 0x8000_0000n, 'gp'],
    ['MISC_FEATURES_ENABLES', 0x140, 1n, 1n],
    ['another bit of it', 0x140, 2n, 'gp'],
    ['all of a bank’s MC_CTL', 0x404, 0xffff_ffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn],
    ['a part of it', 0x404, 2n, 'gp'],
    ['MC_STATUS', 0x405, 1n, 'gp'],
    ['MC_ADDR', 0x406, 5n, 5n],
    ['branch records, in vain', 0x1d9, 1n, 0n],
    ['other bits of DEBUGCTL', 0x1d9, 0x40n, 'gp'],
    ['a counter that is not there', 0xc1, 5n, 0n],
    ['TSC_ADJUST, of which CPUID says nothing', 0x3b, 5n, 0n],
    ['the APIC base with reserved bits', 0x1b, 0xfee0_0901n, 'gp'],
    ['x2APIC', 0x1b, 0xfee0_0d00n, 'gp'],
    ['the APIC base', 0x1b, 0xfee0_1900n, 0xfee0_1900n],
  ] as const)('%s', (_name, index, value, result) => {
    expect(outcome(`${write(index, value)}xor eax, eax\n xor edx, edx\n ${read(index)}`)).toBe(result);
  });

  test('FEATURE_CONTROL once it is locked; microcode to load, which nobody does', () => {
    expect(outcome(`${write(0x3a, 1n)}${write(0x3a, 1n)}`)).toBe('gp');
    expect(outcome(write(0x79, 0x1234n))).not.toBe('gp');
  });

  test('the time-stamp counter: it goes on from there, in all its 64 bits', () => {
    const now = outcome(`${write(0x10, 0xffff_ffff_ffff_fff0n)} nop\n rdtsc\n`) as bigint;
    expect(now).toBeGreaterThanOrEqual(0xffff_ffff_ffff_fff0n);
    expect(outcome(`${write(0x10, 0x1234_0000_0000n)} rdtsc\n`)).toBeLessThan(0x1234_0000_0040n);
    expect(outcome(`${write(0x10, 0x1234_0000_0000n)}${read(0x3b)}`)).toBeGreaterThan(0x1233_ffff_0000n);
    // Past a sleep of the host's.
    const guest = new Guest(`${write(0x10, 0n)}${STOP}rdtsc\n${STOP}`, 'none');
    guest.resume();
    guest.kernel.clock.pass(5000);
    guest.resume();
    guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_REGS, guest.qemu.scratch);
    const { rax, rdx } = guest.qemu.answer(uapi.kvm_regs);
    expect(rdx).toBe(0n);
    expect(rax).toBeGreaterThan(5000n);
    expect(rax).toBeLessThan(5040n);
  });
});

test('KVM_SET_SREGS with reserved bits of the APIC base is EINVAL', () => {
  const guest = new Guest(STOP, 'none');
  guest.qemu.ioctl(guest.vcpuFd, uapi.KVM_GET_SREGS, guest.qemu.scratch);
  const sregs = guest.qemu.answer(uapi.kvm_sregs);
  const set = (apic_base: bigint) =>
    guest.qemu.pass(guest.vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, { ...sregs, apic_base });
  expect([set(0xfee0_0900n), set(0xfee0_0910n), set(0xfee0_0d00n)]).toEqual([0, -EINVAL, -EINVAL]);
});

describe('what user space gets to serve, and why', () => {
  const { KVM_MSR_EXIT_REASON_INVAL: INVAL, KVM_MSR_EXIT_REASON_UNKNOWN: UNKNOWN } = run;
  test.each([
    ['an MSR that nobody knows', read(0xdeadbeef), UNKNOWN],
    ['one that can only be read', write(0xfe, 0n), UNKNOWN],
    ['one that only user space may write', write(0xce, 0n), INVAL],
    ['a value that it cannot have', write(0x2ff, 2n), INVAL],
    ['an x2APIC register', read(0x802), INVAL],
    ['a VMX capability', read(0x480), INVAL],
    ['MTRRs that there are not', write(0x210, 0n), INVAL],
    ['the CPU’s own EFER with a reserved bit', write(0xc0000080, 2n), INVAL],
    ['TSC_AUX without RDTSCP and RDPID', read(0xc0000103), INVAL],
    ['a base beyond the 36 bits of addresses that no CPUID makes more', write(0x200, 1n << 36n), INVAL],
  ])('%s', (_name, text, reason) => {
    const guest = new Guest(`${text}hlt\n`, 'none');
    const cap = { cap: KVM_CAP.X86_USER_SPACE_MSR, arg0: BigInt(INVAL | UNKNOWN) };
    expect(guest.qemu.pass(guest.vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, cap)).toBe(0);
    guest.resume();
    expect([run.KVM_EXIT_X86_RDMSR, run.KVM_EXIT_X86_WRMSR]).toContain(guest.exitReason);
    expect(run.kvm_run_msr.read(guest.run, run.KVM_RUN_UNION).reason).toBe(reason);
  });
});

test('the CPU keeps EFER and SYSENTER_CS itself; what the guest does to the first KVM sees', () => {
  const guest = new Guest(
    `${write(0x174, 8n)}${read(0x174)}${write(0xc0000080, 0x501n)}${read(0xc0000080)}${STOP}`,
    'none',
  );
  guest.listen('kvm_msr');
  guest.resume();
  expect(guest.events).toEqual(['kvm_msr: msr_write c0000080 = 0x501', 'kvm_msr: msr_read c0000080 = 0x501']);
});

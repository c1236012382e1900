/** What user space finds in a vCPU and in the interrupt controllers that nobody has written to yet, as a real KVM shows it. */

import { expect, test } from 'vitest';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import { Bench } from './bench.ts';

const REAL = { hardware: 'real', irqchip: true } as const;

function got<M extends Members>({ qemu, vcpuFd }: Bench, ioctl: Ioctl, struct: Struct<M>): StructValue<M> {
  expect(qemu.ioctl(vcpuFd, ioctl, qemu.scratch)).toBe(0);
  return qemu.answer(struct);
}

test('a new vCPU is in real mode, at the reset vector', () => {
  const bench = new Bench(REAL);
  const regs = got(bench, uapi.KVM_GET_REGS, uapi.kvm_regs);
  expect(regs).toMatchObject({ rip: 0xfff0n, rflags: 2n, rdx: 0x600n, rax: 0n, rsp: 0n });
  const sregs = got(bench, uapi.KVM_GET_SREGS, uapi.kvm_sregs);
  expect(sregs).toMatchObject({ cr0: 0x60000010n, cr3: 0n, cr4: 0n, efer: 0n, apic_base: 0xfee00900n });
  expect(sregs.cs).toMatchObject({ selector: 0xf000, base: 0xffff0000n, limit: 0xffff, type: 11, s: 1, unusable: 0 });
  expect(sregs.ss).toMatchObject({ selector: 0, base: 0n, limit: 0xffff, type: 3, present: 1 });
  expect([sregs.tr.type, sregs.ldt.type, sregs.gdt.limit, sregs.idt.limit]).toEqual([11, 2, 0xffff, 0xffff]);
  expect(got(bench, uapi.KVM_GET_VCPU_EVENTS, uapi.kvm_vcpu_events).flags).toBe(0xd);
});

test('without interrupt controllers in the kernel it has an APIC base all the same', () => {
  const bench = new Bench({ hardware: 'real' });
  expect(got(bench, uapi.KVM_GET_SREGS, uapi.kvm_sregs).apic_base).toBe(0xfee00900n);
});

test('CR8 and the task priority of the local APIC are one', () => {
  const bench = new Bench(REAL);
  const { qemu, vcpuFd } = bench;
  const sregs = got(bench, uapi.KVM_GET_SREGS, uapi.kvm_sregs);
  expect(qemu.pass(vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, { ...sregs, cr8: 5n })).toBe(0);
  const { regs } = got(bench, uapi.KVM_GET_LAPIC, uapi.kvm_lapic_state);
  expect(regs[0x80]).toBe(0x50);
  regs[0x80] = 0x70;
  expect(qemu.pass(vcpuFd, uapi.KVM_SET_LAPIC, uapi.kvm_lapic_state, { regs })).toBe(0);
  expect(got(bench, uapi.KVM_GET_SREGS, uapi.kvm_sregs).cr8).toBe(7n);
});

test('KVM_GET_IRQCHIP writes the state of the chip, and nothing behind it', () => {
  const { qemu, vmFd } = new Bench(REAL);
  const chip = new Uint8Array(512).fill(0xee);
  expect(qemu.pass(vmFd, uapi.KVM_GET_IRQCHIP, uapi.kvm_irqchip, { chip_id: 0, chip })).toBe(0);
  const after = qemu.answer(uapi.kvm_irqchip).chip;
  expect([...after.subarray(14, 20)]).toEqual([0, 0xf8, 0xee, 0xee, 0xee, 0xee]);
});

test('an edge on a line that is high already is delivered, not coalesced', () => {
  const { qemu, vmFd } = new Bench(REAL);
  const raise = () => {
    expect(qemu.pass(vmFd, uapi.KVM_IRQ_LINE_STATUS, uapi.kvm_irq_level, { irq: 7, level: 1 })).toBe(0);
    return qemu.answer(uapi.kvm_irq_level).irq;
  };
  const lower = () => qemu.pass(vmFd, uapi.KVM_IRQ_LINE, uapi.kvm_irq_level, { irq: 7, level: 0 });
  expect([raise(), raise(), lower(), raise()]).toEqual([1, 1, 0, 0]);
});

test('flags of events that need a capability which there is not are refused', () => {
  const { qemu, vcpuFd } = new Bench(REAL);
  const set = (flags: number) => qemu.pass(vcpuFd, uapi.KVM_SET_VCPU_EVENTS, uapi.kvm_vcpu_events, { flags });
  expect([set(0xf), set(0x10), set(0x20)]).toEqual([0, -22, -22]);
});

/** KVM_CREATE_XCHE (the text of 2013): its errnos and registers, and that a guest cannot tell it from one in user space. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EEXIST, EFAULT, ENOSPC } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Bench } from './bench.ts';
import { portAccess } from './scripted-cpu.ts';

const create = (bench: Bench) => bench.qemu.ioctl(bench.vmFd, uapi.KVM_CREATE_XCHE);

test('one a VM; ENOSPC on a full bus; EFAULT when the sources of interrupts are used up', () => {
  const bench = new Bench();
  expect([create(bench), create(bench)]).toEqual([0, -EEXIST]);
  const full = new Bench();
  for (let i = 0; i < 1000; i++) full.vm.pioBus.register(i, 1, {});
  expect(create(full)).toBe(-ENOSPC);
  const busy = new Bench({ irqchip: true });
  for (let source = 2; source < 64; source++) expect(busy.vm.irqchip!.requestSource()).toBe(source);
  expect(create(busy)).toBe(-EFAULT);
});

test('the register is the low five bits of the port; an access beyond the range goes to user space', () => {
  const bench = new Bench();
  create(bench);
  bench.listen('kvm_pio,kvm_userspace_exit');
  bench.cpu.setRegister(0, 0x1122_3344n);
  expect(bench.enter(portAccess(4, false, 0x1004), portAccess(2, true, 0x1006))).toBe(0);
  expect(bench.events).toEqual([
    'kvm_pio: pio_write at 0x1004 size 4 count 1 val 0x11223344 ',
    'kvm_pio: pio_read at 0x1006 size 2 count 1 val 0x1122 ',
    'kvm_userspace_exit: reason KVM_EXIT_HLT (5)',
  ]);
  bench.enter(portAccess(4, true, 0x101e));
  expect(bench.exitReason).toBe(run.KVM_EXIT_IO);
});

test('the same guest sees the same values whether the device is in the kernel or in user space', () => {
  const size = fc.constantFrom(1 as const, 2 as const, 4 as const);
  const access = fc.record({
    size,
    input: fc.boolean(),
    offset: fc.nat({ max: 0x1f }),
    value: fc.nat({ max: 0xffff_ffff }),
  });
  fc.assert(
    fc.property(fc.array(access, { maxLength: 30 }), (accesses) => {
      const inKernel = new Bench();
      create(inKernel);
      const inUser = new Bench();
      const registers = new Uint8Array(0x20);
      for (const { input, offset, size: bytes, value } of accesses) {
        if (offset + bytes > 0x20) continue;
        for (const bench of [inKernel, inUser]) {
          bench.cpu.setRegister(0, BigInt(value));
          bench.enter(portAccess(bytes, input, 0x1000 + offset));
          const served = bench.exitReason === run.KVM_EXIT_HLT;
          expect(served).toBe(bench === inKernel);
          if (served) continue;
          if (input) bench.pioData.set(registers.subarray(offset, offset + bytes));
          else registers.set(bench.pioData.subarray(0, bytes), offset);
          bench.enter();
        }
        expect(inKernel.cpu.register(0)).toBe(inUser.cpu.register(0));
        expect(inKernel.cpu.rip).toBe(inUser.cpu.rip);
      }
    }),
    { numRuns: 40 },
  );
});

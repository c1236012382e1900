/** Results and errnos of the KVM ioctls, through the system call interface (uapi: Linux 6.1). */

import { describe, expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import {
  E2BIG,
  EBADF,
  EBUSY,
  EEXIST,
  EFAULT,
  EINVAL,
  EIO,
  ENODEV,
  ENOENT,
  ENOTTY,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
} from '../../../src/linux/uapi/errno.ts';
import { _IO } from '../../../src/linux/uapi/ioctl.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import { KVMIO } from '../../../src/linux/uapi/kvm-declare.ts';
import { O_RDWR } from '../../../src/linux/uapi/syscalls.ts';
import { Bench, User } from './bench.ts';

const UNKNOWN = _IO(KVMIO, 0x7f);
const BAD_POINTER = 0x10;

describe('/dev/kvm', () => {
  const bench = new Bench();
  const call = (ioctl: Parameters<User['ioctl']>[1], argument = 0) => bench.qemu.ioctl(bench.kvmFd, ioctl, argument);

  test('API version 12, an mmap size of three pages, and no argument for either', () => {
    expect(call(uapi.KVM_GET_API_VERSION)).toBe(12);
    expect(call(uapi.KVM_GET_API_VERSION, 1)).toBe(-EINVAL);
    expect(call(uapi.KVM_GET_VCPU_MMAP_SIZE)).toBe(12288);
    expect(call(uapi.KVM_GET_VCPU_MMAP_SIZE, 1)).toBe(-EINVAL);
  });

  test('a machine type other than 0 is EINVAL, an unknown ioctl is EINVAL', () => {
    expect(call(uapi.KVM_CREATE_VM, 1)).toBe(-EINVAL);
    expect(bench.qemu.user.syscalls.ioctl(bench.kvmFd, UNKNOWN, 0)).toBe(-EINVAL);
  });

  test.each([
    [KVM_CAP.USER_MEMORY, 1],
    [KVM_CAP.SET_TSS_ADDR, 1],
    [KVM_CAP.EXT_CPUID, 1],
    [KVM_CAP.MP_STATE, 1],
    [KVM_CAP.DESTROY_MEMORY_REGION_WORKS, 1],
    [KVM_CAP.JOIN_MEMORY_REGIONS_WORKS, 1],
    [KVM_CAP.NR_MEMSLOTS, 32764],
    [KVM_CAP.MULTI_ADDRESS_SPACE, 2],
    [KVM_CAP.MAX_VCPUS, 1024],
    [KVM_CAP.MAX_VCPU_ID, 4096],
    [KVM_CAP.IRQCHIP, 1],
    [KVM_CAP.IRQ_ROUTING, 4096],
    [KVM_CAP.COALESCED_MMIO, 2],
    [KVM_CAP.MANUAL_DIRTY_LOG_PROTECT2, 3],
    [KVM_CAP.NR_MEMSLOTS, 32764],
    [9999, 0],
  ])('KVM_CHECK_EXTENSION %i is %i, on the VM fd too', (capability, value) => {
    expect(call(uapi.KVM_CHECK_EXTENSION, capability)).toBe(value);
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_CHECK_EXTENSION, capability)).toBe(value);
  });

  test('KVM_GET_SUPPORTED_CPUID does not say how many entries it needs until there is room for them', () => {
    const { qemu } = bench;
    const ask = (nent: number) => {
      const result = qemu.pass(bench.kvmFd, uapi.KVM_GET_SUPPORTED_CPUID, uapi.kvm_cpuid2, { nent });
      return [result, qemu.answer(uapi.kvm_cpuid2).nent];
    };
    expect([0, 5].map(ask)).toEqual([
      [-E2BIG, 0],
      [-E2BIG, 5],
    ]);
    const [result, nent] = ask(100);
    expect(result).toBe(0);
    expect(nent).toBeGreaterThan(5);
    expect(ask(nent!)).toEqual([0, nent]);
    const first = qemu.user.memory.read((qemu.scratch + uapi.kvm_cpuid2.size) as Hva, uapi.kvm_cpuid_entry2.size);
    expect(new TextDecoder().decode(first.subarray(16, 20))).toBe('Genu');
    expect(call(uapi.KVM_GET_SUPPORTED_CPUID, BAD_POINTER)).toBe(-EFAULT);
  });

  test('KVM_GET_MSR_INDEX_LIST: E2BIG with the count, then the list', () => {
    const { qemu } = bench;
    expect(qemu.pass(bench.kvmFd, uapi.KVM_GET_MSR_INDEX_LIST, uapi.kvm_msr_list, { nmsrs: 0 })).toBe(-E2BIG);
    const { nmsrs } = qemu.answer(uapi.kvm_msr_list);
    expect(qemu.pass(bench.kvmFd, uapi.KVM_GET_MSR_INDEX_LIST, uapi.kvm_msr_list, { nmsrs })).toBe(0);
    const list = qemu.user.memory.read((qemu.scratch + 4) as Hva, 4 * nmsrs);
    expect([...new Uint32Array(list.buffer)]).toContain(0xc0000080);
  });
});

describe('VM', () => {
  test('unknown ioctl ENOTTY; another process EIO, whatever it asks', () => {
    const bench = new Bench();
    expect(bench.qemu.user.syscalls.ioctl(bench.vmFd, UNKNOWN, 0)).toBe(-ENOTTY);
    const other = new User(bench.kernel, 'thief');
    const stolen = [bench.vmFd, bench.vcpuFd].map((fd) =>
      other.process.files.install(bench.qemu.process.files.get(fd)!.get()),
    );
    for (const fd of stolen) expect(other.user.syscalls.ioctl(fd, UNKNOWN, 0)).toBe(-EIO);
  });

  test('KVM_CREATE_VCPU: EEXIST for an id in use, EINVAL from 4096 on', () => {
    const bench = new Bench();
    const create = (id: number) => bench.qemu.ioctl(bench.vmFd, uapi.KVM_CREATE_VCPU, id);
    expect(create(0)).toBe(-EEXIST);
    expect(create(4096)).toBe(-EINVAL);
    expect(create(4095)).toBeGreaterThan(0);
    expect(bench.vm.vcpus.map(({ id }) => id)).toEqual([0, 4095]);
  });

  test('KVM_SET_TSS_ADDR: EINVAL close to 4 GiB, a private slot once, then EEXIST', () => {
    const bench = new Bench();
    const set = (address: number) => bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_TSS_ADDR, address);
    expect(set(2 ** 32 - 3 * 4096 + 1)).toBe(-EINVAL);
    expect(set(0xfffbd000)).toBe(0);
    expect(bench.vm.memslots.find(0xfffbd)?.pages).toBe(3);
    expect(set(0xfffb0000)).toBe(-EEXIST);
  });

  test('KVM_SET_IDENTITY_MAP_ADDR: EFAULT, and EINVAL once a vCPU exists', () => {
    const bench = new Bench();
    const fresh = bench.qemu.ioctl(bench.kvmFd, uapi.KVM_CREATE_VM);
    expect(bench.qemu.ioctl(fresh, uapi.KVM_SET_IDENTITY_MAP_ADDR, BAD_POINTER)).toBe(-EFAULT);
    expect(bench.qemu.ioctl(fresh, uapi.KVM_SET_IDENTITY_MAP_ADDR, bench.qemu.scratch)).toBe(0);
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_IDENTITY_MAP_ADDR, bench.qemu.scratch)).toBe(-EINVAL);
  });

  test('KVM_SET_NR_MMU_PAGES below 64 EINVAL; KVM_SET_BOOT_CPU_ID after a vCPU EBUSY; KVM_ENABLE_CAP of nothing EINVAL', () => {
    const bench = new Bench();
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_NR_MMU_PAGES, 63)).toBe(-EINVAL);
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_NR_MMU_PAGES, 64)).toBe(0);
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_SET_BOOT_CPU_ID, 0)).toBe(-EBUSY);
    expect(bench.qemu.pass(bench.vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, { cap: 9999 })).toBe(-EINVAL);
  });

  test('the VM ends when its last fd is closed, and gives every page back', () => {
    const bench = new Bench();
    const { syscalls } = bench.qemu.user;
    const before = bench.kernel.pages.used;
    const vmFd = bench.qemu.ioctl(bench.kvmFd, uapi.KVM_CREATE_VM);
    const vcpuFd = bench.qemu.ioctl(vmFd, uapi.KVM_CREATE_VCPU, 0);
    expect(bench.qemu.ioctl(vcpuFd, uapi.KVM_RUN)).toBe(0);
    expect(bench.kernel.pages.used).toBeGreaterThan(before + 4);
    syscalls.close(vmFd);
    expect(bench.module.vms).toHaveLength(2);
    syscalls.close(vcpuFd);
    expect(bench.module.vms).toHaveLength(1);
    expect(bench.kernel.pages.used).toBe(before);
  });

  test('a process that ends takes its VM along', () => {
    const bench = new Bench();
    bench.cpu.retired = 7;
    bench.qemu.process.exit();
    expect(bench.module.vms).toEqual([]);
    expect(bench.module.retired).toBe(7);
  });
});

describe('KVM_IOEVENTFD', () => {
  const eventfd = (bench: Bench) => bench.qemu.user.syscalls.eventfd(0, 0);
  const set = (bench: Bench, args: Partial<Parameters<typeof uapi.kvm_ioeventfd.encode>[0]>) =>
    bench.qemu.pass(bench.vmFd, uapi.KVM_IOEVENTFD, uapi.kvm_ioeventfd, args);

  test('refusals in the kernel’s order', () => {
    const bench = new Bench();
    const fd = eventfd(bench);
    expect(set(bench, { len: 3, fd })).toBe(-EINVAL);
    expect(set(bench, { len: 4, fd, addr: 0xffff_ffff_ffff_fffen })).toBe(-EINVAL);
    expect(set(bench, { len: 4, fd, flags: 0x20 })).toBe(-EINVAL);
    expect(set(bench, { len: 0, fd, flags: 1 })).toBe(-EINVAL);
    expect(set(bench, { len: 4, fd: 99 })).toBe(-EBADF);
    expect(set(bench, { len: 4, fd: bench.kvmFd })).toBe(-EINVAL);
    expect(bench.qemu.ioctl(bench.vmFd, uapi.KVM_IOEVENTFD, BAD_POINTER)).toBe(-EFAULT);
  });

  test.each([
    ['the same length, both wildcards', { len: 4 }, { len: 4 }, -EEXIST],
    ['the same length and data', { len: 4, flags: 1, datamatch: 5n }, { len: 4, flags: 1, datamatch: 5n }, -EEXIST],
    ['the same length, other data', { len: 4, flags: 1, datamatch: 5n }, { len: 4, flags: 1, datamatch: 6n }, 0],
    ['a wildcard over data', { len: 4, flags: 1, datamatch: 5n }, { len: 4 }, -EEXIST],
    ['another length', { len: 4 }, { len: 2 }, 0],
    ['any length over one', { len: 4 }, { len: 0 }, -EEXIST],
    ['the other bus', { len: 4 }, { len: 4, flags: 2 }, 0],
  ])('collision: %s', (_name, first, second, result) => {
    const bench = new Bench();
    const fd = eventfd(bench);
    expect(set(bench, { addr: 0xc100n, fd, ...first })).toBe(0);
    expect(set(bench, { addr: 0xc100n, fd, ...second })).toBe(result);
  });

  test('DEASSIGN must match in everything, else ENOENT', () => {
    const bench = new Bench();
    const fd = eventfd(bench);
    const other = eventfd(bench);
    expect(set(bench, { addr: 0xc100n, len: 4, fd, flags: 1, datamatch: 5n })).toBe(0);
    expect(set(bench, { addr: 0xc100n, len: 4, fd, flags: 4 })).toBe(-ENOENT);
    expect(set(bench, { addr: 0xc100n, len: 4, fd, flags: 5, datamatch: 6n })).toBe(-ENOENT);
    expect(set(bench, { addr: 0xc100n, len: 2, fd, flags: 5, datamatch: 5n })).toBe(-ENOENT);
    expect(set(bench, { addr: 0xc100n, len: 4, fd: other, flags: 5, datamatch: 5n })).toBe(-ENOENT);
    expect(set(bench, { addr: 0xc100n, len: 4, fd, flags: 7, datamatch: 5n })).toBe(-ENOENT);
    expect(set(bench, { addr: 0xc100n, len: 4, fd, flags: 5, datamatch: 5n })).toBe(0);
    expect(set(bench, { addr: 0xc100n, len: 4, fd, flags: 5, datamatch: 5n })).toBe(-ENOENT);
  });

  test('data are compared with all 64 bits of what is to match', () => {
    // eventfd.c: ioeventfd_in_range
    const bench = new Bench();
    const fd = eventfd(bench);
    expect(set(bench, { addr: 0xc100n, len: 1, fd, flags: 3, datamatch: 0x105n })).toBe(0);
    expect(set(bench, { addr: 0xc100n, len: 1, fd, flags: 3, datamatch: 6n })).toBe(0);
    const { pioBus } = bench.vm;
    expect([5, 6].map((byte) => pioBus.write(0xc100, Uint8Array.of(byte)))).toEqual([-EOPNOTSUPP, 0]);
  });

  test('any length in memory stands on the fast bus too', () => {
    const bench = new Bench();
    const fd = eventfd(bench);
    expect(set(bench, { addr: 0xfebc0000n, len: 0, fd })).toBe(0);
    expect([bench.vm.mmioBus.deviceCount, bench.vm.fastMmioBus.deviceCount]).toEqual([1, 1]);
    expect(set(bench, { addr: 0xc100n, len: 0, fd, flags: 2 })).toBe(0);
    expect([bench.vm.pioBus.deviceCount, bench.vm.fastMmioBus.deviceCount]).toEqual([1, 1]);
    expect(set(bench, { addr: 0xfebc0000n, len: 0, fd, flags: 4 })).toBe(0);
    expect([bench.vm.mmioBus.deviceCount, bench.vm.fastMmioBus.deviceCount]).toEqual([0, 0]);
  });
});

describe('the kvm-vfio device', () => {
  const create = (bench: Bench, flags = 0) =>
    bench.qemu.pass(bench.vmFd, uapi.KVM_CREATE_DEVICE, uapi.kvm_create_device, { type: 4, flags });
  const attribute = (bench: Bench, fd: number, attr: bigint, groupFd: number, group = 1) => {
    const at = (bench.qemu.scratch + 512) as Hva;
    bench.qemu.user.memory.write(at, new Uint8Array(Int32Array.of(groupFd).buffer));
    return bench.qemu.pass(fd, uapi.KVM_SET_DEVICE_ATTR, uapi.kvm_device_attr, { group, attr, addr: BigInt(at) });
  };

  test('TEST creates nothing; a second one is EBUSY; unknown types ENODEV', () => {
    const bench = new Bench();
    expect(bench.qemu.pass(bench.vmFd, uapi.KVM_CREATE_DEVICE, uapi.kvm_create_device, { type: 77 })).toBe(-ENODEV);
    expect(create(bench, 1)).toBe(0);
    expect(bench.vm.devices).toHaveLength(0);
    expect(create(bench)).toBe(0);
    expect(bench.qemu.answer(uapi.kvm_create_device).fd).toBeGreaterThan(0);
    expect(create(bench)).toBe(-EBUSY);
  });

  test('groups: EBADF, EINVAL for another file, EEXIST, ENOENT, ENXIO, EPERM; VFIO is told the kvm pointer', () => {
    const bench = new Bench();
    const told: unknown[] = [];
    const groupFd = bench.qemu.user.syscalls.open('/dev/null', O_RDWR);
    const groupFile = bench.qemu.process.files.get(groupFd);
    create(bench);
    const { fd } = bench.qemu.answer(uapi.kvm_create_device);
    expect(attribute(bench, fd, 1n, groupFd)).toBe(-EINVAL); // vfio is not loaded
    bench.kernel.symbols.set('vfio_file_is_valid', (file: unknown) => file === groupFile);
    bench.kernel.symbols.set('vfio_file_set_kvm', (file: unknown, kvm: unknown) => told.push([file, kvm]));
    expect(attribute(bench, fd, 1n, 99)).toBe(-EBADF);
    expect(attribute(bench, fd, 1n, bench.kvmFd)).toBe(-EINVAL);
    expect(attribute(bench, fd, 2n, groupFd)).toBe(-ENOENT);
    expect(attribute(bench, fd, 3n, groupFd)).toBe(-ENXIO);
    expect(attribute(bench, fd, 1n, groupFd, 2)).toBe(-ENXIO);
    expect(attribute(bench, fd, 1n, groupFd)).toBe(0);
    expect(attribute(bench, fd, 1n, groupFd)).toBe(-EEXIST);
    expect(told).toEqual([[groupFile, bench.vm]]);
    expect(bench.qemu.pass(fd, uapi.KVM_GET_DEVICE_ATTR, uapi.kvm_device_attr, { group: 1 })).toBe(-EPERM);
    expect(bench.qemu.pass(fd, uapi.KVM_HAS_DEVICE_ATTR, uapi.kvm_device_attr, { group: 1, attr: 2n })).toBe(0);
    expect(attribute(bench, fd, 2n, groupFd)).toBe(0);
    expect(told.at(-1)).toEqual([groupFile, undefined]);
  });
});

describe('vCPU', () => {
  test('unknown ioctls are EINVAL, KVM_RUN takes no argument', () => {
    const bench = new Bench();
    expect(bench.qemu.user.syscalls.ioctl(bench.vcpuFd, UNKNOWN, 0)).toBe(-EINVAL);
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_RUN, 1)).toBe(-EINVAL);
  });

  test('registers come back as set; bit 1 of RFLAGS is forced', () => {
    const bench = new Bench();
    const regs = { rax: 1n, rbx: ~0n & 0xffffffffffffffffn, rsp: 3n, r15: 4n, rip: 0xfff0n, rflags: 0n };
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_REGS, uapi.kvm_regs, regs)).toBe(0);
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_REGS, bench.qemu.scratch)).toBe(0);
    expect(bench.qemu.answer(uapi.kvm_regs)).toMatchObject({ ...regs, rflags: 2n });
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_REGS, BAD_POINTER)).toBe(-EFAULT);
  });

  test.each([
    ['long mode', { cr0: 0x80000001n, cr4: 0x20n, efer: 0x500n, cr3: 0x2000n }, 0],
    ['long mode without PAE', { cr0: 0x80000001n, cr4: 0n, efer: 0x500n }, -EINVAL],
    ['LME and PG without LMA', { cr0: 0x80000001n, cr4: 0x20n, efer: 0x100n }, -EINVAL],
    ['LMA without paging', { cr0: 1n, efer: 0x500n }, -EINVAL],
    ['paging without protection', { cr0: 0x80000000n }, -EINVAL],
    ['NW without CD', { cr0: 0x20000001n }, -EINVAL],
    ['a bit of CR4 that there is not', { cr0: 1n, cr4: 1n << 12n }, -EINVAL],
    ['reserved bits of the APIC base', { cr0: 1n, apic_base: 0xfee00801n }, -EINVAL],
  ])('KVM_SET_SREGS: %s', (_name, sregs, result) => {
    const bench = new Bench();
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, sregs)).toBe(result);
    if (result === 0) {
      bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_SREGS, bench.qemu.scratch);
      expect(bench.qemu.answer(uapi.kvm_sregs)).toMatchObject(sregs);
    }
  });

  test('KVM_SET_SREGS: CR8 with five bits is passed over', () => {
    const bench = new Bench();
    const set = (cr8: bigint) => bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_SREGS, uapi.kvm_sregs, { cr0: 1n, cr8 });
    expect([set(7n), set(0x10n)]).toEqual([0, 0]);
    bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_SREGS, bench.qemu.scratch);
    expect(bench.qemu.answer(uapi.kvm_sregs).cr8).toBe(7n);
  });

  test('KVM_SET_MSRS and KVM_GET_MSRS stop at the first unknown register and tell how many they did', () => {
    const bench = new Bench();
    const msrs = (...entries: readonly { index: number; data: bigint }[]) => {
      const bytes = new Uint8Array(8 + 16 * entries.length);
      const view = new DataView(bytes.buffer);
      view.setUint32(0, entries.length, true);
      for (const [i, entry] of entries.entries()) uapi.kvm_msr_entry.write(view, entry, 8 + 16 * i);
      bench.qemu.user.memory.write(bench.qemu.scratch, bytes);
      return bench.qemu.scratch;
    };
    const set = msrs({ index: 0x277, data: 0x0606n }, { index: 0xdead, data: 1n }, { index: 0x277, data: 0n });
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_SET_MSRS, set)).toBe(1);
    const get = msrs({ index: 0x277, data: 0n }, { index: 0xdead, data: 0n });
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_MSRS, get)).toBe(1);
    const entry = bench.qemu.user.memory.read((get + 8) as Hva, 16);
    expect(uapi.kvm_msr_entry.read(new DataView(entry.buffer)).data).toBe(0x0606n);
  });

  test('without an in-kernel APIC a vCPU is RUNNABLE and nothing else; a signal mask has 8 bytes', () => {
    const bench = new Bench();
    expect(bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_GET_MP_STATE, bench.qemu.scratch)).toBe(0);
    expect(bench.qemu.answer(uapi.kvm_mp_state).mp_state).toBe(0);
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_MP_STATE, uapi.kvm_mp_state, { mp_state: 3 })).toBe(-EINVAL);
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_SIGNAL_MASK, uapi.kvm_signal_mask, { len: 4 })).toBe(-EINVAL);
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_SIGNAL_MASK, uapi.kvm_signal_mask, { len: 8 })).toBe(0);
  });

  test('KVM_SET_CPUID2: another CPUID once the vCPU has run, or linear addresses of another width, is EINVAL', () => {
    // cpuid.c: kvm_set_cpuid, kvm_check_cpuid
    const bench = new Bench();
    const { memory } = bench.qemu.user;
    const set = (...entries: readonly { readonly function: number; readonly eax: number }[]) => {
      const bytes = entries.flatMap((entry) => [...uapi.kvm_cpuid_entry2.encode(entry)]);
      memory.write(bench.qemu.scratch, Uint8Array.of(...uapi.kvm_cpuid2.encode({ nent: entries.length }), ...bytes));
      return bench.qemu.ioctl(bench.vcpuFd, uapi.KVM_SET_CPUID2, bench.qemu.scratch);
    };
    const widths = (linear: number) => ({ function: 0x80000008, eax: (linear << 8) | 40 });
    expect([0, 47, 48, 57, 64].map((linear) => set(widths(linear)))).toEqual([0, -EINVAL, 0, 0, -EINVAL]);
    const family = { function: 1, eax: 0x306c3 };
    expect(set(family)).toBe(0);
    bench.enter();
    expect([set(family), set({ ...family, eax: 0x306c4 }), set(family, widths(48)), set()]).toEqual([
      0,
      -EINVAL,
      -EINVAL,
      -EINVAL,
    ]);
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_GET_CPUID2, uapi.kvm_cpuid2, { nent: 0 })).toBe(-E2BIG);
    expect(bench.qemu.answer(uapi.kvm_cpuid2).nent).toBe(0);
  });

  test('KVM_SET_CPUID2: E2BIG beyond 256 entries', () => {
    const bench = new Bench();
    expect(bench.qemu.pass(bench.vcpuFd, uapi.KVM_SET_CPUID2, uapi.kvm_cpuid2, { nent: 257 })).toBe(-E2BIG);
  });
});

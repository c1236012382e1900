/** ioregionfd, experimental: off by default, its errnos, and a file that serves a range of memory and of ports. */

import { expect, test } from 'vitest';
import type { Hva } from '../../../src/address.ts';
import { type FileOperations, OpenFile } from '../../../src/linux/core/file.ts';
import { copyFromUser, copyToUser } from '../../../src/linux/core/uaccess.ts';
import { EBADF, EEXIST, EINVAL, ENOENT, ENOTTY } from '../../../src/linux/uapi/errno.ts';
import * as uapi from '../../../src/linux/uapi/kvm.ts';
import { KVM_CAP } from '../../../src/linux/uapi/kvm-capability.ts';
import * as run from '../../../src/linux/uapi/kvm-run.ts';
import { Bench } from './bench.ts';
import { load, memoryAccess, portAccess, store } from './scripted-cpu.ts';

const BASE = 0xfebc0000;

const set = (bench: Bench, fd: number, more: object = {}) =>
  bench.qemu.pass(bench.vmFd, uapi.KVM_SET_IOREGION, uapi.kvm_ioregion, {
    guest_paddr: BigInt(BASE),
    memory_size: 0x100n,
    file_offset: 1n << 40n,
    fd,
    ...more,
  });
const enable = (bench: Bench, arg0 = 1n) =>
  bench.qemu.pass(bench.vmFd, uapi.KVM_ENABLE_CAP, uapi.kvm_enable_cap, { cap: KVM_CAP.IOREGIONFD, arg0 });

/** A VM with the capability, and a file whose bytes are its contents; it refuses offset 0x80. */
function withFile() {
  const bench = new Bench();
  const contents = new Uint8Array(0x100);
  const accesses: string[] = [];
  let released = 0;
  const operations: FileOperations = {
    read(_file, buffer: Hva, count, position) {
      const at = position - 2 ** 40;
      accesses.push(`pread ${count} at ${at}`);
      if (at === 0x80) return -EINVAL;
      return copyToUser(bench.kernel, buffer, contents.subarray(at, at + count)) || count;
    },
    write(_file, buffer: Hva, count, position) {
      const at = position - 2 ** 40;
      accesses.push(`pwrite ${count} at ${at}`);
      return copyFromUser(bench.kernel, contents.subarray(at, at + count), buffer) || count;
    },
    release: () => {
      released++;
    },
  };
  const fd = bench.qemu.process.files.install(new OpenFile('anon_inode:device', operations, 2, undefined));
  expect(enable(bench)).toBe(0);
  return { bench, fd, contents, accesses, released: () => released };
}

test('off until it is switched on, and by a value that makes sense', () => {
  const bench = new Bench();
  expect(set(bench, 0)).toBe(-ENOTTY);
  expect(enable(bench, 2n)).toBe(-EINVAL);
});

test('errnos', () => {
  const { bench, fd } = withFile();
  expect(set(bench, 99)).toBe(-EBADF);
  expect(set(bench, bench.qemu.user.syscalls.eventfd(0, 0))).toBe(-EINVAL);
  expect(set(bench, fd, { flags: 8 })).toBe(-EINVAL);
  expect(set(bench, fd, { memory_size: 0n })).toBe(-EINVAL);
  expect(set(bench, fd, { guest_paddr: 0xffffn, flags: uapi.KVM_IOREGION_PIO })).toBe(-EINVAL);
  expect(set(bench, fd, { guest_paddr: 0xffff_ffff_ffff_fff0n })).toBe(-EINVAL);
  expect(set(bench, fd, { flags: uapi.KVM_IOREGION_DEASSIGN })).toBe(-ENOENT);
  expect(set(bench, fd)).toBe(0);
  expect(set(bench, fd, { guest_paddr: BigInt(BASE + 0xff) })).toBe(-EEXIST);
  expect(set(bench, fd, { guest_paddr: 0xc000n, flags: uapi.KVM_IOREGION_PIO })).toBe(0);
  expect(set(bench, fd, { flags: uapi.KVM_IOREGION_DEASSIGN })).toBe(0);
});

test('memory and ports: the file is read and written at its offset, and user space sees nothing', () => {
  const { bench, fd, contents, accesses } = withFile();
  set(bench, fd);
  set(bench, fd, { guest_paddr: 0xc000n, flags: uapi.KVM_IOREGION_PIO });
  bench.cpu.setRegister(0, 0xddcc_bbaan);
  bench.enter(
    portAccess(4, false, 0xc006),
    memoryAccess(BASE + 0x10, true, store(BASE + 0x10, [1, 2])),
    memoryAccess(BASE + 6, false, load(BASE + 6, 4)),
  );
  expect(bench.exitReason).toBe(run.KVM_EXIT_HLT);
  expect(accesses).toEqual(['pwrite 4 at 6', 'pwrite 2 at 16', 'pread 4 at 6']);
  expect(bench.cpu.register(0)).toBe(0xddcc_bbaan);
  expect([...contents.subarray(16, 18)]).toEqual([1, 2]);
});

test('what the file refuses is user space’s', () => {
  const { bench, fd } = withFile();
  set(bench, fd);
  bench.enter(memoryAccess(BASE + 0x80, false, load(BASE + 0x80, 1)));
  expect(bench.exitReason).toBe(run.KVM_EXIT_MMIO);
});

test('closing the VM’s fd lets the file go', () => {
  const { bench, fd, released } = withFile();
  set(bench, fd);
  bench.qemu.user.syscalls.close(fd);
  expect(released()).toBe(0);
  bench.qemu.user.syscalls.close(bench.vmFd);
  expect(released()).toBe(1);
});

import { expect, test } from 'vitest';
import { hva } from '../../../src/address.ts';
import { events } from '../../../src/event.ts';
import { type FileOperations, OpenFile } from '../../../src/linux/core/file.ts';
import { quoted } from '../../../src/linux/core/strace.ts';
import { EBUSY, EINVAL } from '../../../src/linux/uapi/errno.ts';
import {
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VM,
  KVM_ENABLE_CAP,
  KVM_GET_REGS,
  KVM_RUN,
  KVM_SET_USER_MEMORY_REGION,
  kvm_enable_cap,
  kvm_regs,
  kvm_userspace_memory_region,
} from '../../../src/linux/uapi/kvm.ts';
import { EFD_CLOEXEC, EFD_NONBLOCK, O_CLOEXEC, O_RDWR, POLLIN } from '../../../src/linux/uapi/syscalls.ts';
import {
  VFIO_GROUP_SET_CONTAINER,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
} from '../../../src/linux/uapi/vfio.ts';
import { boot, program } from './machine.ts';

function machine() {
  const kernel = boot();
  const run = program(kernel);
  const lines: string[] = [];
  const calls = events().filter(({ layer }) => layer === 'syscall');
  kernel.stream.subscribe(calls, ({ event, fields }) => lines.push(event.text(fields as never)));
  /** An fd of an anonymous file whose ioctl answers `result`, after `act`. */
  const fdOf = (name: string, result = 0, act: (argument: number) => void = () => {}) => {
    const operations: FileOperations = {
      ioctl: (_file, _request, argument) => {
        act(argument);
        return result;
      },
    };
    const path = name.startsWith('/') ? name : `anon_inode:${name}`;
    return run.process.files.install(new OpenFile(path, operations, O_RDWR, undefined));
  };
  const last = () => lines.at(-1);
  return { kernel, ...run, fdOf, lines, last };
}

test('paths behind descriptors, flags by name, the result at column 40', () => {
  const { kernel, syscalls, scratch, memory, lines } = machine();
  kernel.files.registerDevice('/dev/kvm', 0o666, (flags) => new OpenFile('/dev/kvm', {}, flags, undefined));
  syscalls.open('/dev/kvm', O_RDWR | O_CLOEXEC);
  syscalls.open('/dev/vfio/0', O_RDWR);
  syscalls.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  syscalls.poll(4, POLLIN);
  memory.write(scratch, new TextEncoder().encode('1234\n'));
  syscalls.write(1, scratch, 5);
  syscalls.close(3);
  syscalls.close(3);
  expect(lines).toEqual([
    'openat(AT_FDCWD, "/dev/kvm", O_RDWR|O_CLOEXEC) = 3</dev/kvm>',
    'openat(AT_FDCWD, "/dev/vfio/0", O_RDWR) = -1 ENOENT (No such file or directory)',
    'eventfd2(0, EFD_CLOEXEC|EFD_NONBLOCK)   = 4<anon_inode:[eventfd]>',
    'poll([{fd=4<anon_inode:[eventfd]>, events=POLLIN}], 1, 0) = 0 (Timeout)',
    'write(1</dev/pts/0>, "1234\\n", 5)       = 5',
    'close(3</dev/kvm>)                      = 0',
    'close(3)                                = -1 EBADF (Bad file descriptor)',
  ]);
});

test('KVM_RUN on a vCPU', () => {
  const { syscalls, fdOf, last } = machine();
  syscalls.ioctl(fdOf('kvm-vcpu:0'), KVM_RUN.number, 0);
  expect(last()).toBe('ioctl(3<anon_inode:kvm-vcpu:0>, KVM_RUN, 0) = 0');
});

test('a structure that goes in is told as it was', () => {
  const { syscalls, memory, scratch, fdOf, last } = machine();
  const region = { slot: 0, flags: 0, guest_phys_addr: 0n, memory_size: 67108864n, userspace_addr: 0x7ffff3e00000n };
  memory.write(scratch, kvm_userspace_memory_region.encode(region));
  syscalls.ioctl(fdOf('kvm-vm'), KVM_SET_USER_MEMORY_REGION.number, scratch);
  expect(last()).toBe(
    'ioctl(3<anon_inode:kvm-vm>, KVM_SET_USER_MEMORY_REGION, {slot=0, flags=0, guest_phys_addr=0, ' +
      'memory_size=67108864, userspace_addr=0x7ffff3e00000}) = 0',
  );
  memory.write(scratch, kvm_userspace_memory_region.encode({ ...region, slot: 3, flags: 3 }));
  syscalls.ioctl(fdOf('kvm-vm', -EINVAL), KVM_SET_USER_MEMORY_REGION.number, scratch);
  expect(last()).toContain('{slot=3, flags=KVM_MEM_LOG_DIRTY_PAGES|KVM_MEM_READONLY, guest_phys_addr=0,');
  expect(last()).toMatch(/ = -1 EINVAL \(Invalid argument\)$/);
});

test('a structure that comes out is told after the call, one that goes both ways twice', () => {
  const { syscalls, memory, scratch, fdOf, last } = machine();
  const vcpu = fdOf('kvm-vcpu:0', 0, () => memory.write(scratch, kvm_regs.encode({ rip: 0x1000000n, rax: 5n })));
  memory.write(scratch, kvm_regs.encode({ rip: 1n }));
  syscalls.ioctl(vcpu, KVM_GET_REGS.number, scratch);
  expect(last()).toMatch(/^ioctl\(3<.*>, KVM_GET_REGS, \{rax=0x5, rbx=0, .*, rip=0x1000000, rflags=0\}\) = 0$/);
  const given = { argsz: 24, flags: 0, iova: 0n, size: 0x8000n };
  memory.write(scratch, vfio_iommu_type1_dma_unmap.encode(given));
  const unmap = () => memory.write(scratch, vfio_iommu_type1_dma_unmap.encode({ ...given, size: 0x4000n }));
  syscalls.ioctl(fdOf('/dev/vfio/vfio', 0, unmap), VFIO_IOMMU_UNMAP_DMA.number, scratch);
  expect(last()).toMatch(/UNMAP_DMA, \{argsz=24, flags=0, iova=0, size=32768\} => \{.*, size=16384\}\) = 0$/);
});

test('integers are named where the ioctl takes one, and new descriptors have paths', () => {
  const { process, syscalls, fdOf, last } = machine();
  const kvm = process.files.install(new OpenFile('anon_inode:kvm-vm', { ioctl: () => 1 }, O_RDWR, undefined));
  syscalls.ioctl(kvm, KVM_CHECK_EXTENSION.number, 36);
  expect(last()).toBe('ioctl(3<anon_inode:kvm-vm>, KVM_CHECK_EXTENSION, KVM_CAP_IOEVENTFD) = 1');
  const unknown = fdOf('[eventfd]', -EBUSY);
  syscalls.ioctl(unknown, KVM_CREATE_VM.number, 0);
  expect(last()).toBe('ioctl(4<anon_inode:[eventfd]>, _IOC(0xae01), 0) = -1 EBUSY (Device or resource busy)');
});

test('capabilities, pointers to one integer and VFIO structures', () => {
  const { syscalls, memory, scratch, fdOf, lines } = machine();
  memory.write(scratch, kvm_enable_cap.encode({ cap: 168, arg0: 3n }));
  syscalls.ioctl(fdOf('kvm-vm'), KVM_ENABLE_CAP.number, scratch);
  expect(lines.at(-1)).toContain('KVM_ENABLE_CAP, {cap=KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, flags=0, arg0=3,');
  memory.write(scratch, new Uint8Array([13, 0, 0, 0]));
  syscalls.ioctl(fdOf('/dev/vfio/0'), VFIO_GROUP_SET_CONTAINER.number, scratch);
  expect(lines.at(-1)).toBe('ioctl(4</dev/vfio/0>, VFIO_GROUP_SET_CONTAINER, [13]) = 0');
  const mapping = { argsz: 32, flags: 3, vaddr: 0x7ffff3e00000n, iova: 0n, size: 0xc0000n };
  memory.write(scratch, vfio_iommu_type1_dma_map.encode(mapping));
  syscalls.ioctl(fdOf('/dev/vfio/vfio'), VFIO_IOMMU_MAP_DMA.number, scratch);
  expect(lines.at(-1)).toBe(
    'ioctl(5</dev/vfio/vfio>, VFIO_IOMMU_MAP_DMA, {argsz=32, flags=VFIO_DMA_MAP_FLAG_READ|VFIO_DMA_MAP_FLAG_WRITE, ' +
      'vaddr=0x7ffff3e00000, iova=0, size=786432}) = 0',
  );
});

test('a bad pointer is told as an address', () => {
  const { syscalls, fdOf, last } = machine();
  syscalls.ioctl(fdOf('kvm-vm', -14), KVM_SET_USER_MEMORY_REGION.number, hva(0x1000));
  expect(last()).toBe('ioctl(3<anon_inode:kvm-vm>, KVM_SET_USER_MEMORY_REGION, 0x1000) = -1 EFAULT (Bad address)');
});

test('transfers show what moved', () => {
  const { process, syscalls, memory, scratch, last } = machine();
  const operations: FileOperations = {
    read: () => {
      memory.write(scratch, new Uint8Array([0x48, 0x43, 0x53, 0x32]));
      return 4;
    },
    write: (_file, _buffer, count) => count,
  };
  const fd = process.files.install(new OpenFile('anon_inode:[vfio-device]', operations, O_RDWR, undefined));
  syscalls.pread(fd, scratch, 4, 0x70000000000);
  expect(last()).toBe('pread64(3<anon_inode:[vfio-device]>, "HCS2", 4, 7696581394432) = 4');
  memory.write(scratch, new Uint8Array([0, 0xf8, 0xff, 0xff]));
  syscalls.pwrite(fd, scratch, 4, 0x70000000030);
  expect(last()).toBe('pwrite64(3<anon_inode:[vfio-device]>, "\\0\\370\\377\\377", 4, 7696581394480) = 4');
});

test('strings are escaped and cut as strace does', () => {
  expect(quoted(new Uint8Array([0, 0x31, 1, 0x41, 0x7f, 0x22, 0x5c, 10]))).toBe('"\\0001\\1A\\177\\"\\\\\\n"');
  expect(quoted(new TextEncoder().encode('83b8f4f2-509f-382f-3c1e-e6bfe0fa1001'))).toBe(
    '"83b8f4f2-509f-382f-3c1e-e6bfe0fa"...',
  );
});

test('modules, links and directories', () => {
  const { syscalls, lines } = machine();
  syscalls.delete_module('mtty');
  syscalls.readlink('/tmp');
  syscalls.stat('/dev/null');
  expect(lines).toEqual([
    'delete_module("mtty", O_NONBLOCK)       = -1 ENOENT (No such file or directory)',
    'readlink("/tmp", 0x0, 4096)             = -1 EINVAL (Invalid argument)',
    'newfstatat(AT_FDCWD, "/dev/null", {st_mode=S_IFCHR|0666, ...}, 0) = 0',
  ]);
});

test('watching changes nothing: no page is brought in by the trace', () => {
  const traced = machine();
  const plain = boot();
  const run = program(plain);
  const size = (of: ReturnType<typeof program>) => {
    const fd = of.process.files.install(new OpenFile('anon_inode:kvm-vm', { ioctl: () => 0 }, O_RDWR, undefined));
    of.syscalls.ioctl(fd, KVM_SET_USER_MEMORY_REGION.number, of.scratch + 8192);
    of.syscalls.write(fd, of.scratch, 100);
  };
  size(traced);
  size(run);
  expect(traced.lines).toHaveLength(2);
  expect(traced.kernel.pages.used).toBe(plain.pages.used);
});

/** `-object memory-backend-…`: memory by name, for RAM and for devices, in large pages or not; and what QEMU says of mistakes. */

import { expect, test } from 'vitest';
import { MiB } from '../../../src/address.ts';
import { KVM_MEM_READONLY } from '../../../src/linux/uapi/kvm.ts';
import { requestedMemory } from '../../../src/qemu/options.ts';
import { hostKeepsPages } from '../../linux/leaks.ts';
import { Host } from '../bench.ts';
import { Unplugged } from '../pci/unplugged.ts';

const large = () => {
  const host = new Host();
  host.kernel.hugePages.ofSize(21)!.resize(8);
  hostKeepsPages(host.kernel);
  return host;
};
const memfd = '-object memory-backend-memfd,id=m,size=8M,hugetlb=on';
const start = (line: string, host = large()) => new Unplugged(line.split(' '), { host, firmware: true });

test('RAM is a backend in pages of 2 MiB, which a slot of KVM shows', () => {
  const { machine, host, write, read } = bound(start(`${memfd} -machine memory-backend=m`));
  expect(machine.ramSize).toBe(MiB(8));
  write(MiB(5), 4, 0xdeadbeefn);
  expect(read(MiB(5), 4)).toBe(0xdeadbeefn);
  expect(host.kernel.hugePages.ofSize(21)!.free).toBe(7);
  const slot = host.kvm.vms[0]!.memslots.find(0)!;
  expect([slot.pages, slot.flags & KVM_MEM_READONLY, slot.userspaceAddress % MiB(2)]).toEqual([2048, 0, 0]);
});

test('a backend of small pages is BAR2 of ivshmem-plain', () => {
  const { machine, write, read, configWrite } = bound(
    start('-object memory-backend-ram,id=m,size=1M -device ivshmem-plain,memdev=m,addr=4'),
  );
  configWrite(0, 4 << 3, 0x18, 4, 0xe000_0000);
  configWrite(0, 4 << 3, 4, 2, 2);
  write(0xe000_0ffc, 8, 0x1122_3344_5566_7788n);
  expect(read(0xe000_1000, 4)).toBe(0x1122_3344n);
  expect(machine.ramSize).toBe(MiB(64));
});

test.each([
  ['-m 4M that the backend is not', `${memfd} -m 4M -M pc,memory-backend=m`, 'Size specified by -m option must match'],
  ['RAM of no backend', '-M pc,memory-backend=x', "Memory backend 'x' not found"],
  ['no size', '-object memory-backend-ram,id=m', "Parameter 'size' is missing"],
  [
    'a size of 0',
    '-object memory-backend-ram,id=m,size=0',
    "property 'size' of memory-backend-ram doesn't take value '0'",
  ],
  ['no name', '-object memory-backend-ram,id=1m,size=1M', "Parameter 'id' expects an identifier"],
  ['no id', '-object memory-backend-ram,size=1M', "Parameter 'id' is missing"],
  ['a size that is none', '-object memory-backend-ram,id=m,size=1X', "Parameter 'size' expects a size value"],
  ['large pages of plain memory', '-object memory-backend-ram,id=m,size=1M,hugetlb=on', "Invalid parameter 'hugetlb'"],
  ['one name twice', `${memfd} ${memfd}`, "Duplicate ID 'm' for object"],
  ['parts of a large page', '-object memory-backend-memfd,id=m,size=1M,hugetlb=on', 'failed to resize memfd'],
  ['more than the pool has', '-object memory-backend-memfd,id=m,size=64M,hugetlb=on', 'Cannot allocate memory'],
  [
    'pages that x86 has not',
    `${memfd},hugetlbsize=16M`,
    'failed to create memfd with flags 0x60000007: No such device',
  ],
  ['pages of an odd size', `${memfd},hugetlbsize=3M`, 'Hugepage size must be a power of 2'],
  ['a device without memory', '-device ivshmem-plain', "You must specify a 'memdev'"],
  ['a device with no such memory', '-device ivshmem-plain,memdev=m', "Device 'm' not found"],
  ['memory that RAM is', `${memfd} -M pc,memory-backend=m -device ivshmem-plain,memdev=m`, 'already busy memdev: m'],
  ['three MiB as a BAR', '-object memory-backend-ram,id=m,size=3M -device ivshmem-plain,memdev=m', 'power of two'],
])('refused: %s', (_case, line, message) => {
  expect(() => start(line)).toThrow(message);
});

test('the host has RAM for what the command line asks for', () => {
  expect(requestedMemory([])).toBe(MiB(64));
  expect(requestedMemory(['-m', '1G', '-object', 'memory-backend-ram,id=a,size=2M'])).toBe(MiB(1026));
  expect(requestedMemory(['-m', 'x', '-object', 'memory-backend-ram,id=a,size=x'])).toBe(MiB(64));
});

/** With its methods as functions. */
function bound(machine: Unplugged) {
  return {
    machine: machine.machine,
    host: machine.host,
    write: machine.write.bind(machine),
    read: machine.read.bind(machine),
    configWrite: machine.configWrite.bind(machine),
  };
}

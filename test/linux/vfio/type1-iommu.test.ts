/** Type1 with groups that an IOMMU stands before: pinning, translation, ownership, limits; and that nothing is left behind. */

import { beforeEach, describe, expect, test } from 'vitest';
import { hva, iova } from '../../../src/address.ts';
import { MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE, PROT_READ } from '../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { vfio_pin_pages, vfio_unpin_pages } from '../../../src/linux/vfio/pin-pages.ts';
import { shown, userOf } from '../drivers/host.ts';
import { bootDmaHost, type DmaHost, PAGE } from './dma-host.ts';

const SOURCE = 0x0668;
let host: DmaHost;
let nic: ReturnType<DmaHost['addDevice']>;

beforeEach(() => {
  host = bootDmaHost();
  nic = host.addDevice('0000:06:0d.0', SOURCE);
});

const dmaWrite = (at: bigint, ...bytes: number[]) => host.unit.write(SOURCE, at, Uint8Array.from(bytes));
const dmaRead = (at: bigint, count: number) => {
  const into = new Uint8Array(count);
  return host.unit.read(SOURCE, at, into) ? [...into] : 'fault';
};
const lastLog = () => host.kernel.log.lines.at(-1);

describe('translation', () => {
  test('a device reaches what its container maps, across pages, and nothing else', () => {
    const { container } = host.contain([0]);
    host.memory.write(host.buffer, Uint8Array.of(1, 2, 3, 4));
    expect(host.map(container, { iova: 0x10_0000n, size: 4n * PAGE })).toBe('0');
    expect(dmaRead(0x10_0000n, 4)).toEqual([1, 2, 3, 4]);
    expect(dmaWrite(0x10_0fffn, 5, 6)).toBe(true);
    expect([...host.memory.read(hva(host.buffer + 0xfff), 2)]).toEqual([5, 6]);
    expect(dmaWrite(0x10_4000n, 7)).toBe(false);
    expect(lastLog()).toBe(
      'DMAR: [DMA Write NO_PASID] Request device [06:0d.0] fault addr 0x104000 [fault reason 0x05] PTE Write access is not set',
    );
    expect(dmaRead(0xf_f000n, 1)).toBe('fault');
    expect(dmaRead(1n << 48n, 1)).toBe('fault');
    expect(lastLog()).toContain('[fault reason 0x04] Access beyond MGAW');
  });

  test('a mapping for reading stops a write; a write across two mappings stops at the boundary', () => {
    const { container } = host.contain([0]);
    host.map(container, { flags: uapi.VFIO_DMA_MAP_FLAG_READ });
    expect([dmaRead(0n, 1), dmaWrite(0n, 1)]).toEqual([[0], false]);
    host.map(container, { iova: PAGE, vaddr: BigInt(host.buffer) + PAGE });
    host.map(container, { iova: 3n * PAGE, vaddr: BigInt(host.buffer) + 3n * PAGE });
    expect(dmaWrite(2n * PAGE - 2n, 8, 9, 10)).toBe(false);
    expect([...host.memory.read(hva(host.buffer + 0x1ffe), 2)]).toEqual([8, 9]);
  });

  test('an unknown device has no context entry', () => {
    host.contain([0]);
    expect(host.unit.write(0x0600, 0n, Uint8Array.of(1))).toBe(false);
    expect(lastLog()).toContain('[06:00.0] fault addr 0x0 [fault reason 0x02] Present bit in context entry is clear');
    expect(host.unit.write(0x0700, 0n, Uint8Array.of(1))).toBe(false);
    expect(lastLog()).toContain('[fault reason 0x01] Present bit in root entry is clear');
  });

  test('after unmap, UNSET_CONTAINER and the end of the process nothing is reachable', () => {
    const { container, groups } = host.contain([0]);
    host.map(container);
    host.map(container, { iova: 2n * PAGE });
    expect(host.unmap(container, 0n, PAGE)).toEqual(['0', PAGE]);
    expect([dmaRead(0n, 1), dmaRead(2n * PAGE, 1)]).toEqual(['fault', [0]]);
    expect(host.ioctl(groups[0]!, uapi.VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
    expect(dmaRead(2n * PAGE, 1)).toBe('fault');
    expect(host.kernel.pages.pinned).toBe(0);
  });
});

describe('ownership', () => {
  test('a group whose DMA a native driver owns is not viable; owned by user space it takes no native driver', () => {
    const group = host.openGroup(0);
    const container = host.open('/dev/vfio/vfio');
    const status = () => {
      const shape = uapi.vfio_group_status;
      return host.ioctlStruct(group, uapi.VFIO_GROUP_GET_STATUS, shape, { argsz: 8 }).value.flags;
    };
    expect(nic.group.useDefaultDomain()).toBe(0);
    expect([status(), shown(host.join(group, container))]).toEqual([0, '-EPERM']);
    nic.group.unuseDefaultDomain();
    expect([status(), shown(host.join(group, container)), status()]).toEqual([1, '0', 3]);
    expect(shown(nic.group.useDefaultDomain())).toBe('-EBUSY');
    host.ioctl(group, uapi.VFIO_GROUP_UNSET_CONTAINER);
    expect(nic.group.useDefaultDomain()).toBe(0);
    nic.group.unuseDefaultDomain();
  });

  test('devices of one group share the container; groups of one container share what it maps', () => {
    const second = host.addDevice('0000:06:0d.1', SOURCE + 1, nic.group);
    const other = host.addDevice('0000:07:00.0', 0x0700);
    const { container, groups } = host.contain([0, other.group.id]);
    host.map(container);
    for (const source of [SOURCE, second.source, other.source]) {
      expect(host.unit.write(source, 0n, Uint8Array.of(1))).toBe(true);
    }
    expect(host.ioctl(groups[0]!, uapi.VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
    expect(host.unit.write(SOURCE, 0n, Uint8Array.of(1))).toBe(false);
    expect(host.unit.write(other.source, 0n, Uint8Array.of(1))).toBe(true);
  });

  test('separate containers are separate address spaces', () => {
    const other = host.addDevice('0000:07:00.0', 0x0700);
    const first = host.contain([0]);
    const second = host.contain([other.group.id]);
    host.map(first.container);
    host.map(second.container, { vaddr: BigInt(host.buffer) + PAGE });
    dmaWrite(0n, 1);
    host.unit.write(other.source, 0n, Uint8Array.of(2));
    expect([...host.memory.read(host.buffer, 1), ...host.memory.read(hva(host.buffer + 0x1000), 1)]).toEqual([1, 2]);
  });
});

describe('MAP_DMA', () => {
  test.each([
    ['the interrupt addresses', { iova: 0xfee0_0000n }, '-EINVAL'],
    ['up to the interrupt addresses', { iova: 0xfedf_f000n }, '0'],
    ['from behind them', { iova: 0xfef0_0000n }, '0'],
    ['across them', { iova: 0xfedf_f000n, size: 2n * PAGE }, '-EINVAL'],
    ['the last page of the aperture', { iova: (1n << 48n) - PAGE }, '0'],
    ['beyond the aperture', { iova: 1n << 48n }, '-EINVAL'],
    ['memory that is not there', { vaddr: 0x1000n }, '-EFAULT'],
    ['memory of which the end is not there', { vaddr: 0x7fff_f7ff_e000n, size: 2n * PAGE }, '-EFAULT'],
  ])('%s', (_what, fields, expected) => {
    const { container } = host.contain([0]);
    expect(host.map(container, fields)).toBe(expected);
    expect(host.kernel.pages.pinned).toBe(expected === '0' ? 1 : 0);
    expect(host.process.mm.lockedPages).toBe(expected === '0' ? 1 : 0);
  });

  test('a device may not write what the process may not', () => {
    const readOnly = host.syscalls.mmap(4096, PROT_READ, 0x22, -1, 0);
    const { container } = host.contain([0]);
    expect(host.map(container, { vaddr: BigInt(readOnly) })).toBe('-EFAULT');
    expect(host.map(container, { vaddr: BigInt(readOnly), flags: uapi.VFIO_DMA_MAP_FLAG_READ })).toBe('0');
  });

  test('RLIMIT_MEMLOCK holds a process without CAP_IPC_LOCK, and what failed leaves nothing pinned', () => {
    host.process.mayLockMemory = false;
    host.process.lockLimit = 0x4000;
    const { container } = host.contain([0]);
    expect(host.map(container, { size: 3n * PAGE })).toBe('0');
    expect(host.map(container, { iova: 0x10000n, size: 2n * PAGE })).toBe('-ENOMEM');
    expect(lastLog()).toBe('vfio_pin_pages_remote: RLIMIT_MEMLOCK (16384) exceeded');
    expect([host.kernel.pages.pinned, host.process.mm.lockedPages]).toEqual([3, 3]);
    expect(host.map(container, { iova: 0x10000n })).toBe('0');
    host.unmap(container, 0n, 0n, uapi.VFIO_DMA_UNMAP_FLAG_ALL);
    expect([host.kernel.pages.pinned, host.process.mm.lockedPages]).toEqual([0, 0]);
  });

  test('memory that the process unmaps stays with the device until it is unmapped there too', () => {
    const { container } = host.contain([0]);
    host.memory.write(host.buffer, Uint8Array.of(0x5a));
    host.map(container);
    host.syscalls.munmap(host.buffer, 0x10000);
    expect(dmaRead(0n, 1)).toEqual([0x5a]);
    const used = host.kernel.pages.used;
    host.unmap(container, 0n, PAGE);
    // The page itself and the three tables that led to it.
    expect(host.kernel.pages.used).toBe(used - 4);
  });

  test('a huge page is pinned as one block', () => {
    host.kernel.hugePages.ofSize(21)!.resize(1);
    const huge = host.syscalls.mmap(0x20_0000, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
    const { container } = host.contain([0]);
    host.map(container, { iova: 0x4000_0000n, vaddr: BigInt(huge), size: 0x20_0000n });
    host.syscalls.munmap(hva(huge), 0x20_0000);
    expect(dmaWrite(0x401f_ffffn, 0xaa)).toBe(true);
    expect([host.kernel.pages.pinned > 0, host.process.mm.lockedPages]).toEqual([true, 512]);
    expect(host.unmap(container, 0x4000_0000n, 0x20_0000n)).toEqual(['0', 0x20_0000n]);
    expect([host.kernel.pages.pinned, host.process.mm.lockedPages]).toEqual([0, 0]);
    host.kernel.hugePages.ofSize(21)!.resize(0);
  });

  test('GET_INFO tells page sizes and the ranges around the interrupt addresses', () => {
    const { container } = host.contain([0]);
    const bytes = new Uint8Array(256);
    new DataView(bytes.buffer).setUint32(0, 256, true);
    expect(host.ioctlBytes(container, uapi.VFIO_IOMMU_GET_INFO, bytes)).toBe(0);
    const answer = host.memory.read(host.scratch, 256);
    const view = new DataView(answer.buffer, answer.byteOffset);
    expect(view.getBigUint64(8, true)).toBe(0x4020_1000n);
    expect([view.getUint16(68, true), view.getUint16(70, true), view.getUint32(72, true)]).toEqual([1, 1, 0]);
    expect(view.getUint32(76, true)).toBe(2);
    expect([0, 8, 16, 24].map((at) => view.getBigUint64(84 + at, true))).toEqual([
      0n,
      0xfedf_ffffn,
      0xfef0_0000n,
      0xffff_ffff_ffffn,
    ]);
  });
});

describe('a container of both kinds of group', () => {
  test('mappings made for an mdev are pinned when a group with an IOMMU joins, or it cannot join', () => {
    host.addMediated('mdev');
    const { container } = host.contain([1]);
    expect(host.map(container, { size: 2n * PAGE })).toBe('0');
    expect(host.kernel.pages.pinned).toBe(0);
    const group = host.openGroup(0);
    expect(shown(host.join(group, container))).toBe('0');
    expect([host.kernel.pages.pinned, dmaRead(PAGE, 1)]).toEqual([2, [0]]);
    host.ioctl(group, uapi.VFIO_GROUP_UNSET_CONTAINER);
    expect([host.kernel.pages.pinned, dmaRead(PAGE, 1)]).toEqual([0, 'fault']);
    expect(host.map(container, { iova: 0xfee0_0000n })).toBe('0');
    expect(shown(host.join(group, container))).toBe('-EINVAL');
    expect(host.unmap(container, 0xfee0_0000n, PAGE)).toEqual(['0', PAGE]);
    expect(host.map(container, { iova: 0x10_0000n, vaddr: 0x1000n })).toBe('0');
    expect(shown(host.join(group, container))).toBe('-EFAULT');
    expect([host.kernel.pages.pinned, nic.group.dmaOwned]).toEqual([0, false]);
  });

  test('a page that a driver pinned counts once, whoever else holds it', () => {
    const mdev = host.addMediated('mdev', { dmaUnmap: (at) => vfio_unpin_pages(mdev.vfio, iova(Number(at)), 1) });
    const { container, groups } = host.contain([1]);
    const device = host.getDevice(groups[0]!, 'mdev');
    host.map(container);
    expect(vfio_pin_pages(mdev.vfio, iova(0), 1, 3)).toHaveLength(1);
    const group = host.openGroup(0);
    const counts = () => [host.kernel.pages.pinned, host.process.mm.lockedPages];
    expect(counts()).toEqual([1, 1]);
    host.join(group, container);
    expect(counts()).toEqual([2, 1]);
    host.ioctl(group, uapi.VFIO_GROUP_UNSET_CONTAINER);
    expect(counts()).toEqual([1, 1]);
    host.unmap(container, 0n, PAGE);
    expect(counts()).toEqual([0, 0]);
    host.syscalls.close(device);
  });
});

describe('UPDATE_VADDR', () => {
  const VADDR = { map: uapi.VFIO_DMA_MAP_FLAG_VADDR, unmap: uapi.VFIO_DMA_UNMAP_FLAG_VADDR };

  test('an address is taken away, and given back once and whole', () => {
    const { container } = host.contain([0]);
    expect(host.ioctl(container, uapi.VFIO_CHECK_EXTENSION, uapi.VFIO_UPDATE_VADDR)).toBe(1);
    host.map(container, { size: 2n * PAGE });
    const renew = (fields: object) => host.map(container, { flags: VADDR.map, size: 2n * PAGE, ...fields });
    expect(renew({})).toBe('-EINVAL');
    expect(host.unmap(container, 0n, 2n * PAGE, VADDR.unmap)).toEqual(['0', 2n * PAGE]);
    expect(host.unmap(container, 0n, 2n * PAGE, VADDR.unmap)[0]).toBe('-EINVAL');
    expect([renew({ size: PAGE }), renew({ iova: 0x10000n }), renew({}), renew({})]).toEqual([
      '-EINVAL',
      '-ENOENT',
      '0',
      '-EINVAL',
    ]);
    expect(dmaRead(0n, 1)).toEqual([0]);
  });

  test('no group joins meanwhile', () => {
    const other = host.addDevice('0000:07:00.0', 0x0700);
    const { container } = host.contain([0]);
    host.map(container);
    host.unmap(container, 0n, PAGE, VADDR.unmap);
    expect(shown(host.join(host.openGroup(other.group.id), container))).toBe('-EBUSY');
  });
});

test('the end of a process takes its mappings along, and another process gets the group', () => {
  const { container, groups } = host.contain([0]);
  host.getDevice(groups[0]!, '0000:06:0d.0');
  host.map(container, { size: 16n * PAGE });
  expect(host.kernel.pages.pinned).toBe(16);
  host.process.exit();
  expect([host.kernel.pages.pinned, dmaRead(0n, 1)]).toEqual([0, 'fault']);
  const next = userOf(host.kernel, 'next');
  expect(next.open('/dev/vfio/0')).toBeGreaterThan(0);
  next.process.exit();
});

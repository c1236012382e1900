/** iommufd and the devices' own nodes: binding, page tables, mappings, options, access of mediated devices; and nothing is left behind. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hva, iova } from '../../../src/address.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../../src/linux/core/iommu.ts';
import { lockedByUser } from '../../../src/linux/iommufd/pages.ts';
import * as iommufd from '../../../src/linux/uapi/iommufd.ts';
import * as vfio from '../../../src/linux/uapi/vfio.ts';
import { vfio_dma_rw } from '../../../src/linux/vfio/dma.ts';
import { vfio_pin_pages, vfio_unpin_pages } from '../../../src/linux/vfio/pin-pages.ts';
import { shown } from '../drivers/host.ts';
import { bootIommufdHost, FIXED, type IommufdHost, lockedPages, PAGE, RW } from './iommufd-host.ts';

const SOURCE = 0x0668;
let host: IommufdHost;
let nic: ReturnType<IommufdHost['addDevice']>;
let mdev: ReturnType<IommufdHost['addMediated']>;
/** What the mediated device's driver was told to unpin; it does, if `pinned` is what it has. */
let told: (readonly [bigint, bigint])[];
let pinned: (readonly [at: number, count: number])[];

beforeEach(() => {
  host = bootIommufdHost();
  told = [];
  pinned = [];
  nic = host.addDevice('0000:06:0d.0', SOURCE);
  mdev = host.addMediated('mdev', {
    dmaUnmap: (at, size) => {
      told.push([at, size]);
      for (const [from, count] of pinned.splice(0)) vfio_unpin_pages(mdev.vfio, iova(from), count);
    },
  });
});

afterEach(() => {
  host.process.exit();
  expect(lockedPages(host)).toBe(0);
});

const dmaWrite = (at: bigint, ...bytes: number[]) => host.unit.write(SOURCE, at, Uint8Array.from(bytes));
const dmaRead = (at: bigint, count: number) => {
  const into = new Uint8Array(count);
  return host.unit.read(SOURCE, at, into) ? [...into] : 'fault';
};
const pin = (at: number, count = 1, rights = IOMMU_READ | IOMMU_WRITE) => {
  const result = vfio_pin_pages(mdev.vfio, iova(at), count, rights);
  if (typeof result === 'number') return shown(result);
  pinned.push([at, count]);
  return result.length;
};
const rw = (at: number, bytes: Uint8Array, write: boolean) => shown(vfio_dma_rw(mdev.vfio, iova(at), bytes, write));

describe('the nodes', () => {
  test('each device has one, with its number in sysfs; the group’s is there too', () => {
    expect(host.cat('/sys/class/vfio-dev/vfio0/dev')).toBe('511:0\n');
    expect(host.syscalls.readlink('/sys/class/vfio-dev/vfio1')).toContain(`/${mdev.device.name}/`);
    expect(host.syscalls.stat('/dev/vfio/devices/vfio1')).toEqual({ kind: 'character device', mode: 0o600 });
    expect(host.syscalls.stat('/dev/iommu')).toEqual({ kind: 'character device', mode: 0o660 });
    expect(host.syscalls.stat('/dev/vfio/0')).toMatchObject({ mode: 0o600 });
  });

  test('before it is bound a device answers nothing', () => {
    const device = host.openNode(0);
    const calls = [
      host.ioctl(device, vfio.VFIO_DEVICE_GET_INFO),
      host.ioctl(device, vfio.VFIO_DEVICE_RESET),
      host.attach(device, 1).result,
      host.detach(device),
      host.syscalls.pread(device, host.scratch, 4, 0),
      host.syscalls.pwrite(device, host.scratch, 4, 0),
      host.syscalls.mmap(0x1000, 1, 1, device, 0),
    ];
    expect(calls.map(shown)).toEqual(calls.map(() => '-EINVAL'));
    expect(host.refusals.at(-1)).toBe('0000:06:0d.0 is bound to no iommufd yet: VFIO_DEVICE_BIND_IOMMUFD comes first');
  });

  test('two may have it open; the first to bind has it, until it closes', () => {
    const fd = host.openIommufd();
    const [one, two] = [host.openNode(0), host.openNode(0)];
    expect(host.bind(one, fd)).toMatchObject({ result: 0, value: { out_devid: 1 } });
    expect(shown(host.bind(two, fd).result)).toBe('-EINVAL');
    expect(host.refusals.at(-1)).toContain('bound by another file');
    expect(shown(host.bind(one, fd).result)).toBe('-EINVAL');
    expect(host.refusals.at(-1)).toContain('is bound to an iommufd already');
    host.syscalls.close(one);
    expect(host.bind(two, fd).result).toBe(0);
  });

  test('the group and the nodes exclude each other, whichever comes first', () => {
    const fd = host.openIommufd();
    const group = host.openGroup(0);
    const device = host.openNode(0);
    expect(shown(host.bind(device, fd).result)).toBe('-EBUSY');
    expect(host.refusals.at(-1)).toContain('group 0 is open');
    host.syscalls.close(group);
    expect(host.bind(device, fd).result).toBe(0);
    expect(shown(host.openGroup(0))).toBe('-EBUSY');
    expect(host.refusals.at(-1)).toContain('open by its own node');
    host.syscalls.close(device);
    expect(host.openGroup(0)).toBeGreaterThan(0);
  });

  test('a file that the group gave cannot be bound', () => {
    const { groups } = host.contain([0]);
    const device = host.getDevice(groups[0]!, '0000:06:0d.0');
    expect(shown(host.bind(device, host.openIommufd()).result)).toBe('-EINVAL');
    // Nor has it the ioctls of an address space: they are the driver's to know.
    expect(shown(host.attach(device, 1).result)).toBe('-EINVAL');
  });

  test('what BIND refuses', () => {
    const fd = host.openIommufd();
    const device = host.openNode(0);
    const bind = (fields: Parameters<typeof host.bind>[2]) => shown(host.bind(device, fd, fields).result);
    expect(bind({ argsz: 12 })).toBe('-EINVAL');
    expect(bind({ flags: 1 })).toBe('-EINVAL');
    expect(bind({ iommufd: -1 })).toBe('-EINVAL');
    expect(bind({ iommufd: 99 })).toBe('-EBADF');
    expect(bind({ iommufd: host.open('/dev/vfio/vfio') })).toBe('-EBADFD');
    expect(shown(host.ioctl(device, vfio.VFIO_DEVICE_BIND_IOMMUFD, 0x7000_0000_0000))).toBe('-EFAULT');
    // After all that the group is free.
    expect(host.openGroup(0)).toBeGreaterThan(0);
  });

  test('a device whose DMA a native driver has cannot be bound; one that is bound takes no native driver', () => {
    const fd = host.openIommufd();
    const device = host.openNode(0);
    nic.group.useDefaultDomain();
    expect(shown(host.bind(device, fd).result)).toBe('-EPERM');
    expect(host.refusals.at(-1)).toContain('not viable');
    nic.group.unuseDefaultDomain();
    expect(host.bind(device, fd).result).toBe(0);
    expect(shown(nic.group.useDefaultDomain())).toBe('-EBUSY');
  });

  test('the devices of one group go to one iommufd', () => {
    const second = host.addDevice('0000:06:0d.1', SOURCE + 1, nic.group);
    const [one, other] = [host.openIommufd(), host.openIommufd()];
    const [a, b] = [host.bound(0, one), host.openNode(2)];
    expect(shown(host.bind(b, other).result)).toBe('-EPERM');
    expect(host.bind(b, one).value.out_devid).toBe(2);
    host.syscalls.close(a);
    expect(shown(nic.group.useDefaultDomain())).toBe('-EBUSY');
    host.syscalls.close(b);
    expect(nic.group.useDefaultDomain()).toBe(0);
    nic.group.unuseDefaultDomain();
    expect(second.group.id).toBe(0);
  });

  test('the driver is called at the first binding and at the last close', () => {
    const calls: string[] = [];
    host.addMediated('counted', {
      openDevice: () => calls.push('open') && 0,
      closeDevice: () => calls.push('close'),
      read: (_buffer, count) => count,
    });
    const device = host.openNode(2);
    expect(calls).toEqual([]);
    host.bind(device, host.openIommufd());
    expect(host.syscalls.pread(device, host.scratch, 4, 0)).toBe(4);
    host.syscalls.close(device);
    expect(calls).toEqual(['open', 'close']);
  });

  test('a driver that refuses to open leaves nothing bound', () => {
    host.addMediated('shy', { openDevice: () => -5 });
    const fd = host.openIommufd();
    expect(shown(host.bind(host.openNode(2), fd).result)).toBe('-EIO');
    expect(shown(host.destroy(fd, 1))).toBe('-ENOENT');
  });
});

describe('translation', () => {
  test('bound, a device reaches nothing; attached, what the space maps; detached, nothing again', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.map(fd, ioas);
    host.memory.write(host.buffer, Uint8Array.of(1, 2));
    const device = host.bound(0, fd);
    expect(dmaRead(0x1_0000n, 2)).toBe('fault');
    const attached = host.attach(device, ioas);
    // The answer names the page table that the kernel made.
    expect(attached).toMatchObject({ result: 0, value: { pt_id: 3 } });
    expect(dmaRead(0x1_0000n, 2)).toEqual([1, 2]);
    expect(dmaWrite(0x1_0000n, 7)).toBe(true);
    expect([...host.memory.read(hva(host.buffer), 1)]).toEqual([7]);
    expect(host.detach(device)).toBe(0);
    expect(dmaRead(0x1_0000n, 2)).toBe('fault');
    expect(host.detach(device)).toBe(0);
  });

  test('what is mapped and unmapped later reaches the page table too; rights are the device’s', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.bound(0, fd, ioas);
    host.map(fd, ioas, { flags: FIXED | iommufd.IOMMU_IOAS_MAP_READABLE, length: 2n * PAGE });
    expect([dmaRead(0x1_1000n, 1), dmaWrite(0x1_0000n, 1)]).toEqual([[0], false]);
    expect(host.kernel.pages.pinned).toBe(2);
    expect(host.unmap(fd, ioas, 0x1_0000n, 2n * PAGE)).toMatchObject({ result: 0, value: { length: 2n * PAGE } });
    expect([dmaRead(0x1_1000n, 1), host.kernel.pages.pinned]).toEqual(['fault', 0]);
  });

  test('attached to another space the device moves without an error between', () => {
    const fd = host.openIommufd();
    const [one, two] = [host.allocate(fd), host.allocate(fd)];
    host.map(fd, one);
    host.map(fd, two, { user_va: BigInt(host.buffer) + PAGE });
    host.memory.write(host.buffer, Uint8Array.of(1));
    host.memory.write(hva(host.buffer + 0x1000), Uint8Array.of(2));
    const device = host.bound(0, fd, one);
    expect([dmaRead(0x1_0000n, 1), host.kernel.pages.pinned]).toEqual([[1], 1]);
    expect(host.attach(device, two).result).toBe(0);
    expect([dmaRead(0x1_0000n, 1), host.kernel.pages.pinned]).toEqual([[2], 1]);
    expect(host.destroy(fd, one)).toBe(0);
    expect(shown(host.destroy(fd, two))).toBe('-EBUSY');
  });

  test('the devices of a group have one page table', () => {
    host.addDevice('0000:06:0d.1', SOURCE + 1, nic.group);
    const fd = host.openIommufd();
    const [one, two] = [host.allocate(fd), host.allocate(fd)];
    host.bound(0, fd, one);
    const second = host.bound(2, fd);
    expect(shown(host.attach(second, two).result)).toBe('-EINVAL');
    expect(host.refusals.at(-1)).toContain('another device of IOMMU group 0');
    expect(host.attach(second, one).result).toBe(0);
  });

  test('two devices of two groups share the page table of their space', () => {
    host.addDevice('0000:07:00.0', 0x0700);
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.map(fd, ioas);
    const [a, b] = [host.bound(0, fd), host.bound(2, fd)];
    const pt = host.attach(a, ioas).value.pt_id;
    expect(host.attach(b, ioas).value.pt_id).toBe(pt);
    host.syscalls.close(a);
    const into = new Uint8Array(1);
    expect(host.unit.read(0x0700, 0x1_0000n, into)).toBe(true);
    expect(shown(host.destroy(fd, pt))).toBe('-EBUSY');
    host.syscalls.close(b);
    // It goes with the last that used it.
    expect(shown(host.destroy(fd, pt))).toBe('-ENOENT');
  });

  test('a page table of user space’s own stays until it is destroyed', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.map(fd, ioas);
    const device = host.bound(0, fd);
    const made = host.pagetable(fd, { dev_id: 2, pt_id: ioas });
    expect(made).toMatchObject({ result: 0, value: { out_hwpt_id: 3 } });
    expect(host.kernel.pages.pinned).toBe(1);
    expect(host.attach(device, 3).value.pt_id).toBe(3);
    expect(dmaRead(0x1_0000n, 1)).toEqual([0]);
    host.detach(device);
    expect(host.destroy(fd, 3)).toBe(0);
    expect(host.kernel.pages.pinned).toBe(0);
    expect(shown(host.pagetable(fd, { dev_id: 2, pt_id: ioas, flags: 1 }).result)).toBe('-EOPNOTSUPP');
    expect(shown(host.pagetable(fd, { dev_id: 9, pt_id: ioas }).result)).toBe('-ENOENT');
    expect(shown(host.pagetable(fd, { dev_id: 2, pt_id: 9 }).result)).toBe('-ENOENT');
    // A page table is no address space.
    const other = host.pagetable(fd, { dev_id: 2, pt_id: ioas }).value.out_hwpt_id;
    expect(shown(host.pagetable(fd, { dev_id: 2, pt_id: other }).result)).toBe('-ENOENT');
  });

  test('what ATTACH and DETACH refuse', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    const device = host.bound(0, fd);
    expect(shown(host.attach(device, ioas, 8).result)).toBe('-EINVAL');
    expect(shown(host.attach(device, ioas, 12, 1).result)).toBe('-EINVAL');
    expect(shown(host.attach(device, 9).result)).toBe('-ENOENT');
    expect(shown(host.attach(device, 2).result)).toBe('-EINVAL');
    expect(shown(host.ioctl(device, vfio.VFIO_DEVICE_ATTACH_IOMMUFD_PT, 0x7000_0000_0000))).toBe('-EFAULT');
    expect(shown(host.detach(device, 4))).toBe('-EINVAL');
    expect(shown(host.detach(device, 8, 1))).toBe('-EINVAL');
    host.map(fd, ioas, { iova: 0xfee0_0000n });
    expect(shown(host.attach(device, ioas).result)).toBe('-EADDRINUSE');
    expect(host.refusals.at(-1)).toBe('the mapping [0xfee00000, 0xfee00fff] lies where the device cannot reach memory');
    host.unmap(fd, ioas, 0xfee0_0000n, PAGE);
    host.map(fd, ioas, { iova: 1n << 52n });
    expect(shown(host.attach(device, ioas).result)).toBe('-EADDRINUSE');
    host.unmap(fd, ioas, 1n << 52n, PAGE);
    expect(host.map(fd, ioas, { iova: 0x10n, user_va: BigInt(host.buffer) + 4n, length: 8n }).result).toBe(0);
    expect(shown(host.attach(device, ioas).result)).toBe('-EADDRINUSE');
    expect(host.refusals.at(-1)).toContain('not made of whole pages of 4096 bytes');
  });

  test('the process killed with everything open: the hardware reaches nothing', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.bound(0, fd, ioas);
    host.map(fd, ioas);
    host.process.exit();
    expect(dmaRead(0x1_0000n, 1)).toBe('fault');
    expect(nic.group.useDefaultDomain()).toBe(0);
    nic.group.unuseDefaultDomain();
  });

  test('a device that is removed while it is bound goes at the last close; no new file of it is made', () => {
    const device = host.bound(0, host.openIommufd());
    let gone = false;
    host.unregister(nic.vfio, () => {
      gone = true;
    });
    expect([gone, shown(host.openNode(0))]).toEqual([false, '-ENOENT']);
    host.syscalls.close(device);
    expect(gone).toBe(true);
    expect(shown(host.open('/dev/vfio/0'))).toBe('-ENOENT');
  });

  test('an open file that is not bound holds the removal up as well', () => {
    const device = host.openNode(0);
    let gone = false;
    host.unregister(nic.vfio, () => {
      gone = true;
    });
    expect(gone).toBe(false);
    host.syscalls.close(device);
    expect(gone).toBe(true);
  });
});

describe('mappings', () => {
  const mapped = (fields: Parameters<IommufdHost['map']>[2]) => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.bound(0, fd, ioas);
    return shown(host.map(fd, ioas, fields).result);
  };
  test.each<readonly [string, string, Parameters<IommufdHost['map']>[2]]>([
    ['a space that is not there', '-ENOENT', { ioas_id: 9 }],
    ['a device instead of a space', '-ENOENT', { ioas_id: 2 }],
    ['a flag there is not', '-EOPNOTSUPP', { flags: 8 | RW }],
    ['__reserved is set', '-EOPNOTSUPP', { __reserved: 1 }],
    ['neither READABLE nor WRITEABLE', '-EINVAL', { flags: FIXED }],
    ['the last address, before what nobody may use', '-EOVERFLOW', { flags: FIXED, iova: 0xffff_ffff_ffff_ffffn }],
    ['no bytes', '-EINVAL', { length: 0n }],
    ['more than can be rounded up to pages', '-EINVAL', { length: 0xffff_ffff_ffff_f000n }],
    ['user addresses past 2^64 of no space', '-ENOENT', { ioas_id: 9, user_va: 0xffff_ffff_ffff_f000n, length: PAGE }],
    ['half a page', '-EINVAL', { length: 0x800n }],
    ['an address in a page', '-EINVAL', { iova: 0x800n }],
    ['memory in a page', '-EINVAL', { user_va: 0x800n }],
    ['where interrupts go', '-EINVAL', { iova: 0xfee0_0000n }],
    ['beyond the last address of the IOMMU', '-EINVAL', { iova: 1n << 60n }],
    ['past 2^64', '-EOVERFLOW', { iova: 0xffff_ffff_ffff_f000n, length: 2n * PAGE }],
    ['all of 2^64', '-EOVERFLOW', { length: 0xffff_ffff_ffff_ffffn }],
    ['user addresses past 2^64', '-EOVERFLOW', { user_va: 0xffff_ffff_ffff_f000n, length: PAGE }],
    ['memory that is not there', '-EFAULT', { user_va: 0x1000n }],
    ['no room', '-EOVERFLOW', { flags: RW, length: 1n << 63n }],
  ])('%s: %s', (_, errno, fields) => {
    expect(mapped(fields)).toBe(errno);
  });

  test('one over another, even the same', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    expect(host.map(fd, ioas, { length: 2n * PAGE }).result).toBe(0);
    expect(shown(host.map(fd, ioas, { iova: 0x1_1000n }).result)).toBe('-EEXIST');
    expect(host.refusals.at(-1)).toBe('[0x11000, 0x11fff] overlaps the mapping [0x10000, 0x11fff]');
  });

  test('a failed mapping pins nothing', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.bound(0, fd, ioas);
    // The buffer has 16 pages; the page after them is not there.
    expect(shown(host.map(fd, ioas, { user_va: BigInt(host.buffer) + 15n * PAGE, length: 1n << 30n }).result)).toBe(
      '-EFAULT',
    );
    expect(host.kernel.pages.pinned).toBe(0);
    expect(host.map(fd, ioas).result).toBe(0);
  });

  test('without FIXED_IOVA the space chooses: the lowest that is free, as aligned as the memory', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.bound(0, fd, ioas);
    // 16 KiB that begin at a multiple of 16 KiB.
    const memory = (BigInt(host.buffer) + 0x3fffn) & ~0x3fffn;
    const choose = (length: bigint, at = 0n) =>
      host.map(fd, ioas, { flags: RW, length, iova: 0n, user_va: memory + at }).value.iova;
    expect(choose(PAGE)).toBe(0x1000n);
    expect(choose(PAGE, PAGE)).toBe(0x2000n);
    expect(choose(4n * PAGE)).toBe(0x4000n);
    expect(choose(PAGE)).toBe(0x3000n);
    expect(host.allow(fd, ioas, [[0x10_0000n, 0x10_1fffn]])).toBe(0);
    expect([choose(PAGE), choose(PAGE)]).toEqual([0x10_0000n, 0x10_1000n]);
    expect(shown(host.map(fd, ioas, { flags: RW }).result)).toBe('-ENOSPC');
    // A mapping that names its address need not keep to them.
    expect(host.map(fd, ioas, { iova: 0x20_0000n }).result).toBe(0);
  });

  test('whole mappings are unmapped, several at once; a hole and a cut are refused', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.map(fd, ioas, { iova: 0x1000n });
    host.map(fd, ioas, { iova: 0x2000n, length: 2n * PAGE });
    expect(shown(host.unmap(fd, ioas, 0x2000n, PAGE).result)).toBe('-ENOENT');
    expect(host.refusals.at(-1)).toContain('would cut the mapping [0x2000, 0x3fff]');
    expect(shown(host.unmap(fd, ioas, 0x8000n, PAGE).result)).toBe('-ENOENT');
    expect(shown(host.unmap(fd, ioas, 0x8000n, 0n).result)).toBe('-EINVAL');
    expect(shown(host.unmap(fd, ioas, 0xffff_ffff_ffff_f000n, 2n * PAGE).result)).toBe('-EOVERFLOW');
    expect(shown(host.unmap(fd, 9, 0x1000n, PAGE).result)).toBe('-ENOENT');
    expect(host.unmap(fd, ioas, 0n, 0x10_0000n)).toMatchObject({ result: 0, value: { length: 3n * PAGE } });
    const all = () => host.unmap(fd, ioas, 0n, 0xffff_ffff_ffff_ffffn);
    expect(all()).toMatchObject({ result: 0, value: { length: 0n } });
    host.map(fd, ioas);
    expect(all()).toMatchObject({ result: 0, value: { length: PAGE } });
  });

  test('a copy shares the pages: pinned and charged once', () => {
    const fd = host.openIommufd();
    const [one, two] = [host.allocate(fd), host.allocate(fd)];
    host.bound(0, fd, two);
    host.pagetable(fd, { dev_id: 3, pt_id: one });
    host.map(fd, one, { length: 4n * PAGE });
    expect(host.kernel.pages.pinned).toBe(4);
    const fields = { src_ioas_id: one, dst_ioas_id: two, src_iova: 0x1_1000n, dst_iova: 0x5_0000n, length: 2n * PAGE };
    expect(host.copy(fd, fields).result).toBe(0);
    expect(host.kernel.pages.pinned).toBe(4);
    host.memory.write(hva(host.buffer + 0x1000), Uint8Array.of(9));
    expect(dmaRead(0x5_0000n, 1)).toEqual([9]);
    host.unmap(fd, one, 0x1_0000n, 4n * PAGE);
    expect([host.kernel.pages.pinned, dmaRead(0x5_0000n, 1)]).toEqual([2, [9]]);
    const refused = (changes: Partial<typeof fields> & { readonly flags?: number }) =>
      shown(host.copy(fd, { ...fields, ...changes }).result);
    expect(refused({ src_ioas_id: 9 })).toBe('-ENOENT');
    expect(refused({ src_iova: 0x9_0000n })).toBe('-ENOENT');
    expect(refused({ src_ioas_id: two, src_iova: 0x5_0000n, dst_ioas_id: 9 })).toBe('-ENOENT');
    expect(refused({ src_ioas_id: two, src_iova: 0x5_0000n })).toBe('-EEXIST');
    expect(refused({ src_ioas_id: two, src_iova: 0x5_0000n, length: 3n * PAGE })).toBe('-ENOENT');
    expect(refused({ length: 0n })).toBe('-EINVAL');
    expect(refused({ flags: 0x10 })).toBe('-EOPNOTSUPP');
    expect(refused({ length: 0xffff_ffff_ffff_ffffn })).toBe('-EOVERFLOW');
  });

  test('a copy cannot write what was mapped for reading', () => {
    const fd = host.openIommufd();
    const [one, two] = [host.allocate(fd), host.allocate(fd)];
    host.map(fd, one, { flags: FIXED | iommufd.IOMMU_IOAS_MAP_READABLE });
    const fields = { src_ioas_id: one, dst_ioas_id: two, src_iova: 0x1_0000n, dst_iova: 0n };
    expect(shown(host.copy(fd, fields).result)).toBe('-EPERM');
    expect(host.copy(fd, { ...fields, flags: FIXED | iommufd.IOMMU_IOAS_MAP_READABLE }).result).toBe(0);
  });

  test('the ranges: everything at first, then without what the devices do not reach', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    const everything = { start: 0n, last: 0xffff_ffff_ffff_ffffn };
    expect(host.ranges(fd, ioas)).toEqual({ result: 0, count: 1, alignment: 1n, list: [everything] });
    const device = host.bound(0, fd, ioas);
    const usable = [
      { start: 0n, last: 0xfedf_ffffn },
      { start: 0xfef0_0000n, last: (1n << 48n) - 1n },
    ];
    expect(host.ranges(fd, ioas)).toEqual({ result: 0, count: 2, alignment: PAGE, list: usable });
    expect(host.ranges(fd, ioas, 1)).toMatchObject({ count: 2, list: usable.slice(0, 1) });
    expect(shown(host.ranges(fd, ioas, 1).result)).toBe('-EMSGSIZE');
    expect(shown(host.ranges(fd, 9).result)).toBe('-ENOENT');
    const shape = iommufd.iommu_ioas_iova_ranges;
    const ask = (fields: object) => shown(host.call(fd, iommufd.IOMMU_IOAS_IOVA_RANGES, shape, fields).result);
    expect(ask({ ioas_id: ioas, __reserved: 1 })).toBe('-EOPNOTSUPP');
    expect(ask({ ioas_id: ioas, num_iovas: 8, allowed_iovas: 0x1000n })).toBe('-EFAULT');
    host.detach(device);
    expect(host.ranges(fd, ioas).list).toEqual([everything]);
  });

  test('what ALLOW_IOVAS refuses', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    const device = host.bound(0, fd);
    expect(shown(host.allow(fd, ioas, [[2n, 1n]]))).toBe('-EINVAL');
    expect(shown(host.allow(fd, ioas, [[0n, 5n], [5n, 9n]]))).toBe('-EINVAL'); // biome-ignore format: two ranges
    expect(shown(host.allow(fd, 9, []))).toBe('-ENOENT');
    const shape = iommufd.iommu_ioas_allow_iovas;
    const ask = (fields: object) => shown(host.call(fd, iommufd.IOMMU_IOAS_ALLOW_IOVAS, shape, fields).result);
    expect(ask({ ioas_id: ioas, __reserved: 1 })).toBe('-EOPNOTSUPP');
    expect(ask({ ioas_id: ioas, num_iovas: 1, allowed_iovas: 0x1000n })).toBe('-EFAULT');
    expect(host.allow(fd, ioas, [[0xfee0_0000n, 0xfeef_ffffn]])).toBe(0);
    expect(shown(host.attach(device, ioas).result)).toBe('-EADDRINUSE');
    expect(host.allow(fd, ioas, [])).toBe(0);
    expect(host.attach(device, ioas).result).toBe(0);
    expect(shown(host.allow(fd, ioas, [[0xfee0_0000n, 0xfeef_ffffn]]))).toBe('-EADDRINUSE');
  });
});

describe('objects and structures', () => {
  test('what is in use stays; numbers are used again', () => {
    const fd = host.openIommufd();
    const [one, two] = [host.allocate(fd), host.allocate(fd)];
    expect([one, two]).toEqual([1, 2]);
    const device = host.bound(0, fd, two);
    expect([host.destroy(fd, two), host.destroy(fd, 3)].map(shown)).toEqual(['-EBUSY', '-EBUSY']);
    expect(host.refusals.at(-1)).toBe('object 3, a device, is in use');
    expect([host.destroy(fd, one), host.destroy(fd, one)].map(shown)).toEqual(['0', '-ENOENT']);
    expect(host.allocate(fd)).toBe(1);
    host.syscalls.close(device);
    expect(host.destroy(fd, two)).toBe(0);
  });

  test('a structure says how long it is: too short, longer, longer with something unknown', () => {
    const fd = host.openIommufd();
    const shape = iommufd.iommu_ioas_alloc;
    const alloc = (size: number, tail: readonly number[] = []) => {
      const bytes = Uint8Array.from([...shape.encode({ size }), ...tail]);
      return shown(host.ioctlBytes(fd, iommufd.IOMMU_IOAS_ALLOC, bytes));
    };
    expect([alloc(8), alloc(12), alloc(16, [0, 0, 0, 0]), alloc(16, [0, 0, 1, 0])]).toEqual([
      '-EINVAL',
      '0',
      '0',
      '-E2BIG',
    ]);
    expect(shown(host.call(fd, iommufd.IOMMU_IOAS_ALLOC, shape, { flags: 1 }).result)).toBe('-EOPNOTSUPP');
    expect(shown(host.ioctl(fd, iommufd.IOMMU_IOAS_ALLOC, 0x7000_0000_0000))).toBe('-EFAULT');
    expect(shown(host.syscalls.ioctl(fd, 0x3b8a, host.scratch))).toBe('-ENOTTY');
    // The size is read before the whole of the number counts.
    const directed = iommufd.IOMMU_IOAS_ALLOC.number | 0x4000_0000;
    expect(shown(host.syscalls.ioctl(fd, directed, host.scratch))).toBe('-ENOTTY');
    expect(shown(host.syscalls.ioctl(fd, directed, hva(0x7000_0000_0000)))).toBe('-EFAULT');
    expect(shown(host.syscalls.read(fd, host.scratch, 4))).toBe('-EINVAL');
  });

  test('a space or a page table whose number cannot be told is not made', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.bound(0, fd);
    // One page, mapped for writing and for reading.
    const file = host.syscalls.memfd_create('structure', 0);
    host.syscalls.ftruncate(file, 4096);
    const [write, read] = [3, 1].map((protection) => host.syscalls.mmap(4096, protection, 1, file, 0)) as [
      number,
      number,
    ];
    const from = (bytes: Uint8Array) => {
      host.memory.write(hva(write), bytes);
      return read;
    };
    const alloc = iommufd.iommu_ioas_alloc.encode({ size: iommufd.iommu_ioas_alloc.size });
    expect(shown(host.ioctl(fd, iommufd.IOMMU_IOAS_ALLOC, from(alloc)))).toBe('-EFAULT');
    const own = { size: iommufd.iommu_hwpt_alloc.size, dev_id: 2, pt_id: ioas };
    const pagetable = iommufd.iommu_hwpt_alloc.encode(own);
    expect(shown(host.ioctl(fd, iommufd.IOMMU_HWPT_ALLOC, from(pagetable)))).toBe('-EFAULT');
    expect(host.allocate(fd)).toBe(3);
  });

  test('the iommufd stays while a device is bound to it, though its descriptor is closed', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.map(fd, ioas);
    const device = host.bound(0, fd, ioas);
    host.syscalls.close(fd);
    expect(dmaRead(0x1_0000n, 1)).toEqual([0]);
    host.syscalls.close(device);
    expect([dmaRead(0x1_0000n, 1), host.kernel.pages.pinned]).toEqual(['fault', 0]);
  });
});

describe('options', () => {
  const { IOMMU_OPTION_RLIMIT_MODE: RLIMIT_MODE, IOMMU_OPTION_HUGE_PAGES: HUGE_PAGES } = iommufd;
  const { IOMMU_OPTION_OP_GET: GET, IOMMU_OPTION_OP_SET: SET } = iommufd;

  test('whose limit counts: the user’s over all processes, or the process’s', () => {
    host.process.mayLockMemory = false;
    host.process.lockLimit = 2 * 4096;
    const locked = (mode: bigint) => {
      const fd = host.openIommufd();
      expect(host.option(fd, { option_id: RLIMIT_MODE, op: SET, val64: mode }).result).toBe(0);
      expect(host.option(fd, { option_id: RLIMIT_MODE, op: GET }).value.val64).toBe(mode);
      const ioas = host.allocate(fd);
      const device = host.bound(0, fd, ioas);
      expect(shown(host.map(fd, ioas, { length: 3n * PAGE }).result)).toBe('-ENOMEM');
      expect(host.kernel.pages.pinned).toBe(0);
      expect(host.map(fd, ioas, { length: 2n * PAGE }).result).toBe(0);
      const counts = [lockedByUser(host.kernel).lockedPages, host.process.mm.lockedPages];
      for (const each of [device, fd]) host.syscalls.close(each);
      return counts;
    };
    expect([locked(0n), locked(1n)]).toEqual([
      [2, 0],
      [0, 2],
    ]);
  });

  test('huge pages: 2 MiB are one entry, or 512', () => {
    const used = (huge: bigint) => {
      const fd = host.openIommufd();
      const ioas = host.allocate(fd);
      const set = { option_id: HUGE_PAGES, op: SET, object_id: ioas, val64: huge };
      expect(host.option(fd, set).result).toBe(0);
      expect(host.option(fd, { option_id: HUGE_PAGES, op: GET, object_id: ioas }).value.val64).toBe(huge);
      const device = host.bound(0, fd, ioas);
      const pages = host.kernel.pages.used;
      expect(host.map(fd, ioas, { user_va: BigInt(huger), length: 0x20_0000n, iova: 0x4000_0000n }).result).toBe(0);
      if (huge === 1n) expect(shown(host.option(fd, { ...set, val64: 0n }).result)).toBe('-EINVAL');
      const tables = host.kernel.pages.used - pages;
      for (const each of [device, fd]) host.syscalls.close(each);
      return tables;
    };
    host.kernel.hugePages.ofSize(21)!.resize(1);
    // MAP_HUGETLB
    const huger = host.syscalls.mmap(0x20_0000, 3, 0x4_0022, -1, 0);
    host.memory.write(hva(huger), Uint8Array.of(1));
    // Tables of levels 3 and 2, and of level 1 where there are small pages.
    expect([used(1n), used(0n)]).toEqual([2, 3]);
    host.syscalls.munmap(hva(huger), 0x20_0000);
    host.kernel.hugePages.ofSize(21)!.resize(0);
  });

  test('what OPTION refuses', () => {
    const fd = host.openIommufd();
    const ask = (fields: Parameters<typeof host.option>[1]) => shown(host.option(fd, fields).result);
    expect(ask({ option_id: 7, op: GET })).toBe('-EOPNOTSUPP');
    expect(ask({ option_id: RLIMIT_MODE, op: 2 })).toBe('-EOPNOTSUPP');
    expect(ask({ option_id: RLIMIT_MODE, op: GET, __reserved: 1 })).toBe('-EOPNOTSUPP');
    expect(ask({ option_id: RLIMIT_MODE, op: GET, object_id: 1 })).toBe('-EOPNOTSUPP');
    expect(ask({ option_id: RLIMIT_MODE, op: SET, val64: 2n })).toBe('-EINVAL');
    expect(ask({ option_id: HUGE_PAGES, op: GET, object_id: 1 })).toBe('-ENOENT');
    expect(ask({ option_id: HUGE_PAGES, op: 2, object_id: 1 })).toBe('-ENOENT');
    expect(ask({ option_id: HUGE_PAGES, op: SET, object_id: 1, val64: 2n })).toBe('-ENOENT');
    const ioas = host.allocate(fd);
    expect(ask({ option_id: RLIMIT_MODE, op: SET, val64: 1n })).toBe('-EBUSY');
    expect(ask({ option_id: RLIMIT_MODE, op: SET, val64: 2n })).toBe('-EBUSY');
    expect(ask({ option_id: HUGE_PAGES, op: 2, object_id: ioas })).toBe('-EOPNOTSUPP');
    expect(ask({ option_id: HUGE_PAGES, op: SET, object_id: ioas, val64: 2n })).toBe('-EINVAL');
    host.map(fd, ioas, { iova: 1n, length: 1n });
    expect(ask({ option_id: HUGE_PAGES, op: SET, object_id: ioas, val64: 0n })).toBe('-EADDRINUSE');
  });

  test('huge pages go off while a page table has nothing in it, and not while it has', () => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    host.bound(0, fd, ioas);
    const set = (val64: bigint) =>
      shown(host.option(fd, { option_id: HUGE_PAGES, op: SET, object_id: ioas, val64 }).result);
    expect([set(0n), set(1n)]).toEqual(['0', '0']);
    host.map(fd, ioas);
    expect(set(0n)).toBe('-EINVAL');
    host.unmap(fd, ioas, 0x1_0000n, PAGE);
    expect(set(0n)).toBe('0');
  });
});

describe('a mediated device', () => {
  const opened = (fields: Parameters<IommufdHost['map']>[2] = { length: 4n * PAGE }) => {
    const fd = host.openIommufd();
    const ioas = host.allocate(fd);
    const device = host.bound(1, fd, ioas);
    expect(host.map(fd, ioas, fields).result).toBe(0);
    return { fd, ioas, device };
  };

  test('reads and writes by I/O address, across mappings', () => {
    const { fd, ioas } = opened();
    host.map(fd, ioas, { iova: 0x1_4000n, user_va: BigInt(host.buffer) + 8n * PAGE });
    expect(rw(0x1_3ffe, Uint8Array.of(1, 2, 3, 4), true)).toBe('0');
    expect([...host.memory.read(hva(host.buffer + 0x3ffe), 2)]).toEqual([1, 2]);
    expect([...host.memory.read(hva(host.buffer + 0x8000), 2)]).toEqual([3, 4]);
    const into = new Uint8Array(4);
    expect(rw(0x1_3ffe, into, false)).toBe('0');
    expect([...into]).toEqual([1, 2, 3, 4]);
    expect(rw(0x1_4fff, into, false)).toBe('-ENOENT');
    expect(rw(0x9000, into, false)).toBe('-ENOENT');
    expect(host.kernel.pages.pinned).toBe(0);
  });

  test('rights, and memory that went', () => {
    const { fd, ioas } = opened({ flags: FIXED | iommufd.IOMMU_IOAS_MAP_READABLE });
    expect([rw(0x1_0000, new Uint8Array(1), true), pin(0x1_0000)]).toEqual(['-EPERM', '-EPERM']);
    expect(rw(0x1_0000, new Uint8Array(1), false)).toBe('0');
    host.map(fd, ioas, { iova: 0n, flags: FIXED | iommufd.IOMMU_IOAS_MAP_WRITEABLE });
    expect([rw(0, new Uint8Array(1), false), rw(0, new Uint8Array(1), true)]).toEqual(['-EPERM', '0']);
    // The areas in order: what the first does not allow is said before a hole behind it, and what it allows is copied.
    expect([rw(0x1_0ffe, new Uint8Array(0x4000), true), pin(0x1_0000, 5)]).toEqual(['-EPERM', '-EPERM']);
    const into = new Uint8Array(0x4000).fill(0xaa);
    host.memory.write(hva(host.buffer + 0xffe), Uint8Array.of(0x55));
    expect([rw(0x1_0ffe, into, false), into[0]]).toEqual(['-ENOENT', 0x55]);
    host.map(fd, ioas, { iova: 0x8000n, user_va: 0x1000n });
    expect([rw(0x8000, new Uint8Array(1), false), pin(0x8000)]).toEqual(['-EFAULT', '-EFAULT']);
  });

  test('pinned pages stay, however often they are pinned, until they are given back as they were taken', () => {
    opened();
    host.process.mayLockMemory = false;
    expect([pin(0x1_0000, 2), pin(0x1_0000, 2), pin(0x1_1800)]).toEqual([2, 2, 1]);
    expect(host.kernel.pages.pinned).toBe(2);
    vfio_unpin_pages(mdev.vfio, iova(0x1_0000), 1);
    expect(host.kernel.log.lines.at(-1)).toContain('drivers/iommu/iommufd/pages.c iopt_area_remove_access [iommufd]');
    vfio_unpin_pages(mdev.vfio, iova(0x2_0000), 1);
    expect(host.kernel.log.lines.at(-1)).toContain('iommufd/device.c iommufd_access_unpin_pages [iommufd]');
    for (const [at, count] of pinned.splice(0)) vfio_unpin_pages(mdev.vfio, iova(at), count);
    expect(host.kernel.pages.pinned).toBe(0);
    expect([pin(0x1_4000), pin(0x1_3000, 2), pin(0x1_0000, 0)]).toEqual(['-ENOENT', '-ENOENT', '-EINVAL']);
    expect(host.kernel.pages.pinned).toBe(0);
  });

  test('the driver is told before a mapping goes whose pages it has, and not otherwise', () => {
    const { fd, ioas } = opened();
    host.map(fd, ioas, { iova: 0n });
    pin(0x1_0000, 2);
    host.unmap(fd, ioas, 0n, PAGE);
    expect(told).toEqual([]);
    expect(host.unmap(fd, ioas, 0x1_0000n, 4n * PAGE).result).toBe(0);
    expect([told, host.kernel.pages.pinned]).toEqual([[[0x1_0000n, 4n * PAGE]], 0]);
  });

  test('a driver that keeps its pages keeps the mapping', () => {
    const { fd, ioas } = opened();
    pin(0x1_0000);
    const kept = pinned.splice(0);
    expect(shown(host.unmap(fd, ioas, 0x1_0000n, 4n * PAGE).result)).toBe('-EDEADLOCK');
    expect(host.kernel.log.lines.at(-1)).toContain('iommufd/io_pagetable.c iopt_unmap_iova_range [iommufd]');
    expect(rw(0x1_0000, new Uint8Array(1), false)).toBe('-EINVAL');
    pinned.push(...kept);
  });

  test('detached, or closed, it has to give everything back', () => {
    const { device, ioas } = opened();
    pin(0x1_0000, 4);
    expect(host.detach(device)).toBe(0);
    expect([told, host.kernel.pages.pinned]).toEqual([[[0n, 0xffff_ffff_ffff_ffffn]], 0]);
    expect([pin(0x1_0000), rw(0x1_0000, new Uint8Array(1), false)]).toEqual(['-ENOENT', '-ENOENT']);
    expect(host.attach(device, ioas)).toMatchObject({ result: 0, value: { pt_id: ioas } });
    pin(0x1_0000, 4);
    host.syscalls.close(device);
    expect(host.kernel.pages.pinned).toBe(0);
    expect(rw(0x1_0000, new Uint8Array(1), false)).toBe('-EINVAL');
  });

  test('it shares a space with a physical device; bytes are too small for both', () => {
    const { fd, ioas, device } = opened();
    host.bound(0, fd, ioas);
    rw(0x1_0000, Uint8Array.of(5), true);
    expect([dmaRead(0x1_0000n, 1), host.kernel.pages.pinned]).toEqual([[5], 4]);
    const bytes = host.allocate(fd);
    host.map(fd, bytes, { iova: 1n, length: 1n });
    expect(shown(host.attach(device, bytes).result)).toBe('-EADDRINUSE');
    expect(shown(host.attach(device, 2).result)).toBe('-ENOENT');
    expect(host.attach(device, ioas).result).toBe(0);
  });
});

/** Direct calls of VFIO's interface, as recorded on a real host with an mtty-1: results, errors, values. */

import { beforeEach, describe, expect, test } from 'vitest';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { bootHost, cString, type Host, int, shown, typePath, UUID } from '../drivers/host.ts';

let host: Host;
beforeEach(() => {
  host = bootHost();
  host.syscalls.init_module('mtty', '');
  host.echo(`${typePath('mtty', 'mtty-1')}/create`, UUID);
});

/** CHECK_EXTENSION of 0 to 12. */
const extensions = (container: number) =>
  Array.from({ length: 13 }, (_, type) => host.ioctl(container, uapi.VFIO_CHECK_EXTENSION, type));
const setContainer = (group: number, fd: number) =>
  shown(host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(fd)));
const getDevice = (group: number, name: string) =>
  shown(host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(name)));
const setIommu = (container: number, type: number) => shown(host.ioctl(container, uapi.VFIO_SET_IOMMU, type));
const status = (group: number, argsz = 8) => {
  const { result, value } = host.ioctlStruct(group, uapi.VFIO_GROUP_GET_STATUS, uapi.vfio_group_status, { argsz });
  return [shown(result), value.flags];
};
const mapping = (fields: Partial<Record<'flags', number> & Record<'iova' | 'vaddr' | 'size', bigint>>) => ({
  argsz: 32,
  flags: 3,
  iova: 0n,
  vaddr: BigInt(host.scratch),
  size: 0x1000n,
  ...fields,
});
const map = (container: number, fields: Parameters<typeof mapping>[0] & { argsz?: number }) =>
  shown(
    host.ioctlStruct(container, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, { ...mapping(fields) }).result,
  );
const unmap = (container: number, iova: bigint, size: bigint, flags = 0) => {
  const shape = uapi.vfio_iommu_type1_dma_unmap;
  const { result, value } = host.ioctlStruct(container, uapi.VFIO_IOMMU_UNMAP_DMA, shape, {
    argsz: 24,
    flags,
    iova,
    size,
  });
  return [shown(result), value.size];
};
/** Group and container, joined, with the IOMMU set. */
function joined(type = uapi.VFIO_TYPE1v2_IOMMU) {
  const [group, container] = [host.open('/dev/vfio/0'), host.open('/dev/vfio/vfio')];
  setContainer(group, container);
  setIommu(container, type);
  return { group, container };
}

describe('before anything is set', () => {
  test('a container answers questions only', () => {
    const container = host.open('/dev/vfio/vfio');
    expect(host.ioctl(container, uapi.VFIO_GET_API_VERSION)).toBe(0);
    expect(extensions(container)).toEqual([0, 1, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0]);
    expect([setIommu(container, 1), map(container, {})]).toEqual(['-EINVAL', '-EINVAL']);
    expect(host.refusals).toEqual([
      'a container without a group cannot choose an IOMMU: access comes with the group',
      'the container has no IOMMU yet: SET_CONTAINER of a group, then SET_IOMMU',
    ]);
  });

  test('a group opens once, is viable, and gives no device', () => {
    const group = host.open('/dev/vfio/0');
    expect([shown(host.open('/dev/vfio/0')), status(group), status(group, 4)]).toEqual([
      '-EBUSY',
      ['0', 1],
      ['-EINVAL', 0],
    ]);
    expect([getDevice(group, UUID), shown(host.ioctl(group, uapi.VFIO_GROUP_UNSET_CONTAINER))]).toEqual([
      '-EINVAL',
      '-EINVAL',
    ]);
    host.syscalls.close(group);
    expect(host.open('/dev/vfio/0')).toBe(group);
  });
});

describe('putting a group into a container', () => {
  test('wants a container that is one, once', () => {
    const [group, container] = [host.open('/dev/vfio/0'), host.open('/dev/vfio/vfio')];
    expect([setContainer(group, 99), setContainer(group, group), setContainer(group, container)]).toEqual([
      '-EBADF',
      '-EINVAL',
      '0',
    ]);
    expect([setContainer(group, container), status(group)]).toEqual(['-EINVAL', ['0', 3]]);
    expect(host.refusals.at(-1)).toBe('group 0 already has a container');
    expect(shown(host.syscalls.ioctl(group, uapi.VFIO_GROUP_SET_CONTAINER.number, 8))).toBe('-EFAULT');
  });

  test('SET_IOMMU takes a supported type, once', () => {
    const [group, container] = [host.open('/dev/vfio/0'), host.open('/dev/vfio/vfio')];
    setContainer(group, container);
    expect(getDevice(group, UUID)).toBe('-EINVAL');
    expect([7, 99, uapi.VFIO_UNMAP_ALL, 3, 3].map((type) => setIommu(container, type))).toEqual([
      '-ENODEV',
      '-ENODEV',
      '-EINVAL',
      '0',
      '-EINVAL',
    ]);
    // Cache coherency is "enforced by all domains" of a container that has none.
    expect(extensions(container)).toEqual([0, 1, 0, 1, 1, 0, 1, 0, 0, 1, 0, 0, 0]);
  });

  test('leaving is refused while a device file is open; the last group takes the IOMMU and its mappings along', () => {
    const { group, container } = joined();
    map(container, {});
    const device = Number(getDevice(group, UUID));
    expect(shown(host.ioctl(group, uapi.VFIO_GROUP_UNSET_CONTAINER))).toBe('-EBUSY');
    const second = Number(getDevice(group, UUID));
    expect(second).toBe(device + 1);
    host.syscalls.close(device);
    expect(shown(host.ioctl(group, uapi.VFIO_GROUP_UNSET_CONTAINER))).toBe('-EBUSY');
    host.syscalls.close(second);
    expect([shown(host.ioctl(group, uapi.VFIO_GROUP_UNSET_CONTAINER)), map(container, {})]).toEqual(['0', '-EINVAL']);
    expect([setContainer(group, container), setIommu(container, 3), map(container, {})]).toEqual(['0', '0', '0']);
  });

  test('device files keep the group open and in its container when its descriptor is closed', () => {
    const { group, container } = joined();
    const device = Number(getDevice(group, UUID));
    host.syscalls.close(group);
    expect([shown(host.open('/dev/vfio/0')), map(container, {})]).toEqual(['-EBUSY', '0']);
    host.syscalls.close(device);
    expect([map(container, { iova: 0x1000n }), host.open('/dev/vfio/0')]).toEqual(['-EINVAL', group]);
  });

  test('the end of the process closes everything', () => {
    joined();
    host.process.exit();
    expect(host.kernel.files.open('/dev/vfio/0', 2)).toMatchObject({ path: '/dev/vfio/0' });
  });

  test('device names', () => {
    const { group } = joined();
    expect([
      getDevice(group, '0000:06:0d.0'),
      getDevice(group, UUID.toUpperCase()),
      getDevice(group, 'x'.repeat(4096)),
    ]).toEqual(['-ENODEV', '-ENODEV', '-EINVAL']);
    expect(shown(host.syscalls.ioctl(group, uapi.VFIO_GROUP_GET_DEVICE_FD.number, 8))).toBe('-EFAULT');
    expect(shown(host.syscalls.ioctl(group, 0x3bff, 0))).toBe('-ENOTTY');
  });
});

// vfio_group_ioctl_get_device_fd takes a number before it looks at the container, and before the driver hears of anything.
test('without a free descriptor there is no device', () => {
  const group = host.open('/dev/vfio/0');
  while (host.open('/dev/null') >= 0);
  expect(shown(host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID)))).toBe('-EMFILE');
  expect(shown(host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString('nobody')))).toBe('-ENODEV');
});

describe('IOMMU_GET_INFO', () => {
  test('a short argsz is told the size; the second call gets MIGRATION and DMA_AVAIL', () => {
    const { container } = joined();
    const bytes = (argsz: number) => {
      const buffer = new Uint8Array(72);
      new DataView(buffer.buffer).setUint32(0, argsz, true);
      expect(host.ioctlBytes(container, uapi.VFIO_IOMMU_GET_INFO, buffer)).toBe(0);
      return [...host.memory.read(host.scratch, 68)].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    };
    expect(bytes(24).slice(0, 71)).toBe('44 00 00 00 03 00 00 00 00 f0 ff ff ff ff ff ff 00 00 00 00 00 00 00 00');
    map(container, {});
    expect(bytes(68)).toBe(
      '44 00 00 00 03 00 00 00 00 f0 ff ff ff ff ff ff 18 00 00 00 00 00 00 00 ' +
        '02 00 01 00 38 00 00 00 00 00 00 00 00 00 00 00 00 10 00 00 00 00 00 00 00 00 00 10 00 00 00 00 ' +
        '03 00 01 00 00 00 00 00 fe ff 00 00',
    );
  });

  test('argsz below 16 is refused', () => {
    const { container } = joined();
    const { result } = host.ioctlStruct(container, uapi.VFIO_IOMMU_GET_INFO, uapi.vfio_iommu_type1_info, { argsz: 12 });
    expect(shown(result)).toBe('-EINVAL');
  });
});

describe('MAP_DMA and UNMAP_DMA', () => {
  test('the recorded sequence', () => {
    const { container } = joined();
    expect([
      map(container, { size: 0x4000n }),
      map(container, { size: 0x4000n }),
      map(container, { iova: 0x3000n, size: 0x2000n }),
      map(container, { iova: 0x10000n, size: 0x800n }),
      map(container, { iova: 0x10800n }),
      map(container, { iova: 0x10000n, size: 0n }),
      map(container, { iova: 0x10000n, flags: 0 }),
      map(container, { iova: 0x10000n, flags: 8 }),
      map(container, { iova: 0xffff_ffff_ffff_f000n, size: 0x2000n }),
      map(container, { iova: 0x20000n, flags: 1 }),
      map(container, { iova: 0x40000n, vaddr: 0x1000n }),
    ]).toEqual(['0', '-EEXIST', '-EEXIST', '-EINVAL', '-EINVAL', '-EINVAL', '-EINVAL', '-EINVAL', '-EINVAL', '0', '0']);
    expect([
      unmap(container, 0n, 0x1000n),
      unmap(container, 0n, 0x8000n),
      unmap(container, 0n, 0x8000n),
      unmap(container, 0x800n, 0x1000n),
      unmap(container, 0n, 0n),
      unmap(container, 0x40000n, 0x1000n),
    ]).toEqual([
      ['-EINVAL', 0x1000n],
      ['0', 0x4000n],
      ['0', 0n],
      ['-EINVAL', 0x1000n],
      ['-EINVAL', 0n],
      ['0', 0x1000n],
    ]);
  });

  test.each([
    ['an argsz of 31', { argsz: 31 }, '-EINVAL'],
    ['READ with VADDR', { flags: 5 }, '-EINVAL'],
    ['VADDR of nothing', { flags: 4 }, '-ENOENT'],
    ['a vaddr in the middle of a page', { vaddr: 0x1800n }, '-EINVAL'],
    ['a vaddr that wraps', { vaddr: 0xffff_ffff_ffff_f000n, size: 0x2000n }, '-EINVAL'],
    ['the last page of all', { iova: 0xffff_ffff_ffff_f000n }, '0'],
  ])('%s', (_what, fields, expected) => {
    const { container } = joined();
    const value = { ...mapping({}), ...fields };
    const { result } = host.ioctlStruct(container, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, value);
    expect(shown(result)).toBe(expected);
  });

  test('the 65536th mapping has no room', () => {
    const { container } = joined();
    const number = uapi.VFIO_IOMMU_MAP_DMA.number;
    const shape = uapi.vfio_iommu_type1_dma_map;
    host.memory.write(host.scratch, shape.encode(mapping({})));
    const view = new DataView(new ArrayBuffer(8));
    let first = 0;
    let mapped = 0;
    while (first === 0) {
      view.setBigUint64(0, BigInt(mapped) * 0x1000n, true);
      host.memory.write((host.scratch + shape.offsets.iova) as typeof host.scratch, new Uint8Array(view.buffer));
      first = host.syscalls.ioctl(container, number, host.scratch);
      if (first === 0) mapped++;
    }
    expect([mapped, shown(first)]).toEqual([65535, '-ENOSPC']);
    expect(unmap(container, 0n, 0n, 2)).toEqual(['0', 65535n * 0x1000n]);
  });

  test.each([
    ['ALL with a size', 0n, 0x1000n, 2, '-EINVAL'],
    ['VADDR, which an mdev forbids', 0n, 0x1000n, 4, '-EBUSY'],
    ['a dirty bitmap, which nobody tracks', 0n, 0x1000n, 1, '-EINVAL'],
    ['a dirty bitmap of ALL', 0n, 0n, 3, '-EINVAL'],
    ['an unknown flag', 0n, 0x1000n, 8, '-EINVAL'],
    ['a range that wraps', 0xffff_ffff_ffff_f000n, 0x2000n, 0, '-EINVAL'],
  ])('UNMAP of %s', (_what, iova, size, flags, expected) => {
    const { container } = joined();
    map(container, {});
    expect(unmap(container, iova, size, flags)[0]).toBe(expected);
  });

  test('type1 v1 removes whole mappings that begin in the range, and none before', () => {
    const { container } = joined(uapi.VFIO_TYPE1_IOMMU);
    map(container, { size: 0x4000n });
    expect(unmap(container, 0x1000n, 0x1000n)).toEqual(['0', 0n]);
    // One that begins before the range ends the search, even with another mapping behind it.
    map(container, { iova: 0x4000n });
    expect(unmap(container, 0x1000n, 0x4000n)).toEqual(['0', 0n]);
    expect(unmap(container, 0n, 0x1000n)).toEqual(['0', 0x4000n]);
  });

  test('an unknown ioctl of a container with an IOMMU', () => {
    expect(shown(host.syscalls.ioctl(joined().container, 0x3bff, 0))).toBe('-ENOTTY');
  });
});

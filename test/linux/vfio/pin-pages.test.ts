/** vfio_pin_pages, vfio_unpin_pages, vfio_dma_rw and the notification before a mapping goes: what a mediated driver does. */

import { beforeEach, describe, expect, test } from 'vitest';
import { type Hpa, iova } from '../../../src/address.ts';
import { IOMMU_READ, IOMMU_WRITE } from '../../../src/linux/core/iommu.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import type { NotifierBlock } from '../../../src/linux/vfio/device.ts';
import { vfio_dma_rw } from '../../../src/linux/vfio/dma.ts';
import {
  type DmaUnmapped,
  VFIO_IOMMU_NOTIFY,
  VFIO_IOMMU_NOTIFY_DMA_UNMAP,
  vfio_register_notifier,
  vfio_unregister_notifier,
} from '../../../src/linux/vfio/notifier.ts';
import { vfio_pin_pages, vfio_unpin_pages } from '../../../src/linux/vfio/pin-pages.ts';
import { shown } from '../drivers/host.ts';
import { bootDmaHost, type DmaHost, PAGE } from './dma-host.ts';

let host: DmaHost;
let mdev: ReturnType<DmaHost['addMediated']>;
let notified: (readonly [bigint, bigint])[];
/** Whether the driver does as it is told. */
let obedient: boolean;

beforeEach(() => {
  host = bootDmaHost();
  notified = [];
  obedient = true;
  mdev = host.addMediated('mdev', {
    dmaUnmap: (at, size) => {
      notified.push([at, size]);
      if (obedient) vfio_unpin_pages(mdev.vfio, iova(Number(at)), Number(size / PAGE));
    },
  });
});

/** Group and container, joined, four pages mapped at 0x10000, the device open. */
function opened(type: number = uapi.VFIO_TYPE1v2_IOMMU) {
  const { container, groups } = host.contain([0], type);
  host.map(container, { iova: 0x10000n, size: 4n * PAGE });
  const device = host.getDevice(groups[0]!, 'mdev');
  return { container, device };
}
const pin = (at: number, count = 1, rights = IOMMU_READ | IOMMU_WRITE) => {
  const result = vfio_pin_pages(mdev.vfio, iova(at), count, rights);
  return typeof result === 'number' ? shown(result) : result;
};
const pinned = () => [host.kernel.pages.pinned, host.process.mm.lockedPages];

describe('vfio_pin_pages', () => {
  test('the frames are those behind the addresses, held and counted until they are given back', () => {
    opened();
    host.memory.write(host.buffer, Uint8Array.of(0x42));
    const frames = pin(0x10000, 2) as readonly Hpa[];
    expect(host.kernel.memory.bytes[frames[0]!]).toBe(0x42);
    expect(pinned()).toEqual([2, 2]);
    expect(pin(0x11000)).toEqual([frames[1]]);
    expect(pinned()).toEqual([2, 2]);
    vfio_unpin_pages(mdev.vfio, iova(0x10000), 2);
    expect(pinned()).toEqual([1, 1]);
    vfio_unpin_pages(mdev.vfio, iova(0x11000), 1);
    expect(pinned()).toEqual([0, 0]);
  });

  test.each([
    ['no page', 0x10000, 0, 3, '-EINVAL'],
    ['513 pages', 0x10000, 513, 3, '-E2BIG'],
    ['an address that is not mapped', 0x20000, 1, 3, '-EINVAL'],
    ['a page too many', 0x13000, 2, 3, '-EINVAL'],
    ['more rights than the mapping has', 0x30000, 1, IOMMU_WRITE, '-EPERM'],
    ['memory that is not there', 0x40000, 1, 3, '-EFAULT'],
  ])('%s', (_what, at, count, rights, expected) => {
    const { container } = opened();
    host.map(container, { iova: 0x30000n, flags: uapi.VFIO_DMA_MAP_FLAG_READ });
    host.map(container, { iova: 0x40000n, vaddr: 0x1000n });
    expect(pin(at, count, rights)).toBe(expected);
    expect(pinned()).toEqual([0, 0]);
    expect(host.kernel.log.lines.filter((line) => line.startsWith('WARNING'))).toEqual([]);
  });

  test('only while the device is open', () => {
    const { device } = opened();
    host.syscalls.close(device);
    expect(pin(0x10000)).toBe('-EINVAL');
  });

  // struct vfio_pfn is found by the address it was pinned by.
  test('by an address in a page it is given back by that address alone', () => {
    opened();
    expect(pin(0x10800)).toHaveLength(1);
    vfio_unpin_pages(mdev.vfio, iova(0x10000), 1);
    expect(pinned()).toEqual([1, 1]);
    vfio_unpin_pages(mdev.vfio, iova(0x10800), 1);
    expect(pinned()).toEqual([0, 0]);
  });

  test.each<[string, number, number, string]>([
    ['beyond the mappings', 0x13000, 2, 'vfio_iommu_type1.c vfio_iommu_type1_unpin_pages [vfio_iommu_type1]'],
    ['of more than 512 pages', 0x10000, 513, 'vfio_main.c vfio_unpin_pages [vfio]'],
    ['of none', 0x10000, 0, 'vfio_main.c vfio_unpin_pages [vfio]'],
  ])('giving back %s is a warning of the kernel', (_what, at, count, where) => {
    opened();
    vfio_unpin_pages(mdev.vfio, iova(at), count);
    expect(host.kernel.log.lines.at(-1)).toBe(`WARNING: CPU: 0 PID: 0 at drivers/vfio/${where}`);
  });

  test('not in a container of type1 v1', () => {
    opened(uapi.VFIO_TYPE1_IOMMU);
    expect(pin(0x10000)).toBe('-EACCES');
  });

  test('not by a driver that could not be told to unpin', () => {
    const deaf = host.addMediated('deaf');
    const { container, groups } = host.contain([1]);
    host.getDevice(groups[0]!, 'deaf');
    host.map(container);
    expect(vfio_pin_pages(deaf.vfio, iova(0), 1, 3)).toBe(-22);
  });

  test('no more than RLIMIT_MEMLOCK, and then none', () => {
    host.process.mayLockMemory = false;
    host.process.lockLimit = 0x3000;
    opened();
    expect(pin(0x10000, 4)).toBe('-ENOMEM');
    expect(pinned()).toEqual([0, 0]);
    expect(host.kernel.log.lines.at(-1)).toBe('vfio_pin_page_external: Task test (1) RLIMIT_MEMLOCK (12288) exceeded');
    expect(pin(0x10000, 3)).toHaveLength(3);
    vfio_unpin_pages(mdev.vfio, iova(0x10000), 3);
  });
});

describe('before a mapping goes', () => {
  test('its pages are unpinned, once for the mapping, and a mapping without pins is not told of', () => {
    const { container } = opened();
    host.map(container, { iova: 0x20000n });
    pin(0x10000, 2);
    expect(host.unmap(container, 0x20000n, PAGE)).toEqual(['0', PAGE]);
    expect(notified).toEqual([]);
    expect(host.unmap(container, 0x10000n, 4n * PAGE)).toEqual(['0', 4n * PAGE]);
    expect(notified).toEqual([[0x10000n, 4n * PAGE]]);
    expect(pinned()).toEqual([0, 0]);
  });

  test('a driver that does not unpin is a bug of the driver, and said to be', () => {
    const { container } = opened();
    pin(0x10000);
    obedient = false;
    expect(() => host.unmap(container, 0x10000n, 4n * PAGE)).toThrow(
      /kernel BUG: a driver keeps pages of iova 0x10000/,
    );
    expect(notified).toHaveLength(10);
    obedient = true;
    expect(host.unmap(container, 0x10000n, 4n * PAGE)[0]).toBe('0');
  });

  test('pages that the process unmapped are still the driver’s own', () => {
    opened();
    const [frame] = pin(0x10000) as readonly Hpa[];
    host.syscalls.munmap(host.buffer, 0x10000);
    host.kernel.memory.bytes[frame!] = 9;
    const other = host.kernel.pages.allocate()!;
    expect(other).not.toBe(frame);
    host.kernel.pages.free(other);
    vfio_unpin_pages(mdev.vfio, iova(0x10000), 1);
  });
});

describe('the notifier of Linux 5.10', () => {
  const seen: unknown[] = [];
  const notifier: NotifierBlock = {
    notify(action, data) {
      seen.push([action, data]);
      const { iova: at, size } = data as DmaUnmapped;
      vfio_unpin_pages(old.vfio, iova(Number(at)), Number(size / PAGE));
    },
  };
  let old: ReturnType<DmaHost['addMediated']>;
  const register = (type = VFIO_IOMMU_NOTIFY, events = VFIO_IOMMU_NOTIFY_DMA_UNMAP) =>
    shown(vfio_register_notifier(host.kernel, old.vfio, type, events, notifier));
  const unregister = () => shown(vfio_unregister_notifier(host.kernel, old.vfio, VFIO_IOMMU_NOTIFY, notifier));

  beforeEach(() => {
    seen.length = 0;
    old = host.addMediated('old');
  });

  test('is told of a mapping that goes, and lets a driver pin', () => {
    const { container, groups } = host.contain([1]);
    const device = host.getDevice(groups[0]!, 'old');
    host.map(container, { iova: 0x10000n });
    expect(vfio_pin_pages(old.vfio, iova(0x10000), 1, 3)).toBe(-22);
    expect([register(), register(), register(VFIO_IOMMU_NOTIFY, 3), register(2)]).toEqual([
      '0',
      '-EINVAL',
      '-EINVAL',
      '-EINVAL',
    ]);
    expect(vfio_pin_pages(old.vfio, iova(0x10000), 1, 3)).toHaveLength(1);
    expect(host.unmap(container, 0x10000n, PAGE)).toEqual(['0', PAGE]);
    expect(seen).toEqual([[VFIO_IOMMU_NOTIFY_DMA_UNMAP, { iova: 0x10000n, size: PAGE }]]);
    expect([unregister(), unregister()]).toEqual(['0', '-EINVAL']);
    host.syscalls.close(device);
  });

  test('wants a container with an IOMMU', () => {
    expect(register()).toBe('-EINVAL');
  });
});

test('a driver’s write goes into the code that a processor has decoded, which is told; its read tells nobody', () => {
  opened();
  const { code } = host.kernel.memory;
  for (const frame of pin(0x10000, 2) as readonly number[]) {
    code.add(frame);
    code.decoded(frame, 4096);
  }
  vfio_dma_rw(mdev.vfio, iova(0x10ffe), new Uint8Array(4), false);
  expect(code.changes).toBe(0);
  vfio_dma_rw(mdev.vfio, iova(0x10ffe), new Uint8Array(4), true);
  expect(code.changes).toBe(2);
  vfio_unpin_pages(mdev.vfio, iova(0x10000), 2);
});

describe('the log of dirty pages', () => {
  const request = (container: number, flags: number, extra: readonly bigint[] = [], argsz = 8 + 40) => {
    const bytes = new Uint8Array(64);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, argsz, true);
    view.setUint32(4, flags, true);
    for (const [i, value] of extra.entries()) view.setBigUint64(8 + 8 * i, value, true);
    return shown(host.ioctlBytes(container, uapi.VFIO_IOMMU_DIRTY_PAGES, bytes));
  };
  const [START, STOP, GET] = [1, 2, 4];
  const bits = () => [...host.memory.read(host.buffer, 8)];
  const get = (container: number, at = 0x10000n, size = 4n * PAGE, pgsize = PAGE, bytes = 8n) =>
    request(container, GET, [at, size, pgsize, bytes, BigInt(host.buffer)]);

  test('pins and writes of drivers are logged, reading clears all but what is pinned', () => {
    const { container } = opened();
    expect([get(container), request(container, START), request(container, START)]).toEqual(['-EINVAL', '0', '0']);
    pin(0x10000);
    vfio_dma_rw(mdev.vfio, iova(0x11ffe), Uint8Array.of(1, 2, 3, 4), true);
    vfio_dma_rw(mdev.vfio, iova(0x13000), new Uint8Array(1), false);
    expect([get(container), bits()[0]]).toEqual(['0', 0b0111]);
    expect([get(container), bits()[0]]).toEqual(['0', 0b0001]);
    vfio_unpin_pages(mdev.vfio, iova(0x10000), 1);
    expect([get(container), bits()[0], get(container), bits()[0]]).toEqual(['0', 1, '0', 0]);
    expect([request(container, STOP), get(container)]).toEqual(['0', '-EINVAL']);
  });

  // update_user_bitmap writes words of 64 bits: it takes over only what the first one held before the mapping.
  test('the bitmap is written by words: bits behind the mapping are cleared, those before it stay', () => {
    const { container } = opened();
    host.map(container, { iova: 0x14000n, size: PAGE });
    request(container, START);
    vfio_dma_rw(mdev.vfio, iova(0x14000), Uint8Array.of(1), true);
    host.memory.write(host.buffer, new Uint8Array(16).fill(0xff));
    expect([get(container, 0x10000n, 5n * PAGE), bits()]).toEqual(['0', [0x10, 0, 0, 0, 0, 0, 0, 0]]);
    host.memory.write(host.buffer, new Uint8Array(16).fill(0xff));
    expect([get(container, 0xf000n, 6n * PAGE), bits()]).toEqual(['0', Array(8).fill(0xff)]);
    expect(host.memory.read(host.buffer, 16)[8]).toBe(0xff);
  });

  test('not in a container of type1 v1', () => {
    const { container } = opened(uapi.VFIO_TYPE1_IOMMU);
    expect([request(container, START), request(container, 0, [], 4)]).toEqual(['-EACCES', '-EACCES']);
  });

  test('UNMAP_DMA can bring the bits along', () => {
    const { container } = opened();
    request(container, START);
    vfio_dma_rw(mdev.vfio, iova(0x12000), Uint8Array.of(1), true);
    const bytes = new Uint8Array(48);
    const fields = { argsz: 48, flags: 1, iova: 0x10000n, size: 4n * PAGE };
    bytes.set(uapi.vfio_iommu_type1_dma_unmap.encode(fields));
    bytes.set(uapi.vfio_bitmap.encode({ pgsize: PAGE, size: 8n, data: BigInt(host.buffer) }), 24);
    expect(host.ioctlBytes(container, uapi.VFIO_IOMMU_UNMAP_DMA, bytes)).toBe(0);
    expect(bits()[0]).toBe(0b0100);
  });

  test('where an IOMMU translates, everything may be dirty', () => {
    const nic = host.addDevice('nic', 0x100);
    const { container } = host.contain([nic.group.id]);
    host.map(container, { iova: 0x10000n, size: 3n * PAGE });
    request(container, START);
    expect([get(container), bits()[0], get(container), bits()[0]]).toEqual(['0', 7, '0', 7]);
  });

  test.each<[string, (container: number) => string, string]>([
    ['two flags', (c) => request(c, START | STOP), '-EINVAL'],
    ['no flag', (c) => request(c, 0), '-EINVAL'],
    ['an unknown flag', (c) => request(c, 8), '-EINVAL'],
    ['an argsz below the header', (c) => request(c, START, [], 4), '-EINVAL'],
    ['an argsz without room for the range', (c) => request(c, GET, [], 40), '-EINVAL'],
    ['a page size that is not the smallest', (c) => get(c, 0x10000n, 4n * PAGE, 0x2000n), '-EINVAL'],
    ['no page size', (c) => get(c, 0x10000n, 4n * PAGE, 0n), '-EINVAL'],
    ['a bitmap of no bytes', (c) => get(c, 0x10000n, 4n * PAGE, PAGE, 0n), '-EINVAL'],
    ['a bitmap too short', (c) => get(c, 0n, 65n * PAGE, PAGE, 8n), '-EINVAL'],
    ['a bitmap beyond 256 MiB', (c) => get(c, 0x10000n, 4n * PAGE, PAGE, 0x1000_0001n), '-EINVAL'],
    ['half a mapping', (c) => get(c, 0x10000n, 2n * PAGE), '-EINVAL'],
    ['an iova in a page', (c) => get(c, 0x10800n), '-EINVAL'],
    ['a range that wraps', (c) => get(c, (1n << 64n) - PAGE, 2n * PAGE), '-EINVAL'],
    ['a bitmap that is not user space', (c) => request(c, GET, [0x10000n, PAGE, PAGE, 8n, 1n << 63n]), '-EINVAL'],
    ['a bitmap that is not there', (c) => request(c, GET, [0x10000n, 4n * PAGE, PAGE, 8n, 0x1000n]), '-EFAULT'],
    ['a hole', (c) => get(c, 0x100000n), '0'],
  ])('%s', (_what, ask, expected) => {
    const { container } = opened();
    request(container, START);
    expect(ask(container)).toBe(expected);
  });
});

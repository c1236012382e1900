/** mtty behind its device file, as recorded on a real host with direct VFIO calls. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { bootHost, CONFIG, expectNothingLeft, type Host, int, openDevice, region, shown } from './host.ts';

let host: Host;
let device: number;
beforeEach(() => {
  host = bootHost();
  ({ device } = openDevice(host, 'mtty', 'mtty-1'));
});

afterEach(() => expectNothingLeft(host));

const info = (argsz = 20) => host.ioctlStruct(device, uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, { argsz });
const regionInfo = (index: number, argsz = 32) =>
  host.ioctlStruct(device, uapi.VFIO_DEVICE_GET_REGION_INFO, uapi.vfio_region_info, { argsz, index });
const irqInfo = (index: number) =>
  host.ioctlStruct(device, uapi.VFIO_DEVICE_GET_IRQ_INFO, uapi.vfio_irq_info, { argsz: 16, index });
const setIrqs = (
  fields: { flags: number; index?: number; start?: number; count?: number; argsz?: number },
  fds: number[] = [],
) => {
  const header = uapi.vfio_irq_set.encode({ argsz: 20 + 4 * fds.length, index: 0, start: 0, count: 1, ...fields });
  const data = fds.flatMap((fd) => [...int(fd)]);
  return shown(host.ioctlBytes(device, uapi.VFIO_DEVICE_SET_IRQS, Uint8Array.from([...header, ...data])));
};
const hex = (bytes: number[] | string) =>
  typeof bytes === 'string' ? bytes : bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

describe('information', () => {
  test('device: PCI, nine regions, five interrupt indexes', () => {
    expect(shown(info(8).result)).toBe('-EINVAL');
    expect(info().value).toEqual({ argsz: 20, flags: 2, num_regions: 9, num_irqs: 5, cap_offset: 0 });
  });

  test('regions: all readable and writable, whatever their size', () => {
    expect(Array.from({ length: 9 }, (_, index) => regionInfo(index).value)).toEqual(
      [8, 0, 0, 0, 0, 0, 0, 0xff, 0].map((size, index) => ({
        argsz: 32,
        flags: 3,
        index,
        cap_offset: 0,
        size: BigInt(size),
        offset: BigInt(index) << 40n,
      })),
    );
    expect([regionInfo(9), regionInfo(10), regionInfo(0, 16)].map(({ result }) => shown(result))).toEqual([
      '-EINVAL',
      '-EINVAL',
      '-EINVAL',
    ]);
  });

  test('interrupts: INTx, MSI and the request, and none before GET_INFO', () => {
    expect(shown(irqInfo(0).result)).toBe('-EINVAL');
    info();
    const seen = [0, 1, 2, 3, 4, 5, 6].map((index) => {
      const { result, value } = irqInfo(index);
      return result < 0 ? shown(result) : [value.flags, value.count];
    });
    expect(seen).toEqual([[7, 1], [9, 1], '-EINVAL', '-EINVAL', [9, 1], '-EINVAL', '-EINVAL']);
  });

  test('reset is accepted; other ioctls and mmap are not', () => {
    expect(host.ioctl(device, uapi.VFIO_DEVICE_RESET)).toBe(0);
    expect(shown(host.syscalls.ioctl(device, 0x3b64 + 60, 0))).toBe('-ENOTTY');
    const probe = uapi.vfio_device_feature.encode({ argsz: 8, flags: (1 << 18) | 1 });
    expect(shown(host.ioctlBytes(device, uapi.VFIO_DEVICE_FEATURE, probe))).toBe('-ENOTTY');
    for (const offset of [0, CONFIG]) expect(shown(host.syscalls.mmap(4096, 3, 1, device, offset))).toBe('-EINVAL');
  });
});

describe('config space', () => {
  test.each([
    [0, 4, '48 43 53 32'],
    [0, 8, '48 43 53 32 01 00 00 02'],
    [0, 3, '48 43 53'],
    [1, 4, '43 53 32 01'],
    [2, 4, '53 32 01 00'],
    [3, 4, '32 01 00 00'],
    [0xfc, 4, '00 00 00 00'],
    [0xfe, 2, '00 00'],
    [0x3c, 8, '00 01 00 00 23 00 00 80'],
  ])('read at %i of %i bytes', (offset, count, bytes) => {
    expect(hex(host.pread(device, CONFIG + offset, count))).toBe(bytes);
  });

  test('the card has its name at 0x60', () => {
    expect(String.fromCharCode(...(host.pread(device, CONFIG + 0x60, 15) as number[]))).toBe('PCI Serial/UART');
  });

  test('255 or 256 bytes at once', () => {
    expect([255, 256].map((count) => host.pread(device, CONFIG, count).length)).toEqual([255, 256]);
  });

  test.each([
    [0x10, [0xff, 0xff, 0xff, 0xff], 0x10, 'f9 ff ff ff'],
    [0x10, [0x00, 0xc0, 0x00, 0x00], 0x10, '01 c0 00 00'],
    [0x10, [0x05, 0xc0, 0x00, 0x00], 0x10, '05 c0 00 00'],
    [0x14, [0xff, 0xff, 0xff, 0xff], 0x14, '00 00 00 00'],
    [0x24, [0xff, 0xff, 0xff, 0xff], 0x24, '00 00 00 00'],
    [0x04, [0x07, 0x00], 0x04, '01 00 00 02'],
    [0x3c, [0x0d, 0x0c, 0x0b, 0x0a], 0x3c, '0d 01 00 00'],
    [0x40, [1, 0, 0, 0], 0x40, '23 00 00 80'],
  ])('write at 0x%s of %j', (offset, bytes, from, after) => {
    expect(host.pwrite(device, CONFIG + offset, bytes)).toBe(bytes.length);
    expect(hex(host.pread(device, CONFIG + from, 4))).toBe(after);
  });

  test('BAR and unhandled writes are logged', () => {
    host.pwrite(device, CONFIG + 0x10, [0xff, 0xff, 0xff, 0xff]);
    host.pwrite(device, CONFIG + 0x24, [0, 0, 0, 0]);
    host.pwrite(device, CONFIG + 0x18, [0, 0, 0, 0]);
    host.pwrite(device, CONFIG + 0x11, [0x12]);
    expect(host.kernel.log.lines.slice(-3)).toEqual([
      'BAR0 addr 0xffffffff',
      'PCI config write @0x24 of 4 bytes not handled',
      'PCI config write @0x11 of 1 bytes not handled',
    ]);
  });
});

describe('BAR0', () => {
  test('an access of any width and place is cut into aligned pieces, and one byte of each reaches a register', () => {
    const a = (count: number) => new Array<number>(count).fill(0x41);
    const writes: [number, number][] = [
      [0, 1],
      [0, 2],
      [0, 4],
      [0, 8],
      [1, 2],
      [1, 4],
      [1, 7],
      [2, 4],
      [3, 4],
      [4, 4],
      [5, 3],
      [6, 2],
      [7, 1],
    ];
    for (const [offset, count] of writes) expect(host.pwrite(device, offset, a(count))).toBe(count);
    // FCR was written with bits 1 and 2 clear, so the five bytes of offset 0 are still there.
    const reads: [number, number, string][] = [
      [0, 1, '41'],
      [0, 2, '41 00'],
      [0, 4, '41 00 00 00'],
      [0, 8, '41 00 00 00 41 00 00 00'],
      [1, 2, '01 c1'],
      [1, 4, '01 c1 00 41'],
      [1, 7, '01 c1 00 41 00 00 00'],
      [2, 4, 'c1 00 41 00'],
      [3, 4, '41 41 00 b3'],
      [4, 4, '41 00 00 00'],
      [5, 3, '60 b3 00'],
      [6, 2, 'b3 00'],
      [7, 1, '41'],
    ];
    for (const [offset, count, bytes] of reads) expect(hex(host.pread(device, offset, count))).toBe(bytes);
  });

  test('past the eight registers a write is ignored and a read is 0', () => {
    expect([host.pwrite(device, 8, [0x55]), hex(host.pread(device, 8, 4))]).toEqual([1, '00 00 00 00']);
  });

  test('regions without registers fault; so does a bad pointer; nothing is nothing', () => {
    expect([6, 8, 9].map((index) => host.pread(device, region(index), 4))).toEqual(['-EFAULT', '-EFAULT', '-EFAULT']);
    expect(shown(host.pwrite(device, region(6), [0]))).toBe('-EFAULT');
    expect(shown(host.syscalls.pread(device, 8 as typeof host.scratch, 4, CONFIG))).toBe('-EFAULT');
    expect(host.pread(device, CONFIG, 0)).toEqual([]);
  });

  test('the file has a BAR1 even of one port, of size 0, as the driver checks no size; BAR5 is nothing', () => {
    host.pwrite(device, region(1) + 7, [0x77]);
    host.pwrite(device, region(5) + 7, [0x55]);
    expect([hex(host.pread(device, region(1) + 7, 1)), hex(host.pread(device, 7, 1))]).toEqual(['77', '00']);
    expect(hex(host.pread(device, region(5) + 7, 1))).toBe('00');
  });

  test('mtty-2 has a second port in BAR1', () => {
    host = bootHost();
    ({ device } = openDevice(host, 'mtty', 'mtty-2'));
    expect([regionInfo(0).value.size, regionInfo(1).value.size]).toEqual([8n, 8n]);
    host.pwrite(device, region(1) + 7, [0x77]);
    host.pwrite(device, 7, [0x33]);
    expect([hex(host.pread(device, region(1) + 7, 1)), hex(host.pread(device, 7, 1))]).toEqual(['77', '33']);
    host.pwrite(device, CONFIG + 0x14, [0xff, 0xff, 0xff, 0xff]);
    expect(hex(host.pread(device, CONFIG + 0x14, 4))).toBe('f9 ff ff ff');
  });
});

describe('SET_IRQS', () => {
  const TRIGGER_FD = 0x24;
  beforeEach(() => info());

  test('validation', () => {
    const fd = host.syscalls.eventfd(0, 0o4000);
    expect(setIrqs({ flags: TRIGGER_FD }, [fd])).toBe('0');
    expect(setIrqs({ flags: TRIGGER_FD, argsz: 20 }, [fd])).toBe('-EINVAL');
    expect(setIrqs({ flags: TRIGGER_FD, start: 1 }, [fd])).toBe('0');
    expect(setIrqs({ flags: TRIGGER_FD, count: 2 }, [fd, fd])).toBe('0');
    expect(setIrqs({ flags: TRIGGER_FD, count: 6 }, new Array<number>(6).fill(fd))).toBe('-EINVAL');
    expect(setIrqs({ flags: TRIGGER_FD, start: 5, count: 0 })).toBe('-EINVAL');
    expect(setIrqs({ flags: TRIGGER_FD, index: 5 }, [fd])).toBe('-EINVAL');
    expect(setIrqs({ flags: 0x04 }, [fd])).toBe('0');
    expect(setIrqs({ flags: 0x25 }, [fd])).toBe('-EINVAL');
    expect(setIrqs({ flags: 0x40 }, [fd])).toBe('-EINVAL');
    expect(setIrqs({ flags: 0x21, start: 0xffff_fff0, count: 0x20 })).toBe('-EINVAL');
    expect([setIrqs({ flags: 0x09 }), setIrqs({ flags: 0x11 })]).toEqual(['0', '0']);
    expect([setIrqs({ flags: TRIGGER_FD }, [99]), setIrqs({ flags: TRIGGER_FD }, [device])]).toEqual([
      '-EBADF',
      '-EINVAL',
    ]);
    expect([setIrqs({ flags: TRIGGER_FD }, [-1]), setIrqs({ flags: TRIGGER_FD }, [0])]).toEqual(['0', '0']);
    expect([2, 3, 4].map((index) => setIrqs({ flags: TRIGGER_FD, index }, [fd]))).toEqual(['0', '0', '0']);
    expect(setIrqs({ flags: 0x21, index: 1, count: 0 })).toBe('0');
  });

  test('an interrupt signals the eventfd that was wired last', () => {
    const [intx, msi] = [host.syscalls.eventfd(0, 0o4000), host.syscalls.eventfd(0, 0o4000)];
    const signalled = (fd: number) => {
      const result = host.syscalls.read(fd, host.scratch, 8);
      return result < 0 ? shown(result) : host.memory.read(host.scratch, 1)[0];
    };
    setIrqs({ flags: TRIGGER_FD }, [intx]);
    host.pwrite(device, 1, [0x02]);
    expect([signalled(intx), signalled(intx)]).toEqual([1, '-EAGAIN']);
    setIrqs({ flags: TRIGGER_FD, index: 1 }, [msi]);
    host.pwrite(device, 1, [0x02]);
    expect([signalled(intx), signalled(msi)]).toEqual(['-EAGAIN', 1]);
    // A second MSI eventfd is ignored while one is set.
    setIrqs({ flags: TRIGGER_FD, index: 1 }, [intx]);
    host.pwrite(device, 1, [0x02]);
    expect([signalled(intx), signalled(msi)]).toEqual(['-EAGAIN', 1]);
    setIrqs({ flags: 0x21, index: 1, count: 0 });
    host.pwrite(device, 1, [0x02]);
    expect([signalled(intx), signalled(msi)]).toEqual([1, '-EAGAIN']);
  });

  test('wired to nothing, an interrupt leaves a line in the log and hurts nobody', () => {
    host.pwrite(device, 1, [0x02]);
    expect(host.kernel.log.lines.at(-1)).toBe('mtty_trigger_interrupt: Intx eventfd not found');
  });
});

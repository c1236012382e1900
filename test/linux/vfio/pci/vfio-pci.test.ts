/** vfio-pci on a DMA engine: what a process sees of it, what it can do, and that nothing is left when it is gone. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hva } from '../../../../src/address.ts';
import { COPIER, COPIER_ID } from '../../../../src/hardware/devices/copier.ts';
import { MAP_PRIVATE } from '../../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../../src/linux/uapi/vfio.ts';
import { registerVfioPci } from '../../../../src/linux/vfio/pci/vfio-pci.ts';
import { cString, region, shown } from '../../drivers/host.ts';
import { bootPciHost, NAME } from '../../pci/pci-host.ts';
import { type Assigned, bootAssigned } from './assigned.ts';

let host: Assigned;
beforeEach(() => {
  host = bootAssigned();
});
afterEach(() => {
  host.process.exit();
  expect(host.vectors()).toBe(0);
});

const MEMORY_ON = () => host.setConfig(0x04, 2, 0x0006);

describe('what the device is', () => {
  test('GET_INFO', () => {
    const { result, value } = host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, {
      argsz: 16,
    });
    expect([result, value.flags, value.num_regions, value.num_irqs]).toEqual([0, 3, 9, 5]);
    const short = host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, { argsz: 15 });
    expect(shown(short.result)).toBe('-EINVAL');
  });

  test.each([
    [0, '0', 7, 0x2000n],
    [1, '0', 3, 8n],
    [2, '0', 15, 0x1000n],
    [3, '0', 0, 0n],
    [6, '0', 0, 0n],
    [7, '0', 3, 256n],
    [8, '-EINVAL', 0, 0n],
    [9, '-EINVAL', 0, 0n],
  ])('region %i', (index, expected, flags, size) => {
    const { result, value } = host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_REGION_INFO, uapi.vfio_region_info, {
      argsz: 64,
      index,
    });
    expect([shown(result), value.flags, value.size]).toEqual([expected, flags, size]);
    if (result === 0) expect(value.offset).toBe(BigInt(index) << 40n);
  });

  test('the BAR of the MSI-X table tells that all of it can be mapped; a short argsz tells how much to bring', () => {
    const ask = (argsz: number) => {
      const shape = uapi.vfio_region_info;
      return host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_REGION_INFO, shape, { argsz, index: 2 }).value;
    };
    expect([ask(32).argsz, ask(32).cap_offset, ask(40).argsz, ask(40).cap_offset]).toEqual([40, 0, 40, 32]);
    expect([...host.memory.read(hva(host.scratch + 32), 8)]).toEqual([3, 0, 1, 0, 0, 0, 0, 0]);
  });

  test.each([
    [0, '0', 7, 1],
    [1, '0', 9, 2],
    [2, '0', 9, 2],
    [3, '-EINVAL', 0, 0],
    [4, '0', 9, 1],
    [5, '-EINVAL', 0, 0],
  ])('interrupt index %i', (index, expected, flags, count) => {
    const { result, value } = host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_IRQ_INFO, uapi.vfio_irq_info, {
      argsz: 16,
      index,
    });
    expect([shown(result), value.flags, value.count]).toEqual([expected, flags, count]);
  });

  test('an ioctl that it has not', () => {
    expect(shown(host.syscalls.ioctl(host.device, 0x3bff, 0))).toBe('-ENOTTY');
  });
});

describe('configuration space', () => {
  test('ids and class come from the device; BARs are sized without moving them', () => {
    expect([host.config(0, 4), host.config(8, 4)]).toEqual([0xd0a0_1234, 0xff00_0001]);
    const own = host.pci.readConfig(0x10, 4);
    host.setConfig(0x10, 4, 0xffff_ffff);
    host.setConfig(0x14, 4, 0xffff_ffff);
    host.setConfig(0x1c, 4, 0xffff_ffff);
    expect([host.config(0x10, 4), host.config(0x14, 4), host.config(0x1c, 4)]).toEqual([0xffff_e000, 0xffff_fff9, 0]);
    host.setConfig(0x10, 4, 0xc000_1234);
    expect([host.config(0x10, 4), host.pci.readConfig(0x10, 4)]).toEqual([0xc000_0000, own]);
  });

  test('what cannot be written stays, what is virtual is kept from the device', () => {
    host.setConfig(0, 4, 0);
    host.setConfig(0x34, 1, 0);
    host.setConfig(0x3c, 2, 0x0b0b);
    expect([host.config(0, 4), host.config(0x34, 1), host.config(0x3c, 2)]).toEqual([0xd0a0_1234, 0x50, 0x010b]);
    expect(host.pci.readConfig(0x3c, 1)).toBe(19);
    host.setConfig(0x0c, 1, 16);
    expect(host.pci.readConfig(0x0c, 1)).toBe(16);
  });

  test('MSI-X cannot be enabled by writing, MSI not seen enabled before SET_IRQS', () => {
    host.setConfig(0x62, 2, 0x8000);
    host.setConfig(0x52, 2, 0x0001);
    expect([host.config(0x62, 2), host.config(0x52, 2) & 1, host.pci.readConfig(0x52, 2) & 1]).toEqual([1, 0, 0]);
    host.setConfig(0x54, 4, 0xfee0_1000);
    expect([host.config(0x54, 4), host.pci.readConfig(0x54, 4)]).toEqual([0xfee0_1000, 0]);
  });

  // vfio_msi_config_write: msi_qmax is that of the last SET_IRQS; what is left of the flags is the device's.
  test('MSI is granted no more messages than SET_IRQS enabled; disabled by writing, the device is silent', () => {
    host.setConfig(0x52, 2, 0x0010);
    expect([host.config(0x52, 2), host.pci.readConfig(0x52, 2)]).toEqual([0, 0x82]);
    const fd = host.eventfd();
    host.setIrqs(1, 36, 0, 2, [fd, fd]);
    host.setConfig(0x52, 2, 0x0051);
    expect([host.config(0x52, 2) & 0x7f, host.pci.readConfig(0x52, 2)]).toEqual([0x11, 0x93]);
    host.setConfig(0x52, 2, 0x0010);
    expect([host.config(0x52, 2) & 1, host.pci.readConfig(0x52, 2) & 1]).toEqual([0, 0]);
  });

  test('a function-level reset by its capability', () => {
    MEMORY_ON();
    host.setBar(0, COPIER.LENGTH, 7);
    host.setConfig(0x74, 1, 1);
    expect([host.bar(0, COPIER.LENGTH), host.config(0x74, 1)]).toEqual([0, 0]);
  });

  test.each([
    [252, 4, [0, 0, 0, 0]],
    [253, 4, '-EFAULT'],
    [256, 1, '-EFAULT'],
  ])('%i bytes up to the end and beyond', (offset, count, expected) => {
    expect(host.pread(host.device, region(7) + offset, count)).toEqual(expected);
  });
});

describe('BARs', () => {
  test('are read and written while memory decoding is on, by pieces of 4, 2 and 1', () => {
    host.setConfig(0x04, 2, 0);
    expect([host.bar(0, 0), host.setBar(0, COPIER.LENGTH, 1), host.mapBar(0, 0x1000) > 0]).toEqual([
      '-EIO',
      '-EIO',
      true,
    ]);
    MEMORY_ON();
    expect(host.bar(0, 0)).toBe(COPIER_ID);
    host.pwrite(host.device, region(0) + 0x0d, [1, 2, 3, 4, 5]);
    expect([host.bar(0, 0x0c), host.bar(0, 0x10)]).toEqual([0x0302_0100, 0x0000_0504]);
  });

  // do_io_rw: each register by itself, and the MSI-X table is none.
  test('while memory decoding is off the MSI-X table reads as ones still; a bad address comes first', () => {
    host.setConfig(0x04, 2, 0);
    expect([host.bar(2, 0), host.bar(2, 0x800)]).toEqual([0xffff_ffff, '-EIO']);
    expect(shown(host.syscalls.pwrite(host.device, hva(0x7000_0000_0000), 4, region(0)))).toBe('-EFAULT');
    expect(host.pread(host.device, region(0) + 0x100_0000, 0)).toEqual([]);
  });

  test('ports by index and data', () => {
    host.setConfig(0x04, 2, 1);
    host.setBar(1, 0, COPIER.ID);
    expect(host.bar(1, 4)).toBe(COPIER_ID);
  });

  test.each([
    ['the last bytes', 0, 0x1ffe, 4, 2],
    ['beyond the end', 0, 0x2000, 4, -22],
    ['a BAR that is not there', 3, 0, 4, -22],
    ['the ROM', 6, 0, 4, -22],
    ['VGA', 8, 0, 4, -22],
    ['a region far beyond', 200, 0, 4, -22],
  ])('%s', (_what, index, offset, count, expected) => {
    MEMORY_ON();
    expect(host.syscalls.pread(host.device, host.scratch, count, region(index) + offset)).toBe(expected);
    expect(host.syscalls.pread(host.device, hva(8), count, region(index) + offset)).toBe(expected < 0 ? expected : -14);
  });

  test('the MSI-X table reads as ones and takes nothing', () => {
    MEMORY_ON();
    host.setBar(2, 0, 0xfee0_0000);
    expect([host.bar(2, 0), host.bar(2, 0x1c), host.bar(2, 0x20), host.pci.readBar(2, 0, 4)]).toEqual([
      0xffff_ffff, 0xffff_ffff, 0, 0,
    ]);
  });

  test('mapped, they are registers of the device; a reset takes the pages, and the next touch brings them back', () => {
    MEMORY_ON();
    const at = host.mapBar(0, 0x2000);
    expect(host.load(at)).toBe(COPIER_ID);
    host.store(at + COPIER.LENGTH, 5);
    host.store(at + COPIER.MEMORY + 8, 0x1234_5678);
    expect([host.bar(0, COPIER.LENGTH), host.bar(0, COPIER.MEMORY + 8)]).toEqual([5, 0x1234_5678]);
    expect(host.ioctl(host.device, uapi.VFIO_DEVICE_RESET)).toBe(0);
    expect([host.load(at), host.load(at + COPIER.LENGTH)]).toEqual([COPIER_ID, 0]);
    host.setConfig(0x04, 2, 0);
    expect(() => host.load(at)).toThrow('segmentation fault');
    MEMORY_ON();
    expect(host.load(at)).toBe(COPIER_ID);
    host.syscalls.munmap(hva(at), 0x2000);
  });

  test.each([
    ['private', 0, 0x1000, 0, MAP_PRIVATE, '-EINVAL'],
    ['ports', 1, 0x1000, 0, 1, '-EINVAL'],
    ['configuration', 7, 0x1000, 0, 1, '-EINVAL'],
    ['a BAR that is not there', 4, 0x1000, 0, 1, '-EINVAL'],
    ['more than there is', 0, 0x3000, 0, 1, '-EINVAL'],
    ['beyond the end', 0, 0x1000, 0x2000, 1, '-EINVAL'],
    ['the page of the MSI-X table', 2, 0x1000, 0, 1, 'mapped'],
  ])('a mapping: %s', (_what, index, length, offset, flags, expected) => {
    const result = host.mapBar(index, length, offset, flags);
    expect(result < 0 ? shown(result) : 'mapped').toBe(expected);
  });

  test('as the process has it in memory, a register is not to be copied from', () => {
    MEMORY_ON();
    const at = host.mapBar(0, 0x1000);
    expect(host.syscalls.pwrite(host.device, hva(at), 4, region(0) + 8)).toBe(-14);
  });
});

describe('DMA', () => {
  const copy = (address: number, length: number, control: number) => {
    host.setBar(0, COPIER.ADDRESS, address);
    host.setBar(0, COPIER.LENGTH, length);
    host.setBar(0, COPIER.CONTROL, control);
    return host.bar(0, COPIER.STATUS);
  };

  test('there and back through the IOMMU', () => {
    MEMORY_ON();
    const buffer = host.map(0x2000);
    host.memory.write(buffer, new TextEncoder().encode('from memory to the device'));
    const value = { argsz: 32, flags: 3, vaddr: BigInt(buffer), iova: 0x10_0000n, size: 0x2000n };
    host.ioctlStruct(host.container, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, value);
    expect([copy(0x10_0000, 25, 1), copy(0x10_1000, 25, 3)]).toEqual([1, 1]);
    expect(new TextDecoder().decode(host.memory.read(hva(buffer + 0x1000), 25))).toBe('from memory to the device');
    expect(Number(copy(0x10_2000, 1, 1)) & 2).toBe(2);
    expect(host.kernel.log.lines.at(-1)).toContain('[DMA Read NO_PASID] Request device [06:0d.0] fault addr 0x102000');
  });

  test('not without bus mastering, nor beyond the memory of the device', () => {
    host.setConfig(0x04, 2, 2);
    expect(copy(0, 1, 1)).toBe(2);
    MEMORY_ON();
    expect(copy(0, 0x1001, 1)).toBe(2);
  });
});

describe('low power', () => {
  const [PROBE, SET] = [uapi.VFIO_DEVICE_FEATURE_PROBE, uapi.VFIO_DEVICE_FEATURE_SET];
  const [ENTRY, WITH_WAKEUP, EXIT] = [3, 4, 5] as const;
  const feature = (flags: number, ...data: readonly number[]) => {
    const bytes = new Uint8Array(8 + 4 * data.length);
    bytes.set(uapi.vfio_device_feature.encode({ argsz: bytes.length, flags }));
    bytes.set(new Uint8Array(Int32Array.from(data).buffer), 8);
    return shown(host.ioctlBytes(host.device, uapi.VFIO_DEVICE_FEATURE, bytes));
  };
  const interrupt = () => {
    host.setBar(0, COPIER.CONTROL, 1 | 4);
  };

  test('the features that are there, and those that are not', () => {
    expect([ENTRY, WITH_WAKEUP, EXIT].map((number) => feature(number | PROBE | SET))).toEqual(['0', '0', '0']);
    // No virtual functions, no migration, nothing of later kernels.
    expect([0, 1, 9, 100].map((number) => feature(number | PROBE | SET))).toEqual(Array(4).fill('-ENOTTY'));
  });

  test('mapped BARs are gone until it is left; calls wake the device for their time; INTx is masked meanwhile', () => {
    MEMORY_ON();
    const at = host.mapBar(0, 0x1000);
    const fd = host.eventfd();
    host.setIrqs(0, 36, 0, 1, [fd]);
    expect([host.load(at), feature(ENTRY | SET)]).toEqual([COPIER_ID, '0']);
    expect(host.pci.readConfig(4, 2) & 0x400).toBe(0x400);
    expect(() => host.load(at)).toThrow();
    interrupt();
    // Each call unmasks, and what waits is sent: the third is this one's own.
    expect([host.bar(0, 0), host.signals(fd) > 0]).toEqual([COPIER_ID, true]);
    expect([feature(EXIT | SET), host.load(at), feature(EXIT | SET)]).toEqual(['0', COPIER_ID, '0']);
  });

  test('with an eventfd the first call wakes it for good, and signals', () => {
    MEMORY_ON();
    const wake = host.eventfd();
    expect([feature(WITH_WAKEUP | SET, wake, 0), host.signals(wake)]).toEqual(['0', 0]);
    expect([host.bar(0, 0), host.signals(wake), host.bar(0, 0), host.signals(wake)]).toEqual([
      COPIER_ID,
      1,
      COPIER_ID,
      0,
    ]);
    expect(feature(ENTRY | SET)).toBe('0');
  });
});

// vfio_pci_fill_ids, and the driver's probe.
test('the module’s ids are told in the log, good and bad; with them the driver takes devices by itself', () => {
  const bare = bootPciHost();
  registerVfioPci(bare.kernel, bare.pciHost.bus);
  bare.syscalls.init_module('vfio_pci', 'ids=1234:d0a0,8086,,10de:1eb1:ffffffff:ffffffff:30000:ff0000');
  bare.addCopier();
  expect(bare.driverOf()).toBe('vfio-pci');
  expect(bare.kernel.log.lines.filter((line) => line.startsWith('vfio_pci: '))).toEqual([
    'vfio_pci: add [1234:d0a0[ffffffff:ffffffff]] class 0x000000/00000000',
    'vfio_pci: invalid id string "8086"',
    'vfio_pci: add [10de:1eb1[ffffffff:ffffffff]] class 0x030000/00ff0000',
  ]);
  bare.echo('/sys/bus/pci/drivers/vfio-pci/remove_id', '1234 d0a0');
  bare.echo('/sys/bus/pci/drivers/vfio-pci/unbind', NAME);
  expect(shown(bare.echo('/sys/bus/pci/drivers/vfio-pci/bind', NAME))).toBe('-ENODEV');
  bare.process.exit();
});

test('the first open enables the device, and says so', () => {
  const lines = host.kernel.log.lines.filter((line) => line.includes('enabling device'));
  expect(lines).toEqual([`vfio-pci ${NAME}: enabling device (0000 -> 0003)`]);
});

test('GET_INFO says where capabilities would be to who has room for it: there are none', () => {
  const ask = (argsz: number) => {
    const reply = host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, {
      argsz,
      cap_offset: 77,
    });
    return reply.value.cap_offset;
  };
  expect([ask(20), ask(16)]).toEqual([0, 77]);
});

describe('leaving', () => {
  test('who has not said how to be asked for the device is told so in the log', () => {
    host.echo('/sys/bus/pci/drivers/vfio-pci/unbind', NAME);
    expect(host.kernel.log.lines).toContain(
      `vfio-pci ${NAME}: No device request channel registered, blocked until released by user`,
    );
  });

  test('a name may be followed by blanks, and by a token that only a function of SR-IOV has', () => {
    const ask = (text: string) => {
      const fd = host.ioctlBytes(host.group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(text));
      if (fd >= 0) host.syscalls.close(fd);
      return fd >= 0 ? 'fd' : shown(fd);
    };
    const token = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';
    expect([ask(`${NAME} `), ask(`${NAME}x`), ask(NAME.slice(0, -1))]).toEqual(['fd', '-ENODEV', '-ENODEV']);
    expect([ask(`${NAME} more`), ask(`${NAME} vf_token=1`)]).toEqual(['-EINVAL', '-EINVAL']);
    expect(host.kernel.log.lines.at(-1)).not.toContain('VF token');
    expect(ask(`${NAME} vf_token=${token}`)).toBe('-EINVAL');
    expect(host.kernel.log.lines.at(-1)).toBe(`vfio-pci ${NAME}: VF token incorrectly provided, not a PF or VF`);
  });

  test('the driver lets go of an open device when it is closed; the module is in use as long', () => {
    expect(shown(host.syscalls.delete_module('vfio_pci'))).toBe('-EAGAIN');
    const returned = host.eventfd();
    expect(host.setIrqs(4, 36, 0, 1, [returned])).toBe('0');
    host.echo('/sys/bus/pci/drivers/vfio-pci/unbind', NAME);
    expect([host.signals(returned), host.driverOf()]).toEqual([1, undefined]);
    expect(host.kernel.log.lines).toContain(`vfio-pci ${NAME}: Relaying device request to user (#0)`);
    expect(shown(host.ioctlBytes(host.group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(NAME)))).toBe('-ENODEV');
    host.syscalls.close(host.device);
    expect(host.open('/dev/vfio/0')).toBeLessThan(0);
  });

  test('the device is reset at the last close, and masters the bus no more', () => {
    MEMORY_ON();
    host.setBar(0, COPIER.LENGTH, 9);
    host.syscalls.close(host.device);
    expect([host.pci.readConfig(4, 2) & 4, host.pci.readBar(0, COPIER.LENGTH, 4)]).toEqual([0, 0]);
  });

  test('a mapping of a BAR keeps the device open', () => {
    MEMORY_ON();
    const at = host.mapBar(0, 0x1000);
    host.syscalls.close(host.device);
    expect(shown(host.ioctl(host.group, uapi.VFIO_GROUP_UNSET_CONTAINER))).toBe('-EBUSY');
    expect(host.load(at)).toBe(COPIER_ID);
    host.syscalls.munmap(hva(at), 0x1000);
    expect(host.ioctl(host.group, uapi.VFIO_GROUP_UNSET_CONTAINER)).toBe(0);
  });
});

/** vfio-platform on the modeled SATA controller: sysfs, every ioctl, registers, the level-triggered interrupt, refusals. */

import { beforeEach, describe, expect, test } from 'vitest';
import { hva } from '../../../../src/address.ts';
import { plugIn } from '../../../../src/cli/physical-devices.ts';
import * as ahci from '../../../../src/hardware/devices/ahci-registers.ts';
import { MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE } from '../../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../../src/linux/uapi/vfio.ts';
import { bootHost, cString, int, region, shown } from '../../drivers/host.ts';
import { hostKeepsPages } from '../../leaks.ts';

const NAME = 'ee300000.sata';
const SYSFS = `/sys/bus/platform/devices/${NAME}`;
const [NONE, BOOL, EVENTFD] = [1, 2, 4] as const;
const [MASK, UNMASK, TRIGGER] = [8, 16, 32] as const;

function boot(parameters = 'reset_required=0') {
  const host = bootHost();
  plugIn(host.kernel, ['sata@ee300000']);
  // What the process takes from here on it must give back.
  hostKeepsPages(host.kernel);
  const bound = () =>
    String(host.syscalls.readlink(`${SYSFS}/driver`))
      .split('/')
      .at(-1);
  host.syscalls.init_module('vfio_platform', parameters);
  return { ...host, bound };
}

function assigned() {
  const host = boot();
  host.echo(`${SYSFS}/driver_override`, 'vfio-platform');
  host.echo(`${SYSFS}/driver/unbind`, NAME);
  host.echo('/sys/bus/platform/drivers_probe', NAME);
  const group = host.open('/dev/vfio/0');
  const container = host.open('/dev/vfio/vfio');
  host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
  host.ioctl(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
  const device = host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(NAME));
  const setIrqs = (flags: number, start: number, count: number, data: readonly number[] = [], index = 0) => {
    const tail = flags & EVENTFD ? Int32Array.from(data) : Uint8Array.from(data);
    const bytes = new Uint8Array(20 + tail.byteLength);
    bytes.set(uapi.vfio_irq_set.encode({ argsz: bytes.length, flags, index, start, count }));
    bytes.set(new Uint8Array(tail.buffer), 20);
    return shown(host.ioctlBytes(device, uapi.VFIO_DEVICE_SET_IRQS, bytes));
  };
  const write = (offset: number, value: number) =>
    host.pwrite(device, region(0) + offset, [...new Uint8Array(Uint32Array.of(value).buffer)]);
  const signals = (fd: number) => {
    if (host.syscalls.poll(fd, 1) === 0) return 0;
    host.syscalls.read(fd, host.scratch, 8);
    return Number(new DataView(host.memory.read(host.scratch, 8).buffer).getBigUint64(0, true));
  };
  return { ...host, group, container, device, setIrqs, write, signals };
}

describe('from one driver to the other', () => {
  test('ahci has the device at boot; override alone changes nothing; unbind and probe do', () => {
    const host = boot();
    expect(host.bound()).toBe('ahci');
    host.echo(`${SYSFS}/driver_override`, 'vfio-platform\n');
    expect(host.bound()).toBe('ahci');
    host.echo(`${SYSFS}/driver/unbind`, NAME);
    host.echo('/sys/bus/platform/drivers_probe', NAME);
    expect(host.bound()).toBe('vfio-platform');
    expect(host.cat(`${SYSFS}/of_node/compatible`)).toBe('generic-ahci\0');
    const [address, type] = NAME.split('.');
    expect(host.cat(`${SYSFS}/uevent`).split('\n')).toEqual([
      'DRIVER=vfio-platform',
      `OF_NAME=${type}`,
      `OF_FULLNAME=/soc/${type}@${address}`,
      'OF_COMPATIBLE_0=generic-ahci',
      'OF_COMPATIBLE_N=1',
      `MODALIAS=of:N${type}T(null)Cgeneric-ahci`,
      '',
    ]);
    expect(host.kernel.log.lines.map((line) => line.replace(/^\[.*?\] /, ''))).toContain(
      `ahci ${NAME}: AHCI 0001.0301 1 slots 1 ports 1.5 Gbps 0x1 impl platform mode`,
    );
  });

  test('without reset code the driver takes no device, unless it is told to', () => {
    const host = boot('');
    host.echo(`${SYSFS}/driver_override`, 'vfio-platform');
    host.echo(`${SYSFS}/driver/unbind`, NAME);
    expect(shown(host.echo('/sys/bus/platform/drivers/vfio-platform/bind', NAME))).toBe('-ENOENT');
    expect(host.kernel.log.lines).toContain(`vfio-platform ${NAME}: VFIO: No reset function found for device ${NAME}`);
  });

  test('without override it does not match; a wrong name is no device', () => {
    const host = boot();
    host.echo(`${SYSFS}/driver/unbind`, NAME);
    expect(shown(host.echo('/sys/bus/platform/drivers/vfio-platform/bind', NAME))).toBe('-ENODEV');
    expect(shown(host.echo('/sys/bus/platform/drivers_probe', 'ee300000.ide'))).toBe('-ENODEV');
  });
});

describe('the device file', () => {
  let host: ReturnType<typeof assigned>;
  beforeEach(() => {
    host = assigned();
  });

  test('a reset is missed at the first open, when it is asked for, and at the last close', () => {
    const missed = () => host.kernel.log.lines.filter((line) => line.endsWith('VFIO: no reset function found!'));
    expect(missed()).toEqual([`vfio-platform ${NAME}: VFIO: no reset function found!`]);
    expect(shown(host.ioctl(host.device, uapi.VFIO_DEVICE_RESET))).toBe('-EINVAL');
    expect(missed()).toHaveLength(2);
    host.syscalls.close(host.device);
    expect(missed()).toHaveLength(3);
  });

  test('what it says of itself', () => {
    const info = host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, { argsz: 20 }).value;
    expect([info.flags, info.num_regions, info.num_irqs]).toEqual([uapi.VFIO_DEVICE_FLAGS_PLATFORM, 1, 1]);
    const registers = host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_REGION_INFO, uapi.vfio_region_info, {
      argsz: 32,
    }).value;
    expect([registers.flags, registers.size, registers.offset]).toEqual([7, 0x1000n, 0n]);
    const irq = host.ioctlStruct(host.device, uapi.VFIO_DEVICE_GET_IRQ_INFO, uapi.vfio_irq_info, { argsz: 16 }).value;
    expect([irq.flags, irq.count]).toEqual([7, 1]);
  });

  test.each<[string, string, (h: typeof host) => number | string]>([
    [
      'info with too small an argsz',
      '-EINVAL',
      (h) => h.ioctlStruct(h.device, uapi.VFIO_DEVICE_GET_INFO, uapi.vfio_device_info, { argsz: 12 }).result,
    ],
    [
      'a region that is not there',
      '-EINVAL',
      (h) =>
        h.ioctlStruct(h.device, uapi.VFIO_DEVICE_GET_REGION_INFO, uapi.vfio_region_info, { argsz: 32, index: 1 })
          .result,
    ],
    [
      'an interrupt that is not there',
      '-EINVAL',
      (h) => h.ioctlStruct(h.device, uapi.VFIO_DEVICE_GET_IRQ_INFO, uapi.vfio_irq_info, { argsz: 16, index: 1 }).result,
    ],
    ['a reset', '-EINVAL', (h) => h.ioctl(h.device, uapi.VFIO_DEVICE_RESET)],
    [
      'an ioctl of PCI',
      '-ENOTTY',
      (h) =>
        h.ioctlStruct(h.device, uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, uapi.vfio_pci_hot_reset_info, { argsz: 12 })
          .result,
    ],
    ['a read beyond the region', '-EINVAL', (h) => h.pread(h.device, 0x1000, 4) as string],
    ['a read of another region', '-EINVAL', (h) => h.pread(h.device, region(1), 4) as string],
    ['a private mapping', '-EINVAL', (h) => h.syscalls.mmap(4096, PROT_READ, MAP_PRIVATE, h.device, 0)],
    ['a mapping beyond the region', '-EINVAL', (h) => h.syscalls.mmap(8192, PROT_READ, MAP_SHARED, h.device, 0)],
    ['two interrupts at once', '-EINVAL', (h) => h.setIrqs(NONE | TRIGGER, 0, 2)],
    ['an index beyond', '-EINVAL', (h) => h.setIrqs(NONE | TRIGGER, 0, 1, [], 1)],
    ['no action', '-ENOTTY', (h) => h.setIrqs(NONE, 0, 1)],
    ['a descriptor that is none', '-EBADF', (h) => h.setIrqs(EVENTFD | TRIGGER, 0, 1, [99])],
    ['a descriptor of something else', '-EINVAL', (h) => h.setIrqs(EVENTFD | UNMASK, 0, 1, [h.group])],
    [
      'a second eventfd to unmask',
      '-EBUSY',
      (h) => [0, 1].map(() => h.setIrqs(EVENTFD | UNMASK, 0, 1, [h.syscalls.eventfd(0, 0)]))[1]!,
    ],
    ['an eventfd to mask, which PCI has not', '0', (h) => h.setIrqs(EVENTFD | MASK, 0, 1, [h.syscalls.eventfd(0, 0)])],
  ])('%s: %s', (_, expected, act) => {
    const result = act(host);
    expect(typeof result === 'number' ? shown(result) : result).toBe(expected);
  });

  test('registers by pread, by pwrite, and by a mapping', () => {
    expect(host.pread(host.device, ahci.HBA.VS, 4)).toEqual([1, 3, 1, 0]);
    // Bytes that are left of the region.
    expect(host.pread(host.device, 0xffe, 8)).toHaveLength(2);
    const at = host.syscalls.mmap(4096, PROT_READ | PROT_WRITE, MAP_SHARED, host.device, 0);
    expect([...host.memory.read(hva(at + ahci.HBA.VS), 4)]).toEqual([1, 3, 1, 0]);
    host.write(ahci.PORT.CLB, 0x1234_5000);
    expect([...host.memory.read(hva(at + ahci.PORT.CLB), 4)]).toEqual([0, 0x50, 0x34, 0x12]);
  });

  /** A command whose list lies where no DMA is mapped: the controller reports a bus error, and interrupts. */
  const fail = () => {
    host.write(ahci.PORT.IE, 0xffff_ffff);
    host.write(ahci.HBA.GHC, ahci.GHC_INTERRUPTS);
    host.write(ahci.PORT.CMD, ahci.CMD_START | ahci.CMD_FIS_RECEIVE);
    host.write(ahci.PORT.CI, 1);
  };
  const quiet = () => {
    host.write(ahci.PORT.IS, 0xffff_ffff);
    host.write(ahci.HBA.IS, 0xffff_ffff);
  };

  test('DMA to what is not mapped is a fault in the host’s log, and an error of the controller', () => {
    fail();
    expect(host.kernel.log.lines.at(-1)).toContain('Request device [ff:00.1] fault addr 0x0');
    expect(host.pread(host.device, ahci.PORT.IS, 4)).toEqual([0, 0, 0, 0x20]);
  });

  test('the interrupt masks itself; while the line is high, an unmask signals again', () => {
    const fd = host.syscalls.eventfd(0, 0);
    expect(host.setIrqs(EVENTFD | TRIGGER, 0, 1, [fd])).toBe('0');
    fail();
    expect(host.signals(fd)).toBe(1);
    quiet();
    fail();
    expect(host.signals(fd)).toBe(0);
    host.setIrqs(NONE | UNMASK, 0, 1);
    expect(host.signals(fd)).toBe(1);
    quiet();
    host.setIrqs(BOOL | UNMASK, 0, 1, [1]);
    expect(host.signals(fd)).toBe(0);
  });

  test('an eventfd unmasks, as KVM’s resampling does', () => {
    const [fd, resample] = [host.syscalls.eventfd(0, 0), host.syscalls.eventfd(0, 0)];
    host.setIrqs(EVENTFD | TRIGGER, 0, 1, [fd]);
    expect(host.setIrqs(EVENTFD | UNMASK, 0, 1, [resample])).toBe('0');
    fail();
    expect(host.signals(fd)).toBe(1);
    host.memory.write(host.scratch, new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]));
    host.syscalls.write(resample, host.scratch, 8);
    expect(host.signals(fd)).toBe(1);
    expect(host.setIrqs(EVENTFD | UNMASK, 0, 1, [-1])).toBe('0');
  });

  test('the user’s own signals, and the end of it', () => {
    const fd = host.syscalls.eventfd(0, 0);
    host.setIrqs(EVENTFD | TRIGGER, 0, 1, [fd]);
    host.setIrqs(NONE | TRIGGER, 0, 1);
    expect(host.signals(fd)).toBe(1);
    expect(host.setIrqs(NONE | TRIGGER, 0, 0)).toBe('0');
    fail();
    expect(host.signals(fd)).toBe(0);
  });
});

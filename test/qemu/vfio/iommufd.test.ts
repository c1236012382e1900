/** Devices by iommufd: QEMU 9's order of calls, its trace, one address space for all, what it refuses, and that all is given back. */

import { beforeEach, describe, expect, test } from 'vitest';
import { plugIn } from '../../../src/cli/physical-devices.ts';
import { hostKeepsPages } from '../../linux/leaks.ts';
import { exitWith, Host, MDEV, UUID } from '../bench.ts';

const OBJECT = ['-object', 'iommufd,id=iommufd0'];
const EXIT = ['-device', 'isa-debug-exit'];
const device = (sysfs: string, more = '') => ['-device', `vfio-pci,sysfsdev=${sysfs},iommufd=iommufd0${more}`];
const SECOND = 'aaaaaaaa-509f-382f-3c1e-e6bfe0fa1001';
const COPIER = '0000:06:0d.0';
const COPIER_PATH = `/sys/bus/pci/devices/${COPIER}`;

let host: Host;

beforeEach(() => {
  host = new Host();
  plugIn(host.kernel, [`copier@${COPIER}`]);
  host.modprobe('vfio-pci');
  host.echo('vfio-pci', `${COPIER_PATH}/driver_override`);
  host.echo(COPIER, '/sys/bus/pci/drivers_probe');
  host.createMdev('mtty');
  host.echo(SECOND, '/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create');
  hostKeepsPages(host.kernel);
});

/** Calls of VFIO, iommufd and the kvm-vfio device, in short. */
const calls = (trace: readonly string[]): string[] =>
  trace.flatMap((line) => {
    const open = /openat\(.*"(\/dev\/(?:vfio|iommu)[^"]*|\/sys\/[^"]*)"/.exec(line)?.[1];
    if (open !== undefined) return [`open ${open}`];
    const [, path, request, args] = /ioctl\(\d+<([^>]*)>, (\w+)(.*)/.exec(line) ?? [];
    if (path === undefined || !/vfio|iommu|kvm-v/.test(path)) return [];
    if (!/^(VFIO|IOMMU|KVM_CREATE_DEVICE|KVM_SET_DEVICE_ATTR)/.test(request!)) return [];
    const detail = /attr=\d+|iommufd=\d+|pt_id=\d+|num_iovas=\d+|iova=\w+|length=\d+| E[A-Z]+/g;
    return [[request, ...(args!.match(detail) ?? []).map((word) => word.trim())].join(' ')];
  });

describe('set-up', () => {
  test('every call up to the device’s own, in QEMU’s order', () => {
    const { trace } = host.qemu([...EXIT, ...OBJECT, ...device(COPIER_PATH)], exitWith('0'), 'sys_*');
    const all = calls(trace);
    expect(all.slice(0, all.indexOf('VFIO_DEVICE_GET_REGION_INFO'))).toEqual([
      `open ${COPIER_PATH}/vfio-dev/vfio0/dev`,
      'open /dev/vfio/devices/vfio0',
      'open /dev/iommu',
      'KVM_CREATE_DEVICE',
      'KVM_SET_DEVICE_ATTR attr=1',
      'VFIO_DEVICE_BIND_IOMMUFD iommufd=7 iommufd=7',
      'IOMMU_IOAS_ALLOC',
      'VFIO_DEVICE_ATTACH_IOMMUFD_PT pt_id=2 pt_id=3',
      'IOMMU_IOAS_IOVA_RANGES num_iovas=0 EMSGSIZE',
      'IOMMU_IOAS_IOVA_RANGES num_iovas=2 num_iovas=2',
      'IOMMU_IOAS_MAP length=67108864 iova=0',
      'VFIO_DEVICE_GET_INFO',
    ]);
    expect(all.filter((call) => /GROUP|CONTAINER|\/dev\/vfio\/\d/.test(call))).toEqual([]);
  });

  test('QEMU’s own trace of it', () => {
    const { trace } = host.qemu([...EXIT, ...OBJECT, ...device(MDEV)], exitWith('0'), 'iommufd_backend*,iommufd_cdev*');
    expect(trace).toEqual([
      'iommufd_cdev_getfd  /dev/vfio/devices/vfio1 (fd=6)',
      'iommufd_backend_connect fd=7 owned=1 users=1',
      `iommufd_cdev_connect_and_bind  [iommufd=7] Successfully bound device ${UUID} (fd=6): output devid=1`,
      'iommufd_backend_alloc_ioas  iommufd=7 ioas=2',
      'iommufd_cdev_alloc_ioas  [iommufd=7] new IOMMUFD container with ioasid=2',
      `iommufd_cdev_attach_ioas_hwpt  [iommufd=7] Successfully attached device ${UUID} (6) to id=2`,
      expect.stringMatching(
        /^iommufd_backend_map_dma {2}iommufd=7 ioas=2 iova=0x0 size=0x4000000 addr=0x7\w+ readonly=0 \(0\)$/,
      ),
      `iommufd_cdev_device_info  ${UUID} (6) num_irqs=5 num_regions=9 flags=2`,
    ]);
  });

  test('all devices of one object share its address space; the guest’s memory is mapped once', () => {
    const argv = [...device(MDEV), ...device(`/sys/bus/mdev/devices/${SECOND}`), ...device(COPIER_PATH)];
    const { init, trace } = host.qemu([...EXIT, ...OBJECT, ...argv], exitWith('0'), 'sys_*');
    expect(init).toBeUndefined();
    const count = (text: string) => trace.filter((line) => line.includes(text)).length;
    expect([count('"/dev/iommu"'), count('IOAS_ALLOC'), count('ATTACH_IOMMUFD'), count('IOAS_MAP,')]).toEqual([
      1, 1, 3, 1,
    ]);
  });

  test('two objects are two iommufds; a device by group goes beside them', () => {
    const argv = [...OBJECT, '-object', 'iommufd,id=b', ...device(MDEV)];
    argv.push('-device', `vfio-pci,sysfsdev=/sys/bus/mdev/devices/${SECOND},iommufd=b`);
    argv.push('-device', `vfio-pci,sysfsdev=${COPIER_PATH}`);
    const { init, trace } = host.qemu([...EXIT, ...argv], exitWith('0'), 'sys_*');
    expect(init).toBeUndefined();
    const count = (text: string) => trace.filter((line) => line.includes(text)).length;
    expect([count('"/dev/iommu"'), count('"/dev/vfio/vfio"'), count('KVM_CREATE_DEVICE')]).toEqual([2, 1, 1]);
  });

  test('an object that no device names opens nothing', () => {
    const { trace } = host.qemu([...EXIT, ...OBJECT], exitWith('0'), 'sys_*');
    expect(trace.filter((line) => line.includes('/dev/iommu'))).toEqual([]);
  });
});

describe('what is refused', () => {
  const stderr = (...argv: readonly string[]) => host.qemu([...EXIT, ...argv], exitWith('0')).stderr.trimEnd();

  test('objects', () => {
    expect(stderr('-object', 'iommufd')).toContain("Parameter 'id' is missing");
    expect(stderr('-object', 'iommufd,id=a,fd=3')).toContain("Invalid parameter 'fd'");
    expect(stderr(...OBJECT, ...OBJECT)).toContain('duplicate');
    expect(stderr('-object', 'iommu,id=a')).toContain(
      "'qom-type' does not accept value 'iommu'\nKnown: filter-dump, iommufd",
    );
  });

  test('an object that is not there, a device that is not there, one that VFIO has not', () => {
    expect(stderr(...device(MDEV))).toContain("Device 'iommufd0' not found");
    expect(stderr(...OBJECT, ...device('/sys/bus/mdev/devices/none'))).toContain('No such file or directory');
    host.echo(COPIER, '/sys/bus/pci/drivers/vfio-pci/unbind');
    expect(stderr(...OBJECT, ...device(COPIER_PATH))).toBe(
      `qemu-system-x86_64: -device vfio-pci,sysfsdev=${COPIER_PATH},iommufd=iommufd0: vfio ${COPIER}: couldn't open directory ${COPIER_PATH}/vfio-dev: No such file or directory`,
    );
    hostKeepsPages(host.kernel);
  });

  test('the same device twice: its node is another’s already', () => {
    expect(stderr(...OBJECT, ...device(MDEV), ...device(MDEV))).toContain(
      `vfio ${UUID}: error bind device fd=13 to iommufd=7: Invalid argument`,
    );
  });

  test('a device whose group this QEMU has open', () => {
    expect(stderr(...OBJECT, '-device', `vfio-pci,sysfsdev=${MDEV}`, ...device(MDEV))).toContain(
      'Device or resource busy',
    );
  });

  test('and the other way round', () => {
    expect(stderr(...OBJECT, ...device(MDEV), '-device', `vfio-pci,sysfsdev=${MDEV}`)).toContain(
      'failed to open /dev/vfio/1: Device or resource busy',
    );
  });

  test('a mapped BAR is told, and is no reason to give up', () => {
    const config = (offset: number) => `mov eax, ${0x8000_2000 + offset}\nmov dx, 0xcf8\nout dx, eax\nmov dx, 0xcfc\n`;
    const guest = `${config(0x10)}mov eax, 0xe0000000\nout dx, eax\n${config(4)}mov ax, 2\nout dx, ax\n${exitWith('0')}`;
    const run = host.qemu([...EXIT, ...OBJECT, ...device(COPIER_PATH, ',addr=4')], guest);
    expect(run.end).toMatchObject({ reason: 'debug-exit' });
    expect(run.stderr).toContain('warning: IOMMU_IOAS_MAP failed: Bad address, PCI BAR?');
  });
});

import { expect, test } from 'vitest';
import { type Bus, Device, type Driver } from '../../../src/linux/core/device.ts';
import { EBUSY, EEXIST, EINVAL, EIO, ENODEV, ENOSPC } from '../../../src/linux/uapi/errno.ts';
import { O_WRONLY } from '../../../src/linux/uapi/syscalls.ts';
import { boot, program } from './machine.ts';

const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

/** A bus like mdev's, whose match says no to everything, and a parent as mtty makes one. */
function machine(bus: Bus = { name: 'mdev', match: () => false }) {
  const kernel = boot();
  const { devices } = kernel;
  devices.addBus(bus);
  devices.addClass('mtty');
  const parent = new Device({ name: 'mtty', class: 'mtty' });
  devices.add(parent);
  const log: string[] = [];
  let answer = 0;
  const driver: Driver = {
    name: 'mtty',
    bus,
    probe: (device) => {
      log.push(`probe ${device.name}`);
      return answer;
    },
    remove: (device) => log.push(`remove ${device.name}`),
  };
  devices.addDriver(driver);
  const add = (name = UUID) => {
    const device = new Device({ name, parent, bus });
    return { device, result: devices.add(device) };
  };
  const fail = (errno: number) => {
    answer = -errno;
  };
  return { kernel, devices, bus, driver, parent, log, add, fail, ...program(kernel) };
}

test('a class whose name is taken', () => {
  const { devices } = machine();
  expect([devices.addClass('mtty'), devices.addClass('other')]).toEqual([-EEXIST, 0]);
});

test('the tree of a bound device is that of the captures', () => {
  const { kernel, devices, driver, add, syscalls, cat } = machine();
  const { device, result } = add();
  expect(result).toBe(0);
  expect(devices.attach(device, driver)).toBe(0);
  const path = `/sys/devices/virtual/mtty/mtty/${UUID}`;
  expect(device.path).toBe(path);
  expect(syscalls.readlink(`${path}/driver`)).toBe('../../../../../bus/mdev/drivers/mtty');
  expect(syscalls.readlink(`${path}/subsystem`)).toBe('../../../../../bus/mdev');
  expect(syscalls.readlink(`/sys/bus/mdev/devices/${UUID}`)).toBe(`../../../devices/virtual/mtty/mtty/${UUID}`);
  expect(syscalls.readlink(`/sys/bus/mdev/drivers/mtty/${UUID}`)).toBe(`../../../../devices/virtual/mtty/mtty/${UUID}`);
  expect(syscalls.readlink('/sys/class/mtty/mtty')).toBe('../../devices/virtual/mtty/mtty');
  expect(cat(`${path}/uevent`)).toBe('DRIVER=mtty\n');
  expect(cat(`${path}/power/control`)).toBe('auto\n');
  expect(cat(`${path}/power/autosuspend_delay_ms`)).toBe(-EIO);
  expect(cat('/sys/bus/mdev/drivers_autoprobe')).toBe('1\n');
  expect(kernel.files.stat('/sys/bus/mdev/drivers/mtty/bind')).toEqual({ kind: 'file', mode: 0o200 });
});

test('a class device below a bus device gets a directory of its class between, with a link back', () => {
  const { devices, add, syscalls } = machine();
  devices.addClass('vfio-dev');
  const { device } = add();
  const vfio = new Device({ name: 'vfio0', class: 'vfio-dev', parent: device });
  devices.add(vfio);
  expect(vfio.path).toBe(`/sys/devices/virtual/mtty/mtty/${UUID}/vfio-dev/vfio0`);
  expect(syscalls.readlink(`${vfio.path}/device`)).toBe(`../../../${UUID}`);
  expect(syscalls.readlink(`${vfio.path}/subsystem`)).toBe('../../../../../../../class/vfio-dev');
  devices.remove(vfio);
  expect(syscalls.stat(`${device.path}/vfio-dev`)).toBeLessThan(0);
});

test('a character device tells its number', () => {
  const { devices, cat } = machine();
  devices.addClass('misc');
  const number = { major: 10, minor: 196, node: 'vfio/vfio', mode: 0o666 };
  devices.add(new Device({ name: 'vfio', class: 'misc', number }));
  expect(cat('/sys/devices/virtual/misc/vfio/uevent')).toBe('MAJOR=10\nMINOR=196\nDEVNAME=vfio/vfio\nDEVMODE=0666\n');
  expect(cat('/sys/devices/virtual/misc/vfio/dev')).toBe('10:196\n');
});

test('a synthetic uevent is an action, with a UUID and pairs behind it if anything; what is none is logged', () => {
  const { kernel, add, echo } = machine();
  const { device } = add();
  const path = `/sys/devices/virtual/mtty/mtty/${UUID}`;
  expect(device.path).toBe(path);
  const send = (text: string, to = path) => echo(`${to}/uevent`, text, O_WRONLY);
  for (const text of ['add', 'change\n', `add ${UUID}`, `add ${UUID} A=1 B=2\n`]) expect(send(text)).toBe(text.length);
  expect(kernel.log.lines).toEqual([]);
  for (const text of ['\n', ' add', 'added', 'add \n', `add ${UUID}x`, `add ${UUID} A`])
    expect(send(text)).toBe(-EINVAL);
  const shortPath = path.slice('/sys'.length);
  const failed = `mdev ${UUID}: uevent: failed to send synthetic uevent: -22`;
  const unknown = [`synth uevent: ${shortPath}: unknown uevent action string`, failed];
  const incorrect = [`synth uevent: ${shortPath}: incorrect uevent action arguments`, failed];
  const three = (lines: string[]) => [...lines, ...lines, ...lines];
  expect(kernel.log.lines).toEqual([...three(unknown), ...three(incorrect)]);
  // A bus and a driver are no devices.
  expect(send('x', '/sys/bus/mdev')).toBe(-EINVAL);
  expect(kernel.log.lines.at(-1)).toBe('synth uevent: /bus/mdev: unknown uevent action string');
});

test('a probe that fails leaves no links, and a line in the log unless it was ENODEV', () => {
  const { kernel, devices, driver, add, fail, syscalls } = machine();
  const { device } = add();
  fail(ENOSPC);
  expect(devices.attach(device, driver)).toBe(-ENOSPC);
  expect(kernel.log.lines).toEqual([`mtty: probe of ${UUID} failed with error -28`]);
  expect(syscalls.stat(`${device.path}/driver`)).toBeLessThan(0);
  expect(device.driver).toBeUndefined();
  fail(ENODEV);
  expect(devices.attach(device, driver)).toBe(-ENODEV);
  expect(kernel.log.lines).toHaveLength(1);
});

test('unbind frees the device, bind back is ENODEV where the bus matches nothing', () => {
  // captures: mdev-lifecycle, "driver unbind/bind"
  const { devices, driver, add, log, echo } = machine();
  const { device } = add();
  devices.attach(device, driver);
  expect(devices.attach(device, driver)).toBe(-EBUSY);
  expect(echo('/sys/bus/mdev/drivers/mtty/unbind', `${UUID}\n`, O_WRONLY)).toBe(37);
  expect(log).toEqual([`probe ${UUID}`, `remove ${UUID}`]);
  expect(echo('/sys/bus/mdev/drivers/mtty/unbind', `${UUID}\n`, O_WRONLY)).toBe(-ENODEV);
  expect(echo('/sys/bus/mdev/drivers/mtty/bind', `${UUID}\n`, O_WRONLY)).toBe(-ENODEV);
  expect(echo('/sys/bus/mdev/drivers_probe', 'nobody\n', O_WRONLY)).toBe(-ENODEV);
});

test('a matching bus probes at arrival, and driver_override decides alone', () => {
  const bus: Bus = { name: 'pci', match: (device) => device.name.startsWith('0000:'), driverOverride: true };
  const { devices, log, add, echo, cat } = machine(bus);
  const { device } = add('0000:06:0d.0');
  expect(device.driver?.name).toBe('mtty');
  devices.detach(device);
  const attribute = `${device.path}/driver_override`;
  expect(cat(attribute)).toBe('(null)\n');
  expect(echo(attribute, 'vfio-pci\n', O_WRONLY)).toBe(9);
  expect(echo('/sys/bus/pci/drivers_probe', '0000:06:0d.0\n', O_WRONLY)).toBe(13);
  expect(device.driver).toBeUndefined();
  const vfio: Driver = { name: 'vfio-pci', bus, probe: () => 0 };
  devices.addDriver(vfio);
  expect(device.driver).toBe(vfio);
  devices.removeDriver(vfio);
  expect(device.driver).toBeUndefined();
  expect(echo(attribute, '\n', O_WRONLY)).toBe(1);
  expect(echo('/sys/bus/pci/drivers/mtty/bind', '0000:06:0d.0', O_WRONLY)).toBe(12);
  expect(log).toEqual(['probe 0000:06:0d.0', 'remove 0000:06:0d.0', 'probe 0000:06:0d.0']);
});

test('drivers_autoprobe 0 leaves new devices alone', () => {
  const { add, echo } = machine({ name: 'platform', match: () => true });
  echo('/sys/bus/platform/drivers_autoprobe', '0\n', O_WRONLY);
  expect(add('a').device.driver).toBeUndefined();
  echo('/sys/bus/platform/drivers_autoprobe', '1\n', O_WRONLY);
  expect(add('b').device.driver?.name).toBe('mtty');
});

test('names are unique, and a removed device leaves nothing behind', () => {
  const { kernel, devices, parent, driver, add, syscalls, log } = machine();
  const { device } = add();
  expect(add().result).toBe(-EEXIST);
  expect(kernel.log.lines[0]).toBe(`sysfs: cannot create duplicate filename '/devices/virtual/mtty/mtty/${UUID}'`);
  devices.attach(device, driver);
  devices.remove(device);
  expect(log).toEqual([`probe ${UUID}`, `remove ${UUID}`]);
  expect(syscalls.readdir('/sys/bus/mdev/devices')).toEqual([]);
  expect(add().result).toBe(0);
  expect(devices.addDriver(driver)).toBe(-EBUSY);
  for (const left of [...devices.devicesOn(driver.bus)]) devices.remove(left);
  devices.remove(parent);
  // captures: mdev-lifecycle, after rmmod: "ls: /sys/devices/virtual/mtty: No such file or directory"
  expect(syscalls.stat('/sys/devices/virtual/mtty')).toBeLessThan(0);
});

test('IOMMU groups: lowest free number, links both ways, the log lines of the captures', () => {
  const { kernel, devices, driver, add, syscalls, cat } = machine();
  const { device } = add();
  devices.attach(device, driver);
  const group = kernel.iommuGroups.allocate();
  group.setName('vfio-noiommu');
  group.add(device);
  group.put();
  expect(kernel.log.lines).toEqual([`mtty ${UUID}: Adding to iommu group 0`]);
  expect(syscalls.readlink(`${device.path}/iommu_group`)).toBe('../../../../../kernel/iommu_groups/0');
  expect(syscalls.readlink(`/sys/kernel/iommu_groups/0/devices/${UUID}`)).toBe(
    `../../../../devices/virtual/mtty/mtty/${UUID}`,
  );
  expect(cat('/sys/kernel/iommu_groups/0/name')).toBe('vfio-noiommu\n');
  expect(cat('/sys/kernel/iommu_groups/0/type')).toBe('unknown\n');
  expect(cat('/sys/kernel/iommu_groups/0/reserved_regions')).toBe('');
  const second = kernel.iommuGroups.allocate();
  expect(second.id).toBe(1);
  group.remove(device);
  expect(kernel.log.lines[1]).toBe(`mtty ${UUID}: Removing from iommu group 0`);
  expect(syscalls.readdir('/sys/kernel/iommu_groups')).toEqual([{ name: '1', kind: 'directory' }]);
  expect(kernel.iommuGroups.allocate().id).toBe(0);
});

/** The life of mediated devices by sysfs, as recorded on a real host with mtty. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { VFIO_GROUP_UNSET_CONTAINER } from '../../../src/linux/uapi/vfio.ts';
import { bootHost, expectNothingLeft, type Host, openDevice, shown, typePath, UUID } from '../drivers/host.ts';

const UUID2 = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002';
const uuid = (n: number) => `83b8f4f2-509f-382f-3c1e-e6bfe0fa1${n.toString().padStart(3, '0')}`;
const DEVICES = '/sys/bus/mdev/devices';

let host: Host;
const create = (text: string, type = 'mtty-1') => shown(host.echo(`${typePath('mtty', type)}/create`, text));
const remove = (text: string, which = UUID) => shown(host.echo(`${DEVICES}/${which}/remove`, text));
const present = () => {
  const entries = host.syscalls.readdir(DEVICES);
  return typeof entries === 'number' ? shown(entries) : entries.map(({ name }) => name);
};
const left = () =>
  ['mtty-1', 'mtty-2'].map((type) => Number(host.cat(`${typePath('mtty', type)}/available_instances`)));

beforeEach(() => {
  host = bootHost();
  expect(host.syscalls.init_module('mtty', '')).toBe(0);
});

afterEach(() => expectNothingLeft(host));

describe('create', () => {
  test.each([
    ['too short', '1234\n', '-EINVAL', [24, 12]],
    ['36 characters, not hexadecimal', `zz${UUID.slice(2)}\n`, '-EINVAL', [24, 12]],
    ['36 characters, a dash in the wrong place', `${UUID.slice(0, 8)}0${UUID.slice(9)}\n`, '-EINVAL', [24, 12]],
    ['37 characters, the last is no newline', `${UUID}x`, '37', [23, 11]],
    ['38 characters', `${UUID}xx`, '-EINVAL', [24, 12]],
    ['an empty line', '\n', '-EINVAL', [24, 12]],
    ['a newline after it', `${UUID}\n`, '37', [23, 11]],
    ['no newline', UUID, '36', [23, 11]],
    ['upper case', UUID.toUpperCase(), '36', [23, 11]],
  ])('%s', (_name, text, result, available) => {
    expect([create(text), present(), left()]).toEqual([result, result.startsWith('-') ? [] : [UUID], available]);
  });

  test('a UUID is unique on the host: same type, other type, other case', () => {
    create(UUID);
    expect([create(UUID), create(UUID, 'mtty-2'), create(UUID.toUpperCase())]).toEqual([
      '-EEXIST',
      '-EEXIST',
      '-EEXIST',
    ]);
    expect([present(), left()]).toEqual([[UUID], [23, 11]]);
    expect(host.refusals.at(-1)).toBe(`mdev ${UUID} exists already on this host`);
  });

  test('both types share the 24 ports', () => {
    create(UUID);
    create(UUID2, 'mtty-2');
    expect(left()).toEqual([21, 10]);
    expect(remove('1\n')).toBe('2');
    expect(left()).toEqual([22, 11]);
  });

  test('without ports the driver says ENOSPC, and the log which probe failed', () => {
    for (let n = 1; n <= 24; n++) expect(create(uuid(n))).toBe('36');
    expect([create(uuid(25)), left()]).toEqual(['-ENOSPC', [0, 0]]);
    expect(host.kernel.log.lines.at(-1)).toBe(`mtty: probe of ${uuid(25)} failed with error -28`);
    remove('1', uuid(3));
    expect([left(), create(uuid(25), 'mtty-2'), left()]).toEqual([[1, 0], '-ENOSPC', [1, 0]]);
    expect(present()).toHaveLength(23);
  });
});

describe('remove', () => {
  test('0 does nothing, a word is EINVAL, 1 removes', () => {
    create(UUID);
    expect([remove('0\n'), present()]).toEqual(['2', [UUID]]);
    expect([remove('abc\n'), present()]).toEqual(['-EINVAL', [UUID]]);
    expect([remove('1\n'), present(), left()]).toEqual(['2', [], [24, 12]]);
    expect(remove('1\n')).toBe('-ENOENT');
  });

  test('the lowest free IOMMU group is used again', () => {
    create(UUID);
    create(UUID2);
    remove('1');
    create(uuid(3));
    expect(host.kernel.log.lines.slice(-4)).toEqual([
      `mtty ${UUID}: Adding to iommu group 0`,
      `mtty ${UUID2}: Adding to iommu group 1`,
      `mtty ${UUID}: Removing from iommu group 0`,
      `mtty ${uuid(3)}: Adding to iommu group 0`,
    ]);
  });

  test('of an open device: its bus entry goes, the node stays, and the last close ends it', () => {
    const { device, group, container } = openDevice(host, 'mtty', 'mtty-1');
    expect(remove('1\n')).toBe('2');
    expect([present(), shown(host.open('/dev/vfio/0')), left()]).toEqual([[], '-EBUSY', [23, 11]]);
    expect(create(UUID)).toBe('-EEXIST');
    host.syscalls.close(device);
    expect([shown(host.open('/dev/vfio/0')), left()]).toEqual(['-ENOENT', [24, 12]]);
    expect(host.kernel.log.lines.at(-1)).toBe(`mtty ${UUID}: Removing from iommu group 0`);
    for (const fd of [group, container]) host.syscalls.close(fd);
    expect(create(UUID)).toBe('36');
  });
});

test('who closed a removed device may still take its group out of the container; else the remover does, when he runs', () => {
  const closed = () => {
    const { device, group, container } = openDevice(host, 'mtty', 'mtty-1');
    remove('1\n');
    host.syscalls.close(device);
    return { unset: () => shown(host.ioctl(group, VFIO_GROUP_UNSET_CONTAINER)), fds: [group, container] };
  };
  const first = closed();
  expect([first.unset(), first.unset()]).toEqual(['0', '-EINVAL']);
  for (const fd of first.fds) host.syscalls.close(fd);
  const second = closed();
  expect([host.kernel.clock.sleep(), second.unset()]).toEqual([true, '-EINVAL']);
});

test('attributes keep to their modes, even for root', () => {
  expect([
    host.cat(`${typePath('mtty', 'mtty-1')}/create`),
    shown(host.echo(`${typePath('mtty', 'mtty-1')}/name`, 'x')),
  ]).toEqual(['-EACCES', '-EACCES']);
});

describe('unbind', () => {
  const DRIVER = '/sys/bus/mdev/drivers/mtty';

  test('frees the ports and leaves a device that cannot be bound again', () => {
    create(UUID);
    expect(shown(host.echo(`${DRIVER}/unbind`, `${UUID}\n`))).toBe('37');
    expect([left(), present()]).toEqual([[24, 12], [UUID]]);
    const names = host.syscalls.readdir(`${DEVICES}/${UUID}`);
    expect(typeof names === 'number' ? names : names.map(({ name }) => name)).toEqual([
      'mdev_type',
      'power',
      'remove',
      'subsystem',
      'uevent',
    ]);
    expect(shown(host.echo(`${DRIVER}/bind`, `${UUID}\n`))).toBe('-ENODEV');
    expect([remove('1\n'), left()]).toEqual(['2', [24, 12]]);
  });

  test('of an open device, then remove: both end at the last close', () => {
    const { device } = openDevice(host, 'mtty', 'mtty-1');
    host.echo(`${DRIVER}/unbind`, UUID);
    remove('1');
    expect(left()).toEqual([23, 11]);
    host.syscalls.close(device);
    expect([left(), present(), create(UUID)]).toEqual([[24, 12], [], '36']);
  });
});

describe('rmmod', () => {
  test('takes unopened devices along', () => {
    create(UUID);
    expect(host.syscalls.delete_module('mtty')).toBe(0);
    expect([shown(host.syscalls.readdir('/sys/devices/virtual/mtty') as number), present()]).toEqual(['-ENOENT', []]);
    expect(shown(host.open('/dev/vfio/0'))).toBe('-ENOENT');
  });

  test('is refused while a device is open', () => {
    const { device } = openDevice(host, 'mtty', 'mtty-1');
    expect(shown(host.syscalls.delete_module('mtty'))).toBe('-EAGAIN');
    host.syscalls.close(device);
    expect(shown(host.syscalls.delete_module('mtty'))).toBe('0');
  });

  test('and insmod again finds everything as new', () => {
    create(UUID);
    host.syscalls.delete_module('mtty');
    expect([host.syscalls.init_module('mtty', ''), create(UUID), left()]).toEqual([0, '36', [23, 11]]);
  });
});

/** Which driver a PCI device gets, by what way; whose its DMA is then; what sysfs says of it. */

import { beforeEach, describe, expect, test } from 'vitest';
import { shown } from '../drivers/host.ts';
import { bootPciHost, COPIER_ID, NAME, type PciTestHost } from './pci-host.ts';

let host: PciTestHost;
beforeEach(() => {
  host = bootPciHost();
});

const write = (path: string, text: string) => {
  const result = host.echo(path, text);
  return result < 0 ? shown(result) : result === text.length ? 'ok' : `${result} bytes`;
};
const driver = (name: string, file: string, text: string) => write(`/sys/bus/pci/drivers/${name}/${file}`, text);
const override = (text: string) => write(`${host.path}/driver_override`, text);
const probe = (text = NAME) => write('/sys/bus/pci/drivers_probe', text);

describe('a scan', () => {
  test('sizes the BARs, gives them addresses, and shows the device', () => {
    host.addCopier();
    expect(host.kernel.log.lines.slice(-5)).toEqual([
      `pci ${NAME}: [1234:d0a0] type 00 class 0xff0000`,
      `pci ${NAME}: BAR 0: assigned [mem 0xe0000000-0xe0001fff]`,
      `pci ${NAME}: BAR 1: assigned [io  0x1000-0x1007]`,
      `pci ${NAME}: BAR 2: assigned [mem 0xe0002000-0xe0002fff]`,
      `pci ${NAME}: Adding to iommu group 0`,
    ]);
    expect(host.syscalls.readlink(host.path)).toBe(`../../../devices/pci0000:06/${NAME}`);
    const files = ['vendor', 'device', 'class', 'revision', 'subsystem_device', 'irq'];
    expect(files.map((file) => host.cat(`${host.path}/${file}`).trim())).toEqual([
      '0x1234',
      '0xd0a0',
      '0xff0000',
      '0x01',
      '0xd0a0',
      '19',
    ]);
    expect(host.cat(`${host.path}/resource`).split('\n').slice(0, 3)).toEqual([
      '0x00000000e0000000 0x00000000e0001fff 0x0000000000040200',
      '0x0000000000001000 0x0000000000001007 0x0000000000040101',
      '0x00000000e0002000 0x00000000e0002fff 0x0000000000040200',
    ]);
  });

  test('tells user space what it needs to find a driver', () => {
    host.addCopier();
    const alias = 'pci:v00001234d0000D0A0sv00001234sd0000D0A0bcFFsc00i00';
    expect(host.cat(`${host.path}/modalias`)).toBe(`${alias}\n`);
    const lines = [
      'PCI_CLASS=FF0000',
      'PCI_ID=1234:D0A0',
      'PCI_SUBSYS_ID=1234:D0A0',
      `PCI_SLOT_NAME=${NAME}`,
      `MODALIAS=${alias}`,
    ];
    expect(host.cat(`${host.path}/uevent`)).toBe(lines.map((line) => `${line}\n`).join(''));
  });

  test('puts it into an IOMMU group with the default domain of the kernel', () => {
    host.addCopier();
    const group = '/sys/kernel/iommu_groups/0';
    expect([host.cat(`${group}/type`), host.cat(`${group}/reserved_regions`)]).toEqual([
      'DMA-FQ\n',
      '0x00000000fee00000 0x00000000feefffff msi\n',
    ]);
    expect(host.syscalls.readdir(`${group}/devices`)).toEqual([{ name: NAME, kind: 'symlink' }]);
  });
});

describe('the driver of a device', () => {
  test('is the first that knows its id', () => {
    host.addDriver('other', { ids: [{ ...COPIER_ID, device: 1 }] });
    host.addDriver('native', { ids: [COPIER_ID] });
    host.addDriver('late', { ids: [COPIER_ID] });
    host.addCopier();
    expect([host.driverOf(), host.log]).toEqual(['native', [`native probe ${NAME}`]]);
  });

  test.each([
    ['subsystem', { subdevice: 1 }, undefined],
    ['class', { class: 0xff_0000, classMask: 0xff_0000 }, 'native'],
    ['another class', { class: 0x02_0000, classMask: 0xff_0000 }, undefined],
  ])('is matched by its %s too', (_what, fields, expected) => {
    host.addDriver('native', { ids: [{ ...COPIER_ID, ...fields }] });
    host.addCopier();
    expect(host.driverOf()).toBe(expected);
  });

  test('driver_override: no other driver matches, that one does without an id; it binds nothing by itself', () => {
    host.addDriver('native', { ids: [COPIER_ID] });
    host.addDriver('vfio-like');
    host.addCopier();
    expect(override('vfio-like')).toBe('ok');
    expect(host.driverOf()).toBe('native');
    // The device stays with its driver: drivers_probe has nothing to do.
    expect([probe(), host.driverOf()]).toEqual(['ok', 'native']);
    expect(driver('native', 'unbind', NAME)).toBe('ok');
    expect(host.driverOf()).toBeUndefined();
    expect([probe(), host.driverOf()]).toEqual(['ok', 'vfio-like']);
    expect(driver('vfio-like', 'unbind', `${NAME}\n`)).toBe('ok');
    expect(driver('native', 'bind', NAME)).toBe('-ENODEV');
    expect(override('\n')).toBe('ok');
    expect([host.cat(`${host.path}/driver_override`), driver('native', 'bind', NAME)]).toEqual(['(null)\n', 'ok']);
  });

  test.each<[string, () => string, string]>([
    ['unbind of an unknown device', () => driver('native', 'unbind', '0000:00:00.0'), '-ENODEV'],
    ['unbind from a driver it is not bound to', () => driver('other', 'unbind', NAME), '-ENODEV'],
    ['bind of an unknown device', () => driver('native', 'bind', 'nobody'), '-ENODEV'],
    ['bind to a driver that does not match', () => driver('other', 'bind', NAME), '-ENODEV'],
    ['bind of a device that is bound', () => driver('native', 'bind', NAME), '-EBUSY'],
    ['drivers_probe of an unknown device', () => probe('nobody'), '-ENODEV'],
    ['drivers_probe of a bound device', () => probe(), 'ok'],
    ['the unbind file of a device without a driver', () => unbound(`${host.path}/driver/unbind`), '-ENOENT'],
    ['a driver_override of 4095 bytes', () => override('x'.repeat(4095)), '-EINVAL'],
    ['a driver_override of 4094 bytes', () => override('x'.repeat(4094)), 'ok'],
  ])('%s', (_what, act, expected) => {
    host.addDriver('native', { ids: [COPIER_ID] });
    host.addDriver('other');
    host.addCopier();
    expect(act()).toBe(expected);
  });
  const unbound = (path: string) => {
    driver('native', 'unbind', NAME);
    return write(path, NAME);
  };

  test('a probe that fails is the errno of bind, but drivers_probe succeeds', () => {
    host.addDriver('broken', { ids: [COPIER_ID], probe: () => -5 });
    host.addCopier();
    expect(host.kernel.log.lines.at(-1)).toBe(`broken: probe of ${NAME} failed with error -5`);
    expect([driver('broken', 'bind', NAME), probe(), host.driverOf()]).toEqual(['-EIO', 'ok', undefined]);
  });
});

describe('new_id', () => {
  test('offers the driver every device that has none; remove_id takes the id away, not the device', () => {
    host.addDriver('generic');
    host.addCopier();
    expect([driver('generic', 'new_id', '1234 d0a0'), host.driverOf()]).toEqual(['ok', 'generic']);
    expect(driver('generic', 'new_id', '1234 d0a0')).toBe('-EEXIST');
    expect([driver('generic', 'remove_id', '1234 d0a0'), host.driverOf()]).toEqual(['ok', 'generic']);
    driver('generic', 'unbind', NAME);
    expect([driver('generic', 'bind', NAME), driver('generic', 'remove_id', '1234 d0a0')]).toEqual([
      '-ENODEV',
      '-ENODEV',
    ]);
  });

  // new_id_store asks whether the driver has a device of this id; remove_id_store looks at no more than it was told.
  test('an id that a wider one covers is there already; what is not said is any', () => {
    host.addDriver('generic');
    expect(['1234 d0a0', '1234 d0a0 1af4 1100', '1234 d0a0 ffffffff ffffffff 20000 ffffff'].map(newId)).toEqual([
      'ok',
      '-EEXIST',
      '-EEXIST',
    ]);
    expect(driver('generic', 'remove_id', '1234 d0a0')).toBe('ok');
    expect(['1234 d0a0 1af4 1100', '1234 d0a0'].map(newId)).toEqual(['ok', 'ok']);
    // Data of the driver's own are for drivers that have none in their table, and then twice as well.
    expect(['1234 d0a0 ffffffff ffffffff 0 0 5', '1234 d0a0 ffffffff ffffffff 0 0 5'].map(newId)).toEqual(['ok', 'ok']);
    expect(driver('generic', 'remove_id', '1234 d0a0')).toBe('ok');
  });
  const newId = (text: string) => driver('generic', 'new_id', text);

  test.each(['', '1234', 'wxyz d0a0', '1234 wxyz'])('"%s" is no id', (text) => {
    host.addDriver('generic');
    expect(driver('generic', 'new_id', text)).toBe(text === '' ? 'ok' : '-EINVAL');
  });
});

describe('whose the DMA is', () => {
  test('a native driver has it; while user space has it no native driver binds', () => {
    host.addDriver('native', { ids: [COPIER_ID] });
    host.addDriver('manager', { managesDma: true });
    host.addCopier();
    const group = host.kernel.iommuGroups.find(0)!;
    const owner = {};
    expect([group.dmaOwned, shown(group.claimDmaOwner(owner))]).toEqual([true, '-EPERM']);
    expect(host.refusals.at(-1)).toBe(`IOMMU group 0 is not viable: ${NAME} is bound to native`);
    driver('native', 'unbind', NAME);
    override('manager');
    expect([driver('manager', 'bind', NAME), group.dmaOwned, group.claimDmaOwner(owner)]).toEqual(['ok', false, 0]);
    driver('manager', 'unbind', NAME);
    override('\n');
    expect([driver('native', 'bind', NAME), host.driverOf()]).toEqual(['-EBUSY', undefined]);
    expect(host.kernel.log.lines.at(-1)).not.toContain('probe of');
    group.releaseDmaOwner();
    expect(driver('native', 'bind', NAME)).toBe('ok');
  });

  test('a probe that fails gives it back', () => {
    host.addDriver('broken', { ids: [COPIER_ID], probe: () => -5 });
    host.addCopier();
    expect(host.kernel.iommuGroups.find(0)!.dmaOwned).toBe(false);
  });
});

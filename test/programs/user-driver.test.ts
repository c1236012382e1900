/** The userspace driver on a host with the copier: what it prints, what the kernel logs, and that it leaves nothing. */

import { expect, test } from 'vitest';
import main from '../../programs/vfio/user-driver.ts';
import { vectorsInUse } from '../../src/linux/pci/interrupts.ts';
import { registerVfioPci } from '../../src/linux/vfio/pci/vfio-pci.ts';
import { hostKeepsPages } from '../linux/leaks.ts';
import { bootPciHost, COPIER_ID, NAME } from '../linux/pci/pci-host.ts';

/** A host whose vfio-pci can be loaded, and the program in a process of its own. */
function boot() {
  const host = bootPciHost();
  const pci = host.pciHost.add(host.copier.function);
  hostKeepsPages(host.kernel);
  registerVfioPci(host.kernel, host.pciHost.bus);
  const run = (...args: readonly string[]) => {
    let printed = '';
    const { process, user } = host.kernel.spawn('user-driver', (_, bytes) => {
      printed += new TextDecoder().decode(bytes);
    });
    const status = main(user, args);
    process.exit();
    expect(process.mm.lockedPages).toBe(0);
    return { status, printed };
  };
  const bind = () => {
    host.syscalls.init_module('vfio-pci', '');
    host.echo(`${host.path}/driver_override`, 'vfio-pci\n');
    host.echo('/sys/bus/pci/drivers_probe', `${NAME}\n`);
  };
  return { ...host, pci, run, bind };
}

test('it copies by DMA and hears of it on its eventfd; beyond its mapping it is stopped', () => {
  const host = boot();
  host.bind();
  const { pages } = host.kernel;
  const before = pages.used;
  expect(host.run()).toEqual({
    status: 0,
    printed: `group 0 is viable
2 pages mapped for DMA at iova 0x100000
0000:06:0d.0: 9 regions, 5 interrupt indexes
vendor and device d0a01234
MSI-X has 2 messages; the first goes to an eventfd
into the device: 1 interrupt, status 1
out of the device: 1 interrupt, status 1
second page: "copied by the device"
beyond the mapping: 0 interrupts, status 2
`,
  });
  expect(host.kernel.log.lines.at(-1)).toBe(
    'DMAR: [DMA Write NO_PASID] Request device [06:0d.0] fault addr 0x102000 [fault reason 0x05] PTE Write access is not set',
  );
  expect([pages.used, pages.pinned, vectorsInUse(host.pci)]).toEqual([before, 0, 0]);
});

test('a second run is as the first', () => {
  const host = boot();
  host.bind();
  expect(host.run()).toEqual(host.run());
});

test('with a native driver bound there is no group to open', () => {
  const host = boot();
  host.addDriver('native', { ids: [COPIER_ID] });
  host.bind();
  expect(host.run()).toEqual({ status: 1, printed: 'user-driver: open /dev/vfio/0: No such file or directory\n' });
});

test('while somebody else has the group it is busy', () => {
  const host = boot();
  host.bind();
  host.open('/dev/vfio/0');
  expect(host.run()).toEqual({ status: 1, printed: 'user-driver: open /dev/vfio/0: Device or resource busy\n' });
});

test('a group that shares its DMA with a native driver is not viable', () => {
  const host = boot();
  host.bind();
  expect(host.kernel.iommuGroups.find(0)?.useDefaultDomain()).toBe(0);
  expect(host.run()).toEqual({ status: 1, printed: 'user-driver: group 0 is not viable\n' });
});

test('by the device’s own node it is the same device, with the same end', () => {
  const host = boot();
  host.bind();
  const { pages } = host.kernel;
  const before = pages.used;
  const { status, printed } = host.run('iommufd');
  expect(status).toBe(0);
  expect(printed.split('\n').slice(0, 3)).toEqual([
    '/dev/vfio/devices/vfio0 is bound: object 1 of the iommufd',
    'address space 2, page table 3',
    '2 pages mapped for DMA at iova 0x100000',
  ]);
  const same = (text: string) => text.slice(text.indexOf('regions'));
  expect(same(printed)).toBe(same(host.run().printed));
  expect([pages.used, pages.pinned, vectorsInUse(host.pci)]).toEqual([before, 0, 0]);
});

test('while somebody has the group the node cannot be bound', () => {
  const host = boot();
  host.bind();
  host.open('/dev/vfio/0');
  const printed = 'user-driver: VFIO_DEVICE_BIND_IOMMUFD: Device or resource busy\n';
  expect(host.run('iommufd')).toEqual({ status: 1, printed });
});

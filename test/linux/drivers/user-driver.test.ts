/** The kernel's functions as a user's own driver calls them: pages, DMA, guest memory, mappings, eventfds, time. */

import { afterEach, beforeEach, expect, test } from 'vitest';
import { hva, plus } from '../../../src/address.ts';
import type * as api from '../../../src/linux/drivers/driver-api.ts';
import { DriverFault } from '../../../src/linux/drivers/driver-fault.ts';
import { UserDriver } from '../../../src/linux/drivers/user-driver.ts';
import { initKvm, type KvmModule } from '../../../src/linux/kvm/kvm.ts';
import { POLLIN } from '../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { bootHost, cString, expectNothingLeft, type Host, openDevice, shown, UUID } from './host.ts';
import { createVm, setGroup } from './vm.ts';

let host: Host;
let kvm: KvmModule;
let linux: typeof api;
let vdev: api.VfioDevice<undefined>;
let mdevDevice: api.Device;
let opened: ReturnType<typeof openDevice>;
/** What the driver was told. */
let told: string[];

/** Load a driver whose device has `ops`, make one, open it as QEMU does, in the process of a VM if `withVm`. */
function load(ops: api.VfioDeviceOps<undefined> = {}, withVm = false) {
  const driver = new UserDriver(host.kernel, './mine.ts');
  linux = driver.exports;
  let card: { readonly cls: api.Class; readonly device: api.Device };
  const mdevDriver: api.MdevDriver = {
    device_api: 'vfio-pci',
    max_instances: 1,
    probe(mdev) {
      mdevDevice = mdev.dev;
      const made = linux.vfio_alloc_device(mdev, { release: () => void told.push('release'), ...ops }, undefined);
      if (typeof made === 'number') return made;
      vdev = made;
      const error = linux.vfio_register_emulated_iommu_dev(vdev);
      if (error < 0) linux.vfio_put_device(vdev);
      return error;
    },
    remove() {
      linux.vfio_unregister_group_dev(vdev);
      linux.vfio_put_device(vdev);
    },
  };
  const module: api.KernelModule = {
    name: 'mine',
    init() {
      const cls = linux.class_create('mine') as api.Class;
      card = { cls, device: linux.device_create(cls, 'mine') as api.Device };
      linux.mdev_register_driver(mdevDriver);
      return linux.mdev_register_parent(card.device, mdevDriver, [{ sysfs_name: 'a' }]);
    },
    exit() {
      linux.mdev_unregister_parent(card.device);
      linux.mdev_unregister_driver(mdevDriver);
      linux.device_unregister(card.device);
      linux.class_destroy(card.cls);
    },
  };
  host.kernel.modules.register(driver.module(module));
  opened = openDevice(host, 'mine', 'mine-a');
  // The tests call the driver's functions as if they were in a system call of the process.
  host.kernel.current = host.process;
  if (!withVm) return undefined;
  const vm = createVm(host);
  host.syscalls.close(opened.device);
  setGroup(host, vm.vfio, 1n, opened.group);
  const device = host.ioctlBytes(opened.group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(UUID));
  opened = { ...opened, device };
  return vm;
}
/** Two pages of the process at IOVA 0x10000. */
function mapDma(): ReturnType<typeof host.map> {
  const buffer = host.map(0x2000);
  const value = { argsz: 32, flags: 3, iova: 0x10000n, vaddr: BigInt(buffer), size: 0x2000n };
  host.ioctlStruct(opened.container, uapi.VFIO_IOMMU_MAP_DMA, uapi.vfio_iommu_type1_dma_map, value);
  return buffer;
}

beforeEach(() => {
  host = bootHost();
  kvm = initKvm(host.kernel);
  told = [];
});
afterEach(() => {
  expectNothingLeft(host);
  expect(kvm.vms).toEqual([]);
});

test('pages are pinned, shared with the process, and unpinned when it unmaps them', () => {
  load({
    dma_unmap(device, iova, length) {
      told.push(`unmap ${iova.toString(16)}+${length.toString(16)}`);
      linux.vfio_unpin_pages(device, iova, length / 4096);
    },
  });
  const buffer = mapDma();
  const pages: api.Page[] = [];
  const both = linux.IOMMU_READ | linux.IOMMU_WRITE;
  expect(linux.vfio_pin_pages(vdev, 0x10000, 2, both, pages)).toBe(2);
  host.memory.write(plus(buffer, 0x1000), Uint8Array.of(1, 2, 3));
  expect([...pages[1]!.bytes.subarray(0, 3)]).toEqual([1, 2, 3]);
  pages[0]!.bytes[5] = 9;
  expect([...host.memory.read(plus(buffer, 5), 1)]).toEqual([9]);
  expect(host.kernel.pages.pinned).toBe(2);
  const value = { argsz: 24, flags: 0, iova: 0x10000n, size: 0x2000n };
  host.ioctlStruct(opened.container, uapi.VFIO_IOMMU_UNMAP_DMA, uapi.vfio_iommu_type1_dma_unmap, value);
  expect([told, host.kernel.pages.pinned]).toEqual([['unmap 10000+2000'], 0]);
  expect(shown(linux.vfio_pin_pages(vdev, 0x10000, 1, both, pages))).toBe('-EINVAL');
});

test('what a callback may have written into pinned pages is told to the processors that have decoded it', () => {
  const pages: api.Page[] = [];
  load({
    dma_unmap: (device, iova, length) => linux.vfio_unpin_pages(device, iova, length / 4096),
    write: (_device, _buffer, count) => {
      pages[0]!.bytes[0] = 0x90;
      return count;
    },
  });
  mapDma();
  const { code } = host.kernel.memory;
  expect(linux.vfio_pin_pages(vdev, 0x10000, 1, linux.IOMMU_READ | linux.IOMMU_WRITE, pages)).toBe(1);
  host.syscalls.write(opened.device, host.scratch, 4);
  expect(code.changes).toBe(0);
  code.add(pages[0]!.pfn * 4096);
  code.decoded(pages[0]!.pfn * 4096, 4096);
  host.syscalls.write(opened.device, host.scratch, 4);
  expect(code.changes).toBe(1);
  linux.vfio_unpin_pages(vdev, 0x10000, 1);
});

test('without dma_unmap nothing can be pinned', () => {
  load();
  mapDma();
  expect(shown(linux.vfio_pin_pages(vdev, 0x10000, 1, linux.IOMMU_READ, []))).toBe('-EINVAL');
});

test('DMA by the CPU, both ways, and past the mapping', () => {
  load();
  const buffer = mapDma();
  expect(linux.vfio_dma_rw(vdev, 0x10ffe, Uint8Array.of(1, 2, 3, 4), true)).toBe(0);
  expect([...host.memory.read(plus(buffer, 0xffe), 4)]).toEqual([1, 2, 3, 4]);
  const back = new Uint8Array(2);
  expect([linux.vfio_dma_rw(vdev, 0x11000, back, false), ...back]).toEqual([0, 3, 4]);
  expect(shown(linux.vfio_dma_rw(vdev, 0x11ffe, new Uint8Array(4), false))).toBe('-EINVAL');
});

test('the guest’s memory, while the VM has the device; a reference keeps the VM', () => {
  const kept: api.Kvm[] = [];
  const vm = load(
    {
      open_device({ kvm: pointer }) {
        if (pointer !== undefined && linux.kvm_get_kvm_safe(pointer)) kept.push(pointer);
        return 0;
      },
      close_device() {
        for (const pointer of kept.splice(0)) linux.kvm_put_kvm(pointer);
      },
    },
    true,
  )!;
  const data = Uint8Array.of(7, 8);
  expect([linux.kvm_write_guest(vdev.kvm!, 0x1fffn, data), ...host.memory.read(plus(vm.ram, 0x1fff), 2)]).toEqual([
    0, 7, 8,
  ]);
  const back = new Uint8Array(2);
  expect([linux.kvm_read_guest(vdev.kvm!, 0x1fff, back), ...back]).toEqual([0, 7, 8]);
  expect(shown(linux.kvm_read_guest(vdev.kvm!, 2n ** 63n, back))).toBe('-EFAULT');
  for (const fd of [vm.vfio, vm.fd]) host.syscalls.close(fd);
  expect(kvm.vms).toHaveLength(1);
  expect(linux.kvm_read_guest(vdev.kvm!, 0x1fff, back)).toBe(0);
  host.syscalls.close(opened.device);
  expect(kvm.vms).toEqual([]);
});

test('copies stop at what is not mapped and say how much is left', () => {
  load();
  const page = host.map(0x1000);
  expect(linux.copy_to_user(page, new Uint8Array(0x1000).fill(5))).toBe(0);
  const into = new Uint8Array(0x20);
  const above = hva(page + 0xff0);
  host.syscalls.munmap(host.scratch, 0x10000);
  expect([linux.copy_from_user(into, above), into[0xf], into[0x10]]).toEqual([0x10, 5, 0]);
  expect(linux.copy_to_user(0, Uint8Array.of(1))).toBe(1);
});

test('a page of the driver’s in the process: both see the same bytes', () => {
  let page: api.Page | undefined;
  load({
    mmap(_, area) {
      page = linux.alloc_page()!;
      return area.offset === 0 ? linux.vm_insert_page(area, 0, page) : linux.vm_insert_page(area, 0x1000, page);
    },
    close_device: () => linux.free_page(page!),
  });
  const at = hva(host.syscalls.mmap(0x1000, 3, 1, opened.device, 0));
  page!.bytes[3] = 0x33;
  host.memory.write(plus(at, 4), Uint8Array.of(0x44));
  expect([host.memory.read(plus(at, 3), 1)[0], page!.bytes[4]]).toEqual([0x33, 0x44]);
  linux.free_page(page!);
  expect(shown(host.syscalls.mmap(0x1000, 3, 1, opened.device, 0x1000))).toBe('-EINVAL');
  host.syscalls.munmap(at, 0x1000);
});

test('a page that the driver frees stays while it is mapped: nobody else gets it', () => {
  let page: api.Page | undefined;
  load({
    mmap(_, area) {
      page = linux.alloc_page()!;
      const error = linux.vm_insert_page(area, 0, page);
      told.push(shown(linux.vm_insert_page(area, 0, page)));
      return error;
    },
  });
  const before = host.kernel.pages.used;
  const at = hva(host.syscalls.mmap(0x1000, 3, 1, opened.device, 0));
  host.memory.write(at, Uint8Array.of(0x44));
  linux.free_page(page!);
  const other = linux.alloc_page()!;
  expect([told, other.pfn === page!.pfn, host.memory.read(at, 1)[0]]).toEqual([['-EBUSY'], false, 0x44]);
  host.syscalls.munmap(at, 0x1000);
  const again = linux.alloc_page()!;
  expect(again.pfn).toBe(page!.pfn);
  linux.free_page(again);
  linux.free_page(other);
  expect(host.kernel.pages.used).toBe(before);
});

test('a mapping that the driver refuses after it has inserted a page leaves nothing', () => {
  load({
    mmap(_, area) {
      const page = linux.alloc_page()!;
      linux.vm_insert_page(area, 0, page);
      linux.free_page(page);
      return -11;
    },
  });
  const before = host.kernel.pages.used;
  expect(shown(host.syscalls.mmap(0x1000, 3, 1, opened.device, 0))).toBe('-EAGAIN');
  expect(host.kernel.pages.used).toBe(before);
});

test('pages that come by vm_ops.fault when they are touched, each once, also in what is left of a mapping', () => {
  const pages = new Map<number, api.Page>();
  load({
    mmap(_, area) {
      area.vm_ops = {
        fault(at, offset) {
          told.push(`${(at.offset + offset).toString(16)}`);
          if (at.offset + offset === 0x5000) return undefined;
          const page = linux.alloc_page()!;
          pages.set(offset, page);
          page.bytes[0] = offset >> 12;
          return page;
        },
      };
      return 0;
    },
    close_device: () => pages.forEach(linux.free_page),
  });
  const at = hva(host.syscalls.mmap(0x5000, 3, 1, opened.device, 0x1000));
  const first = (page: number) => host.memory.read(plus(at, page * 0x1000), 1)[0];
  expect([first(0), first(2), first(0), first(2)]).toEqual([0, 2, 0, 2]);
  expect(told).toEqual(['1000', '3000']);
  host.syscalls.munmap(at, 0x3000);
  expect([first(3), first(3)]).toEqual([3, 3]);
  expect(told).toEqual(['1000', '3000', '4000']);
  expect(host.syscalls.write(opened.device, plus(at, 0x4000), 1)).toBeLessThan(0);
  host.syscalls.munmap(plus(at, 0x3000), 0x2000);
});

test('a fault that gives no page is the driver’s', () => {
  load({
    mmap(_, area) {
      area.vm_ops = { fault: () => 5 as never };
      return 0;
    },
  });
  const at = hva(host.syscalls.mmap(0x1000, 3, 1, opened.device, 0));
  expect(() => host.memory.read(at, 1)).toThrow('it gave 5, neither a page nor undefined');
  host.syscalls.munmap(at, 0x1000);
});

test('pages are freed once, by who allocated them; what is left the log tells', () => {
  load({ dma_unmap: (device, iova, length) => linux.vfio_unpin_pages(device, iova, length / 4096) });
  mapDma();
  const pinned: api.Page[] = [];
  linux.vfio_pin_pages(vdev, 0x10000, 1, linux.IOMMU_READ, pinned);
  expect(() => linux.free_page(pinned[0]!)).toThrow('free_page: this is not from alloc_page, or was freed before');
  linux.vfio_unpin_pages(vdev, 0x10000, 1);
  const page = linux.alloc_page()!;
  linux.free_page(page);
  expect(() => linux.free_page(page)).toThrow('was freed before');
  const lost = linux.alloc_page()!;
  host.syscalls.close(opened.device);
  host.echo(`/sys/bus/mdev/devices/${UUID}/remove`, '1');
  expect(host.syscalls.delete_module('mine')).toBe(0);
  expect(host.kernel.log.lines.at(-1)).toBe('alloc_page: 1 page(s) of the module are lost');
  host.kernel.pages.free((lost.pfn * 4096) as never);
});

test('files of a device in sysfs', () => {
  load();
  const file = (name: string) => `/sys/bus/mdev/devices/${UUID}/${name}`;
  let level = 3;
  const attribute: api.DeviceAttribute = {
    name: 'level',
    show: ({ name }) => `${name === UUID} ${level}\n`,
    store(_, text) {
      if (!/^\d+\n$/.test(text)) return -22;
      level = Number(text);
      return text.length;
    },
  };
  expect(linux.device_create_file(mdevDevice, attribute)).toBe(0);
  expect(shown(linux.device_create_file(mdevDevice, attribute))).toBe('-EEXIST');
  expect(host.cat(file('level'))).toBe('true 3\n');
  host.echo(file('level'), '17\n');
  expect(host.cat(file('level'))).toBe('true 17\n');
  linux.device_remove_file(mdevDevice, attribute);
  expect(linux.device_create_file(mdevDevice, { ...attribute, store: () => 1.5 })).toBe(0);
  expect(() => host.echo(file('level'), '1')).toThrow('returned 1.5, not a number up to 1, or -errno');
  host.kernel.current = host.process;
  expect(linux.device_create_file(mdevDevice, { name: 'none', show: () => 5 })).toBe(0);
  expect(() => host.cat(file('none'))).toThrow('it gave 5, neither a text nor -errno');
  host.kernel.current = host.process;
  expect(() => linux.device_create_file({ name: 'a', path: '/sys' }, attribute)).toThrow(
    'one of device_create or mdev.dev',
  );
  expect(() => linux.device_create_file(mdevDevice, { name: 'a/b' })).toThrow('no name of a file');
  expect(() => linux.device_create_file(mdevDevice, { name: 'a', mode: 0o1777 })).toThrow('no permission bits');
  expect(() => linux.device_create_file(mdevDevice, { name: 'a', shwo: 1 } as never)).toThrow(
    'shwo: an attribute has no such',
  );
});

test('an eventfd that makes the driver do something, until it has enough', () => {
  load();
  const fd = host.syscalls.eventfd(0, 0);
  const virqfd = linux.vfio_virqfd_enable(() => void told.push('signalled'), fd) as api.Virqfd;
  const eventfd = linux.eventfd_ctx_fdget(fd) as api.Eventfd;
  linux.eventfd_signal(eventfd, 1);
  linux.eventfd_signal(eventfd, 1);
  linux.vfio_virqfd_disable(virqfd);
  linux.eventfd_signal(eventfd, 1);
  expect(told).toEqual(['signalled', 'signalled']);
  expect(shown(linux.vfio_virqfd_enable(() => {}, 99) as number)).toBe('-EBADF');
  expect(() => linux.eventfd_signal(eventfd, -1)).toThrow('eventfd_signal: -1 is no unsigned number');
});

test('eventfds and timers', () => {
  load();
  const fd = host.syscalls.eventfd(0, 0);
  const eventfd = linux.eventfd_ctx_fdget(fd) as api.Eventfd;
  linux.hrtimer_start(100, () => linux.eventfd_signal(eventfd, 1));
  const off = linux.hrtimer_start(50, () => told.push('never'));
  expect([linux.hrtimer_cancel(off), linux.hrtimer_cancel(off)]).toEqual([true, false]);
  const before = linux.ktime_get();
  host.kernel.clock.sleep();
  expect([linux.ktime_get() - before, host.syscalls.poll(fd, POLLIN), told]).toEqual([100, POLLIN, []]);
  linux.eventfd_ctx_put(eventfd);
  const of = (number: number) => shown(linux.eventfd_ctx_fdget(number) as number);
  expect([of(99), of(opened.group)]).toEqual(['-EBADF', '-EINVAL']);
  linux.hrtimer_start(1, () => {
    throw new Error('late');
  });
  expect(() => host.kernel.clock.sleep()).toThrow(DriverFault);
});

test('while a device is open the module stays; release comes after the last close', () => {
  load();
  expect(shown(host.syscalls.delete_module('mine'))).toBe('-EAGAIN');
  host.echo(`/sys/bus/mdev/devices/${UUID}/remove`, '1');
  expect(told).toEqual([]);
  host.syscalls.close(opened.device);
  expect(told).toEqual(['release']);
  expect(host.syscalls.delete_module('mine')).toBe(0);
});

test.each<[string, () => unknown, string]>([
  ['no bytes', () => linux.copy_from_user('x' as never, 0), "the bytes are 'x', no Uint8Array"],
  ['no address', () => linux.vfio_dma_rw(vdev, -1, new Uint8Array(1), false), 'no address: -1'],
  ['no VM', () => linux.kvm_read_guest({} as api.Kvm, 0, new Uint8Array(1)), 'take the kvm pointer that VFIO gave'],
  ['no guest address', () => linux.kvm_read_guest({} as api.Kvm, 0.5, new Uint8Array(1)), 'no guest physical address'],
  ['no device', () => linux.vfio_put_device({} as never), 'take what vfio_alloc_device made'],
  ['no eventfd', () => linux.eventfd_signal(5 as never, 1), 'eventfd_signal takes an eventfd'],
  ['no time', () => linux.hrtimer_start(Number.NaN, () => {}), 'hrtimer_start takes nanoseconds, not NaN'],
  ['no function', () => linux.hrtimer_start(1, undefined as never), 'hrtimer_start takes a function, not undefined'],
  [
    'no timer',
    () => linux.hrtimer_cancel(undefined as never),
    'hrtimer_cancel takes what hrtimer_start made, not undefined',
  ],
  ['no driver', () => linux.mdev_unregister_driver({} as never), 'this driver is not registered'],
  ['no device of its own', () => linux.dev_info({} as never, 'x'), 'dev_info takes a device that is in sysfs, one of'],
  ['a name with a slash', () => linux.class_create('a/b'), "class_create takes the name of a directory, not 'a/b'"],
  ['a parent folder', () => linux.class_create('..'), "class_create takes the name of a directory, not '..'"],
  ['no class', () => linux.class_destroy({ name: 'mine' }), 'class_destroy takes what class_create made, not [object'],
  ['an unseen error', () => linux.device_create(-17 as never, 'x'), 'takes what class_create made, not -17 (-EEXIST)'],
  ['an attribute’s name', () => linux.device_remove_file(mdevDevice, 'a' as never), "the attribute is 'a', no object"],
  [
    'a negative errno',
    () => linux.refuse(-22, 'no'),
    'refuse takes an errno such as EINVAL, which is positive, not -22',
  ],
  ['half a header', () => linux.vfio_set_irqs_validate_and_prepare({} as never, 1, 5), 'takes the header of SET_IRQS'],
  ['a fraction of pages', () => linux.vfio_pin_pages(vdev, 0, 0.5, 3, []), 'vfio_pin_pages takes an integer, not 0.5'],
  ['no list of pages', () => linux.vfio_pin_pages(vdev, 0, 1, 3, 5 as never), 'vfio_pin_pages takes a list, not 5'],
  ['no descriptor', () => linux.eventfd_ctx_fdget('3' as never), "eventfd_ctx_fdget takes an integer, not '3'"],
  ['no handler', () => linux.vfio_virqfd_enable(5 as never, 3), 'vfio_virqfd_enable takes a function, not 5'],
  ['no virqfd', () => linux.vfio_virqfd_disable(-9 as never), 'what vfio_virqfd_enable made, not -9 (-EBADF)'],
  ['a size that is none', () => linux.kzalloc('8' as never, 1), "kzalloc takes a size in bytes up to 4194304, not '8'"],
  ['a page of no kind', () => linux.alloc_page('x' as never), "alloc_page takes GFP_KERNEL or GFP_ATOMIC, not 'x'"],
])('a function that is handed %s says so', (_, call, message) => {
  load();
  expect(call).toThrow(message);
});

test('references that the driver does not have cannot be put', () => {
  load({}, true);
  const vm = vdev.kvm!;
  expect(() => linux.kvm_put_kvm(vm)).toThrow('kvm_put_kvm: the driver has no reference to give back');
  linux.kvm_get_kvm_safe(vm);
  linux.kvm_put_kvm(vm);
  expect(() => linux.kvm_put_kvm(vm)).toThrow('no reference');
  host.syscalls.close(opened.device);
  expect(host.syscalls.delete_module('mine')).toBe(0);
  expect(() => linux.vfio_put_device(vdev)).toThrow(`vfio_put_device: the driver has put ${UUID} before`);
});

test('kmalloc: what is written and what is freed shows, each is freed once, and what is left the log tells', () => {
  load();
  const [a, b] = [linux.kmalloc(8, linux.GFP_KERNEL)!, linux.kzalloc(100, linux.GFP_ATOMIC)!];
  expect([...a]).toEqual([0x6b, 0x6b, 0x6b, 0x6b, 0x6b, 0x6b, 0x6b, 0xa5]);
  expect(b.every((byte) => byte === 0)).toBe(true);
  b[0] = 1;
  linux.kfree(b);
  expect([b[0], b[99]]).toEqual([0x6b, 0xa5]);
  linux.kfree(undefined);
  expect(() => linux.kfree(b)).toThrow('was freed before');
  const most: Uint8Array[] = [];
  for (let more = linux.kzalloc(2 ** 22, linux.GFP_KERNEL); more; more = linux.kzalloc(2 ** 22, linux.GFP_KERNEL))
    most.push(more);
  // The host has 32 MiB.
  expect(most.length).toBe(7);
  for (const memory of most) linux.kfree(memory);
  expect(() => linux.kmalloc(-1, linux.GFP_KERNEL)).toThrow('kmalloc takes a size in bytes');
  expect(() => linux.kmalloc(1, undefined as never)).toThrow('GFP_KERNEL or GFP_ATOMIC');
  expectNothingLeft(host);
  expect(host.kernel.log.lines.at(-1)).toBe('kmemleak: 1 new suspected memory leaks (8 bytes)');
});

test('an injected fault: undefined of kmalloc and alloc_page, -ENOMEM of the rest; who may not sleep is always meant', () => {
  load();
  host.process.failNth = 1;
  expect(linux.kzalloc(8, linux.GFP_KERNEL)).toBeDefined();
  expect(linux.kzalloc(8, linux.GFP_ATOMIC)).toBeUndefined();
  host.echo('/sys/kernel/debug/failslab/ignore-gfp-wait', 'N');
  host.kernel.current = host.process;
  const nth = <T>(call: () => T): T => {
    host.process.failNth = 1;
    return call();
  };
  expect(nth(() => linux.kzalloc(8, linux.GFP_KERNEL))).toBeUndefined();
  expect(nth(() => linux.class_create('other'))).toBe(-12);
  host.process.failNth = 0;
  const cls = linux.class_create('other') as api.Class;
  expect(nth(() => linux.device_create(cls, 'other'))).toBe(-12);
  host.process.failNth = 0;
  host.echo('/sys/kernel/debug/fail_page_alloc/min-order', '0');
  host.kernel.current = host.process;
  expect(nth(() => linux.alloc_page(linux.GFP_ATOMIC))).toBeUndefined();
  expect(host.process.failNth).toBe(0);
});

test('a timer that starts itself again in no time lets time go on', () => {
  load();
  let times = 0;
  const again = () => {
    if (++times < 1000) linux.hrtimer_start(0, again);
  };
  linux.hrtimer_start(0, again);
  const before = linux.ktime_get();
  host.kernel.clock.expire();
  expect(times).toBe(0);
  while (host.kernel.clock.sleep());
  expect([times, linux.ktime_get() - before]).toEqual([1000, 1000]);
});

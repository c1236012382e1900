/** A host with VFIO, mdev and the mediated drivers, and a process that speaks to them: what the tests of these need. */

import { expect } from 'vitest';
import { type Hva, hva, MiB } from '../../../src/address.ts';
import { EventStream, matchingEvents } from '../../../src/event.ts';
import { PhysicalMemory } from '../../../src/hardware/physical-memory.ts';
import { Kernel } from '../../../src/linux/core/kernel.ts';
import { registerMtty } from '../../../src/linux/drivers/mtty.ts';
import { registerVgpu } from '../../../src/linux/drivers/vgpu/module.ts';
import { registerVmbuf } from '../../../src/linux/drivers/vmbuf.ts';
import { initMdev } from '../../../src/linux/mdev/core.ts';
import { errnoName } from '../../../src/linux/uapi/errno.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import type { Members, Struct, StructValue } from '../../../src/linux/uapi/struct.ts';
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  O_RDWR,
  O_WRONLY,
  PROT_READ,
  PROT_WRITE,
} from '../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../src/linux/uapi/vfio.ts';
import { initVfio } from '../../../src/linux/vfio/init.ts';
import { watchLeaks } from '../leaks.ts';

export const UUID = '83b8f4f2-509f-382f-3c1e-e6bfe0fa1001';

/** A result as the captures print it: `0`, `-EINVAL`. */
export const shown = (result: number): string => (result < 0 ? `-${errnoName(-result)}` : String(result));

/** A booted host: VFIO, mdev, and both drivers known to modprobe. */
export function bootHost() {
  const kernel = new Kernel({ memory: new PhysicalMemory(MiB(32)), stream: new EventStream(() => 0n) });
  initVfio(kernel);
  initMdev(kernel);
  registerMtty(kernel.modules);
  registerVmbuf(kernel.modules);
  registerVgpu(kernel.modules);
  watchLeaks(kernel);
  const refusals: string[] = [];
  kernel.stream.subscribe(matchingEvents('refusal'), ({ fields }) => refusals.push(String(fields.because)));
  return { kernel, refusals, ...userOf(kernel, 'test') };
}

export type Host = ReturnType<typeof bootHost>;

/** A process with 64 KiB of memory, and its calls with structures and texts instead of addresses. */
export function userOf(kernel: Kernel, name: string) {
  const { process, user } = kernel.spawn(name, () => {});
  const { syscalls, memory } = user;
  const map = (length: number) =>
    hva(syscalls.mmap(length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  const scratch: Hva = map(0x10000);
  const put = (bytes: Uint8Array): Hva => {
    memory.write(scratch, bytes);
    return scratch;
  };
  return {
    process,
    user,
    syscalls,
    memory,
    scratch,
    map,
    /** `echo -n text > path`: what write(2) returned, or open(2) if that failed. */
    echo(path: string, text: string): number {
      const fd = syscalls.open(path, O_WRONLY);
      if (fd < 0) return fd;
      const bytes = new TextEncoder().encode(text);
      const result = syscalls.write(fd, put(bytes), bytes.length);
      syscalls.close(fd);
      return result;
    },
    /** The text of a file, or what went wrong. */
    cat(path: string): string {
      const fd = syscalls.open(path, 0);
      if (fd < 0) return shown(fd);
      const count = syscalls.read(fd, scratch, 4096);
      syscalls.close(fd);
      return count < 0 ? shown(count) : new TextDecoder().decode(memory.read(scratch, count));
    },
    open: (path: string) => syscalls.open(path, O_RDWR),
    /** An ioctl with an integer. */
    ioctl: (fd: number, { number }: Ioctl, argument = 0) => syscalls.ioctl(fd, number, argument),
    /** An ioctl with a pointer to `value`; returns its result and the structure as it is afterwards. */
    ioctlStruct<M extends Members>(fd: number, { number }: Ioctl, shape: Struct<M>, value: Partial<StructValue<M>>) {
      const result = syscalls.ioctl(fd, number, put(shape.encode(value)));
      const encoded = memory.read(scratch, shape.size);
      return { result, value: shape.read(new DataView(encoded.buffer, encoded.byteOffset)) };
    },
    /** An ioctl with a pointer to bytes. */
    ioctlBytes: (fd: number, { number }: Ioctl, bytes: Uint8Array) => syscalls.ioctl(fd, number, put(bytes)),
    pread(fd: number, offset: number, count: number): number[] | string {
      memory.write(scratch, new Uint8Array(count).fill(0xee));
      const result = syscalls.pread(fd, scratch, count, offset);
      return result < 0 ? shown(result) : [...memory.read(scratch, result)];
    },
    pwrite: (fd: number, offset: number, bytes: readonly number[]) =>
      syscalls.pwrite(fd, put(Uint8Array.from(bytes)), bytes.length, offset),
  };
}

/** `int` and NUL-terminated text as ioctls take them by pointer. */
export const int = (value: number): Uint8Array => new Uint8Array(Int32Array.of(value).buffer);
export const cString = (text: string): Uint8Array => new TextEncoder().encode(`${text}\0`);

/** Start of a region in a device file. */
export const region = (index: number): number => index * 2 ** 40;
export const CONFIG = region(uapi.VFIO_PCI_CONFIG_REGION_INDEX);

export const typePath = (driver: string, type: string): string =>
  `/sys/class/mdev_bus/${driver}/mdev_supported_types/${type}`;

/** Kill the process with whatever it has open, and unload what it loaded: the host is as it was before. */
export function expectNothingLeft({ kernel, process, syscalls }: Host): void {
  process.exit();
  for (const { name } of kernel.modules.loaded()) expect([name, kernel.modules.unload(name)]).toEqual([name, 0]);
  const names = (path: string) => {
    const entries = syscalls.readdir(path);
    return typeof entries === 'number' ? shown(entries) : entries.map(({ name }) => name);
  };
  expect({
    descriptors: process.files.open(),
    mappings: process.mm.mappings,
    locked: process.mm.lockedPages,
    pages: kernel.pages.used,
    pinned: kernel.pages.pinned,
    timer: kernel.clock.nextDeadline,
    nodes: names('/dev/vfio'),
    groups: names('/sys/kernel/iommu_groups'),
    devices: names('/sys/bus/mdev/devices'),
    drivers: names('/sys/bus/mdev/drivers'),
    parents: names('/sys/class/mdev_bus'),
  }).toEqual({
    descriptors: [],
    mappings: [],
    locked: 0,
    pages: 0,
    pinned: 0,
    timer: Number.POSITIVE_INFINITY,
    nodes: ['vfio'],
    groups: [],
    devices: [],
    drivers: [],
    parents: [],
  });
}

/** Load the driver, make a device of the type, and open it as QEMU does. Returns the three descriptors. */
export function openDevice(host: Host, driver: string, type: string, parameters = '', uuid = UUID) {
  host.syscalls.init_module(driver, parameters);
  host.echo(`${typePath(driver, type)}/create`, uuid);
  const link = host.syscalls.readlink(`/sys/bus/mdev/devices/${uuid}/iommu_group`);
  const group = host.open(`/dev/vfio/${String(link).split('/').at(-1)}`);
  const container = host.open('/dev/vfio/vfio');
  host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
  host.ioctl(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
  const device = host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(uuid));
  return { group, container, device };
}

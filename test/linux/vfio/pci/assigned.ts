/** The copier given to a process by vfio-pci, with the calls that a userspace driver makes. */

import { expect } from 'vitest';
import { hva } from '../../../../src/address.ts';
import { vectorsInUse } from '../../../../src/linux/pci/interrupts.ts';
import { MAP_SHARED, PROT_READ, PROT_WRITE } from '../../../../src/linux/uapi/syscalls.ts';
import * as uapi from '../../../../src/linux/uapi/vfio.ts';
import { registerVfioPci } from '../../../../src/linux/vfio/pci/vfio-pci.ts';
import { cString, int, region, shown } from '../../drivers/host.ts';
import { bootPciHost, NAME } from '../../pci/pci-host.ts';

export function bootAssigned() {
  const host = bootPciHost();
  const pci = host.addCopier();
  // What the process takes from here on it must give back.
  registerVfioPci(host.kernel, host.pciHost.bus);
  host.syscalls.init_module('vfio_pci', '');
  host.echo(`${host.path}/driver_override`, 'vfio-pci');
  host.echo('/sys/bus/pci/drivers_probe', NAME);
  expect(host.driverOf()).toBe('vfio-pci');
  const group = host.open('/dev/vfio/0');
  const container = host.open('/dev/vfio/vfio');
  host.ioctlBytes(group, uapi.VFIO_GROUP_SET_CONTAINER, int(container));
  host.ioctl(container, uapi.VFIO_SET_IOMMU, uapi.VFIO_TYPE1v2_IOMMU);
  const device = host.ioctlBytes(group, uapi.VFIO_GROUP_GET_DEVICE_FD, cString(NAME));
  expect(device).toBeGreaterThan(0);
  const config = (offset: number, count: number) => {
    const bytes = host.pread(device, region(7) + offset, count);
    if (typeof bytes === 'string') throw new Error(`configuration at ${offset}: ${bytes}`);
    return bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  };
  const setConfig = (offset: number, count: 1 | 2 | 4, value: number) =>
    host.pwrite(device, region(7) + offset, bytesOf(value, count));
  const bar = (index: number, offset: number): number | string => {
    const bytes = host.pread(device, region(index) + offset, 4);
    return typeof bytes === 'string' ? bytes : bytes.reduceRight((value, byte) => value * 256 + byte, 0);
  };
  const setBar = (index: number, offset: number, value: number) =>
    shown(host.pwrite(device, region(index) + offset, bytesOf(value, 4)));
  /** SET_IRQS: `data` are bytes for BOOL, descriptors for EVENTFD. */
  const setIrqs = (index: number, flags: number, start: number, count: number, data: readonly number[] = []) => {
    const tail = flags & uapi.VFIO_IRQ_SET_DATA_EVENTFD ? Int32Array.from(data) : Uint8Array.from(data);
    const bytes = new Uint8Array(20 + tail.byteLength);
    bytes.set(uapi.vfio_irq_set.encode({ argsz: bytes.length, flags, index, start, count }));
    bytes.set(new Uint8Array(tail.buffer), 20);
    return shown(host.ioctlBytes(device, uapi.VFIO_DEVICE_SET_IRQS, bytes));
  };
  /** How often an eventfd was signalled since it was last asked. */
  const signals = (fd: number) => {
    if (host.syscalls.poll(fd, 1) === 0) return 0;
    host.syscalls.read(fd, host.scratch, 8);
    return Number(new DataView(host.memory.read(host.scratch, 8).buffer).getBigUint64(0, true));
  };
  const mapBar = (index: number, length: number, offset = 0, flags = MAP_SHARED) =>
    host.syscalls.mmap(length, PROT_READ | PROT_WRITE, flags, device, region(index) + offset);
  const load = (address: number) => new DataView(host.memory.read(hva(address), 4).buffer).getUint32(0, true);
  const store = (address: number, value: number) => host.memory.write(hva(address), Uint8Array.from(bytesOf(value, 4)));
  /** Vectors of the host that the device has. */
  const vectors = () => vectorsInUse(pci);
  return {
    ...host,
    pci,
    group,
    container,
    device,
    vectors,
    config,
    setConfig,
    bar,
    setBar,
    setIrqs,
    signals,
    mapBar,
    load,
    store,
    eventfd: () => host.syscalls.eventfd(0, 0),
  };
}

export type Assigned = ReturnType<typeof bootAssigned>;

const bytesOf = (value: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => Math.floor(value / 2 ** (8 * i)) & 0xff);

/**
 * Groups and containers: how QEMU gets from an IOMMU group number to a place where DMA can be mapped
 * (hw/vfio/common.c: vfio_get_group, vfio_connect_container). The order of calls is that of QEMU 7.2.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import { s32, struct } from '../../../linux/uapi/struct.ts';
import { O_CLOEXEC, O_RDWR } from '../../../linux/uapi/syscalls.ts';
import {
  VFIO_API_VERSION,
  VFIO_CHECK_EXTENSION,
  VFIO_GET_API_VERSION,
  VFIO_GROUP_FLAGS_VIABLE,
  VFIO_GROUP_GET_STATUS,
  VFIO_GROUP_SET_CONTAINER,
  VFIO_GROUP_UNSET_CONTAINER,
  VFIO_IOMMU_GET_INFO,
  VFIO_SET_IOMMU,
  VFIO_SPAPR_TCE_IOMMU,
  VFIO_SPAPR_TCE_v2_IOMMU,
  VFIO_TYPE1_IOMMU,
  VFIO_TYPE1v2_IOMMU,
  vfio_group_status,
  vfio_iommu_type1_info,
} from '../../../linux/uapi/vfio.ts';
import { ConfigurationError, prepending } from '../../error.ts';
import type { System } from '../../system.ts';
import type { Machine } from '../machine.ts';
import { VfioDmaListener } from './dma-listener.ts';
import { vfioDisconnectContainer, vfioPutGroup } from './trace-events.ts';
import { type1Target } from './type1-dma.ts';

/** IOMMU types in the order QEMU asks for them. */
const IOMMU_TYPES = [VFIO_TYPE1v2_IOMMU, VFIO_TYPE1_IOMMU, VFIO_SPAPR_TCE_v2_IOMMU, VFIO_SPAPR_TCE_IOMMU];
const intArgument = struct('int', { value: s32 });

/** What the reset handler of all groups asks of a device. */
export interface ResettableDevice {
  readonly name: string;
  readonly needsReset: boolean;
  /** A reset of the whole bus, with every device of it prepared. */
  hotResetMulti(): void;
}

/** A container that this process has open. */
interface VfioContainer {
  readonly fd: number;
  readonly listener: VfioDmaListener;
  /** Descriptors of its groups. */
  readonly groups: Set<number>;
}

export interface VfioGroup {
  readonly number: number;
  readonly fd: number;
  /** Its devices that this process has. */
  readonly devices: ResettableDevice[];
}

const groupsOf = new WeakMap<Machine, VfioGroups>();

/** The groups and containers this process has open. */
export class VfioGroups {
  readonly #machine: Machine;
  readonly #system: System;
  readonly #groups: VfioGroup[] = [];
  /** The reset handler is there. */
  #resets = false;
  readonly #containers: VfioContainer[] = [];

  private constructor(machine: Machine) {
    this.#machine = machine;
    this.#system = machine.system;
  }

  /** The groups of `machine`: QEMU's vfio_group_list. */
  static of(machine: Machine): VfioGroups {
    const known = groupsOf.get(machine) ?? new VfioGroups(machine);
    groupsOf.set(machine, known);
    return known;
  }

  /** vfio_get_group: open once, check, put into a container. */
  get(number: number): VfioGroup {
    const known = this.#groups.find((group) => group.number === number);
    if (known !== undefined) return known;
    const path = `/dev/vfio/${number}`;
    const fd = this.#system.syscalls.open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) throw new ConfigurationError(`failed to open ${path}: ${strerror(-fd)}`);
    try {
      this.#checkViable(number, fd);
      prepending(`failed to setup container for group ${number}: `, () => this.#connect(number, fd));
    } catch (error) {
      this.#system.syscalls.close(fd);
      throw error;
    }
    if (!this.#resets) this.#machine.onReset(() => this.#reset());
    this.#resets = true;
    const group: VfioGroup = { number, fd, devices: [] };
    this.#groups.push(group);
    return group;
  }

  /** vfio_put_group: with its last device the group leaves the VM and its container, and the container goes with its last group. */
  put(group: VfioGroup, device: string): void {
    const { syscalls } = this.#system;
    group.devices.splice(
      group.devices.findIndex(({ name }) => name === device),
      1,
    );
    if (group.devices.length > 0) return;
    this.#machine.kvm.removeVfioGroup(group.number, group.fd);
    const container = this.#containers.find(({ groups }) => groups.has(group.fd))!;
    container.groups.delete(group.fd);
    const last = container.groups.size === 0;
    if (last) this.#machine.memory.unregister(container.listener);
    const unset = this.#system.ioctl(group.fd, VFIO_GROUP_UNSET_CONTAINER);
    if (unset < 0) this.#system.error(`vfio: error disconnecting group ${group.number} from container`);
    if (last) {
      this.#containers.splice(this.#containers.indexOf(container), 1);
      if (vfioDisconnectContainer.on) vfioDisconnectContainer(this.#system.stream, { fd: container.fd });
      syscalls.close(container.fd);
    }
    this.#groups.splice(this.#groups.indexOf(group), 1);
    if (vfioPutGroup.on) vfioPutGroup(this.#system.stream, { fd: group.fd });
    syscalls.close(group.fd);
  }

  /** vfio_reset_handler: devices that cannot reset alone are reset with their bus. */
  #reset(): void {
    for (const { devices } of this.#groups) {
      for (const device of devices) if (device.needsReset) device.hotResetMulti();
    }
  }

  #checkViable(number: number, fd: number): void {
    const argsz = vfio_group_status.size;
    const status = this.#system.exchange(fd, VFIO_GROUP_GET_STATUS, vfio_group_status, { argsz });
    if (status.result < 0) {
      throw new ConfigurationError(`failed to get group ${number} status: ${strerror(-status.result)}`);
    }
    if ((status.value.flags & VFIO_GROUP_FLAGS_VIABLE) === 0) {
      throw new ConfigurationError(
        `group ${number} is not viable`,
        'Please ensure all devices within the iommu_group are bound to their vfio bus driver.',
      );
    }
  }

  /** vfio_connect_container: share one that takes the group, or make one. */
  #connect(number: number, groupFd: number): void {
    const system = this.#system;
    const setContainer = (container: number) =>
      system.ioctlStruct(groupFd, VFIO_GROUP_SET_CONTAINER, intArgument, { value: container });
    const shared = this.#containers.find((container) => setContainer(container.fd) === 0);
    if (shared !== undefined) {
      shared.groups.add(groupFd);
      this.#machine.kvm.addVfioGroup(number, groupFd);
      return;
    }
    const fd = system.syscalls.open('/dev/vfio/vfio', O_RDWR | O_CLOEXEC);
    if (fd < 0) throw new ConfigurationError(`failed to open /dev/vfio/vfio: ${strerror(-fd)}`);
    try {
      const version = system.ioctl(fd, VFIO_GET_API_VERSION);
      if (version !== VFIO_API_VERSION) {
        const versions = `supported vfio version: ${VFIO_API_VERSION}, reported version: ${version}`;
        throw new ConfigurationError(versions);
      }
      this.#initContainer(fd, setContainer);
      this.#machine.kvm.addVfioGroup(number, groupFd);
      const listener = new VfioDmaListener(system, type1Target(system, fd));
      this.#machine.memory.register(listener);
      if (listener.error !== undefined) {
        throw new ConfigurationError(`memory listener initialization failed: ${listener.error}`);
      }
      this.#containers.push({ fd, listener, groups: new Set([groupFd]) });
    } catch (error) {
      system.syscalls.close(fd);
      throw error;
    }
  }

  /** vfio_init_container: choose the IOMMU type, join, set it, learn its limits. */
  #initContainer(fd: number, setContainer: (container: number) => number): void {
    const type = IOMMU_TYPES.find((candidate) => this.#system.ioctl(fd, VFIO_CHECK_EXTENSION, candidate) > 0);
    if (type === undefined) throw new ConfigurationError('No available IOMMU models');
    const joined = setContainer(fd);
    if (joined < 0) throw new ConfigurationError(`Failed to set group container: ${strerror(-joined)}`);
    const set = this.#system.ioctl(fd, VFIO_SET_IOMMU, type);
    if (set < 0) throw new ConfigurationError(`Failed to set iommu for container: ${strerror(-set)}`);
    this.#getIommuInfo(fd);
  }

  /** vfio_get_iommu_info: asked again with the size the kernel names, since capabilities may follow. */
  #getIommuInfo(fd: number): void {
    const system = this.#system;
    let argsz = vfio_iommu_type1_info.size;
    for (;;) {
      const wanted = system.heap.scoped(() => {
        const tail = new Uint8Array(argsz - vfio_iommu_type1_info.size);
        const at = system.heap.put(vfio_iommu_type1_info, { argsz }, tail);
        const result = system.ioctl(fd, VFIO_IOMMU_GET_INFO, at);
        if (result < 0) throw new ConfigurationError(`Failed to get VFIO IOMMU info: ${strerror(-result)}`);
        return system.heap.get(vfio_iommu_type1_info, at).argsz;
      });
      if (wanted <= argsz) return;
      argsz = wanted;
    }
  }
}

/**
 * Devices that an IOMMU stands before, as an iommufd has them (drivers/iommu/iommufd/device.c of Linux 6.6). Bound, their DMA is
 * user space's and reaches nothing; attached, it goes by a page table, which all devices of their IOMMU group share.
 */

import type { IommuOps } from '../core/iommu.ts';
import type { IommuGroup } from '../core/iommu-group.ts';
import { EINVAL, ENOENT, ENOMEM, EPERM } from '../uapi/errno.ts';
import { iommufdAttach, iommufdBind } from './events.ts';
import { HwPagetable, Ioas } from './ioas.ts';
import { IommufdObject } from './objects.ts';
import { BoundGroup, type IommufdState } from './state.ts';

export class IommufdDevice extends IommufdObject {
  readonly kind = 'device';
  readonly name: string;
  readonly state: IommufdState;
  readonly #group: BoundGroup;
  readonly #ops: IommuOps;

  /** Made by {@link claim}. */
  constructor(state: IommufdState, name: string, group: BoundGroup, ops: IommuOps) {
    super();
    this.state = state;
    this.name = name;
    this.#group = group;
    this.#ops = ops;
    group.bound++;
    // VFIO's own: no IOMMU_DESTROY takes a bound device away.
    this.users = 1;
  }

  /** iommufd_device_bind: -EPERM if another driver or another user owns the group's DMA, or without interrupt remapping. */
  static claim(state: IommufdState, name: string, iommuGroup: IommuGroup): IommufdDevice | number {
    const { kernel } = state;
    const { ops } = iommuGroup;
    if (ops === undefined) return kernel.refuse(EINVAL, `no IOMMU stands before ${name}`);
    if (!ops.remapsInterrupts) {
      return kernel.refuse(EPERM, 'without interrupt remapping the device could send any interrupt');
    }
    if (!kernel.kmalloc('struct iommufd_device')) return -ENOMEM;
    const error = iommuGroup.claimDeviceDmaOwner(state);
    if (error < 0) return error;
    const group = state.groups.get(iommuGroup) ?? new BoundGroup(iommuGroup);
    state.groups.set(iommuGroup, group);
    const device = state.objects.add(new IommufdDevice(state, name, group, ops));
    if (iommufdBind.on) iommufdBind(kernel.stream, { device: name, id: device.id, bound: true });
    return device;
  }

  get iommuGroup(): IommuGroup {
    return this.#group.iommuGroup;
  }

  get #isAttached(): boolean {
    return this.#group.attached.has(this);
  }

  /** iommufd_device_unbind. */
  unbind(): void {
    this.users--;
    this.state.objects.remove(this);
  }

  override destroy(): void {
    const { id, name } = this;
    if (--this.#group.bound === 0) this.state.groups.delete(this.iommuGroup);
    this.iommuGroup.releaseDmaOwner();
    if (iommufdBind.on) iommufdBind(this.state.kernel.stream, { device: name, id, bound: false });
  }

  /** iommufd_device_attach, and iommufd_device_replace where it is attached: number of the page table, -ENOENT, -EINVAL, … */
  attach(pt: number): number {
    const target = this.state.objects.get(pt);
    let result: number;
    if (target === undefined) result = this.state.kernel.refuse(ENOENT, `the iommufd has no object ${pt}`);
    else if (target instanceof HwPagetable) result = this.#join(target);
    else if (target instanceof Ioas) result = this.#joinSpace(target);
    else result = this.state.kernel.refuse(EINVAL, `object ${pt} is neither an I/O address space nor a page table`);
    if (result > 0 && iommufdAttach.on) {
      iommufdAttach(this.state.kernel.stream, { device: this.name, id: this.id, pt: result });
    }
    return result;
  }

  /** iommufd_device_detach: the device reaches nothing. */
  detach(): void {
    const group = this.#group;
    const pagetable = group.pagetable;
    if (pagetable === undefined || !group.attached.delete(this)) return;
    if (group.attached.size === 0) {
      group.iommuGroup.detach();
      group.pagetable = undefined;
    }
    pagetable.ioas.iopt.unreserve(this);
    this.#leave(pagetable, 1);
    if (iommufdAttach.on) iommufdAttach(this.state.kernel.stream, { device: this.name, id: this.id, pt: 0 });
  }

  /** iommufd_hw_pagetable_alloc: an own page table for the space `ioas`; -ENOMEM, or why what is mapped cannot be entered. */
  allocatePagetable(ioas: Ioas, automatic: boolean): HwPagetable | number {
    if (!this.state.kernel.kmalloc('struct iommufd_hw_pagetable')) return -ENOMEM;
    const domain = this.#ops.allocateDomain();
    if (domain === undefined) return this.state.kernel.refuse(ENOMEM, 'no page is left for the root of a page table');
    const error = ioas.iopt.addDomain(domain);
    if (error < 0) {
      domain.free();
      return error;
    }
    return this.state.objects.add(new HwPagetable(ioas, domain, automatic));
  }

  /** iommufd_device_auto_get_domain: a page table that the kernel made for the space, or a new one. */
  #joinSpace(ioas: Ioas): number {
    for (const pagetable of ioas.pagetables) {
      if (!pagetable.automatic) continue;
      const joined = this.#join(pagetable);
      if (joined !== -EINVAL) return joined;
    }
    const made = this.allocatePagetable(ioas, true);
    if (typeof made === 'number') return made;
    const joined = this.#join(made);
    if (joined < 0) this.state.objects.remove(made);
    return joined;
  }

  #join(pagetable: HwPagetable): number {
    return this.#isAttached ? this.#replace(pagetable) : this.#attach(pagetable);
  }

  /** iommufd_hw_pagetable_attach. */
  #attach(pagetable: HwPagetable): number {
    const group = this.#group;
    if (group.pagetable !== undefined && group.pagetable !== pagetable) {
      const { id } = group.iommuGroup;
      return this.state.kernel.refuse(
        EINVAL,
        `another device of IOMMU group ${id} is attached to ${group.pagetable.id}`,
      );
    }
    let error = pagetable.ioas.iopt.reserveFor(this, this.#ops.reserved);
    if (error < 0) return error;
    if (group.attached.size === 0) {
      error = group.iommuGroup.attach(pagetable.domain);
      if (error < 0) {
        pagetable.ioas.iopt.unreserve(this);
        return error;
      }
      group.pagetable = pagetable;
    }
    group.attached.add(this);
    pagetable.users++;
    return pagetable.id;
  }

  /** iommufd_device_do_replace: the whole group moves, without a moment in which it has no page table. */
  #replace(pagetable: HwPagetable): number {
    const group = this.#group;
    const old = group.pagetable;
    if (old === undefined || old === pagetable) return pagetable.id;
    const moves = old.ioas === pagetable.ioas ? [] : [...group.attached];
    for (const [i, device] of moves.entries()) {
      const error = pagetable.ioas.iopt.reserveFor(device, this.#ops.reserved);
      if (error < 0) {
        for (const done of moves.slice(0, i)) pagetable.ioas.iopt.unreserve(done);
        return error;
      }
    }
    group.iommuGroup.replace(pagetable.domain);
    group.pagetable = pagetable;
    for (const device of moves) old.ioas.iopt.unreserve(device);
    pagetable.users += group.attached.size;
    this.#leave(old, group.attached.size);
    return pagetable.id;
  }

  /** iommufd_hw_pagetable_put. */
  #leave(pagetable: HwPagetable, devices: number): void {
    pagetable.users -= devices;
    if (pagetable.automatic && pagetable.users === 0) this.state.objects.remove(pagetable);
  }
}

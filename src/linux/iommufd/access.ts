/**
 * Access of a driver that no IOMMU stands before to the memory behind I/O addresses, as a mediated device's (struct
 * iommufd_access, drivers/iommu/iommufd/device.c of Linux 6.6).
 */

import type { Hpa } from '../../address.ts';
import { ENOENT } from '../uapi/errno.ts';
import { iommufdAttach, iommufdBind } from './events.ts';
import { type AreaUser, LAST_IOVA } from './io-pagetable.ts';
import type { Ioas } from './ioas.ts';
import { IommufdObject } from './objects.ts';
import type { IommufdState } from './state.ts';

export class IommufdAccess extends IommufdObject implements AreaUser {
  readonly kind = 'access';
  readonly name: string;
  readonly state: IommufdState;
  readonly #onUnmap: (iova: bigint, length: bigint) => void;
  #ioas: Ioas | undefined;

  /** iommufd_access_create: `onUnmap` makes the driver unpin what it has pinned in a range. */
  constructor(state: IommufdState, name: string, onUnmap: (iova: bigint, length: bigint) => void) {
    super();
    this.state = state;
    this.name = name;
    this.#onUnmap = onUnmap;
    this.users = 1;
    state.objects.add(this);
    if (iommufdBind.on) iommufdBind(state.kernel.stream, { device: name, id: this.id, bound: true });
  }

  /** iommufd_access_destroy. */
  unbind(): void {
    this.users--;
    this.state.objects.remove(this);
  }

  override destroy(): void {
    this.detach();
    if (iommufdBind.on) iommufdBind(this.state.kernel.stream, { device: this.name, id: this.id, bound: false });
  }

  /** iommufd_access_attach and _replace: the number of the space; -ENOENT, -EADDRINUSE. */
  attach(id: number): number {
    const ioas = this.state.space(id);
    if (typeof ioas === 'number') return ioas;
    if (ioas === this.#ioas) return id;
    const error = ioas.iopt.addUser(this);
    if (error < 0) return error;
    this.#leave();
    this.#ioas = ioas;
    ioas.users++;
    if (iommufdAttach.on) iommufdAttach(this.state.kernel.stream, { device: this.name, id: this.id, pt: id });
    return id;
  }

  /** iommufd_access_detach. */
  detach(): void {
    if (this.#ioas === undefined) return;
    this.#leave();
    if (iommufdAttach.on) iommufdAttach(this.state.kernel.stream, { device: this.name, id: this.id, pt: 0 });
  }

  unmap(iova: bigint, length: bigint): void {
    this.#onUnmap(iova, length);
  }

  /** iommufd_access_pin_pages. */
  pin(iova: bigint, length: bigint, write: boolean): readonly Hpa[] | number {
    return this.#ioas?.iopt.pin(iova, length, write) ?? this.#refuse();
  }

  /** iommufd_access_unpin_pages. */
  unpin(iova: bigint, length: bigint): void {
    this.#ioas?.iopt.unpin(iova, length);
  }

  /** iommufd_access_rw. */
  transfer(iova: bigint, data: Uint8Array, write: boolean): number {
    return this.#ioas?.iopt.transfer(iova, data, write) ?? this.#refuse();
  }

  /** Everything it pinned goes first, while the space still knows where. */
  #leave(): void {
    const ioas = this.#ioas;
    if (ioas === undefined) return;
    this.#onUnmap(0n, LAST_IOVA);
    ioas.iopt.removeUser(this);
    ioas.users--;
    this.#ioas = undefined;
  }

  #refuse(): number {
    return this.state.kernel.refuse(ENOENT, `${this.name} is attached to no I/O address space`);
  }
}

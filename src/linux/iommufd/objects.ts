/** What an iommufd holds: numbered objects that refer to each other (struct iommufd_object, drivers/iommu/iommufd/main.c of Linux 6.6). */

import type { Kernel } from '../core/kernel.ts';
import { EBUSY, ENOENT } from '../uapi/errno.ts';

export type ObjectKind = 'ioas' | 'hwpt' | 'device' | 'access';

/** What each kind is called where a call is refused. */
const NAMES: Readonly<Record<ObjectKind, string>> = {
  ioas: 'an I/O address space',
  hwpt: 'a page table',
  device: 'a device',
  access: 'a mediated device',
};

export abstract class IommufdObject {
  /** Its number, by which user space names it. */
  id = 0;
  /** Other objects that need it, and VFIO while it has the device open. */
  users = 0;
  abstract readonly kind: ObjectKind;

  /** Nothing needs it any more. */
  abstract destroy(): void;
}

export class ObjectTable {
  readonly #kernel: Kernel;
  readonly #objects = new Map<number, IommufdObject>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  get size(): number {
    return this.#objects.size;
  }

  /** iommufd_object_alloc and _finalize: the lowest free number, from 1. */
  add<O extends IommufdObject>(object: O): O {
    let id = 1;
    while (this.#objects.has(id)) id++;
    object.id = id;
    this.#objects.set(id, object);
    return object;
  }

  get(id: number): IommufdObject | undefined {
    return this.#objects.get(id);
  }

  /** iommufd_get_object: the object of this number and this class; -ENOENT. */
  find<O extends IommufdObject>(
    id: number,
    Wanted: abstract new (...parts: never[]) => O,
    kind: ObjectKind,
  ): O | number {
    const object = this.#objects.get(id);
    if (object instanceof Wanted) return object;
    return this.#kernel.refuse(ENOENT, `${id} is not the number of ${NAMES[kind]} of this iommufd`);
  }

  /** iommufd_object_destroy_user. */
  remove(object: IommufdObject): void {
    this.#objects.delete(object.id);
    object.destroy();
  }

  /** IOMMU_DESTROY: 0; -ENOENT without such an object, -EBUSY while something needs it. */
  destroy(id: number): number {
    const object = this.#objects.get(id);
    if (object === undefined) return this.#kernel.refuse(ENOENT, `the iommufd has no object ${id}`);
    if (object.users > 0) {
      return this.#kernel.refuse(EBUSY, `object ${id}, ${NAMES[object.kind]}, is in use`);
    }
    this.remove(object);
    return 0;
  }

  /** iommufd_fops_release: everything goes, what others need after what needs it. */
  removeAll(): void {
    while (this.#objects.size > 0) {
      for (const object of [...this.#objects.values()]) if (object.users === 0) this.remove(object);
    }
  }
}

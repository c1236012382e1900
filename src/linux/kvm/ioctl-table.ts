/**
 * Ioctls of one kind of fd as a table: a row names the ioctl, its structure and what it does. Copying between user space
 * and the kernel, and EFAULT with it, happens here once.
 */

import type { Kernel } from '../core/kernel.ts';
import { getStruct, putStruct } from '../core/uaccess.ts';
import { ENOMEM } from '../uapi/errno.ts';
import type { Ioctl } from '../uapi/ioctl.ts';
import type { Members, Struct, StructValue } from '../uapi/struct.ts';

type Row<Self> = (self: Self, argument: number) => number;

export class IoctlTable<Self extends { readonly kernel: Kernel }> {
  readonly #rows = new Map<number, Row<Self>>();
  /** Numbers of ioctls whose structure does not fit the kernel's stack. */
  readonly #large = new Set<number>();

  /** memdup_user, kzalloc: the structures of these are too large for the stack, so there may be no memory for them: -ENOMEM. */
  copies(...ioctls: readonly Ioctl[]): this {
    for (const { number } of ioctls) this.#large.add(number);
    return this;
  }

  /** The argument is an integer, nothing, or a pointer that the row looks at itself. */
  plain(ioctl: Ioctl, row: Row<Self>): this {
    this.#rows.set(ioctl.number, row);
    return this;
  }

  /** The argument points to a structure that the kernel reads. */
  takes<M extends Members>(ioctl: Ioctl, struct: Struct<M>, row: (self: Self, value: StructValue<M>) => number): this {
    const large = this.#large.has(ioctl.number);
    return this.plain(ioctl, (self, argument) => {
      if (large && !self.kernel.kmalloc(`struct ${struct.name}`)) return -ENOMEM;
      const value = getStruct(self.kernel, struct, argument);
      return typeof value === 'number' ? value : row(self, value);
    });
  }

  /** The argument points to a structure that the kernel fills; the row returns it, or -errno. */
  gives<M extends Members>(
    ioctl: Ioctl,
    struct: Struct<M>,
    row: (self: Self) => Partial<StructValue<M>> | number,
  ): this {
    const large = this.#large.has(ioctl.number);
    return this.plain(ioctl, (self, argument) => {
      if (large && !self.kernel.kmalloc(`struct ${struct.name}`)) return -ENOMEM;
      const value = row(self);
      return typeof value === 'number' ? value : putStruct(self.kernel, struct, argument, value);
    });
  }

  /** The structure is read, and replaced by what the row returns, unless that is -errno. */
  updates<M extends Members>(
    ioctl: Ioctl,
    struct: Struct<M>,
    row: (self: Self, value: StructValue<M>) => Partial<StructValue<M>> | number,
  ): this {
    const large = this.#large.has(ioctl.number);
    return this.plain(ioctl, (self, argument) => {
      if (large && !self.kernel.kmalloc(`struct ${struct.name}`)) return -ENOMEM;
      const value = getStruct(self.kernel, struct, argument);
      if (typeof value === 'number') return value;
      const result = row(self, value);
      return typeof result === 'number' ? result : putStruct(self.kernel, struct, argument, result);
    });
  }

  /** `undefined` when the table has no such ioctl. */
  dispatch(self: Self, request: number, argument: number): number | undefined {
    return this.#rows.get(request)?.(self, argument);
  }
}

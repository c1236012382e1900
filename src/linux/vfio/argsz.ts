/**
 * VFIO's structures begin with `argsz`: the size user space knows. The kernel copies in the fixed part it needs
 * (`minsz`, up to the end of one member), refuses a smaller argsz, and writes the same part back.
 */

import { hva } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import { copyFromUser, copyToUser, refuseStruct } from '../core/uaccess.ts';
import { EINVAL } from '../uapi/errno.ts';
import type { Members, Struct, StructValue } from '../uapi/struct.ts';

/** Members of a structure of this kind. */
type Sized = Members & { readonly argsz: Members[string] };

/** offsetofend(): bytes from the structure's start to the end of member `last`. */
export function offsetOfEnd<M extends Members>(shape: Struct<M>, last: keyof M & string): number {
  const member = shape.members[last];
  if (member === undefined) throw new Error(`struct ${shape.name} has no member ${last}`);
  return shape.offsets[last] + member.bytes;
}

/**
 * The fixed part of the structure at user address `from`, through member `last`; later members read 0. -EFAULT for a bad
 * pointer, -EINVAL for an argsz below the fixed part.
 */
export function getSized<M extends Sized>(
  kernel: Kernel,
  shape: Struct<M>,
  last: keyof M & string,
  from: number,
): StructValue<M> | number {
  const minsz = offsetOfEnd(shape, last);
  const bytes = new Uint8Array(shape.size);
  if (copyFromUser(kernel, bytes.subarray(0, minsz), hva(from)) < 0) return refuseStruct(kernel, shape, from);
  const view = new DataView(bytes.buffer);
  const argsz = view.getUint32(0, true);
  if (argsz < minsz) {
    return kernel.refuse(EINVAL, `argsz is ${argsz}; struct ${shape.name} needs at least ${minsz} bytes`);
  }
  return shape.read(view);
}

/** Write the structure back through member `last`: 0 or -EFAULT. */
export function putSized<M extends Sized>(
  kernel: Kernel,
  shape: Struct<M>,
  last: keyof M & string,
  to: number,
  value: StructValue<M>,
): number {
  const encoded = shape.encode(value).subarray(0, offsetOfEnd(shape, last));
  return copyToUser(kernel, hva(to), encoded) < 0 ? refuseStruct(kernel, shape, to) : 0;
}

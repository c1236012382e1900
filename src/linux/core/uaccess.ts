/**
 * Copying between the kernel and the memory of the current process (lib/usercopy.c, asm/uaccess.h). A bad pointer is
 * -EFAULT; an unmapped page of a good mapping is brought in on the way.
 */

import { type Hpa, type Hva, PAGE_SIZE } from '../../address.ts';
import type { PhysicalMemory } from '../../hardware/physical-memory.ts';
import { EFAULT, EINVAL } from '../uapi/errno.ts';
import type { Members, Struct, StructValue } from '../uapi/struct.ts';
import type { Process } from './process.ts';

/** What a copy needs of the kernel. */
export interface UserContext {
  readonly memory: PhysicalMemory;
  readonly current: Process;
}

/** A context that records which rule a refused request broke. */
export interface RefusingContext extends UserContext {
  /** Returns -errno. */
  refuse(errno: number, because: string): number;
}

/** Up to this, a loop is quicker than making a view of the page. */
const SHORT = 64;
/** 1 to {@link SHORT} bytes of one page, `start` being where they begin in it. */
const isShort = (start: number, length: number): boolean => (length - 1) >>> 0 < SHORT && start + length <= PAGE_SIZE;

// Hot: an address has 47 bits, but its low 12 survive the conversion that & makes; % is a call of fmod.

/** Fill `into` from user memory at `from`. 0 or -EFAULT; what came before the fault is copied. */
export function copyFromUser(kernel: UserContext, into: Uint8Array, from: number): number {
  const { mm } = kernel.current;
  const { bytes, size } = kernel.memory;
  const { length } = into;
  const start = from & (PAGE_SIZE - 1);
  if (isShort(start, length)) {
    // One page, which the process has or has not: nothing else is to be asked of the address.
    const frame = mm.frame(from, false);
    if (frame < 0 || frame >= size) return -EFAULT;
    const at = frame + start;
    if (length === 1) into[0] = bytes[at]!;
    else for (let i = 0; i < length; i++) into[i] = bytes[at + i]!;
    return 0;
  }
  if (!mm.accessOk(from, length)) return -EFAULT;
  for (let done = 0; done < length; ) {
    const frame = mm.frame(from + done, false);
    // A device's page is no memory to copy from. Fidelity: Linux would read its registers byte by byte.
    if (frame < 0 || frame >= size) return -EFAULT;
    const offset = (from + done) & (PAGE_SIZE - 1);
    const count = Math.min(length - done, PAGE_SIZE - offset);
    const at = frame + offset;
    if (count <= SHORT) for (let i = 0; i < count; i++) into[done + i] = bytes[at + i] as number;
    else into.set(bytes.subarray(at, at + count), done);
    done += count;
  }
  return 0;
}

/** Write `from` to user memory at `to`, as {@link copyFromUser} reads it. 0 or -EFAULT. */
export function copyToUser(kernel: UserContext, to: number, from: Uint8Array): number {
  const { mm } = kernel.current;
  const { memory } = kernel;
  const { length } = from;
  const start = to & (PAGE_SIZE - 1);
  if (isShort(start, length)) {
    const frame = mm.frame(to, true);
    if (frame < 0 || frame >= memory.size) return -EFAULT;
    memory.write(frame + start, from, 0, length);
    return 0;
  }
  if (!mm.accessOk(to, length)) return -EFAULT;
  for (let done = 0; done < length; ) {
    const frame = mm.frame(to + done, true);
    if (frame < 0 || frame >= memory.size) return -EFAULT;
    const offset = (to + done) & (PAGE_SIZE - 1);
    const count = Math.min(length - done, PAGE_SIZE - offset);
    memory.write(frame + offset, from, done, count);
    done += count;
  }
  return 0;
}

/** The bytes of a number that lies in two pages. */
const number = new DataView(new ArrayBuffer(4));
const bytesOfNumber = [1, 2, 4].map((size) => new Uint8Array(number.buffer, 0, size));
const bytesOf = (size: 1 | 2 | 4): Uint8Array => bytesOfNumber[size >> 1]!;

/** get_user: the number in the 1, 2 or 4 bytes at `from`, or -EFAULT. Hot. */
export function getUser(kernel: UserContext, from: number, size: 1 | 2 | 4): number {
  const { memory } = kernel;
  const start = from & (PAGE_SIZE - 1);
  if (start + size > PAGE_SIZE) {
    number.setUint32(0, 0, true);
    return copyFromUser(kernel, bytesOf(size), from) < 0 ? -EFAULT : number.getUint32(0, true);
  }
  const frame = kernel.current.mm.frame(from, false);
  return frame < 0 || frame >= memory.size ? -EFAULT : memory.load((frame + start) as Hpa, size);
}

/** put_user: `value` into the 1, 2 or 4 bytes at `to`. 0 or -EFAULT. Hot. */
export function putUser(kernel: UserContext, to: number, size: 1 | 2 | 4, value: number): number {
  const { memory } = kernel;
  const start = to & (PAGE_SIZE - 1);
  if (start + size > PAGE_SIZE) {
    number.setUint32(0, value, true);
    return copyToUser(kernel, to, bytesOf(size));
  }
  const frame = kernel.current.mm.frame(to, true);
  if (frame < 0 || frame >= memory.size) return -EFAULT;
  memory.store((frame + start) as Hpa, size, value);
  return 0;
}

/** Refuse an address of user space at which there are not so many bytes. */
export const refusePointer = (kernel: RefusingContext, at: Hva | number, bytes: number): number =>
  kernel.refuse(EFAULT, `the ${bytes} bytes at 0x${at.toString(16)} are not all in the process's memory`);

/** copy_from_user of one structure, decoded; -EFAULT. */
export function getStruct<M extends Members>(
  kernel: RefusingContext,
  struct: Struct<M>,
  from: Hva | number,
): StructValue<M> | number {
  const encoded = new Uint8Array(struct.size);
  if (copyFromUser(kernel, encoded, from) < 0) return refuseStruct(kernel, struct, from);
  return struct.read(new DataView(encoded.buffer));
}

/** copy_to_user of one structure; 0 or -EFAULT. */
export const putStruct = <M extends Members>(
  kernel: RefusingContext,
  struct: Struct<M>,
  to: Hva | number,
  value: Partial<StructValue<M>>,
): number => (copyToUser(kernel, to, struct.encode(value)) < 0 ? refuseStruct(kernel, struct, to) : 0);

/** Refuse an address of user space at which there is no such structure. */
export const refuseStruct = (kernel: RefusingContext, shape: { readonly name: string }, at: Hva | number): number =>
  kernel.refuse(EFAULT, `the struct ${shape.name} at 0x${at.toString(16)} is not in the process's memory`);

/** strndup_user: the NUL-terminated string at `from`. -EFAULT, or -EINVAL when longer than `limit` bytes with its NUL. */
export function stringFromUser(kernel: UserContext, from: Hva | number, limit: number): string | number {
  const one = new Uint8Array(1);
  let text = '';
  for (let i = 0; i < limit; i++) {
    if (copyFromUser(kernel, one, from + i) < 0) return -EFAULT;
    const byte = one[0] as number;
    if (byte === 0) return text;
    text += String.fromCharCode(byte);
  }
  return -EINVAL;
}

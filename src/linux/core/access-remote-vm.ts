/** Another process's memory, from a thread that is not of it (access_remote_vm in mm/memory.c). */

import { PAGE_SIZE } from '../../address.ts';
import type { Kernel } from './kernel.ts';
import type { AddressSpace } from './mm.ts';

/** Copy between `bytes` and the memory at `address` of `mm`. Returns the bytes copied: it stops where nothing is mapped. */
export function accessRemoteVm(
  { memory }: Kernel,
  mm: AddressSpace,
  address: number,
  bytes: Uint8Array,
  write: boolean,
): number {
  if (!mm.accessOk(address, bytes.length)) return 0;
  for (let done = 0; done < bytes.length; ) {
    const frame = mm.frame(address + done, write);
    if (frame < 0 || frame >= memory.size) return done;
    const offset = (address + done) % PAGE_SIZE;
    const count = Math.min(bytes.length - done, PAGE_SIZE - offset);
    if (write) memory.write(frame + offset, bytes, done, count);
    else bytes.set(memory.bytes.subarray(frame + offset, frame + offset + count), done);
    done += count;
  }
  return bytes.length;
}

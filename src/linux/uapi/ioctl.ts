/** ioctl numbers: the `_IO` family of asm-generic/ioctl.h, and the declaration that ties a number to its structure. */

import type { Struct } from './struct.ts';

/** What the third argument of an ioctl is: nothing, an integer, or a pointer to a structure (and who fills it). */
export type IoctlArgument =
  | { readonly kind: 'none' }
  | { readonly kind: 'int' }
  | { readonly kind: 'string' }
  | { readonly kind: 'in' | 'out' | 'inout'; readonly struct: Struct };

/** One declared ioctl. `number` is the full 32-bit request; VFIO numbers repeat between kinds of fd, so it is no key. */
export interface Ioctl {
  readonly name: string;
  readonly number: number;
  readonly argument: IoctlArgument;
  readonly doc: string;
}

const request = (direction: number, type: number, nr: number, size: number) =>
  ((direction << 30) | (size << 16) | (type << 8) | nr) >>> 0;

/** `_IO(type, nr)`. */
export const _IO = (type: number, nr: number): number => request(0, type, nr, 0);
/** `_IOW(type, nr, size)`: user space writes, the kernel reads. */
export const _IOW = (type: number, nr: number, size: number): number => request(1, type, nr, size);
/** `_IOR(type, nr, size)`: the kernel writes, user space reads. */
export const _IOR = (type: number, nr: number, size: number): number => request(2, type, nr, size);
/** `_IOWR(type, nr, size)`. */
export const _IOWR = (type: number, nr: number, size: number): number => request(3, type, nr, size);

export const ioctl = (name: string, number: number, argument: IoctlArgument, doc: string): Ioctl => ({
  name,
  number,
  argument,
  doc,
});

/** How KVM's ioctls are declared: their type byte, and a row for each way an argument is passed. */

import { _IO, _IOR, _IOW, _IOWR, type Ioctl, type IoctlArgument, ioctl } from './ioctl.ts';
import type { Struct } from './struct.ts';

export const KVMIO = 0xae;

export const none: IoctlArgument = { kind: 'none' };
export const int: IoctlArgument = { kind: 'int' };
/** The argument is an integer, or nothing. */
export const plain = (name: string, nr: number, argument: IoctlArgument, doc: string): Ioctl =>
  ioctl(name, _IO(KVMIO, nr), argument, doc);
/** The kernel reads a structure. */
export const takes = (name: string, nr: number, taken: Struct, doc: string): Ioctl =>
  ioctl(name, _IOW(KVMIO, nr, taken.size), { kind: 'in', struct: taken }, doc);
/** The kernel fills a structure. */
export const gives = (name: string, nr: number, given: Struct, doc: string): Ioctl =>
  ioctl(name, _IOR(KVMIO, nr, given.size), { kind: 'out', struct: given }, doc);
/** Both. */
export const both = (name: string, nr: number, passed: Struct, doc: string): Ioctl =>
  ioctl(name, _IOWR(KVMIO, nr, passed.size), { kind: 'inout', struct: passed }, doc);

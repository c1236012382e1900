/**
 * `xche`, the in-kernel device of a text about KVM's I/O buses from 2013 (KVM_CREATE_XCHE; no mainline kernel has it): 32
 * bytes of registers at ports 0x1000–0x101f, which keep what is written.
 *
 * The text's register number is the low five bits of the port, and its handlers copy at most four bytes. It registers the
 * device without a range, as KVM did before 3.2; here it has one, as the buses want since.
 */

import { EOPNOTSUPP } from '../uapi/errno.ts';
import type { IoDevice } from './io-bus.ts';

export const XCHE_BASE = 0x1000;
export const XCHE_LENGTH = 0x20;
const REGISTER_MASK = 0x1f;
const LONGEST = 4;

export class Xche implements IoDevice {
  readonly #registers = new Uint8Array(XCHE_LENGTH);

  read(port: number, data: Uint8Array): number {
    if (!inRange(port)) return -EOPNOTSUPP;
    const register = port & REGISTER_MASK;
    const bytes = Math.min(data.length, LONGEST);
    for (let i = 0; i < bytes; i++) data[i] = this.#registers[register + i] ?? 0;
    return 0;
  }

  write(port: number, data: Uint8Array): number {
    if (!inRange(port)) return -EOPNOTSUPP;
    const register = port & REGISTER_MASK;
    const bytes = Math.min(data.length, LONGEST, XCHE_LENGTH - register);
    for (let i = 0; i < bytes; i++) this.#registers[register + i] = data[i]!;
    return 0;
  }
}

/** xche_in_range. The bus has looked already. */
const inRange = (port: number) => port >= XCHE_BASE && port < XCHE_BASE + XCHE_LENGTH;

/**
 * Which frames the card takes: by VLAN, promiscuously, by its 16 exact addresses, by a hash of 4096 bits for multicast
 * (82540EM manual, 3.2.1, 13.5.1 to 13.5.3; hw/net/e1000.c: receive_filter; e1000x_common.c: e1000x_rx_group_filter).
 */

import {
  BPRC,
  MPRC,
  MTA,
  RA,
  RAH_AV,
  RCTL,
  RCTL_BAM,
  RCTL_MPE,
  RCTL_UPE,
  RCTL_VFE,
  type Registers,
  VET,
  VFTA,
} from './registers.ts';

const EXACT_ADDRESSES = 16;
/** RCTL.MO: which bits of the address the hash takes. */
const HASH_SHIFT = [4, 3, 2, 0] as const;

/** Whether the frame has a VLAN tag, whose type VET tells. */
export const isVlan = (registers: Registers, frame: Uint8Array): boolean =>
  ((frame[12]! << 8) | frame[13]!) === (registers.get(VET) & 0xffff);

export class ReceiveFilter {
  readonly #registers: Registers;

  constructor(registers: Registers) {
    this.#registers = registers;
  }

  /** Whether the card takes `frame`; what it takes for being sent to many is counted here. */
  accepts(frame: Uint8Array): boolean {
    const registers = this.#registers;
    const control = registers.get(RCTL);
    if ((control & RCTL_VFE) !== 0 && isVlan(registers, frame) && !this.#vlanWanted(frame)) return false;
    const broadcast = frame.subarray(0, 6).every((byte) => byte === 0xff);
    const multicast = (frame[0]! & 1) !== 0;
    if (!multicast && (control & RCTL_UPE) !== 0) return true;
    if (multicast && (control & RCTL_MPE) !== 0) {
      registers.count(MPRC);
      return true;
    }
    if (broadcast && (control & RCTL_BAM) !== 0) {
      registers.count(BPRC);
      return true;
    }
    return this.#addressWanted(frame) || this.#hashWanted(frame, control);
  }

  #vlanWanted(frame: Uint8Array): boolean {
    const vid = (frame[14]! << 8) | frame[15]!;
    return ((this.#registers.get(VFTA + 4 * ((vid >> 5) & 0x7f)) >>> (vid & 0x1f)) & 1) !== 0;
  }

  #addressWanted(frame: Uint8Array): boolean {
    const low = (frame[0]! | (frame[1]! << 8) | (frame[2]! << 16) | (frame[3]! << 24)) >>> 0;
    const high = frame[4]! | (frame[5]! << 8);
    for (let i = 0; i < EXACT_ADDRESSES; i++) {
      const upper = this.#registers.get(RA + 8 * i + 4);
      if ((upper & RAH_AV) === 0) continue;
      if (this.#registers.get(RA + 8 * i) === low && (upper & 0xffff) === high) return true;
    }
    return false;
  }

  #hashWanted(frame: Uint8Array, control: number): boolean {
    const hash = (((frame[5]! << 8) | frame[4]!) >> HASH_SHIFT[(control >>> 12) & 3]!) & 0xfff;
    const wanted = ((this.#registers.get(MTA + 4 * (hash >> 5)) >>> (hash & 0x1f)) & 1) !== 0;
    if (wanted) this.#registers.count(MPRC);
    return wanted;
  }
}

/**
 * The receive ring: a frame that passes the filters goes into the buffers of the descriptors between RDH and RDT (82540EM
 * manual, 3.2; hw/net/e1000.c: e1000_receive_iov). Whoever sends to a card that cannot receive yet keeps the frame.
 */

import type { Interrupts } from './interrupts.ts';
import { isVlan, type ReceiveFilter } from './receive-filter.ts';
import {
  CAUSE_RXDMT0,
  CAUSE_RXO,
  CAUSE_RXT0,
  CTRL,
  CTRL_VME,
  GORCL,
  GPRC,
  MPC,
  PRC64,
  RCTL,
  RCTL_EN,
  RCTL_LPE,
  RCTL_SBP,
  RCTL_SECRC,
  RDBAL,
  RDH,
  RDLEN,
  RDT,
  type Registers,
  RNBC,
  ROC,
  STATUS,
  STATUS_LU,
  TORL,
  TPR,
} from './registers.ts';

const DESCRIPTOR = 16;
const LENGTH = 8;
const DESCRIPTOR_STATUS = 12;
const SPECIAL = 14;
const DD = 0x01;
const EOP = 0x02;
const IXSM = 0x04;
const VP = 0x08;

const SHORTEST_FRAME = 60;
const LONGEST_FRAME = 1522;
const LONGEST_JUMBO = 16_384;
const FCS = 4;
const VLAN_TAG = 4;
/** Bits 25 (bytes are sixteenfold) and 17:16 of RCTL. */
const BUFFER_SIZE = 0x0203_0000;
const BUFFER_SIZES: Readonly<Record<number, number>> = {
  65536: 1024,
  131072: 512,
  196608: 256,
  33619968: 16_384,
  33685504: 8192,
  33751040: 4096,
};
const DEFAULT_BUFFER_SIZE = 2048;

/** What the ring needs of the card. */
export interface ReceivePort {
  read(address: number, into: DataView, at: number, length: number): void;
  write(address: number, from: DataView, at: number, length: number): void;
  readonly isBusMaster: boolean;
  /** RCTL has been written a moment ago. */
  readonly settling: boolean;
}

export class ReceiveRing {
  readonly #registers: Registers;
  readonly #interrupts: Interrupts;
  readonly #filter: ReceiveFilter;
  readonly #port: ReceivePort;
  readonly #descriptor = new DataView(new ArrayBuffer(DESCRIPTOR));

  constructor(registers: Registers, interrupts: Interrupts, filter: ReceiveFilter, port: ReceivePort) {
    this.#registers = registers;
    this.#interrupts = interrupts;
    this.#filter = filter;
    this.#port = port;
  }

  /** e1000_can_receive. */
  get ready(): boolean {
    return this.#enabled && this.#port.isBusMaster && this.hasBuffers(1) && !this.#port.settling;
  }

  /** e1000_has_rxbufs: whether the free descriptors hold `bytes`. */
  hasBuffers(bytes: number): boolean {
    const head = this.#registers.get(RDH);
    const tail = this.#registers.get(RDT);
    if (bytes <= this.#bufferSize) return head !== tail;
    if (head === tail) return false;
    const free = head < tail ? tail - head : this.#descriptors + tail - head;
    return bytes <= free * this.#bufferSize;
  }

  /** e1000_receive_iov. */
  receive(sent: Uint8Array): 'taken' | 'dropped' | 'refused' {
    if (!this.#enabled) return 'dropped';
    if (this.#port.settling) return 'refused';
    const frame = padded(sent);
    if (this.#tooLong(frame.length)) {
      this.#registers.count(ROC);
      return 'dropped';
    }
    if (!this.#filter.accepts(frame)) return 'dropped';
    const strips = (this.#registers.get(CTRL) & CTRL_VME) !== 0 && isVlan(this.#registers, frame);
    return strips ? this.#store(withoutTag(frame), (frame[14]! << 8) | frame[15]!) : this.#store(frame, undefined);
  }

  get #enabled(): boolean {
    return (this.#registers.get(STATUS) & STATUS_LU) !== 0 && (this.#registers.get(RCTL) & RCTL_EN) !== 0;
  }

  get #bufferSize(): number {
    return BUFFER_SIZES[this.#registers.get(RCTL) & BUFFER_SIZE] ?? DEFAULT_BUFFER_SIZE;
  }

  get #descriptors(): number {
    return Math.floor(this.#registers.get(RDLEN) / DESCRIPTOR);
  }

  #tooLong(size: number): boolean {
    const control = this.#registers.get(RCTL);
    if ((control & RCTL_SBP) !== 0) return false;
    return size > LONGEST_JUMBO || (size > LONGEST_FRAME && (control & RCTL_LPE) === 0);
  }

  /** The frame into as many buffers as it takes; `tag` is the VLAN tag that was in it. */
  #store(frame: Uint8Array, tag: number | undefined): 'taken' | 'dropped' {
    const registers = this.#registers;
    // The checksum is counted, though nobody has calculated it.
    const total = frame.length + ((registers.get(RCTL) & RCTL_SECRC) === 0 ? FCS : 0);
    if (!this.hasBuffers(total)) return this.#overrun();
    const bytes = new DataView(frame.buffer, frame.byteOffset, frame.length);
    const first = registers.get(RDH);
    for (let done = 0; done < total; ) {
      const at = registers.ringBase(RDBAL) + DESCRIPTOR * registers.get(RDH);
      done += this.#fill(at, bytes, done, total, tag);
      const next = registers.get(RDH) + 1;
      registers.set(RDH, next * DESCRIPTOR >= registers.get(RDLEN) ? 0 : next);
      if (registers.get(RDH) === first || first >= this.#descriptors) return this.#overrun();
    }
    this.#counted(frame.length, total);
    this.#interrupts.raise(CAUSE_RXT0 | (this.#fewLeft ? CAUSE_RXDMT0 : 0));
    return 'taken';
  }

  /** One descriptor and its buffer: first everything but DD, so that a driver that polls sees the rest before it. */
  #fill(at: number, frame: DataView, done: number, total: number, tag: number | undefined): number {
    const descriptor = this.#descriptor;
    this.#port.read(at, descriptor, 0, DESCRIPTOR);
    const buffer = descriptor.getUint32(4, true) * 2 ** 32 + descriptor.getUint32(0, true);
    let status = descriptor.getUint8(DESCRIPTOR_STATUS) & ~DD;
    descriptor.setUint16(SPECIAL, tag ?? 0, true);
    let taken = 0;
    // A descriptor without a buffer is passed over.
    if (buffer !== 0) {
      taken = Math.min(total - done, this.#bufferSize);
      const copied = Math.min(frame.byteLength - done, this.#bufferSize);
      if (copied > 0) this.#port.write(buffer, frame, done, copied);
      descriptor.setUint16(LENGTH, taken, true);
      status = done + taken >= total ? status | EOP | IXSM : status & ~EOP;
    }
    descriptor.setUint8(DESCRIPTOR_STATUS, status);
    this.#port.write(at, descriptor, 0, DESCRIPTOR);
    descriptor.setUint8(DESCRIPTOR_STATUS, status | DD | (tag === undefined ? 0 : VP));
    this.#port.write(at + DESCRIPTOR_STATUS, descriptor, DESCRIPTOR_STATUS, 1);
    return taken;
  }

  #overrun(): 'dropped' {
    this.#registers.count(RNBC);
    this.#registers.count(MPC);
    this.#interrupts.raise(CAUSE_RXO);
    return 'dropped';
  }

  /** e1000x_update_rx_total_stats. */
  #counted(size: number, withFcs: number): void {
    const registers = this.#registers;
    registers.countSize(PRC64, withFcs);
    registers.count(TPR);
    registers.count(GPRC);
    registers.countBytes(TORL, size + FCS);
    registers.countBytes(GORCL, size + FCS);
  }

  /** RCTL.RDMTS: a half, a quarter or an eighth of the ring, or less, is free. */
  get #fewLeft(): boolean {
    const registers = this.#registers;
    const head = registers.get(RDH);
    const tail = registers.get(RDT) < head ? registers.get(RDT) + this.#descriptors : registers.get(RDT);
    return (tail - head) * DESCRIPTOR <= registers.get(RDLEN) >>> (((registers.get(RCTL) >>> 8) & 3) + 1);
  }
}

function padded(frame: Uint8Array): Uint8Array {
  if (frame.length >= SHORTEST_FRAME) return frame;
  const whole = new Uint8Array(SHORTEST_FRAME);
  whole.set(frame);
  return whole;
}

function withoutTag(frame: Uint8Array): Uint8Array {
  const rest = new Uint8Array(frame.length - VLAN_TAG);
  rest.set(frame.subarray(0, 12));
  rest.set(frame.subarray(12 + VLAN_TAG), 12);
  return rest;
}

/**
 * The transmit ring: descriptors of 16 bytes between TDH and TDT, whose buffers add up to frames (82540EM manual, 3.3;
 * hw/net/e1000.c: start_xmit, process_tx_desc, xmit_seg). A descriptor is legacy, or extended: then it is a context, which
 * says where checksums and headers lie, or data, which asks for them.
 */

import type { Interrupts } from './interrupts.ts';
import { insertChecksum, noContext, type OffloadContext, prepareSegment, readContext } from './offload.ts';
import {
  BPTC,
  CAUSE_TXDW,
  CAUSE_TXQE,
  CTRL,
  CTRL_VME,
  GOTCL,
  GPTC,
  MPTC,
  PTC64,
  type Registers,
  TCTL,
  TCTL_EN,
  TDBAL,
  TDH,
  TDLEN,
  TDT,
  TOTL,
  TPT,
  TSCTC,
  VET,
} from './registers.ts';

const DESCRIPTOR = 16;
const COMMAND = 8;
const STATUS = 12;
const SPECIAL = 14;
// Bits of the command dword
const LENGTH = 0xffff;
const DATA = 0x0010_0000;
const EOP = 0x0100_0000;
const TSE = 0x0400_0000;
const RS = 0x0800_0000;
const RPS = 0x1000_0000;
const DEXT = 0x2000_0000;
const VLE = 0x4000_0000;
const IDE = 0x8000_0000;
// Bits of the status dword
const DD = 0x1;
const COLLISIONS = 0xe;
const IXSM = 0x100;
const TXSM = 0x200;

const LONGEST_FRAME = 0x1_0000;
/** Bytes of the two MAC addresses, between which and the type a VLAN tag goes. */
const ADDRESSES = 12;
const FCS = 4;
const VLAN_TAG = 4;

/** What the ring needs of the card. */
export interface TransmitPort {
  read(address: number, into: DataView, at: number, length: number): void;
  write(address: number, from: DataView, at: number, length: number): void;
  /** The frame goes out on the wire. */
  send(frame: Uint8Array): void;
}

export class Transmitter {
  readonly #registers: Registers;
  readonly #interrupts: Interrupts;
  readonly #port: TransmitPort;
  readonly #descriptor = new DataView(new ArrayBuffer(DESCRIPTOR));
  /** The frame so far. */
  readonly #data = new DataView(new ArrayBuffer(LONGEST_FRAME));
  readonly #bytes = new Uint8Array(this.#data.buffer);
  #size = 0;
  #busy = false;
  #options = 0;
  #segmenting = false;
  #segments = 0;
  #header = new Uint8Array(0);
  #tag: number | undefined;
  #checksums: OffloadContext = noContext;
  #segmentation: OffloadContext = noContext;

  constructor(registers: Registers, interrupts: Interrupts, port: TransmitPort) {
    this.#registers = registers;
    this.#interrupts = interrupts;
    this.#port = port;
  }

  reset(): void {
    this.#endFrame();
    this.#checksums = noContext;
    this.#segmentation = noContext;
  }

  /** TDT or TCTL was written: send whatever the driver has put up, then say so. */
  start(): void {
    const registers = this.#registers;
    if ((registers.get(TCTL) & TCTL_EN) === 0 || this.#busy) return;
    this.#busy = true;
    const first = registers.get(TDH);
    let causes = CAUSE_TXQE;
    while (registers.get(TDH) !== registers.get(TDT)) {
      const at = registers.ringBase(TDBAL) + DESCRIPTOR * registers.get(TDH);
      this.#port.read(at, this.#descriptor, 0, DESCRIPTOR);
      this.#process();
      causes |= this.#writeBack(at);
      const next = registers.get(TDH) + 1;
      registers.set(TDH, next * DESCRIPTOR >= registers.get(TDLEN) ? 0 : next);
      // A tail outside of the ring is never met: once around is enough.
      if (registers.get(TDH) === first || first >= Math.floor(registers.get(TDLEN) / DESCRIPTOR)) break;
    }
    this.#busy = false;
    this.#interrupts.raise(causes);
  }

  /** One descriptor. */
  #process(): void {
    const command = this.#descriptor.getUint32(COMMAND, true);
    if ((command & IDE) !== 0) this.#interrupts.delayTransmit();
    if ((command & DEXT) !== 0 && (command & DATA) === 0) {
      this.#takeContext(command);
      return;
    }
    const extended = (command & DEXT) !== 0;
    if (extended && this.#size === 0) this.#options = this.#descriptor.getUint32(STATUS, true) & (IXSM | TXSM);
    this.#segmenting = extended && (command & TSE) !== 0;
    this.#chooseTag(command);
    if (this.#segmenting) this.#gatherSegments(command);
    else this.#gather(this.#buffer, command & LENGTH);
    if ((command & EOP) === 0) return;
    const headerOnly = this.#segmenting && this.#size < this.#segmentation.headerLength;
    if (!headerOnly) this.#transmit();
    this.#endFrame();
  }

  #takeContext(command: number): void {
    const context = readContext(this.#descriptor);
    if ((command & TSE) === 0) this.#checksums = context;
    else {
      this.#segmentation = context;
      this.#segments = 0;
    }
  }

  /** CTRL.VME and VLE ask for a VLAN tag; the descriptor that ends the frame brings it. */
  #chooseTag(command: number): void {
    const tagged = (this.#registers.get(CTRL) & CTRL_VME) !== 0 && (command & VLE) !== 0;
    if (tagged && (this.#segmenting || (command & EOP) !== 0)) this.#tag = this.#descriptor.getUint16(SPECIAL, true);
  }

  get #buffer(): number {
    return this.#descriptor.getUint32(4, true) * 2 ** 32 + this.#descriptor.getUint32(0, true);
  }

  /** Bytes of the buffer to the end of the frame; what is too long is cut. */
  #gather(address: number, length: number): number {
    const fits = Math.min(length, LONGEST_FRAME - this.#size);
    this.#port.read(address, this.#data, this.#size, fits);
    this.#size += fits;
    return fits;
  }

  /** Bytes of the buffer as segments: each time header and payload are full, they go out, and the header stays. */
  #gatherSegments(command: number): void {
    const { headerLength, segmentSize } = this.#segmentation;
    const full = headerLength + segmentSize;
    let address = this.#buffer;
    for (let rest = command & LENGTH; rest > 0 && this.#size < full; ) {
      const before = this.#size;
      const got = this.#gather(address, Math.min(rest, full - this.#size));
      if (got === 0) return;
      if (before < headerLength && this.#size >= headerLength) this.#header = this.#bytes.slice(0, headerLength);
      address += got;
      rest -= got;
      if (this.#size !== full) continue;
      this.#transmit();
      this.#bytes.set(this.#header);
      this.#size = headerLength;
    }
  }

  /** xmit_seg: one frame leaves, with what was asked to be filled in. */
  #transmit(): void {
    const registers = this.#registers;
    const size = this.#size;
    const context = this.#segmenting ? this.#segmentation : this.#checksums;
    if (this.#segmenting) {
      const last = prepareSegment(this.#data, size, this.#segments, context, (this.#options & TXSM) !== 0);
      if (last && this.#segments > 0) registers.count(TSCTC);
      this.#segments++;
    }
    if ((this.#options & TXSM) !== 0) insertChecksum(this.#data, size, context.payload);
    if ((this.#options & IXSM) !== 0) insertChecksum(this.#data, size, context.ip);
    if (this.#tag === undefined) this.#sendFrame(this.#bytes, size);
    else this.#sendFrame(this.#withTag(this.#tag, size), size + VLAN_TAG);
    registers.count(TPT);
    registers.countBytes(TOTL, size + FCS);
    registers.count(GPTC);
    registers.countBytes(GOTCL, size + FCS);
  }

  /** The first `size` bytes of `buffer`. */
  #sendFrame(buffer: Uint8Array, size: number): void {
    this.#port.send(buffer.slice(0, size));
    // Of a frame shorter than an address the rest is what the buffer had before.
    const broadcast = buffer.subarray(0, 6).every((byte) => byte === 0xff);
    if (broadcast) this.#registers.count(BPTC);
    else if ((buffer[0]! & 1) !== 0) this.#registers.count(MPTC);
    this.#registers.countSize(PTC64, size + FCS);
  }

  /** The tag goes behind the addresses, though the frame may be shorter; it stays in the buffer, whose bytes before it move up. */
  #withTag(tag: number, size: number): Uint8Array {
    const frame = new Uint8Array(Math.max(size, ADDRESSES) + VLAN_TAG);
    const type = this.#registers.get(VET);
    const header = [(type >> 8) & 0xff, type & 0xff, tag >> 8, tag & 0xff];
    frame.set(this.#bytes.subarray(0, ADDRESSES));
    frame.set(header, ADDRESSES);
    if (size > ADDRESSES) frame.set(this.#bytes.subarray(ADDRESSES, size), ADDRESSES + VLAN_TAG);
    this.#bytes.copyWithin(0, VLAN_TAG, ADDRESSES);
    this.#bytes.set(header, ADDRESSES - VLAN_TAG);
    return frame;
  }

  #endFrame(): void {
    this.#size = 0;
    this.#options = 0;
    this.#segmenting = false;
    this.#segments = 0;
    this.#tag = undefined;
  }

  /** txdesc_writeback: a descriptor that asks for it is told done. Returns the cause that this is. */
  #writeBack(at: number): number {
    if ((this.#descriptor.getUint32(COMMAND, true) & (RS | RPS)) === 0) return 0;
    const status = this.#descriptor.getUint32(STATUS, true);
    this.#descriptor.setUint32(STATUS, ((status | DD) & ~COLLISIONS) >>> 0, true);
    this.#port.write(at + STATUS, this.#descriptor, STATUS, 4);
    return CAUSE_TXDW;
  }
}

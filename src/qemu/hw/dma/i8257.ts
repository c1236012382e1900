/**
 * The two DMA controllers of a PC, for 8-bit and 16-bit channels (Intel's 8237A data sheet; hw/dma/i8257.c for what QEMU answers). An
 * address or count is two bytes at one port, of which a flip-flop says which is next; the page registers at 0x80 hold the address's
 * upper bits. Fidelity: no device on this board uses a channel, so a request that software makes moves nothing.
 */

import { type MemoryRegion, type MemoryRegionOps, sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import { portList } from '../port-list.ts';

const CHANNELS = 4;
/** Registers of the controller that are written. */
const REQUEST = 1;
const SINGLE_MASK = 2;
const MODE = 3;
const CLEAR_FLIP_FLOP = 4;
const RESET = 5;
const CLEAR_MASK = 6;
const MASK = 7;
/** What is read at the first two; the command that is written at the first (how channels are served) changes nothing here. */
const STATUS = 0;
const READ_MASK = 1;
const MODE_DOWNWARDS = 0x20;
/** The channel of each page register. */
const PAGE_CHANNELS = [undefined, 2, 3, 1, undefined, undefined, undefined, 0] as const;

interface Channel {
  /** What the guest has programmed, and where a transfer stands. */
  baseAddress: number;
  baseCount: number;
  address: number;
  count: number;
  mode: number;
  page: number;
}

export class I8257 {
  readonly #shift: number;
  readonly #channels: readonly Channel[] = Array.from({ length: CHANNELS }, () => ({
    baseAddress: 0,
    baseCount: 0,
    address: 0,
    count: 0,
    mode: 0,
    page: 0,
  }));
  #flipFlop = false;
  #status = 0;
  #mask = 0xff;

  /** `base` is its first port and `pages` the page registers'; of a controller for words (`shift` 1) each register has two ports. */
  constructor(topology: MemoryTopology, io: MemoryRegion, base: number, pages: number, shift: 0 | 1) {
    this.#shift = shift;
    const size = 8 << shift;
    const bytes = { valid: sizes(0, 0), impl: sizes(1, 1) };
    const channels: MemoryRegionOps = {
      read: (offset) => this.#readChannel(offset >> shift),
      write: (offset, _size, value) => this.#writeChannel(offset >> shift, value),
      ...bytes,
    };
    const control: MemoryRegionOps = {
      read: (offset) => this.#readControl(offset >> shift),
      write: (offset, _size, value) => this.#writeControl(offset >> shift, value),
      ...bytes,
    };
    io.addSubregion(base, topology.io('dma-chan', size, channels));
    for (const [first, length] of [
      [1, 3],
      [7, 1],
    ] as const) {
      const channelAt = (offset: number) => this.#channels[PAGE_CHANNELS[first + offset]!]!;
      const page = portList(
        length,
        (offset) => channelAt(offset).page,
        (offset, value) => {
          channelAt(offset).page = value;
        },
      );
      io.addSubregion(pages + first, topology.io('dma-page', length, page));
    }
    io.addSubregion(base + size, topology.io('dma-cont', size, control));
  }

  /** i8257_reset: what the channels have been told stays. */
  reset(): void {
    this.#writeControl(RESET, 0);
  }

  /** i8257_read_chan: how far the transfer has come. */
  #readChannel(register: number): number {
    const { address, count, baseCount, mode } = this.#channels[register >> 1]!;
    const high = this.#nextByte();
    const done = mode & MODE_DOWNWARDS ? -count : count;
    const value = register & 1 ? (baseCount << this.#shift) - count : address + done;
    return (value >> (this.#shift + (high ? 8 : 0))) & 0xff;
  }

  /** i8257_write_chan: with its second byte a register of the channel makes it begin anew. */
  #writeChannel(register: number, value: number): void {
    const channel = this.#channels[register >> 1]!;
    const which = register & 1 ? 'baseCount' : 'baseAddress';
    if (!this.#nextByte()) {
      channel[which] = (channel[which] & 0xff00) | value;
      return;
    }
    channel[which] = (channel[which] & 0xff) | (value << 8);
    channel.address = channel.baseAddress << this.#shift;
    channel.count = 0;
  }

  /** i8257_getff: whether it is the high byte's turn. */
  #nextByte(): boolean {
    this.#flipFlop = !this.#flipFlop;
    return !this.#flipFlop;
  }

  #readControl(register: number): number {
    if (register === READ_MASK) return this.#mask;
    if (register !== STATUS) return 0;
    const status = this.#status;
    this.#status &= 0xf0;
    return status;
  }

  #writeControl(register: number, value: number): void {
    const channel = 1 << (value & 3);
    switch (register) {
      case REQUEST:
        this.#status = value & 4 ? this.#status | (channel << 4) : this.#status & ~(channel << 4);
        this.#status &= ~channel;
        break;
      case SINGLE_MASK:
        this.#mask = value & 4 ? this.#mask | channel : this.#mask & ~channel;
        break;
      case MODE:
        this.#channels[value & 3]!.mode = value;
        break;
      case CLEAR_FLIP_FLOP:
        this.#flipFlop = false;
        break;
      case RESET:
        this.#flipFlop = false;
        this.#mask = 0xff;
        this.#status = 0;
        break;
      case CLEAR_MASK:
        this.#mask = 0;
        break;
      case MASK:
        this.#mask = value;
        break;
    }
  }
}

/** i8257_dma_init. */
export const addDmaControllers = (topology: MemoryTopology, io: MemoryRegion): readonly I8257[] => [
  new I8257(topology, io, 0x00, 0x80, 0),
  new I8257(topology, io, 0xc0, 0x88, 1),
];

/**
 * Ports as QEMU registered them before it had memory regions (ioport.c up to 1.x): a function for each port and width, and
 * widths that nobody registered made of bytes, or of nothing. Seed 001 is written for it; here it lies over the memory API.
 *
 * | width | not registered: read | write |
 * |---|---|---|
 * | 1 | 0xff | ignored |
 * | 2 | two bytes | two bytes |
 * | 4 | 0xffffffff | ignored |
 */

import { hardwareError } from '../error.ts';
import { type MemoryRegion, sizes } from '../memory/region.ts';
import type { MemoryTopology } from '../memory/topology.ts';

/** IOPortReadFunc: `address` is the port itself, not an offset. */
export type IoportRead<T> = (opaque: T, address: number) => number;
export type IoportWrite<T> = (opaque: T, address: number, data: number) => void;
export type Width = 1 | 2 | 4;

const PORTS = 0x1_0000;

/** What is registered at one port; functions by width. */
interface Port {
  readonly opaque: unknown;
  readonly reads: Partial<Record<Width, (address: number) => number>>;
  readonly writes: Partial<Record<Width, (address: number, data: number) => void>>;
  readonly region: MemoryRegion;
}

export class OldIoports {
  readonly #topology: MemoryTopology;
  readonly #io: MemoryRegion;
  readonly #ports = new Map<number, Port>();

  constructor(topology: MemoryTopology, io: MemoryRegion) {
    this.#topology = topology;
    this.#io = io;
  }

  /** register_ioport_read: `func` serves reads of `size` bytes at `start`, `start + size`, … below `start + length`. */
  registerRead<T>(start: number, length: number, size: Width, func: IoportRead<T>, opaque: T): void {
    this.#register('register_ioport_read', start, length, size, opaque, (port) => {
      port.reads[size] = (address) => func(opaque, address);
    });
  }

  /** register_ioport_write. */
  registerWrite<T>(start: number, length: number, size: Width, func: IoportWrite<T>, opaque: T): void {
    this.#register('register_ioport_write', start, length, size, opaque, (port) => {
      port.writes[size] = (address, data) => func(opaque, address, data);
    });
  }

  /** isa_unassign_ioport: the ports are nobody's again. */
  unassign(start: number, length: number): void {
    for (let address = start; address < start + length; address++) {
      const port = this.#ports.get(address);
      if (port === undefined) continue;
      this.#ports.delete(address);
      this.#io.deleteSubregion(port.region);
    }
  }

  #register(
    call: string,
    start: number,
    length: number,
    size: number,
    opaque: unknown,
    set: (port: Port) => void,
  ): void {
    if (size !== 1 && size !== 2 && size !== 4) throw hardwareError(`${call}: invalid size`);
    this.#topology.transaction(() => {
      for (let address = start; address < start + length && address < PORTS; address += size) {
        const port = this.#ports.get(address) ?? this.#claim(address, opaque);
        if (port.opaque !== opaque)
          throw hardwareError(`${call}: invalid opaque for address 0x${address.toString(16)}`);
        set(port);
      }
    });
  }

  /** A port gets a region of its own; a wider access is not cut at its end. */
  #claim(address: number, opaque: unknown): Port {
    const ops = {
      read: (_offset: number, size: number) => this.#read(address, size),
      write: (_offset: number, size: number, data: number) => this.#write(address, size, data),
      valid: sizes(1, 4, true),
      impl: sizes(1, 4, true),
    };
    const port: Port = { opaque, reads: {}, writes: {}, region: this.#topology.io('ioport', 1, ops) };
    this.#ports.set(address, port);
    this.#io.addSubregion(address, port.region);
    return port;
  }

  /** ioport_read, with default_ioport_readb, readw and readl. */
  #read(address: number, size: number): number {
    const func = this.#ports.get(address)?.reads[size as Width];
    if (func !== undefined) return func(address) % 2 ** (8 * size);
    if (size === 2) return this.#read(address, 1) | (this.#read((address + 1) % PORTS, 1) << 8);
    return 2 ** (8 * size) - 1;
  }

  /** ioport_write, with its defaults. */
  #write(address: number, size: number, data: number): void {
    const func = this.#ports.get(address)?.writes[size as Width];
    if (func !== undefined) func(address, data);
    else if (size === 2) {
      this.#write(address, 1, data & 0xff);
      this.#write((address + 1) % PORTS, 1, data >> 8);
    }
  }
}

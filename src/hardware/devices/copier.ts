/**
 * Copier: a DMA engine with 4 KiB of memory of its own. PCI 1234:d0a0, class ff0000.
 *
 * BAR0, memory, 8 KiB. The first page holds registers, 32 bits each, little endian; bytes and words are parts of them:
 *
 * | offset | register | |
 * |---|---|---|
 * | 0x00 | ID | read only: 0x52504f43, "COPR" |
 * | 0x04 | CONTROL | bit 0 START (reads 0), bit 1 TO_MEMORY (else from memory), bit 2 INTERRUPT |
 * | 0x08 | STATUS | bit 0 DONE, bit 1 ERROR: the DMA was stopped, or runs over the device's memory; ones written clear |
 * | 0x0c | LENGTH | bytes |
 * | 0x10 | ADDRESS | low half of the bus address |
 * | 0x14 | ADDRESS_HIGH | high half |
 * | 0x18 | OFFSET | first byte of the device's memory |
 * | 0x1c | COUNT | read only: DMAs that were done since reset |
 *
 * The second page is the device's memory. BAR1, I/O, 8 bytes: INDEX at 0 (a register offset), DATA at 4 (that register).
 * BAR2, memory, 4 KiB: the MSI-X table at 0, its pending bits at 0x800.
 *
 * Interrupts: with CONTROL.INTERRUPT, the pin is high while DONE or ERROR is set; message 0 is sent when DONE is set, message 1
 * when ERROR is. A DMA is done when the write of START returns.
 */

import type { BusTarget } from '../address-bus.ts';
import { PciFunction, type PciSlot } from '../pci/function.ts';

export const COPIER_VENDOR = 0x1234;
export const COPIER_DEVICE = 0xd0a0;

/** Register offsets in BAR0. */
export const COPIER = {
  ID: 0x00,
  CONTROL: 0x04,
  STATUS: 0x08,
  LENGTH: 0x0c,
  ADDRESS: 0x10,
  ADDRESS_HIGH: 0x14,
  OFFSET: 0x18,
  COUNT: 0x1c,
  MEMORY: 0x1000,
} as const;
export const CONTROL_START = 1;
export const CONTROL_TO_MEMORY = 2;
export const CONTROL_INTERRUPT = 4;
export const STATUS_DONE = 1;
export const STATUS_ERROR = 2;
export const COPIER_ID = 0x5250_4f43;

const PAGE = 0x1000;
const REGISTER_BYTES = 0x20;

/** One copier in a slot. */
export class Copier {
  readonly function: PciFunction;
  readonly #registers = new DataView(new ArrayBuffer(REGISTER_BYTES));
  readonly #memory = new DataView(new ArrayBuffer(PAGE));
  #index = 0;

  constructor(slot: PciSlot) {
    const msix: BusTarget = {
      read: (offset, size) => this.function.msixTarget.read(offset, size),
      write: (offset, size, value) => this.function.msixTarget.write(offset, size, value),
    };
    this.#powerOn();
    this.function = new PciFunction(slot, {
      vendor: COPIER_VENDOR,
      device: COPIER_DEVICE,
      revision: 1,
      class: 0xff_0000,
      bars: [
        { kind: 'memory', size: 2 * PAGE, target: this.#bar0 },
        { kind: 'ports', size: 8, target: this.#bar1 },
        { kind: 'memory', size: PAGE, target: msix },
      ],
      messages: { count: 2, bar: 2 },
      reset: () => this.#powerOn(),
    });
  }

  readonly #bar0: BusTarget = {
    read: (offset, size) => {
      if (offset >= PAGE) return offset + size <= 2 * PAGE ? get(this.#memory, offset - PAGE, size) : 0;
      return offset + size <= REGISTER_BYTES ? get(this.#registers, offset, size) : 0;
    },
    write: (offset, size, value) => {
      if (offset >= PAGE && offset + size <= 2 * PAGE) set(this.#memory, offset - PAGE, size, value);
      else if (offset + size <= REGISTER_BYTES) this.#writeRegister(offset, size, value);
    },
  };

  readonly #bar1: BusTarget = {
    read: (offset, size) => {
      if (offset < 4) return size === 4 ? this.#index : (this.#index >>> (8 * offset)) & (2 ** (8 * size) - 1);
      return this.#bar0.read(this.#index + offset - 4, size);
    },
    write: (offset, size, value) => {
      if (offset === 0) this.#index = value & (REGISTER_BYTES - 4);
      else if (offset >= 4) this.#bar0.write(this.#index + offset - 4, size, value);
    },
  };

  #writeRegister(offset: number, size: 1 | 2 | 4, value: number): void {
    const register = offset & ~3;
    const shift = 8 * (offset & 3);
    const mask = ((size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1) << shift) >>> 0;
    const written = (value << shift) >>> 0;
    const old = this.#registers.getUint32(register, true);
    switch (register) {
      case COPIER.ID:
      case COPIER.COUNT:
        return;
      case COPIER.STATUS:
        this.#set(COPIER.STATUS, old & ~(written & mask));
        break;
      case COPIER.CONTROL:
        this.#set(COPIER.CONTROL, ((old & ~mask) | (written & mask)) & (CONTROL_TO_MEMORY | CONTROL_INTERRUPT));
        if (written & mask & CONTROL_START) this.#copy();
        break;
      default:
        this.#set(register, (old & ~mask) | (written & mask));
    }
    this.#updatePin();
  }

  #copy(): void {
    const [length, offset] = [this.#get(COPIER.LENGTH), this.#get(COPIER.OFFSET)];
    const address = (BigInt(this.#get(COPIER.ADDRESS_HIGH)) << 32n) | BigInt(this.#get(COPIER.ADDRESS));
    const fits = offset + length <= PAGE;
    const part = new Uint8Array(this.#memory.buffer, fits ? offset : 0, fits ? length : 0);
    const toMemory = (this.#get(COPIER.CONTROL) & CONTROL_TO_MEMORY) !== 0;
    const done = fits && (toMemory ? this.function.dmaWrite(address, part) : this.function.dmaRead(address, part));
    this.#set(COPIER.COUNT, this.#get(COPIER.COUNT) + (done ? 1 : 0));
    this.#set(COPIER.STATUS, this.#get(COPIER.STATUS) | (done ? STATUS_DONE : STATUS_ERROR));
    if (this.#get(COPIER.CONTROL) & CONTROL_INTERRUPT) this.function.sendMessage(done ? 0 : 1);
  }

  #updatePin(): void {
    const wanted = (this.#get(COPIER.CONTROL) & CONTROL_INTERRUPT) !== 0;
    this.function.setIntx(wanted && (this.#get(COPIER.STATUS) & (STATUS_DONE | STATUS_ERROR)) !== 0);
  }

  #powerOn(): void {
    for (let at = 0; at < REGISTER_BYTES; at += 4) this.#set(at, 0);
    new Uint8Array(this.#memory.buffer).fill(0);
    this.#set(COPIER.ID, COPIER_ID);
    this.#index = 0;
  }

  #get(register: number): number {
    return this.#registers.getUint32(register, true);
  }

  #set(register: number, value: number): void {
    this.#registers.setUint32(register, value, true);
  }
}

function get(view: DataView, at: number, size: 1 | 2 | 4): number {
  if (size === 1) return view.getUint8(at);
  return size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
}

function set(view: DataView, at: number, size: 1 | 2 | 4, value: number): void {
  if (size === 1) view.setUint8(at, value);
  else if (size === 2) view.setUint16(at, value, true);
  else view.setUint32(at, value, true);
}

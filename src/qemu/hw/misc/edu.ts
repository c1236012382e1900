/**
 * edu: a device to learn drivers with (docs/specs/edu.txt, hw/misc/edu.c). BAR0 is its data sheet:
 *
 * | at | what |
 * |---|---|
 * | 00 | identification, 0x010000ed |
 * | 04 | liveness: reads back inverted |
 * | 08 | factorial: of what is written, once bit 0 of the status is clear again |
 * | 20 | status: 0x01 computing, 0x80 raise interrupt 0x1 when done |
 * | 24 | interrupts that are up; 60 raises, 64 acknowledges |
 * | 80 88 90 98 | DMA: source, destination, count, command (1 run, 2 out of the device, 4 raise 0x100 when done) |
 *
 * The device's own buffer is 4 KiB at 0x40000. DMA takes 100 ms. Fidelity: in QEMU a thread computes the factorial; here it
 * takes a nanosecond a multiplication.
 */

import { MiB } from '../../../address.ts';
import { PCI_CLASS_OTHERS, PCI_INTERRUPT_PIN } from '../../../linux/uapi/pci.ts';
import { hardwareError } from '../../error.ts';
import { type MemoryRegionOps, sizes } from '../../memory/region.ts';
import type { System } from '../../system.ts';
import type { QemuTimer, TimerList } from '../../timer.ts';
import { Msi } from '../pci/msi.ts';
import { PciDevice } from '../pci/pci-device.ts';
import { type PciPlace, pciModel } from '../pci/pci-model.ts';
import { u64Property } from '../property.ts';

const IDENTIFICATION = 0x0100_00ed;
const COMPUTING = 0x01;
const IRQ_WHEN_COMPUTED = 0x80;
const FACTORIAL_IRQ = 0x1;
const DMA_IRQ = 0x100;
const DMA_RUN = 1n;
const DMA_TO_RAM = 2n;
const DMA_RAISE = 4n;
const BUFFER = 0x4_0000n;
const BUFFER_SIZE = 4096n;
const DMA_TIME = 100_000_000;
const ALL_ONES = -1;
const WIDE_ONES = 0xffff_ffff_ffff_ffffn;
/** Registers below are of 32 bits, and no others read or write them; from here on of 64. */
const DMA_REGISTERS = 0x80;

class Edu extends PciDevice {
  readonly #system: System;
  readonly #timers: TimerList;
  readonly #dmaMask: bigint;
  readonly #msi: Msi;
  readonly #dmaDone: QemuTimer;
  readonly #factorialDone: QemuTimer;
  readonly #buffer = new DataView(new ArrayBuffer(Number(BUFFER_SIZE)));
  #liveness = 0;
  #factorial = 0;
  #status = 0;
  #interrupts = 0;
  #dma = { source: 0n, destination: 0n, count: 0n, command: 0n };

  constructor({ machine, bus, devfn, id }: PciPlace, dmaMask: bigint) {
    super(machine.system.stream, bus, devfn, 'edu', id);
    this.#system = machine.system;
    this.#timers = machine.mainLoop.timers;
    this.#dmaMask = dmaMask;
    this.identify({ vendor: 0x1234, device: 0x11e8, revision: 0x10, class: PCI_CLASS_OTHERS });
    this.config[PCI_INTERRUPT_PIN] = 1;
    this.#msi = new Msi(this, 1);
    this.#dmaDone = this.#timers.timer(() => this.#transfer());
    this.#factorialDone = this.#timers.timer(() => this.#computed());
    const ops: MemoryRegionOps = {
      read: (offset) =>
        offset < DMA_REGISTERS ? this.#read(offset) : Number(BigInt.asUintN(32, this.#readDma(offset))),
      write: (offset, _, value) =>
        offset < DMA_REGISTERS ? this.#write(offset, value) : this.#writeDma(offset, BigInt(value)),
      readWide: (offset) => (offset < DMA_REGISTERS ? WIDE_ONES : this.#readDma(offset)),
      writeWide: (offset, value) => {
        if (offset >= DMA_REGISTERS) this.#writeDma(offset, value);
      },
      valid: sizes(4, 8),
      impl: sizes(4, 8),
    };
    this.registerBar(0, 0, machine.topology.io('edu-mmio', MiB(1), ops, this.guard));
  }

  override writeConfig(address: number, value: number, length: number): void {
    super.writeConfig(address, value, length);
    this.#msi.written(address, length);
  }

  override reset(): void {
    super.reset();
    this.#msi.reset();
  }

  #read(offset: number): number {
    switch (offset) {
      case 0x00:
        return IDENTIFICATION;
      case 0x04:
        return this.#liveness;
      case 0x08:
        return this.#factorial;
      case 0x20:
        return this.#status;
      case 0x24:
        return this.#interrupts;
      default:
        return ALL_ONES;
    }
  }

  #write(offset: number, value: number): void {
    switch (offset) {
      case 0x04:
        this.#liveness = ~value >>> 0;
        break;
      case 0x08:
        if ((this.#status & COMPUTING) === 0) this.#compute(value);
        break;
      case 0x20:
        this.#status = (this.#status & ~IRQ_WHEN_COMPUTED) | (value & IRQ_WHEN_COMPUTED);
        break;
      case 0x60:
        this.#raise(value);
        break;
      case 0x64:
        this.#acknowledge(value);
        break;
    }
  }

  #readDma(offset: number): bigint {
    switch (offset) {
      case 0x80:
        return this.#dma.source;
      case 0x88:
        return this.#dma.destination;
      case 0x90:
        return this.#dma.count;
      case 0x98:
        return this.#dma.command;
      default:
        return WIDE_ONES;
    }
  }

  #writeDma(offset: number, value: bigint): void {
    // What the device works on is not to be changed under it.
    if (this.#dma.command & DMA_RUN) return;
    switch (offset) {
      case 0x80:
        this.#dma.source = value;
        break;
      case 0x88:
        this.#dma.destination = value;
        break;
      case 0x90:
        this.#dma.count = value;
        break;
      case 0x98:
        if ((value & DMA_RUN) === 0n) break;
        this.#dma.command = value;
        this.#dmaDone.modify(this.#timers.now + DMA_TIME);
        break;
    }
  }

  #compute(of: number): void {
    this.#factorial = of;
    this.#status |= COMPUTING;
    this.#factorialDone.modify(this.#timers.now + of);
  }

  #computed(): void {
    let product = 1;
    // Modulo 2^32 the factorial of 34 and more is 0.
    for (let n = this.#factorial; n > 0 && product !== 0; n--) product = Math.imul(product, n) >>> 0;
    this.#factorial = product;
    this.#status &= ~COMPUTING;
    if (this.#status & IRQ_WHEN_COMPUTED) this.#raise(FACTORIAL_IRQ);
  }

  /** pci_edu_uninit. */
  protected override exit(): void {
    this.#dmaDone.cancel();
    this.#factorialDone.cancel();
  }

  #raise(interrupts: number): void {
    this.#interrupts = (this.#interrupts | interrupts) >>> 0;
    if (this.#interrupts === 0) return;
    if (this.#msi.enabled) this.#msi.notify(0);
    else this.setIrq(true);
  }

  #acknowledge(interrupts: number): void {
    this.#interrupts = (this.#interrupts & ~interrupts) >>> 0;
    if (this.#interrupts === 0 && !this.#msi.enabled) this.setIrq(false);
  }

  /** edu_dma_timer: the bytes move, all at once. */
  #transfer(): void {
    const { source, destination, count, command } = this.#dma;
    const own = command & DMA_TO_RAM ? source : destination;
    checkRange(own, count);
    const at = Number(own - BUFFER);
    const length = Number(count);
    if (command & DMA_TO_RAM) this.dmaWrite(this.#clamp(destination), this.#buffer, at, length);
    else this.dmaRead(this.#clamp(source), this.#buffer, at, length);
    this.#dma.command &= ~DMA_RUN;
    if (command & DMA_RAISE) this.#raise(DMA_IRQ);
  }

  /** The device has fewer address lines than the machine: 28 unless dma_mask says otherwise. */
  #clamp(address: bigint): number {
    const clamped = address & this.#dmaMask;
    if (clamped !== address) {
      // printf's %#.16: no 0x before a zero.
      const hex = (value: bigint) => `${value === 0n ? '' : '0x'}${value.toString(16).padStart(16, '0')}`;
      this.#system.print(`EDU: clamping DMA ${hex(address)} to ${hex(clamped)}!\n`);
    }
    return Number(clamped);
  }
}

/** edu_check_range: first and one behind the last byte lie in the buffer; so a transfer up to its very end is refused. */
function checkRange(start: bigint, count: bigint): void {
  const end = BigInt.asUintN(64, start + count);
  const within = (address: bigint) => BUFFER <= address && address < BUFFER + BUFFER_SIZE;
  if (within(start) && end > start && within(end)) return;
  const range = (from: bigint, to: bigint) =>
    [from, to - 1n].map((x) => `0x${x.toString(16).padStart(16, '0')}`).join('-');
  throw hardwareError(`EDU: DMA range ${range(start, end)} out of bounds (${range(BUFFER, BUFFER + BUFFER_SIZE)})!`);
}

export const edu = pciModel({
  name: 'edu',
  category: 'Misc',
  description: 'Educational device',
  properties: { dma_mask: u64Property(0x0fff_ffffn, 'Address lines of the DMA engine') },
  make: (place, { dma_mask }) => new Edu(place, dma_mask),
});

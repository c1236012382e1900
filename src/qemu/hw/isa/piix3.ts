/**
 * PIIX3, the ISA bridge at 01.0: which interrupt line each of the board's four PIRQs leads to, and the reset control port
 * (Intel 82371SB data sheet, 2.2.8 PIRQRC and 2.5.4.1 RC; hw/isa/piix3.c).
 */

import type { EventStream } from '../../../event.ts';
import { PCI_CLASS_BRIDGE_ISA, PCI_HEADER_TYPE, PCI_HEADER_TYPE_MULTI_FUNCTION } from '../../../linux/uapi/pci.ts';
import { sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import type { PciBus } from '../pci/pci-bus.ts';
import { PciDevice } from '../pci/pci-device.ts';

const DEVFN = 1 << 3;
/** Route of PIRQA to PIRQD: an ISA interrupt in bits 3:0, bit 7 disconnects. */
const PIRQRC = 0x60;
const PIRQS = 4;
const ISA_IRQS = 16;
const RESET_CONTROL = 0xcf9;
const RESET_CPU = 0x04;
const RESET_KIND = 0x02;

/** Registers that are not 0 after reset, by offset. */
const AFTER_RESET: readonly (readonly [offset: number, value: number])[] = [
  [0x07, 0x02],
  [0x4c, 0x4d],
  [0x4e, 0x03],
  [0x60, 0x80],
  [0x61, 0x80],
  [0x62, 0x80],
  [0x63, 0x80],
  [0x69, 0x02],
  [0x70, 0x80],
  [0x76, 0x0c],
  [0x77, 0x0c],
  [0x78, 0x02],
  [0xa0, 0x08],
  [0xa8, 0x0f],
];

/** What the chip is wired to. */
export interface Piix3Pins {
  /** Drives an ISA interrupt line. */
  setIrq(irq: number, level: boolean): void;
  /** Resets the machine. */
  reset(): void;
}

export class Piix3 extends PciDevice {
  readonly #rootBus: PciBus;
  readonly #pins: Piix3Pins;
  #resetControl = 0;

  constructor(stream: EventStream, topology: MemoryTopology, rootBus: PciBus, pins: Piix3Pins) {
    super(stream, rootBus, DEVFN, 'PIIX3', undefined);
    this.#rootBus = rootBus;
    this.#pins = pins;
    this.identify({ vendor: 0x8086, device: 0x7000, class: PCI_CLASS_BRIDGE_ISA });
    this.config[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_MULTI_FUNCTION;
    const reset = {
      read: () => this.#resetControl,
      write: (_offset: number, _size: number, value: number) => this.#writeResetControl(value),
      valid: sizes(0, 0),
      impl: sizes(0, 0),
    };
    rootBus.io.addSubregion(RESET_CONTROL, topology.io('piix3-reset-control', 1, reset), 1);
    rootBus.attach(this);
    rootBus.onPirq = (pirq) => this.#setPirq(pirq);
    rootBus.routeOfPirq = (pirq) => this.#lineOf(pirq);
  }

  override get hotpluggable(): boolean {
    return false;
  }

  override reset(): void {
    super.reset();
    for (const [offset, value] of AFTER_RESET) this.config[offset] = value;
    this.#resetControl = 0;
  }

  /** piix3_write_config: a route that moves takes the level of its PIRQ along; the interrupt it left may go down. */
  override writeConfig(address: number, value: number, length: number): void {
    super.writeConfig(address, value, length);
    if (address >= PIRQRC + PIRQS || address + length <= PIRQRC) return;
    this.#rootBus.routesChanged();
    for (let pirq = 0; pirq < PIRQS; pirq++) this.#setPirq(pirq);
    for (let irq = 0; irq < ISA_IRQS; irq++) this.#pins.setIrq(irq, this.#level(irq));
  }

  /** piix3_route_intx_pin_to_irq. */
  #lineOf(pirq: number): number | undefined {
    const irq = this.config[PIRQRC + pirq]!;
    return irq < ISA_IRQS ? irq : undefined;
  }

  /** piix3_set_irq: the interrupt that a PIRQ leads to is told its level, changed or not. */
  #setPirq(pirq: number): void {
    const irq = this.#lineOf(pirq);
    if (irq !== undefined) this.#pins.setIrq(irq, this.#level(irq));
  }

  /** An interrupt is up while any PIRQ that leads to it is. */
  #level(irq: number): boolean {
    for (let pirq = 0; pirq < PIRQS; pirq++) {
      if (this.#lineOf(pirq) === irq && this.#rootBus.pirqLevel(pirq)) return true;
    }
    return false;
  }

  #writeResetControl(value: number): void {
    if (value & RESET_CPU) this.#pins.reset();
    else this.#resetControl = value & RESET_KIND;
  }
}

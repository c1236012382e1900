/**
 * A PCI function as hardware: 256 bytes of configuration with what can be written of each, base address registers that open and
 * close windows as COMMAND says, INTx, MSI and MSI-X, bus mastering through the IOMMU, and a reset by the Advanced Features
 * capability (PCI Local Bus 3.0 chapters 6 and 6.8; ECN Advanced Capabilities for Conventional PCI). A device says what it has
 * in {@link FunctionDesign} and what its registers do in {@link BusTarget}s.
 */

import type { AddressBus, BusTarget } from '../address-bus.ts';
import { InterruptController } from '../interrupt-controller.ts';
import { type Iommu, sourceId } from '../iommu.ts';
import { ConfigRegisters } from './config-registers.ts';
import { MsixTable } from './msix-table.ts';
import * as pci from './registers.ts';

/** What a function is plugged into. */
export interface PciSlot {
  readonly bus: number;
  readonly devfn: number;
  readonly memory: AddressBus;
  readonly ports: AddressBus;
  readonly iommu: Iommu;
  readonly interrupts: InterruptController;
  /** Number of the interrupt line that its pin A is wired to. */
  readonly line: number;
}

/** One base address register: a power of two of at least 16 bytes of memory or 4 of ports. */
export interface BarDesign {
  readonly kind: 'memory' | 'ports';
  readonly size: number;
  readonly target: BusTarget;
}

/** What a function has. */
export interface FunctionDesign {
  readonly vendor: number;
  readonly device: number;
  readonly revision: number;
  /** Base class, subclass, programming interface. */
  readonly class: number;
  /** By BAR number; missing ones read 0. */
  readonly bars: readonly (BarDesign | undefined)[];
  /** Messages: both MSI and MSI-X offer so many (a power of two). The MSI-X table is at the start of BAR `bar`. */
  readonly messages: { readonly count: number; readonly bar: number };
  /** Back to the state after power-on. */
  reset(): void;
}

const MSI_AT = 0x50;
const MSIX_AT = 0x60;
const AF_AT = 0x70;
/** The pending bits of MSI-X stand in the second half of the table's page. */
const PBA_AT = 0x800;

export class PciFunction {
  readonly slot: PciSlot;
  readonly source: number;
  readonly #design: FunctionDesign;
  readonly #config = new ConfigRegisters();
  readonly #msix: MsixTable;
  readonly #windows: (() => void)[] = [];
  #intx = false;

  constructor(slot: PciSlot, design: FunctionDesign) {
    this.slot = slot;
    this.#design = design;
    this.source = sourceId(slot.bus, slot.devfn);
    this.#msix = new MsixTable(design.messages.count, (address, data) => this.#send(address, data));
    this.#powerOn();
  }

  get design(): FunctionDesign {
    return this.#design;
  }

  /** The MSI-X table and pending bits, which the device puts at the start of its BAR. */
  get msixTarget(): BusTarget {
    return this.#msix;
  }

  /** Read 1, 2 or 4 aligned bytes of configuration. */
  readConfig(offset: number, size: 1 | 2 | 4): number {
    return this.#config.read(offset, size);
  }

  /** Write 1, 2 or 4 aligned bytes of configuration, with what follows from it. */
  writeConfig(offset: number, size: 1 | 2 | 4, value: number): void {
    this.#config.write(offset, size, value);
    if (offset <= AF_AT + pci.AF_CONTROL && offset + size > AF_AT + pci.AF_CONTROL) {
      if (this.#config.read(AF_AT + pci.AF_CONTROL, 1) & pci.AF_FUNCTION_RESET) this.reset();
    }
    this.#decode();
    this.#driveLine();
    this.#msix.setControl(this.#config.read(MSIX_AT + 2, 2));
  }

  /** Function-level reset: what the device does is forgotten, and nothing of it is decoded any more. */
  reset(): void {
    this.#design.reset();
    this.#intx = false;
    this.#msix.reset();
    this.#powerOn();
  }

  /** Bus mastering: read memory. False if it may not, or if the IOMMU stopped it. */
  dmaRead(address: bigint, into: Uint8Array): boolean {
    return this.#mastersBus() && this.slot.iommu.read(this.source, address, into);
  }

  /** Bus mastering: write memory. */
  dmaWrite(address: bigint, from: Uint8Array): boolean {
    return this.#mastersBus() && this.slot.iommu.write(this.source, address, from);
  }

  /** The level of the interrupt pin: what the device wants, whether or not INTx is how it is heard. */
  setIntx(level: boolean): void {
    this.#intx = level;
    this.#driveLine();
  }

  /** Send message `number` by MSI-X, else MSI. Without either enabled nothing is sent. */
  sendMessage(number: number): void {
    if (this.#msix.enabled) {
      this.#msix.signal(number);
      return;
    }
    const control = this.#config.read(MSI_AT + 2, 2);
    if ((control & pci.MSI_ENABLE) === 0) return;
    // With fewer messages granted than wanted, the rest share the last one.
    const granted = 1 << ((control >> 4) & 7);
    const address = BigInt(this.#config.read(MSI_AT + 4, 4)) | (BigInt(this.#config.read(MSI_AT + 8, 4)) << 32n);
    const data = this.#config.read(MSI_AT + 12, 2);
    this.#send(address, (data & ~(granted - 1)) | Math.min(number, granted - 1));
  }

  /** Whether interrupts go by message: then the pin is silent. */
  get usesMessages(): boolean {
    return this.#msix.enabled || (this.#config.read(MSI_AT + 2, 2) & pci.MSI_ENABLE) !== 0;
  }

  #mastersBus(): boolean {
    return (this.#config.read(pci.COMMAND, 2) & pci.COMMAND_MASTER) !== 0;
  }

  /** A message is a DMA write, to an address at which the host's interrupt controller listens. */
  #send(address: bigint, data: number): void {
    if (!this.#mastersBus()) return;
    if (InterruptController.isMessage(address)) this.slot.interrupts.message(data);
    else this.slot.iommu.write(this.source, address, new Uint8Array(Uint32Array.of(data).buffer));
  }

  #driveLine(): void {
    const silent = (this.#config.read(pci.COMMAND, 2) & pci.COMMAND_INTX_DISABLE) !== 0 || this.usesMessages;
    const status = this.#config.read(pci.STATUS, 2);
    this.#config.force(pci.STATUS, 2, this.#intx ? status | pci.STATUS_INTERRUPT : status & ~pci.STATUS_INTERRUPT);
    this.slot.interrupts.drive(this.slot.line, this.#intx && !silent);
  }

  /** Open the windows that COMMAND and the BARs describe now. */
  #decode(): void {
    for (const close of this.#windows.splice(0)) close();
    const command = this.#config.read(pci.COMMAND, 2);
    for (const [index, bar] of this.#design.bars.entries()) {
      if (bar === undefined) continue;
      const ports = bar.kind === 'ports';
      if ((command & (ports ? pci.COMMAND_IO : pci.COMMAND_MEMORY)) === 0) continue;
      const value = this.#config.read(pci.BAR0 + 4 * index, 4);
      const start = (value & (ports ? ~3 : ~15)) >>> 0;
      this.#windows.push((ports ? this.slot.ports : this.slot.memory).attach(start, bar.size, bar.target));
    }
  }

  #powerOn(): void {
    const config = this.#config;
    const design = this.#design;
    const log = Math.log2(design.messages.count);
    config.clear();
    config.force(pci.VENDOR_ID, 2, design.vendor);
    config.force(pci.DEVICE_ID, 2, design.device);
    config.force(pci.REVISION_ID, 4, ((design.class << 8) | design.revision) >>> 0);
    config.writable(pci.COMMAND, 2, 0x0547, 0);
    config.force(pci.STATUS, 2, pci.STATUS_CAPABILITIES | pci.STATUS_DEVSEL_MEDIUM);
    config.clearedByOnes(pci.STATUS, 2, 0xf900);
    config.writable(pci.CACHE_LINE_SIZE, 1, 0xff, 0);
    config.writable(pci.LATENCY_TIMER, 1, 0xff, 0);
    config.writable(pci.INTERRUPT_LINE, 1, 0xff, 0);
    config.force(pci.INTERRUPT_PIN, 1, 1);
    config.force(pci.SUBSYSTEM_VENDOR_ID, 2, design.vendor);
    config.force(pci.SUBSYSTEM_ID, 2, design.device);
    for (const [index, bar] of design.bars.entries()) {
      if (bar !== undefined) config.writable(pci.BAR0 + 4 * index, 4, -bar.size >>> 0, bar.kind === 'ports' ? 1 : 0);
    }
    config.force(pci.CAPABILITY_LIST, 1, MSI_AT);
    config.force(MSI_AT, 4, pci.CAP_MSI | (MSIX_AT << 8) | ((pci.MSI_64BIT | (log << 1)) << 16));
    config.writable(MSI_AT + 2, 2, pci.MSI_ENABLE | (7 << 4), pci.MSI_64BIT | (log << 1));
    config.writable(MSI_AT + 4, 4, 0xffff_fffc, 0);
    config.writable(MSI_AT + 8, 4, 0xffff_ffff, 0);
    config.writable(MSI_AT + 12, 2, 0xffff, 0);
    config.force(MSIX_AT, 2, pci.CAP_MSIX | (AF_AT << 8));
    config.writable(MSIX_AT + 2, 2, pci.MSIX_ENABLE | pci.MSIX_MASK_ALL, design.messages.count - 1);
    config.force(MSIX_AT + 4, 4, design.messages.bar);
    config.force(MSIX_AT + 8, 4, PBA_AT | design.messages.bar);
    config.force(AF_AT, 4, pci.CAP_AF | (6 << 16) | ((pci.AF_TRANSACTIONS | pci.AF_RESET_CAPABLE) << 24));
    config.writable(AF_AT + pci.AF_CONTROL, 1, pci.AF_FUNCTION_RESET, 0);
    this.#decode();
    this.#driveLine();
  }
}

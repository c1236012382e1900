/**
 * e1000: Intel's 82540EM Gigabit Ethernet card (hw/net/e1000.c). BAR 0 is its registers, most of them coalesced: a write waits in
 * KVM's ring until one comes that the card must hear of at once. BAR 1 is the I/O window of the manual, which in QEMU reads 0.
 *
 * Fidelity: no boot ROM.
 */

import {
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_CLASS_NETWORK_ETHERNET,
  PCI_COMMAND,
  PCI_INTERRUPT_PIN,
} from '../../../../linux/uapi/pci.ts';
import { type MemoryRegionOps, sizes } from '../../../memory/region.ts';
import { NetClient } from '../../../net/net-client.ts';
import type { QemuTimer, TimerList } from '../../../timer.ts';
import { PciDevice } from '../../pci/pci-device.ts';
import { type PciPlace, pciModel } from '../../pci/pci-model.ts';
import { macProperty, stringProperty } from '../../property.ts';
import { Eeprom } from './eeprom.ts';
import { Interrupts } from './interrupts.ts';
import { Phy } from './phy.ts';
import { ReceiveRing } from './receive.ts';
import { ReceiveFilter } from './receive-filter.ts';
import {
  CAUSE_LSC,
  CAUSE_MDAC,
  CTRL,
  CTRL_RST,
  EERD,
  ICR,
  ICS,
  IMC,
  IMS,
  MDIC,
  MMIO_SIZE,
  RA,
  RAH_AV,
  RCTL,
  RDT,
  Registers,
  STATUS,
  STATUS_LU,
  TCTL,
  TDT,
} from './registers.ts';
import { Transmitter } from './transmit.ts';

const VENDOR = 0x8086;
const DEVICE = 0x100e;
const IO_SIZE = 0x40;
/** Registers whose writes do something at once; those between them may wait. */
const IMMEDIATE = [MDIC, ICR, ICS, IMS, IMC, TCTL, TDT] as const;
const MILLISECOND = 1_000_000;
const NEGOTIATION_MS = 500;
/** After a write to RCTL nothing is received for so long. */
const SETTLING_MS = 1000;

class E1000 extends PciDevice {
  readonly #timers: TimerList;
  readonly #mac: readonly number[];
  readonly #registers = new Registers();
  readonly #interrupts: Interrupts;
  readonly #eeprom: Eeprom;
  readonly #phy: Phy;
  readonly #transmitter: Transmitter;
  readonly #ring: ReceiveRing;
  readonly #client: NetClient;
  readonly #negotiated: QemuTimer;
  readonly #settled: QemuTimer;

  constructor({ machine, bus, devfn, id }: PciPlace, mac: readonly number[] | undefined, netdev: string | undefined) {
    const { stream } = machine.system;
    super(stream, bus, devfn, 'e1000', id);
    this.#timers = machine.mainLoop.timers;
    this.identify({ vendor: VENDOR, device: DEVICE, revision: 3, class: PCI_CLASS_NETWORK_ETHERNET });
    this.config[PCI_INTERRUPT_PIN] = 1;
    this.#mac = mac ?? machine.network.nextMac();
    this.#client = new NetClient(stream, id ?? machine.network.nextName('e1000'), {
      canReceive: () => this.#ring.ready,
      receive: (frame) => this.#ring.receive(frame),
    });
    if (netdev !== undefined) machine.network.connect(netdev, this.#client);
    this.#interrupts = new Interrupts(this.#registers, this.#timers, (level) => this.setIrq(level));
    this.#eeprom = new Eeprom(this.#mac, DEVICE);
    this.#phy = new Phy(() => this.#negotiate());
    this.#negotiated = this.#timers.timer(() => this.#linkUp());
    this.#settled = this.#timers.timer(() => this.#client.flush());
    this.#transmitter = new Transmitter(this.#registers, this.#interrupts, this.#transmitPort());
    this.#ring = new ReceiveRing(
      this.#registers,
      this.#interrupts,
      new ReceiveFilter(this.#registers),
      this.#receivePort(),
    );
    this.#addRegions(machine.topology);
  }

  #addRegions(topology: PciPlace['machine']['topology']): void {
    const registers: MemoryRegionOps = {
      read: (offset) => this.#read(offset),
      write: (offset, _size, value) => this.#write(offset, value),
      valid: sizes(0, 0),
      impl: sizes(4, 4),
    };
    const mmio = topology.io('e1000-mmio', MMIO_SIZE, registers, this.guard);
    let from = 0;
    for (const at of [...IMMEDIATE, MMIO_SIZE]) {
      mmio.addCoalescing(from, at - from);
      from = at + 4;
    }
    this.registerBar(0, 0, mmio);
    const silent: MemoryRegionOps = { read: () => 0, write: () => undefined, valid: sizes(0, 0), impl: sizes(0, 0) };
    this.registerBar(1, PCI_BASE_ADDRESS_SPACE_IO, topology.io('e1000-io', IO_SIZE, silent, this.guard));
  }

  #transmitPort() {
    return {
      read: (address: number, into: DataView, at: number, length: number) => this.dmaRead(address, into, at, length),
      write: (address: number, from: DataView, at: number, length: number) => this.dmaWrite(address, from, at, length),
      send: (frame: Uint8Array) => (this.#phy.loopback ? this.#client.loopBack(frame) : this.#client.send(frame)),
    };
  }

  #receivePort() {
    const card = this;
    return {
      read: (address: number, into: DataView, at: number, length: number) => this.dmaRead(address, into, at, length),
      write: (address: number, from: DataView, at: number, length: number) => this.dmaWrite(address, from, at, length),
      get isBusMaster() {
        return card.isBusMaster;
      },
      get settling() {
        return card.#settled.pending;
      },
    };
  }

  /** A card that may master the bus again can receive what waits. */
  override writeConfig(address: number, value: number, length: number): void {
    super.writeConfig(address, value, length);
    if (address <= PCI_COMMAND && address + length > PCI_COMMAND && this.isBusMaster) this.#client.flush();
  }

  /** pci_e1000_uninit: nothing moves any more, and nobody hears of the card's frames. */
  protected override exit(): void {
    this.#stop();
    this.#client.disconnect();
  }

  #stop(): void {
    this.#negotiated.cancel();
    this.#settled.cancel();
    this.#interrupts.reset();
  }

  override reset(): void {
    super.reset();
    this.#stop();
    this.#phy.reset();
    this.#registers.reset();
    this.#transmitter.reset();
    const [a, b, c, d, e, f] = this.#mac as readonly [number, number, number, number, number, number];
    this.#registers.set(RA, a | (b << 8) | (c << 16) | (d << 24));
    this.#registers.set(RA + 4, RAH_AV + (e | (f << 8)));
  }

  #read(offset: number): number {
    const registers = this.#registers;
    const value = registers.get(offset);
    switch (registers.row(offset)?.read) {
      case undefined:
        return 0;
      case 'value':
        return value;
      case 'clear':
        registers.set(offset, 0);
        return value;
      case 'clear-pair':
        registers.set(offset, 0);
        registers.set(offset - 4, 0);
        return value;
      case 'icr':
        this.#interrupts.become(0);
        return value;
      case 'eecd':
        return this.#eeprom.eecd;
      case 'eerd':
        return this.#eeprom.eerd(registers.get(EERD));
    }
  }

  #write(offset: number, value: number): void {
    const registers = this.#registers;
    const effect = registers.row(offset)?.write;
    if (typeof effect === 'number') registers.set(offset, value & effect);
    switch (effect) {
      case 'ctrl':
        // The bit falls by itself, and QEMU's card resets nothing.
        registers.set(CTRL, value & ~CTRL_RST);
        break;
      case 'eecd':
        this.#eeprom.drive(value);
        break;
      case 'mdic':
        this.#writeMdic(value);
        break;
      case 'icr':
        this.#interrupts.become((registers.get(ICR) & ~value) >>> 0);
        break;
      case 'ics':
        this.#interrupts.raise(value);
        break;
      case 'ims':
        registers.set(IMS, registers.get(IMS) | value);
        this.#interrupts.raise(0);
        break;
      case 'imc':
        registers.set(IMS, registers.get(IMS) & ~value);
        this.#interrupts.raise(0);
        break;
      case 'rctl':
        registers.set(RCTL, value);
        this.#settled.modify(this.#inMilliseconds(SETTLING_MS));
        break;
      case 'transmit':
        registers.set(offset, value);
        registers.set(TDT, registers.get(TDT) & 0xffff);
        this.#transmitter.start();
        break;
      case 'rdt':
        registers.set(RDT, value & 0xffff);
        if (this.#ring.hasBuffers(1)) this.#client.flush();
        break;
    }
  }

  #writeMdic(value: number): void {
    const answer = this.#phy.mdic(value, this.#registers.get(MDIC));
    this.#registers.set(MDIC, answer.value);
    if (answer.interrupt) this.#interrupts.raise(CAUSE_MDAC);
  }

  #negotiate(): void {
    this.#registers.set(STATUS, this.#registers.get(STATUS) & ~STATUS_LU);
    this.#phy.linkDown();
    this.#negotiated.modify(this.#inMilliseconds(NEGOTIATION_MS));
  }

  #linkUp(): void {
    this.#registers.set(STATUS, this.#registers.get(STATUS) | STATUS_LU);
    this.#phy.negotiated();
    this.#client.flush();
    this.#interrupts.raise(CAUSE_LSC);
  }

  /** The card's timers count whole milliseconds of the clock. */
  #inMilliseconds(milliseconds: number): number {
    return (Math.floor(this.#timers.now / MILLISECOND) + milliseconds) * MILLISECOND;
  }
}

export const e1000 = pciModel({
  name: 'e1000',
  category: 'Network',
  description: 'Intel Gigabit Ethernet',
  properties: {
    mac: macProperty('Ethernet 6-byte Address, example: 52:54:00:12:34:56'),
    netdev: stringProperty('ID of a netdev to use as a backend'),
  },
  make: (place, { mac, netdev }) => new E1000(place, mac, netdev),
});

/**
 * Configuration mechanism 1: the address register at 0xCF8 and the data window at 0xCFC (hw/pci/pci_host.c), and the
 * i440FX host bridge at 00:00.0 behind them (hw/pci-host/i440fx.c).
 *
 * Fidelity: the i440FX stores its SMRAM and DRAM registers, but they move no memory: 0xa0000 to 0xbffff is RAM like any other.
 */

import type { EventStream } from '../../../event.ts';
import {
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_BRIDGE_HOST,
  PCI_CONFIG_ADDRESS_ENABLE,
  PCI_CONFIG_ADDRESS_PORT,
  PCI_CONFIG_DATA_PORT,
} from '../../../linux/uapi/pci.ts';
import type { MemoryRegion, MemoryRegionOps } from '../../memory/region.ts';
import { sizes } from '../../memory/region.ts';
import type { MemoryTopology } from '../../memory/topology.ts';
import { pciCfgRead, pciCfgWrite } from '../../trace-events.ts';
import { PAM, PAM_REGISTERS, Pam, type PamMemory } from './pam.ts';
import type { PciBus } from './pci-bus.ts';
import { PciDevice } from './pci-device.ts';

const COREBOOT_RAM_SIZE = 0x57;
const SMRAM = 0x72;
const allOnes = (length: number): number => 2 ** (8 * length) - 1;

export class PciHost {
  readonly #bus: PciBus;
  readonly #stream: EventStream;
  /** All 32 bits are kept as written; bit 31 enables the data window. */
  #address = 0;

  constructor(topology: MemoryTopology, stream: EventStream, io: MemoryRegion, bus: PciBus) {
    this.#bus = bus;
    this.#stream = stream;
    const address: MemoryRegionOps = {
      read: () => this.#address,
      // A byte or word written here is no configuration address (0xcf9 is a reset port on real boards).
      write: (offset, size, value) => {
        if (offset === 0 && size === 4) this.#address = value;
      },
      valid: sizes(0, 0),
      impl: sizes(0, 0),
    };
    const data: MemoryRegionOps = {
      read: (offset, size) => this.#read(offset, size),
      write: (offset, size, value) => this.#write(offset, size, value),
      valid: sizes(0, 0),
      impl: sizes(0, 0),
    };
    // i440fx_pcihost_realize: addresses may be collected, what they select is not touched before they have come. A dword is not:
    // the reset control port lies in the middle of it, and cuts the zone.
    const conf = topology.io('pci-conf-idx', 4, address);
    conf.addCoalescing(0, 4);
    const window = topology.io('pci-conf-data', 4, data);
    window.setFlushCoalesced();
    io.addSubregion(PCI_CONFIG_ADDRESS_PORT, conf);
    io.addSubregion(PCI_CONFIG_DATA_PORT, window);
  }

  /** pci_host_data_read, pci_data_read: the low address bits come from the port (and the register's own). */
  #read(offset: number, size: number): number {
    const register = this.#address;
    const at = (register & 0xff) | (offset & 3);
    const device = register >= PCI_CONFIG_ADDRESS_ENABLE ? this.#find(register) : undefined;
    if (device === undefined) return allOnes(size);
    const value = device.readConfig(at, Math.min(size, PCI_CFG_SPACE_SIZE - at));
    if (pciCfgRead.on) pciCfgRead(this.#stream, { dev: device.name, ...device.location, offset: at, value });
    return value;
  }

  #write(offset: number, size: number, value: number): void {
    const register = this.#address;
    const at = (register & 0xff) | (offset & 3);
    const device = register >= PCI_CONFIG_ADDRESS_ENABLE ? this.#find(register) : undefined;
    if (device === undefined) return;
    if (pciCfgWrite.on) pciCfgWrite(this.#stream, { dev: device.name, ...device.location, offset: at, value });
    device.writeConfig(at, value, Math.min(size, PCI_CFG_SPACE_SIZE - at));
  }

  #find(register: number): PciDevice | undefined {
    return this.#bus.find((register >>> 16) & 0xff, (register >>> 8) & 0xff);
  }
}

/** The host bridge's own function. `ramSize` in bytes is told in a register that firmware reads. */
export class I440fx extends PciDevice {
  readonly #pam: Pam;

  constructor(stream: EventStream, bus: PciBus, ramSize: number, memory: PamMemory) {
    super(stream, bus, 0, 'i440FX', undefined);
    this.identify({ vendor: 0x8086, device: 0x1237, revision: 2, class: PCI_CLASS_BRIDGE_HOST });
    this.config[COREBOOT_RAM_SIZE] = Math.min(255, Math.floor(ramSize / 8 / 1024 / 1024));
    this.config[SMRAM] = 0x02;
    this.#pam = new Pam(memory);
    bus.attach(this);
  }

  /** i440fx_reset. */
  override reset(): void {
    super.reset();
    this.config.fill(0, PAM, PAM + PAM_REGISTERS);
    this.config[SMRAM] = 0x02;
    this.#pam.update(this.config);
  }

  /** i440fx_write_config. */
  override writeConfig(address: number, value: number, length: number): void {
    super.writeConfig(address, value, length);
    if (address < PAM + PAM_REGISTERS && address + length > PAM) this.#pam.update(this.config);
  }

  override get hotpluggable(): boolean {
    return false;
  }
}

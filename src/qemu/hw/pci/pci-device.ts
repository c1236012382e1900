/**
 * A PCI function: configuration space with its write masks, and BARs that appear in the bus's address spaces as the guest
 * writes them (hw/pci/pci.c). Sizing works because a BAR's low bits cannot be written.
 */

import type { EventStream } from '../../../event.ts';
import {
  PCI_BASE_ADDRESS_0,
  PCI_BASE_ADDRESS_MEM_TYPE_64,
  PCI_BASE_ADDRESS_SPACE_IO,
  PCI_CACHE_LINE_SIZE,
  PCI_CAPABILITY_LIST,
  PCI_CFG_SPACE_SIZE,
  PCI_CLASS_DEVICE,
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_IO,
  PCI_COMMAND_MASTER,
  PCI_COMMAND_MEMORY,
  PCI_COMMAND_SERR,
  PCI_DEVICE_ID,
  PCI_FUNC,
  PCI_HEADER_TYPE,
  PCI_HEADER_TYPE_BRIDGE,
  PCI_HEADER_TYPE_MULTI_FUNCTION,
  PCI_INTERRUPT_LINE,
  PCI_INTERRUPT_PIN,
  PCI_REVISION_ID,
  PCI_ROM_ADDRESS,
  PCI_ROM_ADDRESS1,
  PCI_SLOT,
  PCI_STATUS,
  PCI_STATUS_CAP_LIST,
  PCI_STATUS_INTERRUPT,
  PCI_SUBSYSTEM_ID,
  PCI_SUBSYSTEM_VENDOR_ID,
  PCI_VENDOR_ID,
} from '../../../linux/uapi/pci.ts';
import { ConfigurationError } from '../../error.ts';
import { MEMTX_DECODE_ERROR } from '../../memory/access.ts';
import type { AddressSpace } from '../../memory/address-space.ts';
import type { MemoryRegion, ReentrancyGuard } from '../../memory/region.ts';
import { pciUpdateMappingsAdd, pciUpdateMappingsDel } from '../../trace-events.ts';

/** What a function needs of the bus it sits on. */
export interface DeviceBus {
  /** Bus number, as the guest has programmed it. */
  readonly number: number;
  /** Where memory and I/O BARs appear. */
  readonly memory: MemoryRegion;
  readonly io: MemoryRegion;
  /** What a bus master of this bus reads and writes: the guest's memory. */
  readonly dma: AddressSpace;
  /** A pin of the function at `devfn` (0 is INTA) goes up or down, or is told as it is. */
  changeIrq(devfn: number, pin: number, change: -1 | 0 | 1): void;
}

/** Identity of a function, from its data sheet. */
export interface PciIdentity {
  readonly vendor: number;
  readonly device: number;
  readonly revision?: number;
  /** Base class << 8 | subclass. */
  readonly class: number;
}

/** Told of a BAR's moves, each after it happened: what a device does that keeps ports of its own. */
export interface BarMoves {
  mapped(address: number): void;
  unmapped(address: number): void;
}

interface Bar {
  readonly index: number;
  readonly type: number;
  readonly region: MemoryRegion;
  readonly moves: BarMoves | undefined;
  address: number;
}

/** INTA to INTD. */
export const PINS = 4;
const HEADER_SIZE = 0x40;
const UNMAPPED = -1;
/** Subsystem of QEMU's own devices. */
const SUBSYSTEM_VENDOR = 0x1af4;
const SUBSYSTEM_DEVICE = 0x1100;
/** PARITY, SIG_TARGET_ABORT, REC_TARGET_ABORT, REC_MASTER_ABORT, SIG_SYSTEM_ERROR, DETECTED_PARITY. */
const STATUS_ERRORS = 0xf900;

const overlap = (at: number, length: number, start: number, size: number) => at < start + size && start < at + length;

export class PciDevice {
  /** Name of the device model, as traces and messages print it. */
  readonly name: string;
  readonly id: string | undefined;
  readonly devfn: number;
  readonly bus: DeviceBus;
  readonly config = new Uint8Array(PCI_CFG_SPACE_SIZE);
  /** Bits the guest can write, and bits it clears by writing 1. */
  readonly wmask = new Uint8Array(PCI_CFG_SPACE_SIZE);
  readonly w1cmask = new Uint8Array(PCI_CFG_SPACE_SIZE);
  readonly view = new DataView(this.config.buffer);
  readonly #wmaskView = new DataView(this.wmask.buffer);
  readonly #bars: Bar[] = [];
  /** Bytes of configuration space that a capability has taken. */
  readonly #used = new Uint8Array(PCI_CFG_SPACE_SIZE);
  readonly stream: EventStream;
  /** mem_reentrancy_guard of the device: every io region of its own is made with it. */
  readonly guard: ReentrancyGuard = { engaged: false };
  #irq = false;

  constructor(stream: EventStream, bus: DeviceBus, devfn: number, name: string, id: string | undefined) {
    this.stream = stream;
    this.bus = bus;
    this.devfn = devfn;
    this.name = name;
    this.id = id;
    this.#initMasks();
  }

  /** pci_init_wmask, pci_init_w1cmask. */
  #initMasks(): void {
    const writable =
      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_SERR;
    this.#wmaskView.setUint16(PCI_COMMAND, writable, true);
    this.wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    this.wmask[PCI_INTERRUPT_LINE] = 0xff;
    this.wmask.fill(0xff, HEADER_SIZE);
    this.w1cmask[PCI_STATUS + 1] = STATUS_ERRORS >> 8;
  }

  /** Fill in the read-only identity. */
  protected identify(identity: PciIdentity): void {
    this.view.setUint16(PCI_VENDOR_ID, identity.vendor, true);
    this.view.setUint16(PCI_DEVICE_ID, identity.device, true);
    this.config[PCI_REVISION_ID] = identity.revision ?? 0;
    this.view.setUint16(PCI_CLASS_DEVICE, identity.class, true);
    if (identity.class === 0x0604) return;
    this.view.setUint16(PCI_SUBSYSTEM_VENDOR_ID, SUBSYSTEM_VENDOR, true);
    this.view.setUint16(PCI_SUBSYSTEM_ID, SUBSYSTEM_DEVICE, true);
  }

  /** pci_add_capability at `offset`: linked in front, read-only until a mask says otherwise. */
  addCapability(id: number, offset: number, size: number): void {
    for (let at = offset; at < offset + size; at++) if (this.#used[at] === 1) this.#refuseOverlap(id, offset, at);
    this.config[offset] = id;
    this.config[offset + 1] = this.config[PCI_CAPABILITY_LIST]!;
    this.config[PCI_CAPABILITY_LIST] = offset;
    this.config[PCI_STATUS] = this.config[PCI_STATUS]! | PCI_STATUS_CAP_LIST;
    this.wmask.fill(0, offset, offset + size);
    this.#used.fill(1, offset, Math.ceil((offset + size) / 4) * 4);
  }

  /** A device of the host may say that two of its capabilities stand in one place. */
  #refuseOverlap(id: number, offset: number, at: number): never {
    let other = 0;
    for (let next = this.config[PCI_CAPABILITY_LIST]!; next !== 0; next = this.config[next + 1]!) {
      if (next <= at && next > other) other = next;
    }
    const hex = (value: number, digits = 1) => value.toString(16).padStart(digits, '0');
    const where = `0000:00:${hex(this.bus.number, 2)}:${hex(PCI_SLOT(this.devfn), 2)}.${PCI_FUNC(this.devfn)}`;
    const both = `${hex(id)} at offset ${hex(offset)} overlaps existing capability ${hex(this.config[other]!)} at offset ${hex(at)}`;
    throw new ConfigurationError(`${where} Attempt to add PCI capability ${both}`);
  }

  /** pci_add_capability wherever there is room (pci_find_space); returns the offset. */
  addCapabilityAnywhere(id: number, size: number): number {
    let offset = HEADER_SIZE;
    for (let at = HEADER_SIZE; at < PCI_CFG_SPACE_SIZE && at - offset < size; at++) {
      if (this.#used[at] === 1) offset = at + 1;
    }
    if (offset + size > PCI_CFG_SPACE_SIZE) throw new ConfigurationError('no space for a PCI capability');
    this.addCapability(id, offset, size);
    return offset;
  }

  get isBridge(): boolean {
    return (this.config[PCI_HEADER_TYPE]! & ~PCI_HEADER_TYPE_MULTI_FUNCTION) === PCI_HEADER_TYPE_BRIDGE;
  }

  get isMultifunction(): boolean {
    return (this.config[PCI_HEADER_TYPE]! & PCI_HEADER_TYPE_MULTI_FUNCTION) !== 0;
  }

  /** `bb:dd.f` without the padding: what traces carry. */
  get location(): { readonly bus: number; readonly slot: number; readonly func: number } {
    return { bus: this.bus.number, slot: PCI_SLOT(this.devfn), func: PCI_FUNC(this.devfn) };
  }

  /** pci_register_bar: `type` is the BAR's read-only low bits; the region's size must be a power of two. */
  registerBar(index: number, type: number, region: MemoryRegion, moves?: BarMoves): void {
    const size = region.size;
    if (2 ** Math.round(Math.log2(size)) !== size) {
      const what = `type=0x${type.toString(16)}, size=0x${size.toString(16)}`;
      throw new ConfigurationError(`PCI region size must be a power of two - ${what}`);
    }
    const at = PCI_BASE_ADDRESS_0 + 4 * index;
    this.view.setUint32(at, type, true);
    const mask = BigInt.asUintN(64, ~(BigInt(size) - 1n));
    if (is64Bit(type)) this.#wmaskView.setBigUint64(at, mask, true);
    else this.#wmaskView.setUint32(at, Number(mask & 0xffff_ffffn), true);
    this.#bars.push({ index, type, region, moves, address: UNMAPPED });
  }

  /** The BARs it has registered. */
  get bars(): readonly { readonly index: number; readonly type: number; readonly region: MemoryRegion }[] {
    return this.#bars;
  }

  /** pci_default_read_config: 1, 2 or 4 bytes. */
  readConfig(address: number, length: number): number {
    let value = 0;
    for (let i = length - 1; i >= 0; i--) value = value * 256 + this.config[address + i]!;
    return value;
  }

  /** pci_default_write_config: masks, then whatever the new bits mean. */
  writeConfig(address: number, value: number, length: number): void {
    const before = this.#intxDisabled();
    let rest = value;
    for (let i = 0; i < length; i++, rest = Math.floor(rest / 256)) {
      const at = address + i;
      const byte = rest % 256;
      const kept = (this.config[at]! & ~this.wmask[at]!) | (byte & this.wmask[at]!);
      this.config[at] = kept & ~(byte & this.w1cmask[at]!);
    }
    const bars =
      overlap(address, length, PCI_BASE_ADDRESS_0, 24) ||
      overlap(address, length, PCI_ROM_ADDRESS, 4) ||
      overlap(address, length, PCI_ROM_ADDRESS1, 4) ||
      overlap(address, length, PCI_COMMAND, 1);
    if (bars) this.updateMappings();
    if (overlap(address, length, PCI_COMMAND, 2)) this.#intxMayHaveMoved(before);
  }

  /** pci_set_irq: the level of the function's interrupt pin, shown in STATUS even while COMMAND keeps it off the bus. */
  setIrq(level: boolean): void {
    if (level === this.#irq) return;
    this.#irq = level;
    const status = this.config[PCI_STATUS]! & ~PCI_STATUS_INTERRUPT;
    this.config[PCI_STATUS] = level ? status | PCI_STATUS_INTERRUPT : status;
    if (!this.#intxDisabled()) this.bus.changeIrq(this.devfn, this.#pin, level ? 1 : -1);
  }

  #intxDisabled(): boolean {
    return (this.view.getUint16(PCI_COMMAND, true) & PCI_COMMAND_INTX_DISABLE) !== 0;
  }

  /** The interrupt pin that the function drives; 0 is INTA. */
  get #pin(): number {
    return this.config[PCI_INTERRUPT_PIN]! - 1;
  }

  /** pci_update_irq_disabled: the bus hears of all four pins. */
  #intxMayHaveMoved(wasDisabled: boolean): void {
    const disabled = this.#intxDisabled();
    if (disabled === wasDisabled) return;
    const up = disabled ? -1 : 1;
    for (let pin = 0; pin < PINS; pin++) this.bus.changeIrq(this.devfn, pin, this.#irq && pin === this.#pin ? up : 0);
  }

  /** pci_dma_read: zeros and a decode error while COMMAND.MASTER is off. Returns a MemTxResult. */
  dmaRead(address: number, into: DataView, at: number, length: number): number {
    if (this.isBusMaster) return this.#asMaster((memory) => memory.read(address, into, at, length));
    for (let i = 0; i < length; i++) into.setUint8(at + i, 0);
    this.dmaMissed(address, length, false);
    return MEMTX_DECODE_ERROR;
  }

  /** pci_dma_write: nothing, with a decode error, while COMMAND.MASTER is off. Returns a MemTxResult. */
  dmaWrite(address: number, from: DataView, at: number, length: number): number {
    if (this.isBusMaster) return this.#asMaster((memory) => memory.write(address, from, at, length));
    this.dmaMissed(address, length, true);
    return MEMTX_DECODE_ERROR;
  }

  /** Odd accesses within are the device's; what it reaches may begin another's. */
  #asMaster(access: (memory: AddressSpace) => number): number {
    const { dma } = this.bus;
    const outer = dma.device;
    dma.device = this.name;
    try {
      return access(dma);
    } finally {
      dma.device = outer;
    }
  }

  /** DMA that does not get as far as the memory: of one that is no bus master, or to where no memory can be. */
  protected dmaMissed(address: number | bigint, size: number, write: boolean): void {
    const { name: device, bus } = this;
    const why = this.isBusMaster ? 'nothing' : 'no-master';
    bus.dma.onOddAccess?.({ space: bus.dma.name, device, address, offset: 0, size, write, why, region: undefined });
  }

  get isBusMaster(): boolean {
    return (this.view.getUint16(PCI_COMMAND, true) & PCI_COMMAND_MASTER) !== 0;
  }

  /** pci_do_device_reset: what RST# does to the header, and the BARs vanish. */
  reset(): void {
    this.setIrq(false);
    for (const [at, size] of [
      [PCI_COMMAND, 2],
      [PCI_STATUS, 2],
    ] as const) {
      for (let i = at; i < at + size; i++) this.config[i] = this.config[i]! & ~(this.wmask[i]! | this.w1cmask[i]!);
    }
    this.config[PCI_INTERRUPT_LINE] = this.config[PCI_INTERRUPT_LINE]! & ~this.wmask[PCI_INTERRUPT_LINE]!;
    this.config[PCI_CACHE_LINE_SIZE] = 0;
    for (const bar of this.#bars) {
      const at = PCI_BASE_ADDRESS_0 + 4 * bar.index;
      this.view.setUint32(at, bar.type, true);
      if (is64Bit(bar.type)) this.view.setUint32(at + 4, 0, true);
    }
    this.updateMappings();
  }

  /** DeviceClass.hotpluggable: not what is soldered to the board. */
  get hotpluggable(): boolean {
    return true;
  }

  /** pci_qdev_unrealize: the function goes, its BARs first. Its bus has to forget it. */
  unplug(): void {
    for (const bar of this.#bars) {
      if (bar.address === UNMAPPED) continue;
      const space = bar.type & PCI_BASE_ADDRESS_SPACE_IO ? this.bus.io : this.bus.memory;
      space.deleteSubregion(bar.region);
      bar.moves?.unmapped(bar.address);
      bar.address = UNMAPPED;
    }
    this.exit();
    this.setIrq(false);
  }

  /** The BAR that would answer at a port or address, if the guest had not left it switched off in COMMAND. Not in QEMU. */
  switchedOffAt(address: number, io: boolean): number | undefined {
    const bar = this.#bars.find((each) => {
      const from = this.#assignedAddress(each);
      const hit = from !== UNMAPPED && address >= from && address < from + each.region.size;
      return hit && each.address === UNMAPPED && io === ((each.type & PCI_BASE_ADDRESS_SPACE_IO) !== 0);
    });
    return bar?.index;
  }

  /** PCIDeviceClass.exit: what the model has open. */
  protected exit(): void {}

  /** pci_update_mappings: move every BAR to where its register and the COMMAND bits now put it. */
  protected updateMappings(): void {
    for (const bar of this.#bars) {
      const address = this.#barAddress(bar);
      if (address === bar.address) continue;
      const space = bar.type & PCI_BASE_ADDRESS_SPACE_IO ? this.bus.io : this.bus.memory;
      const fields = { dev: this.name, ...this.location, bar: bar.index, size: bar.region.size };
      if (bar.address !== UNMAPPED) {
        if (pciUpdateMappingsDel.on) pciUpdateMappingsDel(this.stream, { ...fields, addr: bar.address });
        space.deleteSubregion(bar.region);
        bar.moves?.unmapped(bar.address);
      }
      bar.address = address;
      if (address !== UNMAPPED) {
        if (pciUpdateMappingsAdd.on) pciUpdateMappingsAdd(this.stream, { ...fields, addr: address });
        space.addSubregion(address, bar.region, 1);
        bar.moves?.mapped(address);
      }
    }
  }

  /** pci_bar_address: where the BAR decodes now, or UNMAPPED. */
  #barAddress(bar: Bar): number {
    const command = this.view.getUint16(PCI_COMMAND, true);
    const io = (bar.type & PCI_BASE_ADDRESS_SPACE_IO) !== 0;
    return (command & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY)) === 0 ? UNMAPPED : this.#assignedAddress(bar);
  }

  /** Where the BAR's register puts it, or UNMAPPED. */
  #assignedAddress(bar: Bar): number {
    const at = PCI_BASE_ADDRESS_0 + 4 * bar.index;
    const size = bar.region.size;
    const high = is64Bit(bar.type) ? this.view.getUint32(at + 4, true) : 0;
    const raw = high * 2 ** 32 + this.view.getUint32(at, true);
    const address = raw - (raw % size);
    const last = address + size - 1;
    // Address 0 means "not assigned"; all ones appear while the guest sizes a 32-bit BAR.
    if (last <= address || address === 0) return UNMAPPED;
    if (!is64Bit(bar.type) && last >= 0xffff_ffff) return UNMAPPED;
    return last >= 2 ** 63 ? UNMAPPED : address;
  }
}

const is64Bit = (type: number): boolean =>
  (type & (PCI_BASE_ADDRESS_SPACE_IO | PCI_BASE_ADDRESS_MEM_TYPE_64)) === PCI_BASE_ADDRESS_MEM_TYPE_64;

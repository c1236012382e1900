/**
 * A SATA controller on no bus, and a disk behind it: the AHCI 1.3.1 registers of one port with one command slot (see
 * ahci-registers.ts), 4 KiB, 32-bit accesses. The disk has 128 sectors of 512 bytes, which begin as zeros, and knows IDENTIFY
 * DEVICE, READ and WRITE DMA EXT and FLUSH CACHE EXT. Command list, command table, data and received FIS are in memory, reached
 * by DMA through the IOMMU. A command is done when the write of PxCI returns.
 *
 * The interrupt line is high while GHC.IE is set and IS is not 0; IS is set by PxIS and PxIE, and cleared by ones written, first
 * in PxIS, then in IS (10.7).
 */

import type { BusTarget } from '../address-bus.ts';
import type { PlatformSlot } from '../platform/slot.ts';
import * as ahci from './ahci-registers.ts';

const SECTOR = 512;
export const DISK_SECTORS = 128;
const REGISTERS = 0x140;
const HEADER_BYTES = 32;
const PRDT_AT = 0x80;
const PRD_BYTES = 16;
/** Where in the received-FIS area a register FIS goes. */
const REGISTER_FIS_AT = 0x40;

/** A refused command, or a DMA that met no memory. */
type Outcome = 'done' | 'aborted' | 'bus error';

export class SataController implements BusTarget {
  readonly slot: PlatformSlot;
  readonly #registers = new DataView(new ArrayBuffer(REGISTERS));
  readonly #disk = new Uint8Array(DISK_SECTORS * SECTOR);

  /** Wired into its slot and switched on; the disk is empty. */
  constructor(slot: PlatformSlot) {
    this.slot = slot;
    this.#reset();
    slot.memory.attach(slot.base, ahci.AHCI_BYTES, this);
  }

  read(offset: number, size: 1 | 2 | 4): number {
    if (offset + size > REGISTERS) return 0;
    if (size === 1) return this.#registers.getUint8(offset);
    return size === 2 ? this.#registers.getUint16(offset, true) : this.#registers.getUint32(offset, true);
  }

  /** Registers take dwords; narrower writes are lost. */
  write(offset: number, size: 1 | 2 | 4, value: number): void {
    if (size !== 4 || offset + size > REGISTERS) return;
    switch (offset) {
      case ahci.HBA.GHC:
        if (value & ahci.GHC_RESET) this.#reset();
        else this.#set(offset, (value & ahci.GHC_INTERRUPTS) | ahci.GHC_AHCI);
        break;
      case ahci.HBA.IS:
      case ahci.PORT.IS:
      case ahci.PORT.SERR:
        this.#set(offset, this.#get(offset) & ~value);
        break;
      case ahci.PORT.CMD:
        this.#set(offset, commandState(value));
        break;
      case ahci.PORT.CI:
        if (value & 1 && this.#get(ahci.PORT.CMD) & ahci.CMD_START) this.#issue();
        break;
      case ahci.PORT.CLB:
      case ahci.PORT.CLBU:
      case ahci.PORT.FB:
      case ahci.PORT.FBU:
      case ahci.PORT.IE:
        this.#set(offset, value);
        break;
    }
    this.#updateLine();
  }

  /** HBA reset: registers as after power-on; the disk keeps its sectors. */
  #reset(): void {
    for (let at = 0; at < REGISTERS; at += 4) this.#set(at, 0);
    this.#set(ahci.HBA.CAP, ahci.CAP_VALUE);
    this.#set(ahci.HBA.GHC, ahci.GHC_AHCI);
    this.#set(ahci.HBA.PI, 1);
    this.#set(ahci.HBA.VS, ahci.VERSION_1_3_1);
    this.#set(ahci.PORT.TFD, ahci.ATA_DRDY);
    this.#set(ahci.PORT.SIG, ahci.SIGNATURE_ATA);
    this.#set(ahci.PORT.SSTS, ahci.LINK_UP);
    this.#updateLine();
  }

  /** Fetch, run and complete the command of slot 0 (5.5). */
  #issue(): void {
    const header = new DataView(new ArrayBuffer(HEADER_BYTES));
    const list = this.#address(ahci.PORT.CLB);
    const outcome = this.#dma(list, header, false) ? this.#run(header) : 'bus error';
    if (outcome === 'bus error') {
      this.#raise(ahci.IS_BUS_FATAL);
      return;
    }
    const status = outcome === 'done' ? ahci.ATA_DRDY : ahci.ATA_DRDY | ahci.ATA_ERR;
    const error = outcome === 'done' ? 0 : ahci.ATA_ABORTED;
    this.#set(ahci.PORT.TFD, status | (error << 8));
    const fis = new DataView(new ArrayBuffer(20));
    fis.setUint32(0, ahci.FIS_REGISTER_TO_HOST | (1 << 14) | (status << 16) | (error << 24), true);
    const answered =
      this.#dma(list + 4n, new DataView(header.buffer, 4, 4), true) &&
      this.#dma(this.#address(ahci.PORT.FB) + BigInt(REGISTER_FIS_AT), fis, true);
    if (!answered) this.#raise(ahci.IS_BUS_FATAL);
    else this.#raise(outcome === 'done' ? ahci.IS_REGISTER_FIS : ahci.IS_REGISTER_FIS | ahci.IS_TASK_FILE_ERROR);
  }

  /** The command whose list entry is `header`; the bytes moved are put into it. */
  #run(header: DataView): Outcome {
    const table = header.getBigUint64(8, true);
    const command = new DataView(new ArrayBuffer(64));
    if (!this.#dma(table, command, false)) return 'bus error';
    if (command.getUint8(0) !== ahci.FIS_REGISTER_TO_DEVICE || (command.getUint8(1) & 0x80) === 0) return 'aborted';
    const sectors = command.getUint16(12, true) || 0x1_0000;
    const first = (command.getUint32(4, true) & 0xff_ffff) + (command.getUint32(8, true) & 0xff_ffff) * 2 ** 24;
    switch (command.getUint8(2)) {
      case ahci.ATA.FLUSH_CACHE_EXT:
        return 'done';
      case ahci.ATA.IDENTIFY:
        return this.#move(header, table, identity(), true);
      case ahci.ATA.READ_DMA_EXT:
      case ahci.ATA.WRITE_DMA_EXT: {
        if (first + sectors > DISK_SECTORS) return 'aborted';
        const data = this.#disk.subarray(first * SECTOR, (first + sectors) * SECTOR);
        return this.#move(header, table, data, command.getUint8(2) === ahci.ATA.READ_DMA_EXT);
      }
      default:
        return 'aborted';
    }
  }

  /** Data between the disk and the memory that the table's descriptors name. */
  #move(header: DataView, table: bigint, data: Uint8Array, toMemory: boolean): Outcome {
    const descriptors = header.getUint16(2, true);
    const descriptor = new DataView(new ArrayBuffer(PRD_BYTES));
    let done = 0;
    for (let index = 0; index < descriptors && done < data.length; index++) {
      if (!this.#dma(table + BigInt(PRDT_AT + index * PRD_BYTES), descriptor, false)) return 'bus error';
      const length = Math.min((descriptor.getUint32(12, true) & 0x3f_ffff) + 1, data.length - done);
      const part = new DataView(data.buffer, data.byteOffset + done, length);
      if (!this.#dma(descriptor.getBigUint64(0, true), part, toMemory)) return 'bus error';
      done += length;
    }
    header.setUint32(4, done, true);
    return done === data.length ? 'done' : 'aborted';
  }

  #dma(address: bigint, data: DataView, toMemory: boolean): boolean {
    const { iommu, source } = this.slot;
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    return toMemory ? iommu.write(source, address, bytes) : iommu.read(source, address, bytes);
  }

  #raise(why: number): void {
    const status = this.#get(ahci.PORT.IS) | why;
    this.#set(ahci.PORT.IS, status);
    if (status & this.#get(ahci.PORT.IE)) this.#set(ahci.HBA.IS, 1);
  }

  #updateLine(): void {
    const enabled = (this.#get(ahci.HBA.GHC) & ahci.GHC_INTERRUPTS) !== 0;
    this.slot.interrupts.drive(this.slot.line, enabled && this.#get(ahci.HBA.IS) !== 0);
  }

  #address(low: number): bigint {
    return this.#registers.getBigUint64(low, true);
  }

  #get(register: number): number {
    return this.#registers.getUint32(register, true);
  }

  #set(register: number, value: number): void {
    this.#registers.setUint32(register, value, true);
  }
}

/** PxCMD after a write: what is switched on runs at once. */
function commandState(written: number): number {
  const state = written & (ahci.CMD_START | ahci.CMD_FIS_RECEIVE);
  return (
    state |
    (state & ahci.CMD_START ? ahci.CMD_LIST_RUNNING : 0) |
    (state & ahci.CMD_FIS_RECEIVE ? ahci.CMD_FIS_RUNNING : 0)
  );
}

/** IDENTIFY DEVICE: model number (its bytes swapped in each word), 48-bit addresses, sectors. */
function identity(): Uint8Array {
  const words = new DataView(new ArrayBuffer(SECTOR));
  const model = 'gvm disk'.padEnd(40);
  for (let i = 0; i < model.length; i += 2) {
    words.setUint16(27 * 2 + i, (model.charCodeAt(i) << 8) | model.charCodeAt(i + 1), true);
  }
  words.setUint16(49 * 2, 0x0300, true);
  words.setUint32(60 * 2, DISK_SECTORS, true);
  words.setUint16(83 * 2, 0x4400, true);
  words.setUint16(86 * 2, 0x0400, true);
  words.setUint32(100 * 2, DISK_SECTORS, true);
  return new Uint8Array(words.buffer);
}

/**
 * The modeled host's RAM: one WebAssembly.Memory. Host physical address N is byte N of it. CPU state lives in the first
 * pages, so that interpreter, translator and devices share everything without copies.
 */

import { GiB, type Hpa, MiB, PAGE_SIZE } from '../address.ts';
import { AddressBus } from './address-bus.ts';
import { CodeFrames } from './code-frames.ts';

const WASM_PAGE = 65536;
/** Up to so many bytes, a loop is quicker than making a view of them. */
const SHORT = 16;

/**
 * Behind RAM, in the same linear memory: storage of the processors' own, for what is silicon and no RAM, yet has to be reached
 * by translated code. No physical address leads there. Untouched pages cost nothing.
 */
const STORAGE_BYTES = MiB(4);
/** Of a page-table entry. */
const ENTRY_BYTES = 8;
/** The most RAM that a host can have: frames fit int32. */
export const MAX_RAM = GiB(2);

/** RAM with the typed views its users need. The views never detach: the memory is made at its final size. */
export class PhysicalMemory {
  readonly wasm: WebAssembly.Memory;
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly quads: BigInt64Array;
  readonly view: DataView;
  #reserved = 0;
  /** The physical addresses beyond RAM: registers and memory of devices. */
  readonly devices = new AddressBus();
  /** Frames that processors have decoded code from: who writes to {@link bytes} and its kin by himself says so there. */
  readonly code: CodeFrames;

  /**
   * `size` bytes, rounded up to 64 KiB; untouched pages cost nothing. At most 2 GiB, so that an offset is an int32. `used` is the
   * memory of a host that is gone, all zeros again: it is taken if it has that size.
   */
  constructor(size: number, used?: WebAssembly.Memory) {
    if (size > MAX_RAM) throw new RangeError(`host RAM of ${size} bytes exceeds ${MAX_RAM}`);
    this.size = Math.ceil(size / WASM_PAGE) * WASM_PAGE;
    const bytes = this.size + STORAGE_BYTES;
    const pages = bytes / WASM_PAGE;
    this.wasm = used?.buffer.byteLength === bytes ? used : new WebAssembly.Memory({ initial: pages, maximum: pages });
    const { buffer } = this.wasm;
    this.bytes = new Uint8Array(buffer, 0, this.size);
    this.words = new Int32Array(buffer, 0, this.size / 4);
    this.quads = new BigInt64Array(buffer, 0, this.size / 8);
    this.view = new DataView(buffer, 0, this.size);
    this.code = new CodeFrames(this.size);
  }

  /** `bytes` bytes of the processors' storage, as an offset in linear memory; undefined if there is not so much left. */
  reserve(bytes: number): number | undefined {
    if (this.#reserved + bytes > STORAGE_BYTES) return undefined;
    const at = this.size + this.#reserved;
    this.#reserved += Math.ceil(bytes / 4096) * 4096;
    return at;
  }

  /** Whether `address` is RAM; beyond it the physical bus belongs to devices. */
  contains(address: Hpa): boolean {
    return address >= 0 && address < this.size;
  }

  /** The live bytes of the page frame at `address`. */
  page(address: Hpa): Uint8Array {
    return this.bytes.subarray(address, address + PAGE_SIZE);
  }

  /**
   * Store `count` bytes of `from`, from index `start` on, at `address`: all in one page frame. What software and devices write
   * beside the processors. Hot.
   */
  write(address: number, from: Uint8Array, start: number, count: number): void {
    const { bytes } = this;
    if (count <= SHORT) for (let i = 0; i < count; i++) bytes[address + i] = from[start + i] as number;
    else bytes.set(count === from.length ? from : from.subarray(start, start + count), address);
    this.code.changed(address, count);
  }

  /** The number in the 1, 2 or 4 bytes at `address`. Hot. */
  load(address: Hpa, size: 1 | 2 | 4): number {
    if (size === 1) return this.bytes[address]!;
    return size === 2 ? this.view.getUint16(address, true) : this.view.getUint32(address, true);
  }

  /** Store the low 1, 2 or 4 bytes of `value` at `address`, as {@link write} does. Hot. */
  store(address: Hpa, size: 1 | 2 | 4, value: number): void {
    if (size === 1) this.bytes[address] = value;
    else if (size === 2) this.view.setUint16(address, value, true);
    else this.view.setUint32(address, value, true);
    this.code.changed(address, size);
  }

  /** Make the page frame at `address` zeros. */
  clear(address: Hpa): void {
    this.bytes.fill(0, address, address + PAGE_SIZE);
    this.code.changed(address, PAGE_SIZE);
  }

  /** Read an aligned 64-bit word, such as a page-table entry. */
  readEntry(address: Hpa): bigint {
    return this.view.getBigUint64(address, true);
  }

  /** Write an aligned 64-bit word. */
  writeEntry(address: Hpa, value: bigint): void {
    this.view.setBigUint64(address, value, true);
    this.code.changed(address, ENTRY_BYTES);
  }
}

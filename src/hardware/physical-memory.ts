/**
 * The modeled host's RAM: one WebAssembly.Memory. Host physical address N is byte N of it. CPU state lives in the first
 * pages, so that interpreter, translator and devices share everything without copies.
 */

import { type Hpa, MiB, PAGE_SIZE } from '../address.ts';
import { AddressBus } from './address-bus.ts';

const WASM_PAGE = 65536;

/** RAM with the typed views its users need. The views never detach: the memory is made at its final size. */
export class PhysicalMemory {
  readonly wasm: WebAssembly.Memory;
  readonly size: number;
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly quads: BigInt64Array;
  readonly view: DataView;
  /** The physical addresses beyond RAM: registers and memory of devices. */
  readonly devices = new AddressBus();

  /**
   * `size` bytes, rounded up to 64 KiB; untouched pages cost nothing. At most 2 GiB, so that an offset is an int32. `used` is the
   * memory of a host that is gone, all zeros again: it is taken if it has that size.
   */
  constructor(size: number, used?: WebAssembly.Memory) {
    if (size > MiB(2048) - WASM_PAGE) throw new RangeError(`host RAM of ${size} bytes exceeds 2 GiB`);
    const pages = Math.ceil(size / WASM_PAGE);
    this.wasm =
      used?.buffer.byteLength === pages * WASM_PAGE ? used : new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.size = pages * WASM_PAGE;
    const { buffer } = this.wasm;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.quads = new BigInt64Array(buffer);
    this.view = new DataView(buffer);
  }

  /** Whether `address` is RAM; beyond it the physical bus belongs to devices. */
  contains(address: Hpa): boolean {
    return address >= 0 && address < this.size;
  }

  /** The live bytes of the page frame at `address`. */
  page(address: Hpa): Uint8Array {
    return this.bytes.subarray(address, address + PAGE_SIZE);
  }

  /** Read an aligned 64-bit word, such as a page-table entry. */
  readEntry(address: Hpa): bigint {
    return this.view.getBigUint64(address, true);
  }

  /** Write an aligned 64-bit word. */
  writeEntry(address: Hpa, value: bigint): void {
    this.view.setBigUint64(address, value, true);
  }
}

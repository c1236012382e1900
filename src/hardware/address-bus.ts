/** An address space of the host's processor that belongs to devices: memory beyond RAM, or the 64 KiB of I/O ports. */

/** What answers in a window. `offset` counts from the window's start; values are unsigned. */
export interface BusTarget {
  read(offset: number, size: 1 | 2 | 4): number;
  write(offset: number, size: 1 | 2 | 4, value: number): void;
}

interface Window {
  readonly start: number;
  readonly size: number;
  readonly target: BusTarget;
}

/** Windows of devices. Where none is, reads are all ones and writes are lost, as on a bus that nobody drives. */
export class AddressBus {
  readonly #windows: Window[] = [];

  /** Let `target` answer in [start, start + size); returns how it stops. Of two windows that overlap the older one answers. */
  attach(start: number, size: number, target: BusTarget): () => void {
    const window: Window = { start, size, target };
    this.#windows.push(window);
    return () => {
      const at = this.#windows.indexOf(window);
      if (at >= 0) this.#windows.splice(at, 1);
    };
  }

  /** Windows that are open now. */
  get windows(): readonly { readonly start: number; readonly size: number }[] {
    return this.#windows;
  }

  read(address: number, size: 1 | 2 | 4): number {
    const window = this.#find(address);
    return window === undefined ? 2 ** (8 * size) - 1 : window.target.read(address - window.start, size) >>> 0;
  }

  write(address: number, size: 1 | 2 | 4, value: number): void {
    const window = this.#find(address);
    window?.target.write(address - window.start, size, value);
  }

  /**
   * What a load of `length` bytes fetches, into `into` from `at` on: the widest aligned accesses, lowest address first
   * (memcpy_fromio). Hot: a guest's access to a mapped BAR ends here.
   */
  readBytes(address: number, into: Uint8Array, at = 0, length = into.length): void {
    for (let done = 0; done < length; ) {
      const size = accessAt(address + done, length - done);
      const value = this.read(address + done, size);
      for (let i = 0; i < size; i++) into[at + done + i] = (value >>> (8 * i)) & 0xff;
      done += size;
    }
  }

  /** What a store of `from` writes, in the same order (memcpy_toio). A bus of 32 bits takes eight bytes as twice four. */
  writeBytes(address: number, from: Uint8Array, at = 0, length = from.length): void {
    for (let done = 0; done < length; ) {
      const size = accessAt(address + done, length - done);
      let value = 0;
      for (let i = size - 1; i >= 0; i--) value = value * 256 + (from[at + done + i] as number);
      this.write(address + done, size, value);
      done += size;
    }
  }

  #find(address: number): Window | undefined {
    const windows = this.#windows;
    for (let i = 0; i < windows.length; i++) {
      const window = windows[i]!;
      if (address >= window.start && address < window.start + window.size) return window;
    }
    return undefined;
  }
}

/** The widest aligned access that is part of one of `left` bytes at `address`. */
function accessAt(address: number, left: number): 1 | 2 | 4 {
  if (address % 4 === 0 && left >= 4) return 4;
  return address % 2 === 0 && left >= 2 ? 2 : 1;
}

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

  #find(address: number): Window | undefined {
    return this.#windows.find(({ start, size }) => address >= start && address < start + size);
  }
}

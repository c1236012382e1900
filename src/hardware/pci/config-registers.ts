/** 256 bytes of configuration, of which each bit is fixed, writable, or cleared by writing a one. Little endian. */

const SIZE = 256;

export class ConfigRegisters {
  readonly #value = new DataView(new ArrayBuffer(SIZE));
  readonly #writable = new Uint8Array(SIZE);
  readonly #clearing = new Uint8Array(SIZE);

  /** All zeros, nothing writable. */
  clear(): void {
    for (let at = 0; at < SIZE; at++) this.#value.setUint8(at, 0);
    this.#writable.fill(0);
    this.#clearing.fill(0);
  }

  /** A register of which the bits of `mask` can be written. */
  writable(offset: number, size: 1 | 2 | 4, mask: number, value: number): void {
    this.force(offset, size, value);
    for (let i = 0; i < size; i++) this.#writable[offset + i] = (mask >>> (8 * i)) & 0xff;
  }

  /** Bits of a register that a write of ones clears. */
  clearedByOnes(offset: number, size: 1 | 2 | 4, mask: number): void {
    for (let i = 0; i < size; i++) this.#clearing[offset + i] = (mask >>> (8 * i)) & 0xff;
  }

  /** The device sets its own register, or gives it the value that never changes. */
  force(offset: number, size: 1 | 2 | 4, value: number): void {
    for (let i = 0; i < size; i++) this.#value.setUint8(offset + i, (value >>> (8 * i)) & 0xff);
  }

  read(offset: number, size: 1 | 2 | 4): number {
    if (size === 1) return this.#value.getUint8(offset);
    return size === 2 ? this.#value.getUint16(offset, true) : this.#value.getUint32(offset, true);
  }

  write(offset: number, size: 1 | 2 | 4, value: number): void {
    for (let at = offset; at < offset + size; at++) {
      const written = (value >>> (8 * (at - offset))) & 0xff;
      const [old, mask] = [this.#value.getUint8(at), this.#writable[at] as number];
      this.#value.setUint8(at, ((old & ~mask) | (written & mask)) & ~(written & (this.#clearing[at] as number)));
    }
  }
}

/** Accesses at random, the same for one seed: as qtest's commands. */

const WIDTH = { 1: 'b', 2: 'w', 4: 'l', 8: 'q' } as const;
export type Size = keyof typeof WIDTH;
export const hex = (value: number | bigint): string => `0x${value.toString(16)}`;

export class Random {
  #x: number;

  constructor(seed: number) {
    this.#x = Math.imul(seed, 0x9e37_79b9) | 1;
    for (let i = 0; i < 8; i++) this.next();
  }

  /** 32 bits: xorshift32. */
  next(): number {
    this.#x ^= this.#x << 13;
    this.#x ^= this.#x >>> 17;
    this.#x ^= this.#x << 5;
    return this.#x >>> 0;
  }
  below(limit: number): number {
    return this.next() % limit;
  }
  one<T>(of: readonly T[]): T {
    return of[this.below(of.length)]!;
  }
  /** Zeros, ones, a single bit, or anything. */
  value(size: Size): bigint {
    const bits = 8 * size;
    const full = BigInt.asUintN(bits, (BigInt(this.next()) << 32n) | BigInt(this.next()));
    return this.one([0n, 2n ** BigInt(bits) - 1n, 2n ** BigInt(this.below(bits)), full, full, full]);
  }
  memory(address: number, size: Size): string {
    const word = `${WIDTH[size]} ${hex(address)}`;
    return this.below(2) === 0 ? `read${word}` : `write${word} ${hex(this.value(size))}`;
  }
  port(port: number, size: Size): string {
    const word = `${WIDTH[size]} ${hex(port)}`;
    return this.below(2) === 0 ? `in${word}` : `out${word} ${hex(this.value(size))}`;
  }
}

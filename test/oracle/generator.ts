/** Numbers for test cases: a small generator with a seed, and values of which many are edges. */

/** xorshift64*: the same numbers on every machine. */
export class Generator {
  #state: bigint;

  constructor(seed: number) {
    this.#state = BigInt.asUintN(64, (BigInt(seed) + 1n) * 0x9e3779b97f4a7c15n) | 1n;
  }

  /** 64 random bits. */
  bits(): bigint {
    let state = this.#state;
    state ^= state >> 12n;
    state = BigInt.asUintN(64, state ^ (state << 25n));
    state ^= state >> 27n;
    this.#state = state;
    return BigInt.asUintN(64, state * 0x2545f4914f6cdd1dn);
  }

  /** 0 ≤ n < `limit`. */
  below(limit: number): number {
    return Number((this.bits() >> 11n) % BigInt(limit));
  }

  /** True once in `n`. */
  once(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.below(from.length)]!;
  }

  /** A register or memory value: an edge of some width, a small number, or bits of any length. */
  value(): bigint {
    switch (this.below(4)) {
      case 0:
        return this.pick(EDGES);
      case 1:
        return BigInt.asUintN(64, BigInt(this.below(140) - 70));
      default:
        return this.bits() >> BigInt(this.below(64));
    }
  }
}

/** 0, 1, −1, the least and greatest of each width, and counts at and beside each width. */
const EDGES: readonly bigint[] = [8, 16, 32, 64]
  .flatMap((width) => {
    const half = 1n << BigInt(width - 1);
    return [
      half - 1n,
      half,
      half * 2n - 1n,
      BigInt.asUintN(64, -half),
      BigInt(width - 1),
      BigInt(width),
      BigInt(width + 1),
    ];
  })
  .concat([0n, 1n, 2n, 0xffffffffffffffffn]);

/** DIV and IDIV (SDM vol. 2): the double-width dividend, and the two ways to #DE. Results are left in fields. */

/** Division unit of one vCPU. */
export class Divider {
  quotient = 0;
  remainder = 0;
  quotient64 = 0n;
  remainder64 = 0n;

  /** high:low / divisor at 8, 16 or 32 bits, arguments sign-extended. False is #DE: divisor 0, or a quotient that does not fit. */
  divide(width: number, high: number, low: number, divisor: number, signed: boolean): boolean {
    if (divisor === 0) return false;
    const span = 2 ** width;
    const unsignedLow = low < 0 ? low + span : low;
    if (signed) {
      if (high !== (low < 0 ? -1 : 0)) return this.#divideWide(width, high, unsignedLow, divisor, true);
      const quotient = Math.trunc(low / divisor);
      if (quotient >= span / 2) return false;
      this.quotient = quotient;
      this.remainder = low - quotient * divisor;
      return true;
    }
    const unsignedDivisor = divisor < 0 ? divisor + span : divisor;
    if (high !== 0) return this.#divideWide(width, high < 0 ? high + span : high, unsignedLow, unsignedDivisor, false);
    this.quotient = Math.floor(unsignedLow / unsignedDivisor) | 0;
    this.remainder = (unsignedLow % unsignedDivisor) | 0;
    return true;
  }

  #divideWide(width: number, high: number, low: number, divisor: number, signed: boolean): boolean {
    const dividend = (BigInt(high) << BigInt(width)) | BigInt(low);
    const quotient = dividend / BigInt(divisor);
    const fits = signed ? BigInt.asIntN(width, quotient) === quotient : BigInt.asUintN(width, quotient) === quotient;
    if (!fits) return false;
    this.quotient = Number(BigInt.asIntN(32, quotient));
    this.remainder = Number(BigInt.asIntN(32, dividend % BigInt(divisor)));
    return true;
  }

  /** The same for rdx:rax and a 64-bit divisor, all signed bigints. */
  divide64(high: bigint, low: bigint, divisor: bigint, signed: boolean): boolean {
    if (divisor === 0n) return false;
    const by = signed ? divisor : BigInt.asUintN(64, divisor);
    const dividend = ((signed ? high : BigInt.asUintN(64, high)) << 64n) | BigInt.asUintN(64, low);
    const quotient = dividend / by;
    const fits = signed ? BigInt.asIntN(64, quotient) === quotient : BigInt.asUintN(64, quotient) === quotient;
    if (!fits) return false;
    this.quotient64 = BigInt.asIntN(64, quotient);
    this.remainder64 = BigInt.asIntN(64, dividend % by);
    return true;
  }
}

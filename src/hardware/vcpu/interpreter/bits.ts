/** Bit counting that the generated code calls by name. Arguments of the 32-bit forms are unsigned. */

export const lowestBit32 = (value: number): number => 31 - Math.clz32(value & -value);
export const highestBit32 = (value: number): number => 31 - Math.clz32(value);
export const populationCount32 = (value: number): number => {
  let v = value - ((value >>> 1) & 0x55555555);
  v = (v & 0x33333333) + ((v >>> 2) & 0x33333333);
  return Math.imul((v + (v >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
};
export const byteSwap32 = (value: number): number =>
  (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);

const low = (value: bigint): number => Number(BigInt.asUintN(32, value));
const high = (value: bigint): number => Number(BigInt.asUintN(32, value >> 32n));

export const lowestBit64 = (value: bigint): number =>
  low(value) !== 0 ? lowestBit32(low(value)) : 32 + lowestBit32(high(value));
export const highestBit64 = (value: bigint): number =>
  high(value) !== 0 ? 32 + highestBit32(high(value)) : highestBit32(low(value));
export const populationCount64 = (value: bigint): number =>
  populationCount32(low(value)) + populationCount32(high(value));
export const byteSwap64 = (value: bigint): bigint =>
  BigInt.asIntN(64, (BigInt(byteSwap32(low(value)) >>> 0) << 32n) | BigInt(byteSwap32(high(value)) >>> 0));

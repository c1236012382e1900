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

/** PDEP: bit n of `value` goes to the place of the n-th set bit of `mask`. */
export const depositBits32 = (value: number, mask: number): number => {
  let result = 0;
  let rest = value;
  for (let left = mask; left !== 0; left &= left - 1) {
    if (rest & 1) result |= left & -left;
    rest >>>= 1;
  }
  return result;
};
/** PEXT: the bits of `value` at the set bits of `mask`, packed from bit 0 up. */
export const extractBits32 = (value: number, mask: number): number => {
  let result = 0;
  let to = 1;
  for (let left = mask; left !== 0; left &= left - 1) {
    if (value & left & -left) result |= to;
    to <<= 1;
  }
  return result;
};

const join = (upper: number, lower: number): bigint => (BigInt(upper) << 32n) | BigInt(lower >>> 0);

export const depositBits64 = (value: bigint, mask: bigint): bigint => {
  const used = BigInt(populationCount32(low(mask)));
  const upper = depositBits32(low(value >> used), high(mask) | 0);
  return join(upper, depositBits32(low(value), low(mask) | 0));
};
export const extractBits64 = (value: bigint, mask: bigint): bigint => {
  const used = BigInt(populationCount32(low(mask)));
  const lower = BigInt(extractBits32(low(value), low(mask) | 0) >>> 0);
  const upper = BigInt(extractBits32(high(value), high(mask) | 0) >>> 0);
  return BigInt.asIntN(64, (upper << used) | lower);
};

/** CRC-32C of one byte after another; the reflected polynomial of Castagnoli. */
const CRC_TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  return crc;
});

/** CRC-32C over the `bytes` low bytes of `value`, lowest first, begun with `crc`. */
export const crc32c = (crc: number, value: number, bytes: number): number => {
  let result = crc;
  for (let index = 0; index < bytes; index++) {
    result = (result >>> 8) ^ CRC_TABLE[(result ^ (value >>> (8 * index))) & 255]!;
  }
  return result | 0;
};

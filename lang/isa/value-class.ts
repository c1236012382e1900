/**
 * Which numbers the encoder treats alike: of the values of one class every form takes all or none, in fields of the same sizes, so that
 * instructions that differ in them alone differ in the bytes of the field alone.
 */

/**
 * Where another class begins. NASM judges values by the field and the operand's size: a byte with and without a sign, the same of 16 bits, as
 * 16 bits seen from both ends (`add ax, 0xfff0` takes a byte), and 0 and 1, which have forms of their own. Numbers beyond 32 bits are in none.
 */
const EDGES = [
  -65664, -65536, -65408, -32896, -32768, -256, -128, 0, 1, 2, 128, 256, 32768, 32896, 65408, 65536, 65664,
];
const ZERO = EDGES.indexOf(0);

/** The number of classes. */
export const VALUE_CLASSES = EDGES.length + 1;

/** The class of an integer; undefined of one that does not fit 32 bits with a sign. */
export function valueClass(value: number): number | undefined {
  if (!(value >= -0x8000_0000 && value <= 0x7fff_ffff)) return undefined;
  let number = value < 0 ? 0 : ZERO;
  while (number < EDGES.length && value >= EDGES[number]!) number++;
  return number;
}

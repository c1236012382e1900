/** Arithmetic on generated values: every result is brought back to its width. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import type { JsCode, JsValue } from './js-code.ts';

/** Sign-extend a number expression from `width` bits: the canonical form of narrow values. */
const narrow = (width: 8 | 16 | 32, expression: string): string =>
  width === 32 ? `(${expression})|0` : `(${expression})<<${32 - width}>>${32 - width}`;
const unsignedMask = (width: 8 | 16): string => (width === 8 ? '255' : '65535');
const widthOf = (value: JsValue): Width => value.width as Width;

export const constant = (width: Width, value: bigint): JsValue => {
  const known = BigInt.asIntN(width, value);
  return { width, known, code: width === 64 ? `${known}n` : `${known}` };
};

/** a + b, a − b, a & b, a | b, a ^ b. */
export function binary(js: JsCode, operator: '+' | '-' | '&' | '|' | '^', a: JsValue, b: JsValue): JsValue {
  const width = widthOf(a);
  if (width === 64) {
    const sum = `${js.whole(a)}${operator}${js.whole(b)}`;
    return js.quad(operator === '+' || operator === '-' ? `BigInt.asIntN(64,${sum})` : sum);
  }
  const expression = `${a.code}${operator}${b.code!.startsWith('-') ? `(${b.code})` : b.code}`;
  return js.number(width, operator === '+' || operator === '-' ? narrow(width, expression) : expression);
}

export const not = (js: JsCode, a: JsValue): JsValue =>
  a.width === 64 ? js.quad(`~${js.whole(a)}`) : js.number(widthOf(a) as 32, `~${a.code}`);

export function multiply(js: JsCode, a: JsValue, b: JsValue): JsValue {
  const width = widthOf(a);
  if (width === 64) return js.quad(`BigInt.asIntN(64,${js.whole(a)}*${js.whole(b)})`);
  return js.number(width, narrow(width, `Math.imul(${a.code},${b.code})`));
}

const unsigned = (js: JsCode, value: JsValue): string => {
  if (value.width === 64) return `BigInt.asUintN(64,${js.whole(value)})`;
  return value.width === 32 ? `(${value.code}>>>0)` : `(${value.code}&${unsignedMask(value.width as 8 | 16)})`;
};

export function multiplyHigh(js: JsCode, a: JsValue, b: JsValue, signed: boolean): JsValue {
  const width = widthOf(a);
  const [x, y] = signed ? [js.whole(a), js.whole(b)] : [unsigned(js, a), unsigned(js, b)];
  if (width === 64) return js.quad(`BigInt.asIntN(64,(${x}*${y})>>64n)`);
  if (width === 32) return js.number(32, `Number(BigInt.asIntN(32,(BigInt(${x})*BigInt(${y}))>>32n))`);
  return js.number(width, narrow(width, `(${x}*${y})>>${width}`));
}

export function multiplySpills(js: JsCode, a: JsValue, b: JsValue, signed: boolean): JsValue {
  const width = widthOf(a);
  const [x, y] = signed ? [js.whole(a), js.whole(b)] : [unsigned(js, a), unsigned(js, b)];
  const product = js.local(`${x}*${y}`);
  if (width === 64) return js.boolean(`BigInt.as${signed ? 'Int' : 'Uint'}N(64,${product})!==${product}`);
  // A double product of 32-bit values is exact where it fits 32 bits, so inexact ones compare unequal, as they should.
  const low = narrow(width, `Math.imul(${x},${y})`);
  return js.boolean(`(${signed ? low : unsigned(js, { width, code: `(${low})` })})!==${product}`);
}

/** A shift count as the operand type needs it: bigint beside a bigint, number beside a number. */
const countFor = (js: JsCode, width: Width, count: JsValue): string => {
  if (width !== 64) return js.low(count);
  if (count.known !== undefined) return `${count.known}n`;
  return count.width === 64 ? js.whole(count) : `BigInt(${count.code})`;
};

export function shiftLeft(js: JsCode, a: JsValue, count: JsValue): JsValue {
  const width = widthOf(a);
  const by = countFor(js, width, count);
  if (width === 64) return js.quad(`BigInt.asIntN(64,${js.whole(a)}<<${by})`);
  return js.number(width, narrow(width, `${a.code}<<${by}`));
}

export function shiftRight(js: JsCode, a: JsValue, count: JsValue): JsValue {
  const width = widthOf(a);
  const by = countFor(js, width, count);
  if (width === 64) return js.quad(`BigInt.asIntN(64,${unsigned(js, a)}>>${by})`);
  return js.number(width, narrow(width, `${unsigned(js, a)}>>>${by}`));
}

export function shiftRightArithmetic(js: JsCode, a: JsValue, count: JsValue): JsValue {
  const width = widthOf(a);
  const by = countFor(js, width, count);
  return width === 64 ? js.quad(`${js.whole(a)}>>${by}`) : js.number(width, `${a.code}>>${by}`);
}

export function zeroExtend(js: JsCode, width: Width, a: JsValue): JsValue {
  if (a.width === width) return a;
  const from = widthOf(a) as 8 | 16 | 32;
  const low = from === 32 ? a.code! : js.local(`${a.code}&${unsignedMask(from)}`);
  return width === 64 ? { width, low, high: '0' } : { width, code: low };
}

export function signExtend(js: JsCode, width: Width, a: JsValue): JsValue {
  if (a.width === width) return a;
  return width === 64 ? { width, low: a.code!, high: js.local(`${a.code}>>31`) } : { width, code: a.code! };
}

export function truncate(js: JsCode, width: Width, a: JsValue): JsValue {
  if (a.width === width) return a;
  const low = js.low(a);
  return { width, code: width === 32 ? low : js.local(narrow(width as 8 | 16, low)) };
}

export const fromBoolean = (js: JsCode, width: Width, a: JsValue): JsValue =>
  width === 64 ? { width, low: js.local(`${a.code}?1:0`), high: '0' } : js.number(width, `${a.code}?1:0`);

export const equal = (js: JsCode, a: JsValue, b: JsValue): JsValue => js.boolean(`${js.whole(a)}===${js.whole(b)}`);
export const below = (js: JsCode, a: JsValue, b: JsValue): JsValue =>
  js.boolean(`${unsigned(js, a)}<${unsigned(js, b)}`);
export const less = (js: JsCode, a: JsValue, b: JsValue): JsValue => js.boolean(`${js.whole(a)}<${js.whole(b)}`);
export const signBit = (js: JsCode, a: JsValue): JsValue =>
  js.boolean(a.width === 64 ? `${js.whole(a)}<0n` : `${a.code}<0`);

export function bit(js: JsCode, a: JsValue, count: JsValue): JsValue {
  if (a.width === 64) return js.boolean(`((${js.whole(a)}>>${countFor(js, 64, count)})&1n)!==0n`);
  return js.boolean(`((${a.code}>>${js.low(count)})&1)!==0`);
}

export function select(js: JsCode, condition: JsValue, a: JsValue, b: JsValue): JsValue {
  const chosen = `${condition.code}?${js.whole(a)}:${js.whole(b)}`;
  if (a.width === 1) return js.boolean(chosen);
  return a.width === 64 ? js.quad(chosen) : js.number(a.width, chosen);
}

/** Index of the lowest or highest set bit, a count of set bits: by the functions of bits.ts. */
export const bitFunction = (js: JsCode, name: 'lowestBit' | 'highestBit' | 'populationCount', a: JsValue): JsValue => {
  if (a.width === 64) return { width: 64, low: js.local(`bits.${name}64(${js.whole(a)})`), high: '0' };
  return js.number(widthOf(a) as 32, `bits.${name}32(${unsigned(js, a)})`);
};

export const byteSwap = (js: JsCode, a: JsValue): JsValue =>
  a.width === 64 ? js.quad(`bits.byteSwap64(${js.whole(a)})`) : js.number(32, `bits.byteSwap32(${a.code})`);

/** PDEP and PEXT, by the functions of bits.ts. */
export const scatter = (js: JsCode, name: 'depositBits' | 'extractBits', a: JsValue, mask: JsValue): JsValue =>
  a.width === 64
    ? js.quad(`bits.${name}64(${js.whole(a)},${js.whole(mask)})`)
    : js.number(widthOf(a) as 32, `bits.${name}32(${a.code},${mask.code})`);

export function crc32c(js: JsCode, crc: JsValue, value: JsValue): JsValue {
  const part = (from: string, low: string, bytes: number) => js.local(`bits.crc32c(${from},${low},${bytes})`);
  if (value.width !== 64) return { width: 32, code: part(crc.code!, value.code!, widthOf(value) / 8) };
  const high = js.low(shiftRight(js, value, constant(8, 32n)));
  return { width: 32, code: part(part(crc.code!, js.low(value), 4), high, 4) };
}

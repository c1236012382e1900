/** Guest memory in generated code: linear addresses, and accesses through the software TLB. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { SLOT } from '../state.ts';
import { TLB_MASK } from '../tlb.ts';
import { type JsCode, type JsValue, OUTCOME } from './js-code.ts';
import type { OperandShape } from './operand-shape.ts';

type MemoryShape = OperandShape & { kind: 'memory' };

/** First 4-byte slot of the base of segment register `number`. */
const segmentWord = (number: number): number => (SLOT.SEGMENT_BASE + number) * 2;

/** The displacement as a number: an int32 beside registers; from the page, or alone, it can be more than that. */
const displacementOf = (js: JsCode, k: number, { base, index }: MemoryShape): string =>
  js.parameter(`${base || index ? 'd' : 'f'}${k}`);

/**
 * Linear address of memory operand `k` as a double. One register and a displacement add up exactly, because a sum can
 * only be canonical if the register was near enough; more terms are added in halves, modulo 2^64.
 */
export function linearAddress(js: JsCode, k: number, shape: MemoryShape, distance?: JsValue): string {
  const terms: { readonly word: string; readonly scale: number }[] = [];
  if (shape.ripRelative) terms.push({ word: String(SLOT.PAGE_BASE * 2), scale: 1 });
  if (shape.base) terms.push({ word: js.parameter(`b${k}`), scale: 1 });
  if (shape.index) terms.push({ word: js.parameter(`x${k}`), scale: shape.scale });
  const displacement = displacementOf(js, k, shape);
  const halves = (word: string, offset: number) =>
    /^\d+$/.test(word) ? `${Number(word) + offset}` : `${word}+${offset}`;
  const segment = shape.segment === undefined ? undefined : String(segmentWord(shape.segment));
  if (shape.addressWidth === 32) {
    const away = distance === undefined || distance.known === 0n ? [] : [js.low(distance)];
    const sum = [...terms.map(({ word, scale }) => `(L[${word}]>>>0)*${scale}`), displacement, ...away].join('+');
    const offset = js.local(`(${sum})>>>0`);
    return segment === undefined
      ? offset
      : js.local(`L[${halves(segment, 1)}]*4294967296+(L[${segment}]>>>0)+${offset}`);
  }
  if (segment !== undefined) terms.push({ word: segment, scale: 1 });
  if (distance !== undefined && distance.known !== 0n) {
    js.line(`R[${SLOT.SCRATCH}]=${js.whole(distance)};`);
    terms.push({ word: String(SLOT.SCRATCH * 2), scale: 1 });
  }
  if (terms.length === 0) return displacement;
  const [only] = terms;
  if (terms.length === 1 && only!.scale === 1) {
    return js.local(`L[${halves(only!.word, 1)}]*4294967296+(L[${only!.word}]>>>0)+${displacement}`);
  }
  const low = js.local([...terms.map(({ word, scale }) => `(L[${word}]>>>0)*${scale}`), displacement].join('+'));
  const lowWord = js.local(`${low}>>>0`);
  const high = terms.map(({ word, scale }) => `Math.imul(L[${halves(word, 1)}],${scale})`).join('+');
  return js.local(`((${high}+(${low}-${lowWord})/4294967296)|0)*4294967296+${lowWord}`);
}

/** Offset of memory operand `k`, without segment, at `width`: what lea yields. */
export function effectiveAddress(js: JsCode, k: number, shape: MemoryShape, width: Width): JsValue {
  if (width !== 64) {
    const low: string[] = shape.ripRelative ? [`L[${SLOT.PAGE_BASE * 2}]`] : [];
    if (shape.base) low.push(`L[${js.parameter(`b${k}`)}]`);
    if (shape.index) low.push(`L[${js.parameter(`x${k}`)}]*${shape.scale}`);
    const sum = [...low, displacementOf(js, k, shape)].join('+');
    return js.number(width, width === 32 ? `(${sum})|0` : `(${sum})<<${32 - width}>>${32 - width}`);
  }
  if (shape.addressWidth === 32) {
    const { segment: _, ...unsegmented } = shape;
    return { width: 64, low: js.local(`${linearAddress(js, k, unsegmented)}|0`), high: '0' };
  }
  const terms: string[] = [];
  if (shape.ripRelative) terms.push(`R[${SLOT.PAGE_BASE}]`);
  if (shape.base) terms.push(`R[${js.parameter(`B${k}`)}]`);
  if (shape.index)
    terms.push(shape.scale === 1 ? `R[${js.parameter(`X${k}`)}]` : `R[${js.parameter(`X${k}`)}]*${shape.scale}n`);
  terms.push(js.parameter(`D${k}`));
  return js.quad(`BigInt.asIntN(64,${terms.join('+')})`);
}

/**
 * Host offset of an access of `width` at `address`; leaves the instruction if the access cannot be done. `stack` says that
 * it goes to the stack segment, whose faults have a vector of their own.
 */
export function translate(
  js: JsCode,
  width: Width,
  address: string,
  access: 'read' | 'write' | 'update',
  stack: boolean,
): string {
  const bytes = width / 8;
  const word = js.local(`${address}|0`);
  const entry = js.local(`(${word}>>>12)&${TLB_MASK}`);
  const within = js.local(`${word}&4095`);
  const [tags, hosts] = access === 'read' ? ['readTags', 'readHosts'] : ['writeTags', 'writeHosts'];
  const fits = bytes === 1 ? '' : `&&${within}<=${4096 - bytes}`;
  const slow =
    access === 'read'
      ? `mmu.readSlow(${address},${bytes})`
      : `mmu.writeSlow(${address},${bytes},${access === 'update'})`;
  const host = js.local(`${tags}[${entry}]===${address}-${within}${fits}?${hosts}[${entry}]+${within}:${slow}`);
  js.line(`if(${host}<0)return ${leave(host, stack)};`);
  return host;
}

/** The outcome to return when host offset `host` is one. */
export const leave = (host: string, stack: boolean): string =>
  stack ? `${host}===${OUTCOME.FAULT}?mmu.stackOutcome():${host}` : host;

export function loadHost(js: JsCode, width: Width, host: string): JsValue {
  switch (width) {
    case 8:
      return js.number(8, `V.getInt8(${host})`);
    case 16:
      return js.number(16, `V.getInt16(${host},true)`);
    case 32:
      return js.number(32, `V.getInt32(${host},true)`);
    case 64:
      return js.quad(`V.getBigInt64(${host},true)`);
  }
}

/** Write through a translated address; the bounce buffer has to be emptied to where it belongs. */
export function storeHost(js: JsCode, host: string, value: JsValue): void {
  switch (value.width) {
    case 1:
      throw new Error('a boolean is not stored in guest memory');
    case 8:
      js.line(`V.setInt8(${host},${value.code});`);
      break;
    case 16:
      js.line(`V.setInt16(${host},${value.code},true);`);
      break;
    case 32:
      js.line(`V.setInt32(${host},${value.code},true);`);
      break;
    case 64:
      if (value.low === undefined) js.line(`V.setBigInt64(${host},${js.whole(value)},true);`);
      else js.line(`V.setInt32(${host},${value.low},true);V.setInt32(${host}+4,${value.high},true);`);
  }
  js.stores = true;
  js.line(`if(${host}===bounce)end=mmu.commitBounce();`);
}

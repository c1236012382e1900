/** Status flags in generated code: what flags.ts derives lazily, with the commonest questions answered in line. */

import { AF, CF, DF, FLAG_KIND, IF, OF, PF, SF, STATUS_FLAGS, ZF } from '../flags.ts';
import { CONDITION, type ExtraFlags, type FlagName } from '../ops.ts';
import { SLOT, WORD } from '../state.ts';
import type { JsCode, JsValue } from './js-code.ts';

const KIND = `L[${WORD.FLAG_KIND}]`;
const STATUS = `L[${WORD.FLAG_STATUS}]`;
const CONTROL = `L[${WORD.FLAG_CONTROL}]`;
// Halves of the result, through the view that the other words are read by: the engine compares a whole one with a bigint of its own.
const ZERO = `(${KIND}===0?(${STATUS}&${ZF})!==0:(L[${SLOT.FLAG_RESULT * 2}]|L[${SLOT.FLAG_RESULT * 2 + 1}])===0)`;
const CARRY = `(${KIND}<=${FLAG_KIND.RESULT}?(${STATUS}&${CF})!==0:flags.carry())`;
const SIGN = `(${KIND}===0?(${STATUS}&${SF})!==0:L[${SLOT.FLAG_RESULT * 2 + 1}]<0)`;
const LESS = `(${KIND}===${FLAG_KIND.SUBTRACT}?R[${SLOT.FLAG_A}]<R[${SLOT.FLAG_B}]:flags.less())`;
const LESS_OR_EQUAL = `(${KIND}===${FLAG_KIND.SUBTRACT}?R[${SLOT.FLAG_A}]<=R[${SLOT.FLAG_B}]:${ZERO}||flags.less())`;

/** Truth of an even condition code; the odd one above it is the negation. */
const conditionCode: Readonly<Record<number, string>> = {
  [CONDITION.O]: 'flags.overflow()',
  [CONDITION.B]: CARRY,
  [CONDITION.Z]: ZERO,
  [CONDITION.BE]: `(${CARRY}||${ZERO})`,
  [CONDITION.S]: SIGN,
  [CONDITION.P]: 'flags.parity()',
  [CONDITION.L]: LESS,
  [CONDITION.LE]: LESS_OR_EQUAL,
};

export const holds = (js: JsCode, condition: number): JsValue =>
  js.boolean(`${condition & 1 ? '!' : ''}${conditionCode[condition & ~1]}`);

const flagCode: Readonly<Record<FlagName, string>> = {
  CF: CARRY,
  PF: 'flags.parity()',
  AF: 'flags.auxiliary()',
  ZF: ZERO,
  SF: SIGN,
  OF: 'flags.overflow()',
  DF: `(${CONTROL}&${DF})!==0`,
  IF: `(${CONTROL}&${IF})!==0`,
};
const flagBit: Readonly<Record<FlagName, number>> = { CF, PF, AF, ZF, SF, OF, DF, IF };

export const flag = (js: JsCode, name: FlagName): JsValue => js.boolean(flagCode[name]);

export function setFlag(js: JsCode, name: FlagName, value: JsValue): void {
  const bit = flagBit[name];
  if (name === 'CF') js.line(`flags.setCarry(${value.code});`);
  else if (bit & STATUS_FLAGS) js.line(`flags.setStatus(flags.status()&${~bit}|(${value.code}?${bit}:0));`);
  else js.line(`${CONTROL}=${CONTROL}&${~bit}|(${value.code}?${bit}:0);`);
}

export function setCarryOverflow(js: JsCode, carry: JsValue, overflow: JsValue): void {
  js.line(`flags.setCarryOverflow((${carry.code}?${CF}:0)|(${overflow.code}?${OF}:0));`);
}

/** Record an addition or subtraction; the flags follow from operands and result when asked for. */
export function flagsOfSum(js: JsCode, kind: number, a: JsValue, b: JsValue, result: JsValue): void {
  js.storeSigned(SLOT.FLAG_A, a);
  js.storeSigned(SLOT.FLAG_B, b);
  js.storeSigned(SLOT.FLAG_RESULT, result);
  js.line(`${KIND}=${kind};`);
}

export function flagsOfResult(js: JsCode, result: JsValue, extra: ExtraFlags<JsValue>): void {
  const parts = (
    [
      [extra.carry, CF],
      [extra.overflow, OF],
      [extra.auxiliary, AF],
    ] as const
  ).flatMap(([value, bit]) => (value === undefined ? [] : [`(${value.code}?${bit}:0)`]));
  js.storeSigned(SLOT.FLAG_RESULT, result);
  js.line(`${STATUS}=${parts.length === 0 ? '0' : parts.join('|')};${KIND}=${FLAG_KIND.RESULT};`);
}

/** Integer arithmetic: SDM vol. 2, ADD ADC ADCX ADOX SUB SBB CMP INC DEC NEG MUL IMUL DIV IDIV. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import type { Meaning, Ops } from '../ops.ts';

const add: Meaning = (o) => {
  const b = o.read(1, o.widthOf(0));
  const a = o.readForUpdate(0);
  const sum = o.add(a, b);
  o.write(0, sum);
  o.flagsOfAdd(a, b, sum, false);
};

const adc: Meaning = (o) => {
  const width = o.widthOf(0);
  const b = o.read(1, width);
  const a = o.readForUpdate(0);
  const sum = o.add(o.add(a, b), o.fromBoolean(width, o.flag('CF')));
  o.write(0, sum);
  o.flagsOfAdd(a, b, sum, true);
};

const sub: Meaning = (o) => {
  const b = o.read(1, o.widthOf(0));
  const a = o.readForUpdate(0);
  const difference = o.subtract(a, b);
  o.write(0, difference);
  o.flagsOfSubtract(a, b, difference, false);
};

const sbb: Meaning = (o) => {
  const width = o.widthOf(0);
  const b = o.read(1, width);
  const a = o.readForUpdate(0);
  const difference = o.subtract(o.subtract(a, b), o.fromBoolean(width, o.flag('CF')));
  o.write(0, difference);
  o.flagsOfSubtract(a, b, difference, true);
};

const cmp: Meaning = (o) => {
  const a = o.read(0);
  const b = o.read(1, o.widthOf(0));
  o.flagsOfSubtract(a, b, o.subtract(a, b), false);
};

/** ADCX and ADOX: a carry chain in CF or in OF alone; the other flags stay. */
const addWithOneFlag = <V>(o: Ops<V>, name: 'CF' | 'OF'): void => {
  const width = o.widthOf(0);
  const b = o.read(1);
  const a = o.read(0);
  const carry = o.flag(name);
  const partial = o.add(a, b);
  const sum = o.add(partial, o.fromBoolean(width, carry));
  // At most one of the two additions carries out.
  const overflowed = o.xor1(o.below(partial, a), o.below(sum, partial));
  o.write(0, sum);
  o.setFlag(name, overflowed);
};
const adcx: Meaning = (o) => addWithOneFlag(o, 'CF');
const adox: Meaning = (o) => addWithOneFlag(o, 'OF');

/** INC and DEC leave CF alone, so it has to be settled before the lazy flags forget it. */
const step = <V>(o: Ops<V>, up: boolean): void => {
  const width = o.widthOf(0);
  const one = o.constant(width, 1n);
  const a = o.readForUpdate(0);
  const result = up ? o.add(a, one) : o.subtract(a, one);
  const carry = o.flag('CF');
  o.write(0, result);
  const edge = o.constant(width, (1n << BigInt(width - 1)) - (up ? 0n : 1n));
  const nibble = o.and(result, o.constant(width, 15n));
  o.flagsOfResult(result, {
    carry,
    overflow: o.equal(result, edge),
    auxiliary: o.equal(nibble, o.constant(width, up ? 0n : 15n)),
  });
};
const inc: Meaning = (o) => step(o, true);
const dec: Meaning = (o) => step(o, false);

const neg: Meaning = (o) => {
  const a = o.readForUpdate(0);
  const zero = o.constant(o.widthOf(0), 0n);
  const result = o.subtract(zero, a);
  o.write(0, result);
  o.flagsOfSubtract(zero, a, result, false);
};

const RAX = 0;
const RDX = 2;

/** Write a double-width product to ax or rdx:rax. */
const writeProduct = <V>(o: Ops<V>, width: Width, low: V, high: V): void => {
  if (width === 8) {
    o.setRegister(RAX, o.or(o.zeroExtend(16, low), o.shiftLeft(o.zeroExtend(16, high), o.constant(8, 8n))));
    return;
  }
  o.setRegister(RAX, low);
  o.setRegister(RDX, high);
};

const multiplyAccumulator = <V>(o: Ops<V>, signed: boolean): void => {
  const width = o.widthOf(0);
  const a = o.register(RAX, width);
  const b = o.read(0);
  const low = o.multiply(a, b);
  const high = o.multiplyHigh(a, b, signed);
  const spill = o.multiplySpills(a, b, signed);
  writeProduct(o, width, low, high);
  o.flagsOfResult(low, { carry: spill, overflow: spill });
};

const mul: Meaning = (o) => multiplyAccumulator(o, false);

const imulWide: Meaning = (o) => multiplyAccumulator(o, true);

const imul: Meaning = (o) => {
  const width = o.widthOf(0);
  const a = o.read(o.operandCount === 3 ? 1 : 0);
  const b = o.read(o.operandCount === 3 ? 2 : 1, width);
  const low = o.multiply(a, b);
  const spill = o.multiplySpills(a, b, true);
  o.write(0, low);
  o.flagsOfResult(low, { carry: spill, overflow: spill });
};

/** DIV and IDIV leave the status flags undefined; here they are unchanged. */
const divideAccumulator = <V>(o: Ops<V>, signed: boolean): void => {
  const width = o.widthOf(0);
  const divisor = o.read(0);
  if (width === 8) {
    const dividend = o.register(RAX, 16);
    const high = o.truncate(8, o.shiftRight(dividend, o.constant(8, 8n)));
    const { quotient, remainder } = o.divide(high, o.truncate(8, dividend), divisor, signed);
    writeProduct(o, 8, quotient, remainder);
    return;
  }
  const { quotient, remainder } = o.divide(o.register(RDX, width), o.register(RAX, width), divisor, signed);
  o.setRegister(RAX, quotient);
  o.setRegister(RDX, remainder);
};
const div: Meaning = (o) => divideAccumulator(o, false);
const idiv: Meaning = (o) => divideAccumulator(o, true);

export const arithmetic = {
  add,
  adc,
  adcx,
  adox,
  sub,
  sbb,
  cmp,
  inc,
  dec,
  neg,
  mul,
  imul,
  'imul-wide': imulWide,
  div,
  idiv,
} as const;

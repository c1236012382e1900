/** The operations of {@link Ops} as WebAssembly: how the translator turns an instruction's definition into code of its region. */

import type { Instruction, MemoryReference, Width } from '../../../../lang/isa/instruction.ts';
import { IO_QUALIFICATION, ioForm } from '../exit.ts';
import { FLAG_KIND } from '../flags.ts';
import { type OperandShape, shapesOf } from '../interpreter/operand-shape.ts';
import type { ExtraFlags, FlagName, Ops, PortForm, ServiceName } from '../ops.ts';
import { SLOT } from '../state.ts';
import type { Emitter } from './emitter.ts';
import { STORAGE } from './layout.ts';
import { extended, knownForm, type LinearForm, lowHalf } from './linear-form.ts';
import type { Place } from './place.ts';
import { ACCESS, OP } from './wasm-function.ts';
import type { Host } from './wasm-memory.ts';
import { constant, type WasmValue } from './wasm-value.ts';

const RSP = SLOT.RSP;
const RBP = 5;
const RSI = 6;
const RDI = 7;
const HIGH_BYTE = 4;

/** Thrown by what has no translation: the interpreter carries the whole instruction out. */
export class NotTranslated extends Error {}
/** One for all: to note where it was thrown takes longer than many an instruction's translation. */
const NOT_TRANSLATED = new NotTranslated();

/** Where a branch leads: told to the region, which knows what is inside it. */
export interface Branches {
  /** Branch to a fixed linear address. */
  direct(target: bigint): void;
  /** Branch to the address in a value. */
  indirect(target: WasmValue): void;
}

type Shift = 'left' | 'right' | 'arithmetic';

/** What a register is after the value has been put into it, as a sum. */
function wholeRegister({ width, known, linear }: WasmValue): LinearForm | undefined {
  if (width < 32) return undefined;
  if (known !== undefined) return knownForm(64, width === 32 ? BigInt.asUintN(32, known) : known);
  return linear && (width === 32 ? extended(linear, false) : linear);
}

/** One instruction at one place. */
export class WasmOps implements Ops<WasmValue> {
  readonly width: Width;
  readonly addressWidth: 32 | 64;
  readonly condition: number | undefined;
  readonly repeat: 'none' | 'rep' | 'repne';
  readonly operandCount: number;
  readonly #emitter: Emitter;
  readonly #instruction: Instruction;
  readonly #shapes: readonly OperandShape[];
  readonly #place: Place;
  readonly #branches: Branches;
  /** Host offsets of memory operands that readForUpdate has translated. */
  readonly #hosts = new Map<number, Host>();

  constructor(emitter: Emitter, instruction: Instruction, place: Place, branches: Branches) {
    this.#emitter = emitter;
    this.#instruction = instruction;
    this.#place = place;
    this.#branches = branches;
    this.#shapes = shapesOf(instruction, Number(place.rip & 4095n) + place.length);
    this.width = instruction.width;
    this.addressWidth = instruction.addressWidth;
    this.condition = instruction.condition;
    this.repeat = instruction.repeat;
    this.operandCount = instruction.operands.length;
  }

  #shape(k: number): OperandShape {
    const shape = this.#shapes[k];
    if (!shape) throw new Error(`the definition names operand ${k} of an instruction that has ${this.operandCount}`);
    return shape;
  }

  widthOf(k: number): Width {
    return this.#shape(k).width;
  }
  isMemory(k: number): boolean {
    return this.#shape(k).kind === 'memory';
  }
  isGeneral(k: number): boolean {
    return this.#shape(k).kind === 'register';
  }
  isImmediate(k: number): boolean {
    return this.#shape(k).kind === 'immediate';
  }
  isRelative(k: number): boolean {
    return this.#shape(k).kind === 'relative';
  }
  registerNumber(): number {
    throw NOT_TRANSLATED;
  }

  constant(width: Width, value: bigint): WasmValue {
    return constant(width, value);
  }

  read(k: number, width: Width = this.widthOf(k)): WasmValue {
    const operand = this.#instruction.operands[k]!;
    switch (operand.kind) {
      case 'register': {
        const { register } = operand;
        if (register.class === 'high-byte') return this.#highByte(register.number - HIGH_BYTE);
        if (register.class !== 'general') throw NOT_TRANSLATED;
        return this.register(register.number, Math.min(width, register.width) as Width);
      }
      case 'immediate':
        return constant(width, operand.value);
      case 'memory': {
        const { memory } = this.#emitter;
        return memory.load(width, memory.translate(this.#place, width, this.linearAddress(k), 'read'));
      }
      case 'relative':
        throw new Error(`operand ${k} (${operand.kind}) has no value to read`);
    }
  }

  #highByte(number: number): WasmValue {
    const { frame } = this.#emitter;
    frame.code.get(frame.register(number));
    frame.code.op(OP.I32_WRAP_I64);
    frame.code.i32(8);
    frame.code.op(OP.I32_SHR_U, OP.I32_EXTEND8_S);
    return frame.temporaries.result(8);
  }

  readForUpdate(k: number): WasmValue {
    const shape = this.#shape(k);
    if (shape.kind !== 'memory') return this.read(k);
    const { memory } = this.#emitter;
    const host = memory.translate(this.#place, shape.width, this.linearAddress(k), 'write');
    this.#hosts.set(k, host);
    return memory.load(shape.width, host);
  }

  write(k: number, value: WasmValue): void {
    const operand = this.#instruction.operands[k]!;
    if (operand.kind === 'register') {
      const { register } = operand;
      if (register.class === 'high-byte') this.#insert(register.number - HIGH_BYTE, value, 8n, 0xffn);
      else if (register.class === 'general') this.setRegister(register.number, value);
      else throw NOT_TRANSLATED;
      return;
    }
    const { memory } = this.#emitter;
    const host =
      this.#hosts.get(k) ?? memory.translate(this.#place, value.width as Width, this.linearAddress(k), 'write');
    memory.store(host, value);
  }

  #reference(k: number): { shape: OperandShape & { kind: 'memory' }; memory: MemoryReference } {
    const shape = this.#shape(k);
    const operand = this.#instruction.operands[k]!;
    if (shape.kind !== 'memory' || operand.kind !== 'memory')
      throw new Error(`the definition takes operand ${k} for memory, but it is a ${shape.kind}`);
    return { shape, memory: operand.memory };
  }

  /** Base, scaled index, displacement and `distance`, modulo 2^64 or 2^32. */
  #offset(k: number, distance: WasmValue = constant(64, 0n)): WasmValue {
    const { shape, memory } = this.#reference(k);
    const op = this.#emitter.arithmetic;
    const next = this.#place.rip + BigInt(this.#place.length);
    let sum = constant(64, memory.displacement + (shape.ripRelative ? next : 0n));
    const join = (value: WasmValue) => {
      sum = sum.known === 0n ? value : op.binary('add', value, sum);
    };
    if (distance.known !== 0n) join(distance);
    if (shape.base) join(this.register(memory.base!.number, 64));
    if (shape.index) {
      const index = this.register(memory.index!.number, 64);
      join(shape.scale === 1 ? index : op.shift('left', index, constant(8, BigInt(Math.log2(shape.scale)))));
    }
    return shape.addressWidth === 64 ? sum : op.zeroExtend(64, op.truncate(32, sum));
  }

  effectiveAddress(k: number, width: Width): WasmValue {
    const offset = this.#offset(k);
    return width === 64 ? offset : this.#emitter.arithmetic.truncate(width, offset);
  }

  linearAddress(k: number, distance: WasmValue = constant(64, 0n)): WasmValue {
    const { shape } = this.#reference(k);
    const offset = this.#offset(k, distance);
    return { ...this.#inSegment(shape.segment, offset), stack: shape.stack };
  }

  #inSegment(segment: number | undefined, offset: WasmValue): WasmValue {
    if (segment === undefined) return offset;
    const { frame, arithmetic } = this.#emitter;
    frame.stateQuad(SLOT.SEGMENT_BASE + segment);
    return arithmetic.binary('add', frame.temporaries.result(64), offset);
  }

  register(number: number, width: Width): WasmValue {
    const { trace, values } = this.#emitter.frame;
    const value = values.get(number, width) ?? this.#readRegister(number, width);
    values.seen(number, value);
    const whole = width >= 32 ? trace?.register(number) : undefined;
    const linear = whole && (width === 64 ? whole : lowHalf(whole));
    return { ...value, stack: number === RSP || number === RBP, linear };
  }

  #readRegister(number: number, width: Width): WasmValue {
    const { frame } = this.#emitter;
    const { code } = frame;
    code.get(frame.register(number));
    if (width !== 64) code.op(OP.I32_WRAP_I64);
    if (width === 8) code.op(OP.I32_EXTEND8_S);
    if (width === 16) code.op(OP.I32_EXTEND16_S);
    return frame.temporaries.result(width);
  }

  setRegister(number: number, value: WasmValue): void {
    const { frame } = this.#emitter;
    frame.trace?.set(number, wholeRegister(value));
    frame.values.set(number, value);
    if (value.width === 8) this.#insert(number, value, 0n, 0xffn);
    else if (value.width === 16) this.#insert(number, value, 0n, 0xffffn);
    else if (value.known !== undefined) {
      frame.code.i64(value.width === 32 ? BigInt.asUintN(32, value.known) : value.known);
      frame.code.set(frame.changedRegister(number));
    } else {
      frame.temporaries.push(value);
      if (value.width === 32) frame.code.op(OP.I64_EXTEND_I32_U);
      frame.code.set(frame.changedRegister(number));
    }
  }

  /** Put a narrow value into bits of a register, and keep the others. */
  #insert(number: number, value: WasmValue, shift: bigint, mask: bigint): void {
    const { code, temporaries } = this.#emitter.frame;
    const register = this.#emitter.frame.changedRegister(number);
    this.#emitter.frame.trace?.set(number, undefined);
    this.#emitter.frame.values.set(number, value);
    code.get(register);
    code.i64(~(mask << shift));
    code.op(OP.I64_AND);
    temporaries.pushWide(value);
    code.i64(mask);
    code.op(OP.I64_AND);
    if (shift !== 0n) {
      code.i64(shift);
      code.op(OP.I64_SHL);
    }
    code.op(OP.I64_OR);
    code.set(register);
  }

  load(width: Width, address: WasmValue): WasmValue {
    const { memory } = this.#emitter;
    return memory.load(width, memory.translate(this.#place, width, address, 'read'));
  }

  store(address: WasmValue, value: WasmValue): void {
    const { memory } = this.#emitter;
    memory.store(memory.translate(this.#place, value.width as Width, address, 'write'), value);
  }

  probeStore(width: Width, address: WasmValue): void {
    this.#emitter.memory.translate(this.#place, width, address, 'write');
  }

  push(value: WasmValue): void {
    const width = value.width as Width;
    const address = this.subtract(this.register(RSP, 64), constant(64, BigInt(width / 8)));
    const { memory } = this.#emitter;
    const host = memory.translate(this.#place, width, { ...address, stack: true }, 'write');
    this.setRegister(RSP, address);
    memory.store(host, value);
  }

  pop(width: Width): WasmValue {
    const top = this.register(RSP, 64);
    const value = this.load(width, top);
    this.setRegister(RSP, this.add(top, constant(64, BigInt(width / 8))));
    return value;
  }

  popToMemory(): void {
    throw NOT_TRANSLATED;
  }

  stringAddress(which: 'source' | 'destination'): WasmValue {
    const register = this.register(which === 'source' ? RSI : RDI, this.addressWidth);
    const offset = this.zeroExtend(64, register);
    // Only the source's segment can be overridden, so an override on any operand is its.
    const segment = this.#shapes
      .map((shape) => (shape.kind === 'memory' ? shape.segment : undefined))
      .find((number) => number !== undefined);
    return this.#inSegment(which === 'source' ? segment : undefined, offset);
  }

  add(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.binary('add', a, b);
  }
  subtract(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.binary('subtract', a, b);
  }
  and(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.binary('and', a, b);
  }
  or(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.binary('or', a, b);
  }
  xor(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.binary('xor', a, b);
  }
  not(a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.not(a);
  }
  multiply(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.binary('multiply', a, b);
  }
  multiplyHigh(a: WasmValue, b: WasmValue, signed: boolean): WasmValue {
    return this.#emitter.arithmetic.multiplyHigh(a, b, signed);
  }
  multiplySpills(a: WasmValue, b: WasmValue, signed: boolean): WasmValue {
    return this.#emitter.arithmetic.multiplySpills(a, b, signed);
  }
  divide(
    high: WasmValue,
    low: WasmValue,
    divisor: WasmValue,
    signed: boolean,
  ): { quotient: WasmValue; remainder: WasmValue } {
    return this.#emitter.division.divide(this.#place, high, low, divisor, signed);
  }

  #shift(name: Shift, a: WasmValue, count: WasmValue): WasmValue {
    return this.#emitter.arithmetic.shift(name, a, count);
  }
  shiftLeft(a: WasmValue, count: WasmValue): WasmValue {
    return this.#shift('left', a, count);
  }
  shiftRight(a: WasmValue, count: WasmValue): WasmValue {
    return this.#shift('right', a, count);
  }
  shiftRightArithmetic(a: WasmValue, count: WasmValue): WasmValue {
    return this.#shift('arithmetic', a, count);
  }
  zeroExtend(width: Width, a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.zeroExtend(width, a);
  }
  signExtend(width: Width, a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.signExtend(width, a);
  }
  truncate(width: Width, a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.truncate(width, a);
  }
  fromBoolean(width: Width, a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.fromBoolean(width, a);
  }
  equal(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.compare('equal', a, b);
  }
  below(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.compare('below', a, b);
  }
  less(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.compare('less', a, b);
  }
  bit(a: WasmValue, count: WasmValue): WasmValue {
    return this.#emitter.arithmetic.bit(a, count);
  }
  signBit(a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.signBit(a);
  }
  not1(a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.not1(a);
  }
  and1(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.logical('and', a, b);
  }
  xor1(a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.logical('xor', a, b);
  }
  select(condition: WasmValue, a: WasmValue, b: WasmValue): WasmValue {
    return this.#emitter.arithmetic.select(condition, a, b);
  }
  lowestBit(a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.lowestBit(a);
  }
  highestBit(a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.highestBit(a);
  }
  populationCount(a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.populationCount(a);
  }
  byteSwap(a: WasmValue): WasmValue {
    return this.#emitter.arithmetic.byteSwap(a);
  }
  depositBits(): WasmValue {
    throw NOT_TRANSLATED;
  }
  extractBits(): WasmValue {
    throw NOT_TRANSLATED;
  }
  crc32c(): WasmValue {
    throw NOT_TRANSLATED;
  }

  flag(name: FlagName): WasmValue {
    return this.#emitter.flags.flag(name);
  }
  setFlag(name: FlagName, value: WasmValue): void {
    this.#emitter.flags.setFlag(name, value);
  }
  setCarryOverflow(carry: WasmValue, overflow: WasmValue): void {
    this.#emitter.flags.setCarryOverflow(carry, overflow);
  }
  statusFlags(): WasmValue {
    return this.#emitter.flags.status();
  }
  setStatusFlags(value: WasmValue, mask: number): void {
    this.#emitter.flags.setStatus(value, mask);
  }
  holds(condition: number): WasmValue {
    return this.#emitter.flags.holds(condition);
  }
  flagsOfAdd(a: WasmValue, b: WasmValue, result: WasmValue, carry: boolean): void {
    this.#emitter.flags.ofSum(FLAG_KIND.ADD, a, b, result, carry);
  }
  flagsOfSubtract(a: WasmValue, b: WasmValue, result: WasmValue, borrow: boolean): void {
    this.#emitter.flags.ofSum(borrow ? FLAG_KIND.SUBTRACT_WITH_BORROW : FLAG_KIND.SUBTRACT, a, b, result, borrow);
  }
  flagsOfResult(result: WasmValue, extra: ExtraFlags<WasmValue> = {}): void {
    this.#emitter.flags.ofResult(result, extra);
  }

  when(condition: WasmValue, then: () => void, otherwise: () => void = () => {}): void {
    if (condition.known !== undefined) {
      if (condition.known !== 0n) then();
      else otherwise();
      return;
    }
    const { frame, flags } = this.#emitter;
    // A branch sets no flags; anything else may set them in one arm and not in the other, so they meet in the frame.
    const branches = this.#shapes.some(({ kind }) => kind === 'relative');
    if (!branches) flags.settled();
    const before = flags.state;
    const arms = () => {
      frame.temporaries.push(condition);
      frame.code.if();
      then();
      if (!branches) flags.settled();
      flags.state = before;
      frame.code.else();
      otherwise();
      if (!branches) flags.settled();
    };
    frame.values.sometimes(() => {
      if (frame.trace === undefined) arms();
      else frame.trace.sometimes(arms);
    });
    frame.code.end();
    flags.state = branches ? before : { rule: 'settled', entry: false };
  }

  repeatString(body: (stopIf: (condition: WasmValue) => void) => void): void {
    if (this.repeat !== 'none') throw NOT_TRANSLATED;
    body(() => {});
  }

  next(): WasmValue {
    return constant(64, this.#place.rip + BigInt(this.#place.length));
  }

  jumpRelative(k: number): void {
    const operand = this.#instruction.operands[k]!;
    if (operand.kind !== 'relative') throw new Error(`the definition branches to operand ${k}, a ${operand.kind}`);
    this.#branches.direct(BigInt.asIntN(64, this.next().known! + operand.displacement));
  }

  checkTarget(target: WasmValue): void {
    const { frame, exits, arithmetic } = this.#emitter;
    const { code, temporaries } = frame;
    const sixteen = constant(8, 16n);
    const canonical = arithmetic.shift('arithmetic', arithmetic.shift('left', target, sixteen), sixteen);
    temporaries.push(arithmetic.compare('equal', canonical, target));
    code.op(OP.I32_EQZ);
    code.unlikelyIf();
    exits.interpret(this.#place);
    code.end();
  }

  jumpTo(target: WasmValue): void {
    this.#branches.indirect(target);
  }

  /** Whoever serves the access has completed it: the value is in RAX of the state page, and is made the instruction's own from there. */
  portIn(width: 8 | 16 | 32, port: WasmValue, form: PortForm): WasmValue {
    this.#accessPort(width, port, form, IO_QUALIFICATION.IN);
    return this.#emitter.memory.loadState(width, SLOT.RAX);
  }
  portOut(port: WasmValue, value: WasmValue, form: PortForm): void {
    this.#accessPort(value.width as 8 | 16 | 32, port, form, 0);
  }
  #accessPort(width: 8 | 16 | 32, port: WasmValue, form: PortForm, direction: number): void {
    if (form === 'string') throw NOT_TRANSLATED;
    const { frame, exits } = this.#emitter;
    const { code, temporaries, places } = frame;
    code.i32(0);
    temporaries.pushLow(port);
    code.i32(IO_QUALIFICATION.PORT_SHIFT);
    code.op(OP.I32_SHL);
    code.i32(direction | ioForm(form, this.repeat) | (width / 8 - 1));
    code.op(OP.I32_OR);
    code.access(ACCESS.I32_STORE, places.storage + STORAGE.PORT);
    exits.port(this.#place);
  }
  checkPort(): void {
    throw NOT_TRANSLATED;
  }
  leaveForString(): void {
    throw NOT_TRANSLATED;
  }
  /** PAUSE is a hint that nobody takes; all else is the vCPU's business. */
  service(name: ServiceName): void {
    if (name !== 'pause') throw NOT_TRANSLATED;
  }
  query(): WasmValue {
    throw NOT_TRANSLATED;
  }
  fault(): void {
    throw NOT_TRANSLATED;
  }
}

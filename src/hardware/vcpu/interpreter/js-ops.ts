/** The operations of {@link Ops} as JavaScript source: how the interpreter turns an instruction's definition into a function body. */

import type { Width } from '../../../../lang/isa/instruction.ts';
import { IO_QUALIFICATION, ioForm } from '../exit.ts';
import { FLAG_KIND, RF } from '../flags.ts';
import type { ExtraFlags, FlagName, Ops, PortForm, ServiceName, WholeString } from '../ops.ts';
import { SLOT, WORD } from '../state.ts';
import * as arithmetic from './js-arithmetic.ts';
import { type JsCode, type JsValue, OUTCOME } from './js-code.ts';
import * as flags from './js-flags.ts';
import * as memory from './js-memory.ts';
import type { OperandShape } from './operand-shape.ts';
import { roomOf } from './service-rooms.ts';
import { STRING_BATCH } from './string-batch.ts';

/** What of an instruction, besides its operands' shapes, a definition may ask for at staging time. */
export interface Staging {
  readonly width: Width;
  readonly addressWidth: 32 | 64;
  readonly condition: number | undefined;
  readonly repeat: 'none' | 'rep' | 'repne';
  readonly shapes: readonly OperandShape[];
}

const RSP = SLOT.RSP;
const RBP = 5;

/** One instruction form being described. */
export class JsOps implements Ops<JsValue> {
  readonly width: Width;
  readonly addressWidth: 32 | 64;
  readonly condition: number | undefined;
  readonly repeat: 'none' | 'rep' | 'repne';
  readonly operandCount: number;
  readonly #js: JsCode;
  readonly #shapes: readonly OperandShape[];
  /** Host offsets of memory operands that readForUpdate has translated. */
  readonly #hosts = new Map<number, string>();

  constructor(js: JsCode, staging: Staging) {
    this.#js = js;
    this.#shapes = staging.shapes;
    this.width = staging.width;
    this.addressWidth = staging.addressWidth;
    this.condition = staging.condition;
    this.repeat = staging.repeat;
    this.operandCount = staging.shapes.length;
  }

  #shape(k: number): OperandShape {
    const shape = this.#shapes[k];
    if (!shape) throw new Error(`the definition names operand ${k} of an instruction that has ${this.operandCount}`);
    return shape;
  }

  #memory(k: number): OperandShape & { kind: 'memory' } {
    const shape = this.#shape(k);
    if (shape.kind !== 'memory')
      throw new Error(`the definition takes operand ${k} for memory, but it is a ${shape.kind}`);
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
  registerNumber(k: number): number {
    const shape = this.#shape(k);
    if (shape.kind !== 'special') throw new Error(`operand ${k} is no system register`);
    return shape.number;
  }

  constant(width: Width, value: bigint): JsValue {
    return arithmetic.constant(width, value);
  }

  read(k: number, width: Width = this.widthOf(k)): JsValue {
    const shape = this.#shape(k);
    switch (shape.kind) {
      case 'register': {
        const slot = this.#js.parameter(`r${k}`);
        const value = this.#registerAt(slot, shape.width);
        return width < shape.width ? arithmetic.truncate(this.#js, width, value) : value;
      }
      case 'immediate':
        return { width, code: this.#js.parameter(width === 64 ? `I${k}` : `i${k}_${width}`) };
      case 'memory':
        return memory.loadHost(
          this.#js,
          width,
          memory.translate(this.#js, width, memory.linearAddress(this.#js, k, shape), 'read', shape.stack),
        );
      default:
        throw new Error(`operand ${k} (${shape.kind}) has no value to read`);
    }
  }

  #registerAt(slot: string, width: Width): JsValue {
    switch (width) {
      case 8:
        return this.#js.number(8, `B[${slot}]`);
      case 16:
        return this.#js.number(16, `S[${slot}]`);
      case 32:
        return this.#js.number(32, `L[${slot}]`);
      case 64:
        return this.#js.quad(`R[${slot}]`);
    }
  }

  readForUpdate(k: number): JsValue {
    const shape = this.#shape(k);
    if (shape.kind !== 'memory') return this.read(k);
    const host = memory.translate(
      this.#js,
      shape.width,
      memory.linearAddress(this.#js, k, shape),
      'update',
      shape.stack,
    );
    this.#hosts.set(k, host);
    return memory.loadHost(this.#js, shape.width, host);
  }

  write(k: number, value: JsValue): void {
    const shape = this.#shape(k);
    if (shape.kind === 'register') {
      this.#writeRegister(this.#js.parameter(`r${k}`), value);
      return;
    }
    const translated = this.#hosts.get(k);
    const host = translated ?? this.#translateOperand(k, value.width as Width);
    memory.storeHost(this.#js, host, value);
  }

  #translateOperand(k: number, width: Width): string {
    const shape = this.#memory(k);
    return memory.translate(this.#js, width, memory.linearAddress(this.#js, k, shape), 'write', shape.stack);
  }

  #writeRegister(slot: string, value: JsValue): void {
    const js = this.#js;
    switch (value.width) {
      case 8:
        js.line(`B[${slot}]=${value.code};`);
        break;
      case 16:
        js.line(`S[${slot}]=${value.code};`);
        break;
      case 32:
        js.line(`L[${slot}]=${value.code};L[${slot}+1]=0;`);
        break;
      default:
        if (value.low !== undefined) js.line(`L[${slot}*2]=${value.low};L[${slot}*2+1]=${value.high};`);
        else js.line(`R[${slot}]=${js.whole(value)};`);
    }
  }

  effectiveAddress(k: number, width: Width): JsValue {
    return memory.effectiveAddress(this.#js, k, this.#memory(k), width);
  }

  linearAddress(k: number, distance: JsValue): JsValue {
    const shape = this.#memory(k);
    return { width: 64, address: memory.linearAddress(this.#js, k, shape, distance), stack: shape.stack };
  }

  register(number: number, width: Width): JsValue {
    const value = this.#registerAt(String(number * (64 / width)), width);
    return number === RSP || number === RBP ? { ...value, stack: true } : value;
  }

  setRegister(number: number, value: JsValue): void {
    this.#writeRegister(String(number * (64 / value.width)), value);
  }

  load(width: Width, address: JsValue): JsValue {
    return memory.loadHost(
      this.#js,
      width,
      memory.translate(this.#js, width, this.#js.address(address), 'read', address.stack ?? false),
    );
  }

  store(address: JsValue, value: JsValue): void {
    const host = memory.translate(
      this.#js,
      value.width as Width,
      this.#js.address(address),
      'write',
      address.stack ?? false,
    );
    memory.storeHost(this.#js, host, value);
  }

  probeStore(width: Width, address: JsValue): void {
    memory.translate(this.#js, width, this.#js.address(address), 'write', address.stack ?? false);
  }

  #stackPointer(): string {
    return `L[${RSP * 2 + 1}]*4294967296+(L[${RSP * 2}]>>>0)`;
  }

  push(value: JsValue): void {
    const bytes = (value.width as Width) / 8;
    const address = this.#js.local(`${this.#stackPointer()}-${bytes}`);
    const host = memory.translate(this.#js, value.width as Width, address, 'write', true);
    this.#js.line(`R[${RSP}]=R[${RSP}]-${bytes}n;`);
    memory.storeHost(this.#js, host, value);
  }

  pop(width: Width): JsValue {
    const host = memory.translate(this.#js, width, this.#js.local(this.#stackPointer()), 'read', true);
    const value = memory.loadHost(this.#js, width, host);
    this.#js.line(`R[${RSP}]=R[${RSP}]+${width / 8}n;`);
    return value;
  }

  popToMemory(k: number): void {
    const shape = this.#memory(k);
    const value = this.pop(shape.width);
    const bytes = shape.width / 8;
    // The address is taken with rsp moved; if the store then faults, rsp has to be as it was.
    const address = memory.linearAddress(this.#js, k, shape);
    const host = this.#js.local(`mmu.writeSlow(${address},${bytes},false)`);
    this.#js.line(`if(${host}<0){R[${RSP}]=R[${RSP}]-${bytes}n;return ${memory.leave(host, shape.stack)};}`);
    memory.storeHost(this.#js, host, value);
  }

  stringAddress(which: 'source' | 'destination'): JsValue {
    const word = (which === 'source' ? 6 : 7) * 2;
    const offset = this.addressWidth === 64 ? `L[${word + 1}]*4294967296+(L[${word}]>>>0)` : `(L[${word}]>>>0)`;
    // Only the source's segment can be overridden, so an override on any operand is its.
    const segment =
      which === 'source'
        ? this.#shapes
            .map((shape) => (shape.kind === 'memory' ? shape.segment : undefined))
            .find((number) => number !== undefined)
        : undefined;
    if (segment === undefined) return { width: 64, address: this.#js.local(offset) };
    const base = `R[${SLOT.SEGMENT_BASE + segment}]`;
    return this.#js.quad(
      `BigInt.asIntN(64,${base}+${this.addressWidth === 64 ? `R[${word / 2}]` : `BigInt((L[${word}]>>>0))`})`,
    );
  }

  add(a: JsValue, b: JsValue): JsValue {
    return arithmetic.binary(this.#js, '+', a, b);
  }
  subtract(a: JsValue, b: JsValue): JsValue {
    return arithmetic.binary(this.#js, '-', a, b);
  }
  and(a: JsValue, b: JsValue): JsValue {
    return arithmetic.binary(this.#js, '&', a, b);
  }
  or(a: JsValue, b: JsValue): JsValue {
    return arithmetic.binary(this.#js, '|', a, b);
  }
  xor(a: JsValue, b: JsValue): JsValue {
    return arithmetic.binary(this.#js, '^', a, b);
  }
  not(a: JsValue): JsValue {
    return arithmetic.not(this.#js, a);
  }
  multiply(a: JsValue, b: JsValue): JsValue {
    return arithmetic.multiply(this.#js, a, b);
  }
  multiplyHigh(a: JsValue, b: JsValue, signed: boolean): JsValue {
    return arithmetic.multiplyHigh(this.#js, a, b, signed);
  }
  multiplySpills(a: JsValue, b: JsValue, signed: boolean): JsValue {
    return arithmetic.multiplySpills(this.#js, a, b, signed);
  }

  divide(high: JsValue, low: JsValue, divisor: JsValue, signed: boolean): { quotient: JsValue; remainder: JsValue } {
    const js = this.#js;
    const width = divisor.width as Width;
    const parts = [high, low, divisor].map((value) => (width === 64 ? js.whole(value) : value.code));
    js.line(
      `if(!divider.divide${width === 64 ? 64 : ''}(${width === 64 ? '' : `${width},`}${parts.join(',')},${signed}))return services.divideError();`,
    );
    const result = (name: string): JsValue =>
      width === 64 ? js.quad(`divider.${name}64`) : js.number(width, `divider.${name}<<${32 - width}>>${32 - width}`);
    return { quotient: result('quotient'), remainder: result('remainder') };
  }

  shiftLeft(a: JsValue, count: JsValue): JsValue {
    return arithmetic.shiftLeft(this.#js, a, count);
  }
  shiftRight(a: JsValue, count: JsValue): JsValue {
    return arithmetic.shiftRight(this.#js, a, count);
  }
  shiftRightArithmetic(a: JsValue, count: JsValue): JsValue {
    return arithmetic.shiftRightArithmetic(this.#js, a, count);
  }
  zeroExtend(width: Width, a: JsValue): JsValue {
    return arithmetic.zeroExtend(this.#js, width, a);
  }
  signExtend(width: Width, a: JsValue): JsValue {
    return arithmetic.signExtend(this.#js, width, a);
  }
  truncate(width: Width, a: JsValue): JsValue {
    return arithmetic.truncate(this.#js, width, a);
  }
  fromBoolean(width: Width, a: JsValue): JsValue {
    return arithmetic.fromBoolean(this.#js, width, a);
  }
  equal(a: JsValue, b: JsValue): JsValue {
    return arithmetic.equal(this.#js, a, b);
  }
  below(a: JsValue, b: JsValue): JsValue {
    return arithmetic.below(this.#js, a, b);
  }
  less(a: JsValue, b: JsValue): JsValue {
    return arithmetic.less(this.#js, a, b);
  }
  bit(a: JsValue, count: JsValue): JsValue {
    return arithmetic.bit(this.#js, a, count);
  }
  signBit(a: JsValue): JsValue {
    return arithmetic.signBit(this.#js, a);
  }
  not1(a: JsValue): JsValue {
    return this.#js.boolean(`!${a.code}`);
  }
  and1(a: JsValue, b: JsValue): JsValue {
    return this.#js.boolean(`${a.code}&&${b.code}`);
  }
  xor1(a: JsValue, b: JsValue): JsValue {
    return this.#js.boolean(`${a.code}!==${b.code}`);
  }
  select(condition: JsValue, a: JsValue, b: JsValue): JsValue {
    return arithmetic.select(this.#js, condition, a, b);
  }
  lowestBit(a: JsValue): JsValue {
    return arithmetic.bitFunction(this.#js, 'lowestBit', a);
  }
  highestBit(a: JsValue): JsValue {
    return arithmetic.bitFunction(this.#js, 'highestBit', a);
  }
  populationCount(a: JsValue): JsValue {
    return arithmetic.bitFunction(this.#js, 'populationCount', a);
  }
  byteSwap(a: JsValue): JsValue {
    return arithmetic.byteSwap(this.#js, a);
  }

  depositBits(a: JsValue, mask: JsValue): JsValue {
    return arithmetic.scatter(this.#js, 'depositBits', a, mask);
  }
  extractBits(a: JsValue, mask: JsValue): JsValue {
    return arithmetic.scatter(this.#js, 'extractBits', a, mask);
  }
  crc32c(crc: JsValue, value: JsValue): JsValue {
    return arithmetic.crc32c(this.#js, crc, value);
  }

  flag(name: FlagName): JsValue {
    return flags.flag(this.#js, name);
  }
  setFlag(name: FlagName, value: JsValue): void {
    flags.setFlag(this.#js, name, value);
  }
  setCarryOverflow(carry: JsValue, overflow: JsValue): void {
    flags.setCarryOverflow(this.#js, carry, overflow);
  }
  statusFlags(): JsValue {
    return this.#js.number(32, 'flags.status()');
  }
  setStatusFlags(value: JsValue, mask: number): void {
    this.#js.line(`flags.setStatus(flags.status()&${~mask}|${value.code}&${mask});`);
  }
  holds(condition: number): JsValue {
    return flags.holds(this.#js, condition);
  }
  flagsOfAdd(a: JsValue, b: JsValue, result: JsValue): void {
    flags.flagsOfSum(this.#js, FLAG_KIND.ADD, a, b, result);
  }
  flagsOfSubtract(a: JsValue, b: JsValue, result: JsValue, borrow: boolean): void {
    flags.flagsOfSum(this.#js, borrow ? FLAG_KIND.SUBTRACT_WITH_BORROW : FLAG_KIND.SUBTRACT, a, b, result);
  }
  flagsOfResult(result: JsValue, extra: ExtraFlags<JsValue> = {}): void {
    flags.flagsOfResult(this.#js, result, extra);
  }

  when(condition: JsValue, then: () => void, otherwise?: () => void): void {
    this.#js.line(`if(${condition.code}){`);
    then();
    if (otherwise) {
      this.#js.line('}else{');
      otherwise();
    }
    this.#js.line('}');
  }

  repeatString(body: (stopIf: (condition: JsValue) => void) => void, whole?: WholeString): void {
    const js = this.#js;
    if (this.repeat === 'none') {
      body(() => {});
      return;
    }
    const again = js.parameter('again');
    js.stores = true;
    const batches = whole !== undefined && this.addressWidth === 64 && !this.#overridden();
    const paused = `L[${WORD.FLAG_CONTROL}]|=${RF};return ${again};`;
    if (batches) js.line('let whole=0;');
    js.line('mmu.besideCode=false;');
    js.line(`for(let n=0;${this.addressWidth === 64 ? 'R[1]!==0n' : 'L[2]!==0'};n++){`);
    // The hypervisor completes one element at a time, so that user space sees each; so do traps.
    // Between two elements RF stands: an event pushes it, and no instruction breakpoint is hit again.
    js.line(`if(n===${STRING_BATCH}||n>0&&mmu.oneElement){${paused}}`);
    // An element has gone into code, perhaps this instruction's own: what comes next is looked up, and events are looked at. So they are
    // beside code, because it depends on the translator what of a frame has been decoded.
    js.line(`if(end!==0||mmu.besideCode){L[${WORD.FLAG_CONTROL}]|=${RF};`);
    js.line(`R[${SLOT.RIP}]=R[${SLOT.PAGE_BASE}]+BigInt(${again}-1);return ${OUTCOME.JUMP};}`);
    if (batches) {
      // As many as lie in pages at hand; then one by itself, which brings the next page.
      js.line(`if(whole>=0){whole=strings.${whole}(${this.width / 8},${STRING_BATCH}-n);`);
      js.line(`if(whole>0){n+=whole;if(R[1]===0n)break;`);
      js.line(`if(n===${STRING_BATCH}){${paused}}}}`);
    }
    js.line(`if(mmu.nested.emulator!==null)mmu.nested.emulator.beginElement();`);
    const stops: string[] = [];
    body((condition) => stops.push(condition.code!));
    js.line(this.addressWidth === 64 ? 'R[1]=R[1]-1n;' : 'L[2]=L[2]-1;L[3]=0;');
    for (const stop of stops) js.line(`if(${stop})break;`);
    // KVM's emulator does not look at the count behind an element: the next pass finds that there is none left (x86_emulate_insn).
    js.line(`if(mmu.nested.emulator!==null){L[${WORD.FLAG_CONTROL}]|=${RF};return ${OUTCOME.PAUSED};}`);
    js.line(`}L[${WORD.FLAG_CONTROL}]&=${~RF};`);
  }

  #overridden(): boolean {
    return this.#shapes.some((shape) => shape.kind === 'memory' && shape.segment !== undefined);
  }

  next(): JsValue {
    return this.#js.quad(`BigInt.asIntN(64,R[${SLOT.PAGE_BASE}]+${this.#js.parameter('next')})`);
  }

  jumpRelative(k: number): void {
    const shape = this.#shape(k);
    if (shape.kind === 'relative' && shape.inPage) this.#js.line(`return ${this.#js.parameter(`t${k}`)};`);
    else this.jumpTo(this.#js.quad(`BigInt.asIntN(64,R[${SLOT.PAGE_BASE}]+${this.#js.parameter(`T${k}`)})`));
  }

  checkTarget(target: JsValue): void {
    const high = SLOT.SCRATCH * 2 + 1;
    this.#js.line(`R[${SLOT.SCRATCH}]=${this.#js.whole(target)};`);
    this.#js.line(`if(L[${high}]<<16>>16!==L[${high}])return services.badTarget();`);
  }

  jumpTo(target: JsValue): void {
    this.#js.line(`R[${SLOT.RIP}]=${this.#js.whole(target)};return ${OUTCOME.JUMP};`);
  }

  portIn(width: 8 | 16 | 32, port: JsValue, form: PortForm): JsValue {
    this.#outcome(`ports.input(${width / 8},${port.code}&65535,${ioForm(form, this.repeat)})`);
    return this.#js.number(width, `ports.value<<${32 - width}>>${32 - width}`);
  }

  portOut(port: JsValue, value: JsValue, form: PortForm): void {
    this.#outcome(
      `ports.output(${(value.width as Width) / 8},${port.code}&65535,${value.code},${ioForm(form, this.repeat)})`,
    );
  }

  checkPort(width: 8 | 16 | 32, port: JsValue): void {
    this.#outcome(`ports.check(${width / 8},${port.code}&65535)`);
  }

  leaveForString(width: 8 | 16 | 32, port: JsValue, direction: 'in' | 'out'): void {
    const form = ioForm('string', this.repeat) | (direction === 'in' ? IO_QUALIFICATION.IN : 0);
    this.#outcome(`ports.leaveForString(${width / 8},${port.code}&65535,${form})`);
  }

  #outcome(call: string): void {
    const outcome = this.#js.local(call);
    this.#js.line(`if(${outcome}!==0)return ${outcome};`);
  }

  #arguments(args: readonly JsValue[]): string {
    return args.map((value) => (value.address !== undefined ? value.address : this.#js.whole(value))).join(',');
  }

  service(name: ServiceName, ...args: JsValue[]): void {
    this.#outcome(`${roomOf(name)}.${name}(${this.#arguments(args)})`);
  }

  query(name: ServiceName, ...args: JsValue[]): JsValue {
    this.#outcome(`${roomOf(name)}.${name}(${this.#arguments(args)})`);
    return this.#js.quad(`R[${SLOT.SCRATCH}]`);
  }

  fault(vector: number): void {
    this.#js.line(`return services.fault(${vector});`);
  }
}

/** Random cases of one instruction form: registers, flags and memory such that the instruction has something to do. */

import type { Address, Encoded } from './encoding.ts';
import { encodeForm } from './encoding.ts';
import type { Form } from './forms.ts';
import type { Generator } from './generator.ts';
import { CaseRecord, CODE, CODE_BYTES, DATA, DATA_BYTES, SECOND_PAGE } from './record.ts';

const RAX = 0;
const RCX = 1;
const RDX = 2;
const RBX = 3;
const RSP = 4;
const RBP = 5;
const RSI = 6;
const RDI = 7;
const STATUS = 0x8d5;
const DF = 0x400;
const AC = 0x40000;
const IF = 0x202;
const END = BigInt(CODE + CODE_BYTES);
const NOP = 0x90;
/** Addresses where there is nothing, or nothing can be. */
const NEAR = 3;
const NOWHERE = [0x30000000n, 0x10005000n, 0x10005ff9n, 0x0000800000000000n, 0xffff7fffffffffffn, 0x8000000000000000n];
/** Code of the program, data of the program, the kernel's, null, and beyond every table. */
const SELECTORS = [0x33n, 0x2bn, 0x30n, 0x28n, 0x10n, 0n, 1n, 3n, 0xfff8n];

/** Meanings whose result is undefined for large counts. */
const COUNTS_IN_CL: ReadonlySet<string> = new Set(['shld', 'shrd']);
/** Bytes an access may touch at its address. */
const ROOM = 64;

/** A place for an operand: anywhere in the window, often across the page boundary in its middle. */
function place(random: Generator): number {
  return random.once(3) ? SECOND_PAGE - 1 - random.below(16) : DATA + random.below(DATA_BYTES - ROOM);
}

/** Case number `ordinal` of `form`. */
export function makeCase(form: Form, random: Generator): CaseRecord {
  const record = new CaseRecord();
  const { meaning } = form.shape.row;
  const draw = () => encodeForm(form, random, (bytes, ordinal) => immediateOf(meaning, bytes, ordinal, random));
  let encoded = draw();
  // The count has to stay small here, so cl cannot be part of an address.
  while (COUNTS_IN_CL.has(meaning) && (encoded.address?.base === RCX || encoded.address?.index === RCX))
    encoded = draw();
  const { bytes } = encoded;
  for (let register = 0; register < 16; register++) record.setRegister(register, random.value());
  record.setRegister(RSP, BigInt(SECOND_PAGE - 56 + random.below(90)));
  if (!random.once(3)) record.setRegister(RSP, record.register(RSP) & ~7n);
  record.rflags =
    (random.bits() & BigInt(STATUS | (random.once(4) ? DF : 0))) | BigInt(IF | (random.once(24) ? AC : 0));
  record.second = random.once(8) ? 1 + random.below(2) : 0;
  for (let byte = 0; byte < DATA_BYTES; byte += 8) record.data.writeBigUInt64LE(random.value(), byte);
  const target = place(random);
  const aimable = encoded.address?.base !== undefined;
  const nowhere = random.once(24) ? random.pick(aimable ? NOWHERE : NOWHERE.slice(0, NEAR)) : undefined;
  if (encoded.address) point(record, encoded, encoded.address, nowhere ?? BigInt(target));
  arrange(meaning, { record, form, encoded, random, target });
  record.code.fill(NOP);
  record.code.set(bytes);
  return record;
}

/** Set the registers of an address so that it comes to `target`; where they cannot, patch the displacement. */
function point(record: CaseRecord, encoded: Encoded, address: Address, target: bigint): void {
  const { base, index, scale, displacement, ripRelative, at, narrow } = address;
  const { bytes } = encoded;
  if (base === undefined) {
    const low = ripRelative ? target - BigInt(CODE) - BigInt(lengthOf(encoded)) : target;
    for (let byte = 0; byte < 4; byte++) bytes[at + byte] = Number((low >> BigInt(8 * byte)) & 255n);
    return;
  }
  if (index !== undefined && index === base) throw new Error('an address whose base is its index cannot be aimed');
  const scaled = index === undefined ? 0n : record.register(index) * BigInt(scale);
  const value = target - BigInt(displacement) - scaled;
  // Under an address-size prefix the upper half must not matter.
  record.setRegister(
    base,
    narrow && base !== RSP ? BigInt.asUintN(32, value) | (record.register((base + 1) % 16) << 32n) : value,
  );
}

const lengthOf = (encoded: Encoded): number => encoded.bytes.length;

function immediateOf(meaning: string, bytes: number, ordinal: number, random: Generator): bigint {
  switch (meaning) {
    case 'jmp':
    case 'jcc':
    case 'call':
    case 'loop':
    case 'loope':
    case 'loopne':
    case 'jrcxz':
      return BigInt(random.below(16));
    case 'int':
      // 0x80 is Linux's.
      return BigInt(random.pick([0, 1, 3, 4, 5, 6, 13, 14, 32, 0x7f, 0x81, 255]));
    case 'enter':
      return ordinal === 0 ? BigInt(random.below(48)) : BigInt(random.pick([0, 0, 1, 2, 3, 5, 32, 34]));
    case 'mov':
      return bytes === 8 ? BigInt(place(random)) : random.value();
    case 'ret':
    case 'retf':
      return BigInt(random.below(64));
    case 'shld':
    case 'shrd':
      return BigInt(random.below(17) + (random.once(2) ? 32 : 0));
    default:
      return random.value();
  }
}

interface Setting {
  readonly record: CaseRecord;
  readonly form: Form;
  readonly encoded: Encoded;
  readonly random: Generator;
  /** Where the memory operand is, if it is anywhere. */
  readonly target: number;
}

const offsetOf = (address: number): number => Math.min(Math.max(address - DATA, 0), DATA_BYTES - 8);
const write64 = (record: CaseRecord, address: bigint | number, value: bigint): void => {
  record.data.writeBigUInt64LE(BigInt.asUintN(64, value), offsetOf(Number(address)));
};

/** A branch target: mostly where the case ends. */
const branchTarget = (random: Generator): bigint => (random.once(8) ? random.pick(NOWHERE) : END);

/** The registers and memory that an instruction uses without naming them, or uses in a way of its own. */
function arrange(meaning: string, setting: Setting): void {
  const { record, form, encoded, random, target } = setting;
  const rsp = record.register(RSP);
  switch (meaning) {
    case 'call':
      // Whether a bad target or a bad stack is found first, the makers do not agree: the stack is good here.
      record.second = 0;
      record.rflags &= ~BigInt(AC);
      if (encoded.registers[0] === RSP) break;
      if (encoded.address?.base === RSP) write64(record, target, END);
      else if (form.memory) write64(record, target, branchTarget(random));
      else if (encoded.registers[0] !== undefined) record.setRegister(encoded.registers[0], branchTarget(random));
      break;
    case 'jmp':
      if (form.memory) write64(record, target, branchTarget(random));
      else if (encoded.registers[0] !== undefined) record.setRegister(encoded.registers[0], branchTarget(random));
      break;
    case 'jmp-far':
    case 'call-far': {
      const width = BigInt(form.width ?? 32);
      const offset = random.once(8) ? random.pick(NOWHERE) : END;
      write64(record, target, BigInt.asUintN(Number(width), offset) | (random.pick(SELECTORS) << width));
      if (width === 64n) write64(record, target + 8, random.pick(SELECTORS));
      break;
    }
    case 'ret':
      write64(record, rsp, branchTarget(random));
      break;
    case 'retf':
    case 'iret':
      farFrame(setting, rsp);
      break;
    case 'loop':
    case 'loope':
    case 'loopne':
    case 'jrcxz':
      record.setRegister(RCX, random.pick([0n, 1n, 2n, 0x100000000n, 0x100000001n, random.bits()]));
      break;
    case 'leave':
    case 'enter':
      record.setRegister(RBP, BigInt(random.once(16) ? random.pick(NOWHERE) : DATA + 64 + random.below(128)));
      break;
    case 'popf':
      // Not TF, which would trap in the runner; not NT.
      write64(record, rsp, (random.bits() & BigInt(STATUS | DF | IF)) | BigInt(random.once(8) ? AC : 0) | 0x200000n);
      break;
    case 'movs':
    case 'cmps':
    case 'stos':
    case 'lods':
    case 'scas':
    case 'ins':
    case 'outs':
      record.setRegister(RSI, BigInt(DATA + 64 + random.below(128)));
      record.setRegister(RDI, BigInt(DATA + 64 + random.below(128)));
      record.setRegister(RCX, BigInt(random.below(7)));
      if (random.once(2)) {
        record.data.fill(random.below(256));
        record.setRegister(RAX, BigInt.asUintN(64, BigInt(record.data[0]!) * 0x0101010101010101n));
        record.data[random.below(DATA_BYTES)] = random.below(256);
      }
      break;
    case 'xlat':
      record.setRegister(RBX, BigInt(target) - (record.register(RAX) & 255n));
      break;
    case 'div':
    case 'idiv':
      if (!random.once(3)) divisible(setting);
      break;
    case 'cmpxchg':
      if (random.once(2)) return;
      if (form.memory) record.setRegister(RAX, dataAt(record, target));
      else record.setRegister(encoded.registers[0]! & 15, record.register(RAX));
      aimAgain(setting);
      break;
    case 'cmpxchg8b':
    case 'cmpxchg16b':
      comparePair(setting);
      break;
    case 'bt':
    case 'bts':
    case 'btr':
    case 'btc': {
      const index = encoded.registers[1];
      if (form.memory && index !== undefined) bitIndex(setting, index);
      break;
    }
    case 'shld':
    case 'shrd':
      // A 16-bit count beyond 16 leaves the result undefined.
      record.setRegister(RCX, (record.register(RCX) & ~0xffn) | BigInt(random.below(17)));
      aimAgain(setting);
      break;
    case 'lar':
    case 'lsl':
    case 'verr':
    case 'verw':
    case 'mov-sreg': {
      const selector = random.pick(SELECTORS);
      const from = encoded.registers.findLast((number) => number !== undefined);
      if (form.memory) record.data.writeUInt16LE(Number(selector), offsetOf(target));
      else if (from !== undefined) record.setRegister(from & 15, (random.bits() << 16n) | selector);
      break;
    }
    default:
      break;
  }
}

/** Set the address registers once more, after another use of a register has changed them. */
function aimAgain({ record, encoded, target }: Setting): void {
  if (encoded.address) point(record, encoded, encoded.address, BigInt(target));
}

const dataAt = (record: CaseRecord, address: number): bigint => record.data.readBigUInt64LE(offsetOf(address));

function farFrame({ record, form, random }: Setting, rsp: bigint): void {
  const bytes = (form.width ?? 32) / 8;
  const wholeFrame = form.shape.row.meaning === 'iret';
  const values = [
    random.once(8) ? random.pick(NOWHERE) : END,
    random.once(4) ? random.pick(SELECTORS) : 0x33n,
    (random.bits() & BigInt(STATUS | DF)) | BigInt(IF),
    BigInt(SECOND_PAGE - 32 + random.below(64)),
    random.once(6) ? random.pick([0x2bn, 0x33n, 0x28n, 0n, 0x10n, 0xfff8n]) : 0x2bn,
  ];
  // Where the selector is of another level, AMD's processors read the outer frame before they refuse it, Intel's after.
  if (!wholeFrame && (values[1]! & 3n) !== 3n) {
    record.second = 0;
    record.rflags &= ~BigInt(AC);
  }
  values.slice(0, wholeFrame ? 5 : 2).forEach((value, index) => {
    const at = Number(rsp) - DATA + index * bytes;
    const raw = Buffer.alloc(8);
    raw.writeBigUInt64LE(value);
    record.data.set(raw.subarray(0, bytes), at);
  });
}

/** A dividend whose quotient has a chance to fit. */
function divisible({ record, form, random, ...rest }: Setting): void {
  const width = form.width ?? 8;
  const signed = form.shape.row.meaning === 'idiv';
  const rax = record.register(RAX);
  if (width === 8) {
    const low = random.below(signed ? 128 : 256);
    record.setRegister(RAX, (rax & ~0xffffn) | BigInt(signed && random.once(2) ? 0x10000 - low : low));
  } else {
    const negative = signed && ((rax >> BigInt(width - 1)) & 1n) === 1n;
    record.setRegister(RDX, negative ? 0xffffffffffffffffn : BigInt(random.below(3)) & (random.once(2) ? 0n : 3n));
  }
  aimAgain({ record, form, random, ...rest });
}

function comparePair(setting: Setting): void {
  const { record, form, random, target } = setting;
  const wide = form.shape.row.meaning === 'cmpxchg16b';
  const at = wide && !random.once(6) ? target & ~15 : target;
  if (wide) aimAgain({ ...setting, target: at });
  if (random.once(2)) return;
  const low = dataAt(record, at);
  record.setRegister(RAX, wide ? low : low & 0xffffffffn);
  record.setRegister(RDX, wide ? dataAt(record, at + 8) : low >> 32n);
  aimAgain({ ...setting, target: at });
}

/** A bit index that stays in the window, whichever register it is in. */
function bitIndex(setting: Setting, index: number): void {
  const { record, form, encoded, random, target } = setting;
  const room = 8 * Math.min(target - DATA, DATA_BYTES - ROOM - (target - DATA));
  const value = BigInt.asUintN(form.width ?? 32, BigInt(random.below(2 * room + 1) - room));
  record.setRegister(index, random.once(2) && form.width !== 64 ? value | (random.bits() << 32n) : value);
  const { address } = encoded;
  if (address === undefined || address.base !== index) aimAgain(setting);
  else record.setRegister(index, BigInt(target) - BigInt(address.displacement));
}

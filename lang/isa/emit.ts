/** Lays out the bytes of an instruction whose row is chosen: prefixes, opcode, ModRM, SIB, displacement, immediates (SDM vol. 2 §2). */

import { type Address, encodeAddress, type SourceMemory } from './address.ts';
import { boundsWarning, immediateBytes, pushValue } from './immediate.ts';
import type { Encoding, Fixup, SourceInstruction, SourceOperand, ValueField, Width } from './instruction.ts';
import type { OperandPattern } from './operand-pattern.ts';
import { type Register, SEGMENTS } from './registers.ts';
import type { Shape } from './shape.ts';

/** The encoder's one warning that is not about a value. */
export const NOT_LOCKABLE = 'instruction is not lockable';

const SEGMENT_PREFIX = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
/** Prefixes that the source writes as words, and their bytes; `rep` and its relatives come first of all. */
export const REPEATS: Record<string, number> = {
  rep: 0xf3,
  repe: 0xf3,
  repz: 0xf3,
  repne: 0xf2,
  repnz: 0xf2,
  bnd: 0xf2,
};

/** Collects the fields of one instruction before they are laid out. */
interface Fields {
  reg: number;
  rm: number;
  mod: number;
  vex: number;
  opcodeRegister: number;
  needsRex: boolean;
  forbidsRex: boolean;
  address: Address | undefined;
  addressOperand: number;
  segment: Register | undefined;
  immediates: { pattern: OperandPattern; operand: SourceOperand; index: number }[];
}

function gather(shape: Shape, source: SourceInstruction): Fields | string {
  const fields: Fields = {
    reg: shape.modrm === 'digit' ? shape.digit : 0,
    rm: 0,
    mod: 3,
    vex: 0,
    opcodeRegister: 0,
    needsRex: false,
    forbidsRex: false,
    address: undefined,
    addressOperand: -1,
    segment: undefined,
    immediates: [],
  };
  const both = !shape.written.some((each) => each.field === 'rm');
  for (let index = 0; index < source.operands.length; index++) {
    const pattern = shape.written[index]!;
    const operand = source.operands[index]!;
    if (operand.kind === 'register') {
      if (operand.register.rex === 'needs') fields.needsRex = true;
      if (operand.register.rex === 'forbids') fields.forbidsRex = true;
      const number = operand.register.number;
      if (pattern.field === 'reg') {
        fields.reg = number;
        if (both) fields.rm = number;
      } else if (pattern.field === 'rm') fields.rm = number;
      else if (pattern.field === 'vex') fields.vex = number;
      else if (pattern.field === 'opcode') fields.opcodeRegister = number;
    } else if (operand.kind === 'memory') {
      fields.segment = operand.segment;
      fields.addressOperand = index;
      if (pattern.kind === 'moffs') fields.immediates.push({ pattern, operand, index });
      else {
        const address = encodeAddress(operand);
        if (typeof address === 'string') return address;
        fields.address = address;
        fields.mod = address.mod;
        fields.rm = address.rm;
      }
    } else if (pattern.field === 'immediate') fields.immediates.push({ pattern, operand, index });
  }
  return fields;
}

/** Bytes of an instruction as a row of that width has it, or a sentence why it has none. The fields of its values are noted where `values` is given. */
export function emit(
  shape: Shape,
  width: Width,
  source: SourceInstruction,
  condition: number,
  values?: ValueField[],
): Encoding | string {
  const fields = gather(shape, source);
  if (typeof fields === 'string') return fields;
  const { address } = fields;
  const { prefixes } = source;
  const sized = shape.widths.length > 0;
  const bytes: number[] = [];
  const fixups: Fixup[] = [];
  const warnings: string[] = [];

  for (const prefix of prefixes) if (prefix in REPEATS) bytes.push(REPEATS[prefix]!);
  if (prefixes.includes('lock')) {
    bytes.push(0xf0);
    if (!shape.row.lock || source.operands[0]?.kind !== 'memory') warnings.push(NOT_LOCKABLE);
  }
  const segment =
    fields.segment ?? (prefixes.length > 0 ? SEGMENTS.find((each) => prefixes.includes(each.name)) : undefined);
  if (segment) bytes.push(SEGMENT_PREFIX[segment.number]!);
  const addressWidth = address?.width ?? addressWidthWithoutModrm(shape, source, fields);
  if (typeof addressWidth === 'string') return addressWidth;
  if (!shape.vex && ((sized && width === 16) || prefixes.includes('o16'))) bytes.push(0x66);
  if (addressWidth === 32) bytes.push(0x67);

  const rexW = (sized && width === 64 && !shape.default64) || prefixes.includes('o64') || shape.forceRexW;
  const rexR = shape.modrm === 'register' && fields.reg >= 8;
  const rexX = address?.rexX ?? false;
  const rexB = address ? address.rexB : fields.rm >= 8 || fields.opcodeRegister >= 8;
  if (shape.vex) vexPrefix(bytes, shape, width === 64, rexR, rexX, rexB, fields.vex);
  else {
    if (shape.mandatory) bytes.push(shape.mandatory);
    if (rexW || rexR || rexX || rexB || fields.needsRex) {
      if (fields.forbidsRex) return 'ah, ch, dh and bh cannot be used in an instruction that needs a REX prefix';
      bytes.push(0x40 | (rexW ? 8 : 0) | (rexR ? 4 : 0) | (rexX ? 2 : 0) | (rexB ? 1 : 0));
    }
    if (shape.map > 0) bytes.push(0x0f);
    if (shape.map === 2) bytes.push(0x38);
    if (shape.map === 3) bytes.push(0x3a);
  }
  bytes.push(shape.opcode | (fields.opcodeRegister & 7) | (shape.conditionInOpcode ? condition : 0));
  if (shape.modrm === 'whole') bytes.push(shape.digit);
  else if (shape.modrm !== 'none') bytes.push((fields.mod << 6) | ((fields.reg & 7) << 3) | (fields.rm & 7));
  if (address) {
    if (address.sib !== undefined) bytes.push(address.sib);
    if (address.warning) warnings.push(address.warning);
    const undefinedOrRelative = address.displacement === undefined || address.relative;
    if (undefinedOrRelative) {
      fixups.push({
        offset: bytes.length,
        bytes: address.displacementBytes as 1 | 4,
        kind: address.relative ? 'relative' : 'absolute',
        signed: true,
        operand: fields.addressOperand,
      });
    }
    if (address.displacementBytes > 0) {
      values?.push({ operand: fields.addressOperand, offset: bytes.length, bytes: address.displacementBytes });
    }
    pushValue(bytes, undefinedOrRelative ? 0n : address.displacement!, address.displacementBytes);
  }
  fields.immediates.forEach((each, i) => {
    const offset = bytes.length;
    immediate(bytes, fixups, warnings, shape.immediates[i]!, each, width, addressWidth);
    values?.push({ operand: each.index, offset, bytes: bytes.length - offset });
  });
  const encoding = { bytes: new Uint8Array(bytes), fixups };
  return warnings.length > 0 ? { ...encoding, warnings } : encoding;
}

/** Address size of instructions without a ModRM address: offsets, strings, loops. */
function addressWidthWithoutModrm(shape: Shape, source: SourceInstruction, fields: Fields): 32 | 64 | string {
  if (shape.addressWidth) return shape.addressWidth;
  const memory = source.operands[fields.addressOperand] as SourceMemory | undefined;
  const prefixed = source.prefixes.includes('a32') ? 32 : 64;
  return memory?.addressWidth ?? prefixed;
}

function vexPrefix(bytes: number[], shape: Shape, w: boolean, r: boolean, x: boolean, b: boolean, vvvv: number): void {
  const pp = [0, 0x66, 0xf3, 0xf2].indexOf(shape.mandatory);
  // Every VEX row is in map 2 or 3 or may have W set, where the two-byte prefix does not reach.
  bytes.push(
    0xc4,
    (r ? 0 : 0x80) | (x ? 0 : 0x40) | (b ? 0 : 0x20) | shape.map,
    (w ? 0x80 : 0) | ((~vvvv & 15) << 3) | pp,
  );
}

function immediate(
  bytes: number[],
  fixups: Fixup[],
  warnings: string[],
  token: string,
  { pattern, operand, index }: Fields['immediates'][number],
  width: Width,
  addressWidth: 32 | 64,
): void {
  const count = immediateBytes(token, width, addressWidth);
  const value =
    operand.kind === 'immediate' ? operand.value : operand.kind === 'memory' ? operand.displacement : undefined;
  if (value === undefined) {
    const relative = pattern.kind === 'relative';
    const signed = relative || pattern.extension === 'sign' || (pattern.extension === 'row' && width === 64);
    fixups.push({
      offset: bytes.length,
      bytes: count,
      kind: relative ? 'relative' : 'absolute',
      signed,
      operand: index,
    });
  } else {
    const written = operand.kind === 'immediate' ? operand.width : undefined;
    const warning = boundsWarning(pattern, value, count, width, written);
    if (warning) warnings.push(warning);
  }
  pushValue(bytes, value ?? 0n, count);
}

/**
 * Instructions to bytes. Of the rows a mnemonic has, the first whose operands fit is taken, as NASM 2.16 does with its default
 * optimisation; field layout after SDM vol. 2 §2.1–2.2.
 */

import { type Address, encodeAddress, type SourceMemory } from './address.ts';
import type { EncodeFailure, Encoding, Fixup, SourceInstruction, SourceOperand, Width } from './instruction.ts';
import { type Match, match } from './match.ts';
import { type Register, SEGMENTS } from './registers.ts';
import { type OperandPattern, type Shape, shapeOf } from './shape.ts';
import { candidates, type Row } from './table.ts';

const NO_SIZE: readonly Width[] = [64];
const SEGMENT_PREFIX = [0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65];
const REPEATS: Record<string, number> = { rep: 0xf3, repe: 0xf3, repz: 0xf3, repne: 0xf2, repnz: 0xf2, bnd: 0xf2 };
const OTHER_PREFIXES = new Set([
  ...SEGMENTS.map((each) => each.name),
  'lock',
  'o16',
  'o32',
  'o64',
  'a32',
  'a64',
  'far',
]);

/**
 * Encodes one instruction. `far` before the operand of jmp and call is given among the prefixes. A value that is undefined
 * becomes a fixup of the size NASM would take for a relocatable value; so does every rip-relative address, and every branch
 * target that is undefined. A branch target that has a value is the distance from the end of the instruction.
 */
export function encode(source: SourceInstruction): Encoding | EncodeFailure {
  const { prefixes } = source;
  const size = prefixes.includes('a32') ? 32 : prefixes.includes('a64') ? 64 : undefined;
  return encodeChecked(size ? withAddressSize(source, size) : source);
}

/** An `a32` before the mnemonic is also the address size of memory operands that have none of their own. */
function withAddressSize(source: SourceInstruction, size: 32 | 64): SourceInstruction {
  const operands = source.operands.map(
    (each): SourceOperand =>
      each.kind === 'memory' && each.addressWidth === undefined ? { ...each, addressWidth: size } : each,
  );
  return { ...source, operands };
}

function encodeChecked(source: SourceInstruction): Encoding | EncodeFailure {
  const found = candidates(source.mnemonic);
  if (!found) return { reason: `there is no instruction \`${source.mnemonic}\``, operand: undefined, forms: [] };
  const far = source.prefixes.includes('far');
  for (const prefix of source.prefixes) {
    if (!(prefix in REPEATS) && !OTHER_PREFIXES.has(prefix)) {
      return { reason: `there is no prefix \`${prefix}\``, operand: undefined, forms: [] };
    }
  }
  const shapes = found.rows.map(shapeOf).filter((shape) => shape.written.length === source.operands.length);
  const search = choose(shapes, source, far, undefined);
  let choice = search.choice;
  if (!choice && search.missing.size === 1) choice = choose(shapes, source, far, [...search.missing][0]!).choice;
  if (choice) {
    const encoding = emit(choice.shape, choice.width, source, found.condition ?? 0);
    return typeof encoding === 'string' ? fail(source, encoding, undefined) : encoding;
  }
  return explain(source, shapes, search);
}

interface Choice {
  readonly shape: Shape;
  readonly width: Width;
}

interface Search {
  readonly choice: Choice | undefined;
  /** Sizes that would have fitted had the memory operand said so. */
  readonly missing: Set<Width | 128>;
  /** The match that came furthest. */
  readonly nearest: Match | undefined;
}

function choose(
  shapes: readonly Shape[],
  source: SourceInstruction,
  far: boolean,
  assumed: Width | 128 | undefined,
): Search {
  const missing = new Set<Width | 128>();
  let nearest: Match | undefined;
  for (const shape of shapes) {
    const widths = shape.widths.length > 0 ? shape.widths : shape.fixedWidth ? [shape.fixedWidth] : NO_SIZE;
    for (const width of widths) {
      const result = match(shape, width, source.operands, far, assumed);
      if (result.fit === 'fits') return { choice: { shape, width }, missing, nearest };
      if (result.fit === 'missing-size') {
        const pattern = shape.written[result.operand]!;
        const size = pattern.width === 'row' ? width : pattern.width;
        if (size !== 0) missing.add(size);
      }
      if (!nearest || rank(result) > rank(nearest)) nearest = result;
    }
  }
  return { choice: undefined, missing, nearest };
}

const rank = (result: Match) => result.operand * 3 + (result.fit === 'kind' ? 0 : result.fit === 'size' ? 1 : 2);

/** Operands of every form of a mnemonic, as notes in an error show them: `add rm8, r8`. */
export function formsOf(mnemonic: string): readonly string[] {
  const found = candidates(mnemonic);
  if (!found) return [];
  const forms = found.rows
    .filter((row: Row) => row.only === 'both')
    .map((row) =>
      row.operands
        .split(', ')
        .filter((each) => !each.startsWith('{'))
        .map(readable)
        .join(', '),
    );
  return [...new Set(forms)].map((form) => (form === '' ? mnemonic : `${mnemonic} ${form}`));
}

const WORDS: Record<string, string> = { v: '16|32|64', y: '32|64', s: '64|16' };

function readable(name: string): string {
  const plain = name.replace(/[?!]$/, '').replace(/na$/, '');
  if (plain === 'one') return '1';
  if (plain === 'm' || plain === 'mem') return 'memory';
  if (plain.startsWith('simm') || plain.startsWith('uimm')) return plain.slice(1);
  if (plain === 'immv') return 'imm';
  if (plain.startsWith('bare')) return plain.replace('bare', 'imm');
  if (/^a[vys]$/.test(plain)) return plain === 'av' ? 'ax|eax|rax' : 'eax|rax';
  const sized = /^(rmr|rm|r|vex|m|moffs)([vys]|\d+)$/.exec(plain);
  if (!sized) return plain;
  const kind = { rmr: 'r', rm: 'r/m', r: 'r', vex: 'r', m: 'm', moffs: 'moffs' }[sized[1]!]!;
  return kind + (WORDS[sized[2]!] ?? sized[2]!);
}

function fail(source: SourceInstruction, reason: string, operand: number | undefined): EncodeFailure {
  return { reason, operand, forms: formsOf(source.mnemonic) };
}

function describe(operand: SourceOperand): string {
  if (operand.kind === 'register') return operand.register.name;
  if (operand.kind === 'immediate') return 'an immediate value';
  return operand.width === undefined ? 'memory' : `${operand.width}-bit memory`;
}

const ORDINALS = ['first', 'second', 'third', 'fourth'];

function explain(source: SourceInstruction, shapes: readonly Shape[], search: Search): EncodeFailure {
  const { mnemonic, operands } = source;
  if (shapes.length === 0) {
    const counts = [...new Set(candidates(mnemonic)!.rows.map((row) => shapeOf(row).written.length))].sort();
    const wanted = counts.join(' or ');
    return fail(
      source,
      `\`${mnemonic}\` takes ${wanted} operand${wanted === '1' ? '' : 's'}, not ${operands.length}`,
      undefined,
    );
  }
  const nearest = search.nearest;
  if (!nearest || nearest.fit === 'missing-size') {
    return fail(
      source,
      'operation size not specified: write byte, word, dword or qword before the memory operand',
      nearest?.operand,
    );
  }
  const operand = operands[nearest.operand]!;
  const place = operands.length > 1 ? `as its ${ORDINALS[nearest.operand]} operand` : 'as its operand';
  if (nearest.fit === 'size' && operands.length > 1) {
    return fail(
      source,
      `mismatch in operand sizes: \`${mnemonic}\` does not take ${describe(operand)} ${place} here`,
      nearest.operand,
    );
  }
  return fail(source, `\`${mnemonic}\` does not take ${describe(operand)} ${place}`, nearest.operand);
}

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

function emit(shape: Shape, width: Width, source: SourceInstruction, condition: number): Encoding | string {
  const fields = gather(shape, source);
  if (typeof fields === 'string') return fields;
  const { address, prefixes } = { address: fields.address, prefixes: source.prefixes };
  const sized = shape.widths.length > 0;
  const bytes: number[] = [];
  const fixups: Fixup[] = [];
  const warnings: string[] = [];

  for (const prefix of prefixes) if (prefix in REPEATS) bytes.push(REPEATS[prefix]!);
  if (prefixes.includes('lock')) bytes.push(0xf0);
  const segment = fields.segment ?? SEGMENTS.find((each) => prefixes.includes(each.name));
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
    pushValue(bytes, undefinedOrRelative ? 0n : address.displacement!, address.displacementBytes);
  }
  fields.immediates.forEach((each, i) => {
    immediate(bytes, fixups, warnings, shape.immediates[i]!, each, width, addressWidth);
  });
  const encoding = { bytes: Uint8Array.from(bytes), fixups };
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

function pushValue(bytes: number[], value: bigint, count: number): void {
  let rest = BigInt.asUintN(64, value);
  for (let i = 0; i < count; i++) {
    bytes.push(Number(rest & 0xffn));
    rest >>= 8n;
  }
}

function immediateBytes(token: string, width: Width, addressWidth: 32 | 64): 1 | 2 | 4 | 8 {
  switch (token) {
    case 'iw':
      return 2;
    case 'id':
    case 'cd':
      return 4;
    case 'iq':
      return 8;
    case 'iz':
      return width === 16 ? 2 : 4;
    case 'iv':
      return (width / 8) as 2 | 4 | 8;
    case 'mo':
      return (addressWidth / 8) as 4 | 8;
    default:
      return 1;
  }
}

const SIZE_WORDS: Record<number, string> = { 1: 'byte', 2: 'word', 4: 'dword', 8: 'qword' };

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
  const relative = pattern.kind === 'relative';
  const signed = relative || pattern.extension === 'sign' || (pattern.extension === 'row' && width === 64);
  if (value === undefined) {
    fixups.push({
      offset: bytes.length,
      bytes: count,
      kind: relative ? 'relative' : 'absolute',
      signed,
      operand: index,
    });
  } else if (!fits(value, count, signed ? width : 0)) {
    const size = SIZE_WORDS[count]!;
    if (relative) warnings.push('branch target out of range');
    else
      warnings.push(
        signed
          ? `signed ${count === 1 ? 'byte value' : `${size} immediate`} exceeds bounds`
          : `${size} data exceeds bounds`,
      );
  }
  pushValue(bytes, value ?? 0n, count);
}

/** Whether the bytes hold the value; `extended` is the width they are sign-extended to, 0 where signed and unsigned both pass. */
function fits(value: bigint, count: number, extended: number): boolean {
  const bits = count * 8;
  if (bits === 64) return true;
  const low = -(1n << BigInt(bits - 1));
  if (extended === 0) return value >= low && value < 1n << BigInt(bits);
  const seen = BigInt.asIntN(extended, value);
  return seen >= low && seen < -low;
}

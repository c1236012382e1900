/** Bytes of an instruction of a given form, made from the table's shape and not by the encoder, with operands at random. */

import type { Width } from '../../lang/isa/instruction.ts';
import { type OperandPattern, widthOf } from '../../lang/isa/operand-pattern.ts';
import type { Form } from './forms.ts';
import type { Generator } from './generator.ts';

/** The address in an instruction: registers that add up to it, to be set so that they do. */
export interface Address {
  readonly base: number | undefined;
  readonly index: number | undefined;
  readonly scale: number;
  readonly displacement: number;
  readonly ripRelative: boolean;
  /** Byte offset of the displacement in the instruction, to be patched for a rip-relative or absolute address. */
  readonly at: number;
  readonly narrow: boolean;
}

export interface Encoded {
  readonly bytes: number[];
  readonly address: Address | undefined;
  /** Register numbers by operand, high bytes as 4–7 + 16; undefined for what is no register. */
  readonly registers: readonly (number | undefined)[];
  readonly rex: boolean;
}

const RSP = 4;

interface Fields {
  reg: number;
  rm: number;
  vvvv: number;
  opcode: number;
}

/** Encode `form` with random registers and immediates; `immediate` may decide an immediate's value. */
export function encodeForm(
  form: Form,
  random: Generator,
  immediate: (bytes: number, ordinal: number) => bigint,
): Encoded {
  const { shape, width, memory } = form;
  const fields: Fields = {
    reg: random.below(16),
    rm: random.below(16),
    vvvv: random.below(16),
    opcode: random.below(16),
  };
  const hasByteRegister = shape.operands.some((each) => each.kind !== 'immediate' && each.width === 8);
  const rexW = width === 64 && !shape.default64 && shape.widths.includes(64);
  const narrow = memory && random.once(8);
  if (shape.operands.some((each) => each.kind === 'segment')) fields.reg = random.pick([0, 3, 1, 2, 0, 3]);
  if (shape.operands.some((each) => each.kind === 'control')) fields.reg = random.pick([0, 2, 3, 4, 8]);
  if (shape.operands.some((each) => each.kind === 'debug')) fields.reg &= 7;
  if (shape.noRexB) fields.opcode &= 7;
  const prefixes: number[] = [];
  const sized = width === 16 && shape.widths.includes(16);
  if (narrow || shape.addressWidth === 32) prefixes.push(0x67);
  if (!shape.vex) {
    if (sized || shape.mandatory === 0x66) prefixes.push(0x66);
    if (shape.mandatory === 0xf2 || shape.mandatory === 0xf3) prefixes.push(shape.mandatory);
    if (shape.row.repeat !== 'none' && !random.once(3)) prefixes.push(random.pick([0xf2, 0xf3]));
    if (shape.row.lock && memory && random.once(4)) prefixes.push(0xf0);
  }
  const place = shape.modrm === 'none' ? undefined : memory ? pickAddress(fields, random, narrow) : undefined;
  if (shape.modrm === 'digit') fields.reg = shape.digit;
  if (shape.modrm === 'whole') {
    fields.reg = (shape.digit >> 3) & 7;
    fields.rm = shape.digit & 7;
  }
  const usesReg = shape.modrm === 'register';
  const b = place
    ? (place.base ?? 0) >> 3
    : shape.registerInOpcode
      ? fields.opcode >> 3
      : shape.modrm === 'none' || shape.modrm === 'whole'
        ? 0
        : fields.rm >> 3;
  const x = place ? (place.index ?? 0) >> 3 : 0;
  const r = usesReg ? fields.reg >> 3 : 0;
  const opcode = shape.opcode + (shape.registerInOpcode ? fields.opcode & 7 : form.condition);
  const bytes = [...prefixes];
  let rex = false;
  if (shape.vex) {
    const pp = { 0: 0, 102: 1, 243: 2, 242: 3 }[shape.mandatory];
    const vvvv = shape.operands.some((each) => each.field === 'vex') ? fields.vvvv : 0;
    fields.vvvv = vvvv;
    bytes.push(
      0xc4,
      ((~r & 1) << 7) | ((~x & 1) << 6) | ((~b & 1) << 5) | shape.map,
      ((width === 64 ? 1 : 0) << 7) | ((~vvvv & 15) << 3) | pp,
      opcode,
    );
  } else {
    const value = 0x40 | (rexW || shape.forceRexW ? 8 : 0) | (r << 2) | (x << 1) | b;
    rex = value !== 0x40 || (hasByteRegister && random.once(2));
    if (rex) bytes.push(value);
    bytes.push(...{ 0: [], 1: [0x0f], 2: [0x0f, 0x38], 3: [0x0f, 0x3a] }[shape.map], opcode);
  }
  let address: Address | undefined;
  if (place) address = emitAddress(bytes, place, fields, narrow);
  else if (shape.modrm !== 'none') bytes.push(0xc0 | ((fields.reg & 7) << 3) | (fields.rm & 7));
  shape.immediates.forEach((token, ordinal) => {
    const count = immediateBytes(token, width, narrow);
    let value = immediate(count, ordinal);
    for (let index = 0; index < count; index++, value >>= 8n) bytes.push(Number(value & 255n));
  });
  return { bytes, address, rex, registers: shape.operands.map((each) => registerOf(each, fields, width, rex, memory)) };
}

function immediateBytes(token: string, width: Width | undefined, narrow: boolean): number {
  if (token === 'mo') return narrow ? 4 : 8;
  if (token === 'iz') return Math.min((width ?? 32) / 8, 4);
  if (token === 'iv') return (width ?? 32) / 8;
  return { ib: 1, iw: 2, id: 4, iq: 8, cb: 1, cd: 4 }[token]!;
}

function registerOf(
  pattern: OperandPattern,
  fields: Fields,
  width: Width | undefined,
  rex: boolean,
  memory: boolean,
): number | undefined {
  if (pattern.kind !== 'register' && !(pattern.kind === 'rm' && !memory)) return undefined;
  const number = { reg: fields.reg, rm: fields.rm, vex: fields.vvvv, opcode: fields.opcode, none: 0, immediate: 0 }[
    pattern.field
  ];
  const high = widthOf(pattern, width ?? 32) === 8 && !rex && number >= 4 && number < 8;
  return high ? number + 16 : number;
}

type Place = Omit<Address, 'at'>;

function pickAddress(fields: Fields, random: Generator, narrow: boolean): Place {
  const none = { base: undefined, index: undefined, scale: 1, displacement: 0, ripRelative: false, narrow };
  const displacement = random.pick([0, random.below(256) - 128, random.below(1 << 20) - (1 << 19)]);
  switch (random.below(6)) {
    case 0:
      return { ...none, ripRelative: true };
    case 1: {
      const index = random.pick([0, 1, 2, 3, 5, 6, 7, 8, 9, 12, 13, 15]);
      const base = random.below(16);
      return {
        ...none,
        base: base === index ? (base + 1) % 16 : base,
        index,
        scale: random.pick([1, 2, 4, 8]),
        displacement,
      };
    }
    case 2:
      // The whole address is the displacement, which is patched in.
      return none;
    default:
      return { ...none, base: fields.rm, displacement };
  }
}

/** ModRM, SIB and displacement. */
function emitAddress(bytes: number[], place: Place, fields: Fields, narrow: boolean): Address {
  const { base, index, scale, displacement } = place;
  const reg = (fields.reg & 7) << 3;
  const put = (count: number, value: number) => {
    for (let byte = 0; byte < count; byte++) bytes.push((value >> (8 * byte)) & 255);
  };
  const address = (at: number): Address => ({ ...place, at, narrow });
  if (place.ripRelative) {
    bytes.push(reg | 5);
    put(4, 0);
    return address(bytes.length - 4);
  }
  if (base === undefined) {
    bytes.push(reg | 4, 0x25);
    put(4, 0);
    return address(bytes.length - 4);
  }
  const small = displacement >= -128 && displacement < 128;
  const mod = displacement === 0 && (base & 7) !== 5 ? 0 : small ? 1 : 2;
  if (index === undefined && (base & 7) !== RSP) bytes.push((mod << 6) | reg | (base & 7));
  else bytes.push((mod << 6) | reg | 4, (Math.log2(scale) << 6) | (((index ?? RSP) & 7) << 3) | (base & 7));
  put(mod === 0 ? 0 : mod === 1 ? 1 : 4, displacement);
  return address(0);
}

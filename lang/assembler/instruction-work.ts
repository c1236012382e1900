/**
 * Placing an instruction. What depends on no symbol is encoded once. A branch is kept in its short and its near encoding and chooses
 * between them in each pass; the rest is encoded again only when a value it uses has changed.
 */

import { NOT_LOCKABLE } from '../isa/emit.ts';
import { encode } from '../isa/encode.ts';
import type { EncodeFailure, Encoding, SourceInstruction, SourceOperand, ValueField } from '../isa/instruction.ts';
import type { Body, Expression, OperandSyntax } from '../syntax/ast.ts';
import { spanOf } from '../syntax/lexer.ts';
import type { Assembly, Work } from './assembly.ts';
import { type BuiltOperand, buildOperand } from './operands.ts';
import { resolveField, storeNumber } from './relocate.ts';
import type { AssemblySymbol } from './symbols.ts';
import { type Base, soleBase, type Value } from './value.ts';
import type { WarningClass } from './warning-classes.ts';

type InstructionBody = Extract<Body, { kind: 'instruction' }>;

/** Beyond this pass a branch that was near stays near: two branches across an `align` may otherwise change places for ever. */
const PATIENCE = 100;

/** Bytes of a prefix that stands alone on its line. */
const LONE_PREFIX: Readonly<Record<string, number | undefined>> = {
  lock: 0xf0,
  rep: 0xf3,
  repe: 0xf3,
  repz: 0xf3,
  repne: 0xf2,
  repnz: 0xf2,
  o16: 0x66,
  o64: 0x48,
  a32: 0x67,
  wait: 0x9b,
};

export class InstructionWork implements Work {
  /** Released once the instruction is known to be the same in every pass. */
  #body: InstructionBody | undefined;
  #encoding: Encoding | undefined;
  #built: readonly BuiltOperand[] = [];
  #branch: Branch | undefined;
  /** The branch's target, where that is a symbol alone: looked up once and not in each pass. */
  #target: AssemblySymbol | undefined;
  /** True once every value in it is a number for ever or an address that fills a field of its own. */
  #lengthIsFixed = false;
  #dead = false;

  constructor(body: InstructionBody, branch?: Branch) {
    this.#body = body;
    this.#branch = branch;
  }

  /** The work of the same statement at another place. */
  elsewhere(): InstructionWork {
    if (this.#body === undefined) throw new Error('an instruction that is the same everywhere needs no second work');
    return new InstructionWork(this.#body, this.#branch?.elsewhere());
  }

  /**
   * What the instruction becomes wherever it stands: its bytes, with the fields of its values noted, or the encodings of a branch to a symbol. Undefined
   * where that depends on the place or on symbols. Nothing is placed.
   */
  static anywhere(
    body: InstructionBody,
    assembly: Assembly,
    fields: ValueField[],
  ): Uint8Array | SymbolBranch | undefined {
    const work = new InstructionWork(body);
    work.#encode(body, assembly, fields);
    return work.constant ?? work.branch;
  }

  place(assembly: Assembly): void {
    if (this.#dead) return;
    if (assembly.phase === 'settle' && this.#settle(assembly)) return;
    if (this.#body !== undefined) this.#encode(this.#body, assembly);
    const encoding = this.#encoding;
    if (encoding === undefined) return;
    if (assembly.phase === 'write' && this.#body !== undefined && encoding.fixups.length > 0) {
      this.#write(this.#body, encoding, assembly);
    } else {
      assembly.bytes(encoding.bytes);
    }
  }

  /** Its bytes, once they are known to be the same wherever it stands, and there is nothing to say about them. */
  get constant(): Uint8Array | undefined {
    return this.#body === undefined && this.#encoding?.warnings === undefined ? this.#encoding?.bytes : undefined;
  }

  /** The encodings of a branch to a symbol, with the symbol's name as its line has it; undefined of all other instructions. */
  get branch(): SymbolBranch | undefined {
    const target = this.#body?.operands[0]?.expression;
    if (this.#branch === undefined || target?.kind !== 'symbol') return undefined;
    return { symbol: target.name, ...this.#branch.encodings };
  }

  fixedLength(): number | undefined {
    if (this.#dead) return 0;
    return this.#lengthIsFixed ? this.#encoding?.bytes.length : undefined;
  }

  /** The short way through the passes in between: lengths that cannot change, and branches, which look at their target alone. */
  #settle(assembly: Assembly): boolean {
    if (this.#branch !== undefined && this.#body !== undefined) {
      // A branch of one length is looked at once, so that a missing target is reported with the others.
      if (!this.#lengthIsFixed || assembly.pass === 2) this.#chooseLength(this.#branch, this.#body, assembly);
    } else if (!this.#lengthIsFixed) {
      return false;
    }
    assembly.skip(this.#encoding!.bytes.length);
    return true;
  }

  #chooseLength(branch: Branch, body: InstructionBody, assembly: Assembly): void {
    const target = this.#target;
    this.#encoding =
      target?.section === undefined
        ? branch.choose(assembly.value(body.operands[0]!.expression), assembly)
        : branch.chooseFor(target.section, target.offset, assembly);
  }

  #encode(body: InstructionBody, assembly: Assembly, fields?: ValueField[]): void {
    assembly.touched = false;
    const built: BuiltOperand[] = [];
    for (const operand of body.operands) {
      const each = buildOperand(operand, assembly);
      if (each === undefined) {
        this.#kill();
        return;
      }
      built.push(each);
    }
    if (this.#branch === undefined && isBranchLike(built)) this.#branch = this.#asBranch(body, built, assembly);
    if (this.#dead) return;
    if (this.#branch !== undefined) {
      const { expression } = body.operands[0]!;
      if (expression.kind === 'symbol') this.#target = assembly.symbols.get(assembly.fullName(expression.name));
      this.#encoding = this.#branch.choose(built[0]!.value!, assembly);
      this.#lengthIsFixed = this.#branch.hasOneLength;
      this.#built = built;
      return;
    }
    if (this.#encoding === undefined || !sameOperands(built, this.#built)) {
      const result = encodeInstruction(body, built, fields);
      if ('reason' in result) {
        // The first pass does not know what a forward reference is worth; a later one tells.
        if (assembly.phase === 'estimate' && built.some((each) => each.value?.known === false)) return;
        this.#refuse(result, body, assembly);
        return;
      }
      this.#encoding = result;
    }
    this.#built = built;
    if (assembly.phase === 'write' || !assembly.touched) this.#warn(body, assembly);
    if (!assembly.touched && this.#encoding.fixups.length === 0) this.#body = undefined;
    this.#lengthIsFixed = !assembly.touched || built.every(hasFixedLength);
  }

  #asBranch(body: InstructionBody, built: readonly BuiltOperand[], assembly: Assembly): Branch | undefined {
    const source = built[0]!.source as Extract<SourceOperand, { kind: 'immediate' }>;
    const form = (width?: 8 | 32): Encoding | EncodeFailure => {
      const operand: SourceOperand = { ...source, value: undefined, ...(width === undefined ? {} : { width }) };
      return encodeInstruction(body, [{ source: operand, value: undefined, isLiteral: false }]);
    };
    const asWritten = form();
    if ('reason' in asWritten) {
      const short = source.width === undefined ? form(8) : asWritten;
      if (!('reason' in short) && isBranch(short)) return new Branch(short, undefined);
      if (isRefusedAnyway(body, built)) this.#refuse(asWritten, body, assembly);
      return undefined;
    }
    if (!isBranch(asWritten)) return undefined;
    const narrow = asWritten.fixups[0]!.bytes === 1;
    if (narrow) return new Branch(asWritten, undefined);
    if (source.width !== undefined || source.strict) return new Branch(undefined, asWritten);
    const short = form(8);
    return new Branch('reason' in short || !isBranch(short) ? undefined : short, asWritten);
  }

  #write(body: InstructionBody, encoding: Encoding, assembly: Assembly): void {
    const { section } = assembly;
    const start = section.offset;
    const bytes = encoding.bytes.slice();
    const end = start + bytes.length;
    for (const fixup of encoding.fixups) {
      const value = this.#built[fixup.operand]!.value!;
      const relative = fixup.kind === 'relative';
      const at = body.operands[fixup.operand]!.expression;
      const field = {
        at: start + fixup.offset,
        bytes: fixup.bytes,
        signed: fixup.signed,
        from: relative ? end : undefined,
      };
      const number = resolveField(value, field, at, assembly);
      if (number === undefined) continue;
      if (relative && fixup.bytes === 1 && (number < -128n || number > 127n)) {
        assembly.error(at, `this target is ${number} bytes away; a short branch reaches -128 to 127`);
      }
      storeNumber(bytes, fixup.offset, fixup.bytes, number);
    }
    assembly.bytes(bytes);
  }

  #warn(body: InstructionBody, assembly: Assembly): void {
    for (const warning of this.#encoding?.warnings ?? [])
      assembly.diagnostics.warning(operandSpan(body, undefined, assembly), warning, warningClass(warning));
    if (body.operands.some(({ memory, expression }) => memory?.hints.relative === true && hasRegister(expression)))
      assembly.diagnostics.warning(operandSpan(body, undefined, assembly), RELATIVE_TO_REGISTER);
  }

  #refuse(failure: EncodeFailure, body: InstructionBody, assembly: Assembly): void {
    const span = operandSpan(body, failure.operand, assembly);
    assembly.diagnostics.refusal(span, failure.reason, failure.forms, ...bracketHint(body, failure));
    this.#kill();
  }

  #kill(): void {
    this.#dead = true;
    this.#encoding = undefined;
    this.#body = undefined;
  }
}

/** What brackets are for, where an operand has them that may not, or the other way round. */
function bracketHint({ operands }: InstructionBody, { operand, forms }: EncodeFailure): string[] {
  const at = operand === undefined ? undefined : operands[operand];
  if (at === undefined) return [];
  if (at.memory !== undefined) {
    const both = operands.filter(({ memory }) => memory !== undefined).length > 1;
    return both ? ['one operand at most is in memory: load the other into a register first'] : [];
  }
  const takesMemory = forms.some((form) => /memory|m\d/.test(form.replace(/^\S+ /, '').split(', ')[operand!] ?? ''));
  if (at.expression.kind !== 'symbol' || !takesMemory) return [];
  const { name } = at.expression;
  return [`\`${name}\` is its address, a number; what stands there is \`[${name}]\``];
}

const RELATIVE_TO_REGISTER = 'an address with a register in it cannot be relative to rip: `rel` says nothing here';

/** Whether a register stands anywhere in an expression of an address. */
function hasRegister(expression: Expression): boolean {
  switch (expression.kind) {
    case 'register':
      return true;
    case 'unary':
      return hasRegister(expression.operand);
    case 'binary':
      return hasRegister(expression.left) || hasRegister(expression.right);
    default:
      return false;
  }
}

/** The encoder warns of a value that loses bits, and of `lock` where it does not belong. */
function warningClass(text: string): WarningClass {
  return text === NOT_LOCKABLE ? 'prefix-lock' : 'number-overflow';
}

/** At least one of the two lengths is there. */
export interface SymbolBranch {
  readonly symbol: string;
  readonly short: Encoding | undefined;
  readonly near: Encoding | undefined;
}

/** A branch in its two lengths. */
class Branch {
  readonly #short: Encoding | undefined;
  readonly #near: Encoding | undefined;
  #wasNear = false;

  constructor(short: Encoding | undefined, near: Encoding | undefined) {
    this.#short = short;
    this.#near = near;
  }

  elsewhere(): Branch {
    return new Branch(this.#short, this.#near);
  }

  get encodings(): Omit<SymbolBranch, 'symbol'> {
    return { short: this.#short, near: this.#near };
  }

  get hasOneLength(): boolean {
    return this.#short === undefined || this.#near === undefined;
  }

  /** NASM's rule (jmp_match): short while the target is unknown, or where it lies in this section within a byte's reach. */
  choose(value: Value, assembly: Assembly): Encoding {
    if (value.known) return this.chooseFor(soleBase(value), Number(value.constant), assembly);
    return this.#short === undefined || (this.#near !== undefined && this.#wasNear) ? this.#near! : this.#short;
  }

  /** The same for a target `offset` behind a base. */
  chooseFor(base: Base | 'none' | undefined, offset: number, assembly: Assembly): Encoding {
    const short = this.#short;
    const near = this.#near;
    if (short === undefined) return near!;
    if (near === undefined) return short;
    if (this.#wasNear && assembly.pass > PATIENCE) return near;
    const distance = offset - (assembly.section.offset + short.bytes.length);
    this.#wasNear = base !== assembly.section || distance < -128 || distance > 127;
    return this.#wasNear ? near : short;
  }
}

/** A register, a literal or a known address; a number that came out of symbols may still change. */
function hasFixedLength({ value, isLiteral }: BuiltOperand): boolean {
  return isLiteral || value === undefined || (value.known && value.terms.length > 0);
}

function isBranchLike(built: readonly BuiltOperand[]): boolean {
  return built.length === 1 && built[0]!.source.kind === 'immediate';
}

function isBranch(encoding: Encoding): boolean {
  return encoding.fixups[0]?.kind === 'relative';
}

/** True where the instruction is refused with its real value, too. */
function isRefusedAnyway(body: InstructionBody, built: readonly BuiltOperand[]): boolean {
  return 'reason' in encodeInstruction(body, built);
}

function encodeInstruction(
  body: InstructionBody,
  built: readonly BuiltOperand[],
  values?: ValueField[],
): Encoding | EncodeFailure {
  if (body.mnemonic === '') return lonePrefixes(body.prefixes);
  const far = body.operands.some((operand) => operand.hints.far);
  const source: SourceInstruction = {
    mnemonic: body.mnemonic,
    prefixes: far ? [...body.prefixes, 'far'] : body.prefixes,
    operands: built.map((each) => each.source),
  };
  return encode(source, values);
}

function lonePrefixes(prefixes: readonly string[]): Encoding | EncodeFailure {
  const bytes: number[] = [];
  for (const prefix of prefixes) {
    const byte = LONE_PREFIX[prefix];
    if (byte === undefined) return { reason: `\`${prefix}\` needs an instruction`, operand: undefined, forms: [] };
    bytes.push(byte);
  }
  return { bytes: Uint8Array.from(bytes), fixups: [] };
}

function sameOperands(a: readonly BuiltOperand[], b: readonly BuiltOperand[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!.source, b[i]!.source];
    if (x.kind === 'immediate' && y.kind === 'immediate' && x.value !== y.value) return false;
    if (x.kind === 'memory' && y.kind === 'memory') {
      if (x.displacement !== y.displacement || x.relative !== y.relative) return false;
      if (x.base !== y.base || x.index !== y.index || x.scale !== y.scale) return false;
    }
  }
  return true;
}

function operandSpan(body: InstructionBody, index: number | undefined, assembly: Assembly) {
  const { origin } = assembly.item!;
  const operand: OperandSyntax | undefined = index === undefined ? undefined : body.operands[index];
  return operand === undefined ? spanOf(body.at, body.at, origin) : spanOf(operand.first, operand.last, origin);
}

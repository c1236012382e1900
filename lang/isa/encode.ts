/**
 * Instructions to bytes. Of the rows a mnemonic has, the first whose operands fit is taken, as NASM 2.16 does with its default
 * optimisation; field layout after SDM vol. 2 §2.1–2.2.
 */

import { emit, REPEATS } from './emit.ts';
import { formsOf } from './forms.ts';
import type { EncodeFailure, Encoding, SourceInstruction, SourceOperand, ValueField, Width } from './instruction.ts';
import { type Match, match } from './match.ts';
import type { OperandPattern } from './operand-pattern.ts';
import { SEGMENTS } from './registers.ts';
import { type Shape, shapeOf } from './shape.ts';
import { candidates, type Row } from './table.ts';

const NO_SIZE: readonly Width[] = [64];
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
 * target that is undefined. A branch target that has a value is the distance from the end of the instruction. The fields of the values
 * are added to `values`.
 */
export function encode(source: SourceInstruction, values?: ValueField[]): Encoding | EncodeFailure {
  const { prefixes } = source;
  if (prefixes.length === 0) return encodeChecked(source, values);
  const size = prefixes.includes('a32') ? 32 : prefixes.includes('a64') ? 64 : undefined;
  return encodeChecked(size ? withAddressSize(source, size) : source, values);
}

/** An `a32` before the mnemonic is also the address size of memory operands that have none of their own. */
function withAddressSize(source: SourceInstruction, size: 32 | 64): SourceInstruction {
  const operands = source.operands.map(
    (each): SourceOperand =>
      each.kind === 'memory' && each.addressWidth === undefined ? { ...each, addressWidth: size } : each,
  );
  return { ...source, operands };
}

function encodeChecked(source: SourceInstruction, values: ValueField[] | undefined): Encoding | EncodeFailure {
  const found = candidates(source.mnemonic);
  if (!found) return { reason: `there is no instruction \`${source.mnemonic}\``, operand: undefined, forms: [] };
  const far = source.prefixes.includes('far');
  for (const prefix of source.prefixes) {
    if (!(prefix in REPEATS) && !OTHER_PREFIXES.has(prefix)) {
      return { reason: `there is no prefix \`${prefix}\``, operand: undefined, forms: [] };
    }
  }
  const shapes = shapesOf(source, found.rows);
  const search = choose(shapes, source, far, undefined);
  let choice = search.choice;
  if (!choice && search.missing.size === 1) choice = choose(shapes, source, far, [...search.missing][0]!).choice;
  if (choice) {
    const encoding = emit(choice.shape, choice.width, source, found.condition ?? 0, values);
    return typeof encoding === 'string' ? fail(source, encoding, undefined) : encoding;
  }
  return explain(source, found.rows, far);
}

const byKinds = new Map<string, (readonly Shape[] | undefined)[]>();

/** The shapes of a mnemonic that take operands of these kinds; kept, as long sources ask for the same ones over and over. */
function shapesOf({ mnemonic, operands }: SourceInstruction, rows: readonly Row[]): readonly Shape[] {
  let lists = byKinds.get(mnemonic);
  if (!lists) {
    lists = [];
    byKinds.set(mnemonic, lists);
  }
  let kinds = 1;
  for (let i = 0; i < operands.length; i++) kinds = kinds * 4 + KIND_NUMBER[operands[i]!.kind];
  lists[kinds] ??= withArity(rows, operands.length).filter(({ written }) =>
    written.every((pattern, i) => KIND_OF[pattern.kind].includes(operands[i]!.kind)),
  );
  return lists[kinds]!;
}

const withArity = (rows: readonly Row[], count: number): readonly Shape[] =>
  rows.map(shapeOf).filter((shape) => shape.written.length === count);

const KIND_NUMBER: Readonly<Record<SourceOperand['kind'], number>> = { register: 0, memory: 1, immediate: 2 };
/** The kinds of operands that a pattern may fit: of all others {@link match} says `kind`. */
const KIND_OF: Readonly<Record<OperandPattern['kind'], readonly SourceOperand['kind'][]>> = {
  register: ['register'],
  rm: ['register', 'memory'],
  memory: ['memory'],
  far: ['memory'],
  fixed: ['register'],
  accumulator: ['register'],
  segment: ['register'],
  control: ['register'],
  debug: ['register'],
  moffs: ['memory'],
  immediate: ['immediate'],
  one: ['immediate'],
  relative: ['immediate'],
  'implied-memory': [],
};

interface Choice {
  readonly shape: Shape;
  readonly width: Width;
}

interface Search {
  readonly choice: Choice | undefined;
  /** Sizes that would have fitted had the memory operand said so. */
  readonly missing: ReadonlySet<Width | 128>;
  /** The match that came furthest. */
  readonly nearest: Match | undefined;
}

function choose(
  shapes: readonly Shape[],
  source: SourceInstruction,
  far: boolean,
  assumed: Width | 128 | undefined,
): Search {
  let missing: Set<Width | 128> | undefined;
  let nearest: Match | undefined;
  for (const shape of shapes) {
    const widths = shape.widths.length > 0 ? shape.widths : shape.fixedWidth ? [shape.fixedWidth] : NO_SIZE;
    for (const width of widths) {
      const result = match(shape, width, source.operands, far, assumed);
      if (result.fit === 'fits') return { choice: { shape, width }, missing: NONE, nearest };
      if (result.fit === 'missing-size') {
        const pattern = shape.written[result.operand]!;
        const size = pattern.width === 'row' ? width : pattern.width;
        if (size !== 0) missing = new Set(missing).add(size);
      }
      if (!nearest || rank(result) > rank(nearest)) nearest = result;
    }
  }
  return { choice: undefined, missing: missing ?? NONE, nearest };
}

const NONE: ReadonlySet<Width | 128> = new Set();

const rank = (result: Match) => result.operand * 3 + (result.fit === 'kind' ? 0 : result.fit === 'size' ? 1 : 2);

function fail(source: SourceInstruction, reason: string, operand: number | undefined): EncodeFailure {
  return { reason, operand, forms: formsOf(source.mnemonic) };
}

function describe(operand: SourceOperand): string {
  if (operand.kind === 'register') return operand.register.name;
  if (operand.kind === 'immediate') return 'an immediate value';
  return operand.width === undefined ? 'memory' : `${operand.width}-bit memory`;
}

const ORDINALS = ['first', 'second', 'third', 'fourth'];

function explain(source: SourceInstruction, rows: readonly Row[], far: boolean): EncodeFailure {
  const { mnemonic, operands } = source;
  const shapes = withArity(rows, operands.length);
  const search = choose(shapes, source, far, undefined);
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
  if (!nearest || search.missing.size > 0) {
    const reason = 'operation size not specified: write byte, word, dword or qword before the memory operand';
    const memory = operands.findIndex((each) => each.kind === 'memory');
    return fail(source, reason, memory < 0 ? undefined : memory);
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

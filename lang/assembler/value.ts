/**
 * Values of expressions: a 64-bit constant plus relocatable parts (section starts, external symbols) and registers, each with a factor.
 * That covers `symbol + 4`, `end - start`, `symbol - $` and `rax + rcx*8 + symbol` with one rule each for adding and scaling.
 */

/** Something whose address the linker decides. */
export interface Base {
  readonly kind: 'section' | 'external';
  readonly name: string;
}

export interface Term {
  /** A base, or a register by its name. */
  readonly of: Base | string;
  readonly factor: bigint;
}

export interface Value {
  /** As a signed 64-bit number. */
  readonly constant: bigint;
  readonly terms: readonly Term[];
  /** False while a symbol in it has no value yet (forward reference in the first pass). */
  readonly known: boolean;
  /** `wrt ..plt` and the like. */
  readonly wrt?: string;
}

const NONE: readonly Term[] = [];

export const UNKNOWN: Value = { constant: 0n, terms: NONE, known: false };

export function constantValue(constant: bigint): Value {
  return { constant: BigInt.asIntN(64, constant), terms: NONE, known: true };
}

export function baseValue(base: Base, offset: bigint): Value {
  return { constant: offset, terms: [{ of: base, factor: 1n }], known: true };
}

const REGISTERS = new Map<string, Value>();

export function registerValue(name: string): Value {
  let value = REGISTERS.get(name);
  if (value === undefined) {
    value = { constant: 0n, terms: [{ of: name, factor: 1n }], known: true };
    REGISTERS.set(name, value);
  }
  return value;
}

/** `a + factor*b`. */
export function addScaled(a: Value, b: Value, factor: bigint): Value {
  const constant = b.constant === 0n ? a.constant : BigInt.asIntN(64, a.constant + factor * b.constant);
  const known = a.known && b.known;
  const wrt = a.wrt ?? b.wrt;
  const terms =
    b.terms.length === 0
      ? a.terms
      : a.terms.length === 0 && factor === 1n
        ? b.terms
        : addTerms(a.terms, b.terms, factor);
  return wrt === undefined ? { constant, terms, known } : { constant, terms, known, wrt };
}

export function scale(value: Value, factor: bigint): Value {
  const constant = BigInt.asIntN(64, value.constant * factor);
  const terms = factor === 0n ? NONE : value.terms.map((term) => ({ of: term.of, factor: term.factor * factor }));
  return { constant, terms, known: value.known };
}

/** Registers keep the order they were written in, since `[rax+rcx]` and `[rcx+rax]` encode differently. */
function addTerms(a: readonly Term[], b: readonly Term[], factor: bigint): readonly Term[] {
  const sum = [...a];
  for (const term of b) {
    const at = sum.findIndex((other) => other.of === term.of);
    const total = (at < 0 ? 0n : sum[at]!.factor) + term.factor * factor;
    if (at < 0) sum.push({ of: term.of, factor: total });
    else if (total === 0n) sum.splice(at, 1);
    else sum[at] = { of: term.of, factor: total };
  }
  return sum;
}

/** True of a plain number. */
export function isConstant(value: Value): boolean {
  return value.known && value.terms.length === 0;
}

/** The base of `base + constant`, `'none'` for a number, undefined for anything that one relocation cannot express. */
export function soleBase(value: Value): Base | 'none' | undefined {
  if (value.terms.length === 0) return 'none';
  const [term] = value.terms;
  return value.terms.length === 1 && term!.factor === 1n && typeof term!.of !== 'string' ? term!.of : undefined;
}

/** True where two values are the same number, or the same distance from the same places. */
export function sameValue(a: Value, b: Value): boolean {
  return (
    a.constant === b.constant &&
    a.terms.length === b.terms.length &&
    a.terms.every((term, i) => term.of === b.terms[i]!.of && term.factor === b.terms[i]!.factor)
  );
}

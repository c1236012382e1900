/**
 * Addresses of a loop as sums of the registers that a turn of it begins with: what the translator needs to know how far an
 * address moves from turn to turn.
 */

/** A part of a sum: a register as the turn finds it, or 32 bits of such a sum, extended. */
export type Atom =
  | { readonly kind: 'register'; readonly number: number }
  | { readonly kind: 'extended'; readonly signed: boolean; readonly of: LinearForm };

export interface Term {
  readonly coefficient: bigint;
  readonly atom: Atom;
}

/** constant + Σ coefficient · atom, modulo 2^width. */
export interface LinearForm {
  readonly width: 32 | 64;
  readonly constant: bigint;
  /** By {@link keyOf} of the atom; no coefficient is 0. */
  readonly terms: ReadonlyMap<string, Term>;
}

const keyOfAtom = (atom: Atom): string =>
  atom.kind === 'register' ? `r${atom.number}` : `${atom.signed ? 's' : 'z'}(${keyOf(atom.of)}+${atom.of.constant})`;

/** Equal for forms that differ in their constant only. */
export const keyOf = ({ terms }: LinearForm): string =>
  [...terms].map(([key, { coefficient }]) => `${coefficient}${key}`).join('+');

function form(width: 32 | 64, constant: bigint, terms: Iterable<readonly [string, Term]>): LinearForm {
  const kept = [...terms].filter(([, { coefficient }]) => BigInt.asIntN(width, coefficient) !== 0n);
  kept.sort(([a], [b]) => (a < b ? -1 : 1));
  return { width, constant: BigInt.asIntN(width, constant), terms: new Map(kept) };
}

const single = (width: 32 | 64, atom: Atom): LinearForm =>
  form(width, 0n, [[keyOfAtom(atom), { coefficient: 1n, atom }]]);

export const knownForm = (width: 32 | 64, value: bigint): LinearForm => form(width, value, []);

/** A whole register. */
export const registerForm = (number: number): LinearForm => single(64, { kind: 'register', number });

/** a + factor · b */
export function combined(a: LinearForm, b: LinearForm, factor: bigint): LinearForm {
  const terms = new Map(a.terms);
  for (const [key, { coefficient, atom }] of b.terms)
    terms.set(key, { coefficient: (terms.get(key)?.coefficient ?? 0n) + factor * coefficient, atom });
  return form(a.width, a.constant + factor * b.constant, terms);
}

export const scaled = (a: LinearForm, factor: bigint): LinearForm => combined(knownForm(a.width, 0n), a, factor);

/** The low 32 bits. */
export function lowHalf(a: LinearForm): LinearForm {
  if (a.width === 32) return a;
  let sum = knownForm(32, a.constant);
  for (const { coefficient, atom } of a.terms.values())
    sum = combined(sum, atom.kind === 'register' ? single(32, atom) : atom.of, coefficient);
  return sum;
}

/** 32 bits, extended to 64. */
export function extended(a: LinearForm, signed: boolean): LinearForm {
  if (a.terms.size === 0) return knownForm(64, signed ? a.constant : BigInt.asUintN(32, a.constant));
  return single(64, { kind: 'extended', signed, of: a });
}

/**
 * Status flags that the manual leaves undefined after an instruction (SDM vol. 2, "Flags Affected"), by its meaning in the
 * table: initials as in the table's flags column. What is not listed defines every flag that it changes.
 */
export const UNDEFINED_FLAGS: Readonly<Record<string, string>> = {
  and: 'a',
  or: 'a',
  xor: 'a',
  test: 'a',
  mul: 'szap',
  imul: 'szap',
  'imul-wide': 'szap',
  div: 'oszapc',
  idiv: 'oszapc',
  // Of shifts and rotates OF is defined for a count of 1, CF of a shift for counts up to the width.
  shl: 'oac',
  shr: 'oac',
  sar: 'oac',
  rol: 'o',
  ror: 'o',
  rcl: 'o',
  rcr: 'o',
  shld: 'oac',
  shrd: 'oac',
  bt: 'osap',
  bts: 'osap',
  btr: 'osap',
  btc: 'osap',
  bsf: 'cosap',
  bsr: 'cosap',
  tzcnt: 'osap',
  lzcnt: 'osap',
  andn: 'ap',
  bextr: 'asp',
  blsr: 'ap',
  blsmsk: 'ap',
  blsi: 'ap',
  bzhi: 'ap',
};

/**
 * `node scripts/foreign-instructions.js`: writes lang/isa/foreign-names.ts, the names of the instructions that gvm leaves out
 * (x87, MMX, SSE, AVX), as iced-x86 knows them. foreign.ts says how they are laid out.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Decoder, Mnemonic } from 'iced-x86';

const file = join(new URL('.', import.meta.url).pathname, '../lang/isa/foreign-names.ts');
const PREFIXES = [[], [0x66], [0xf3], [0xf2]];

/** An index register, for the instructions that have to have one. */
const SIB = 0x20;

/** The name of an instruction; empty if there is none. */
function nameOf(bytes) {
  const decoder = new Decoder(64, Uint8Array.from([...bytes, SIB, ...Array(14 - bytes.length).fill(0)]), 0);
  const instruction = decoder.decode();
  const name = instruction.isInvalid ? '' : Mnemonic[instruction.mnemonic].toLowerCase();
  instruction.free();
  decoder.free();
  return name;
}

/** Bytes of an opcode in each of its encodings; `w` and `l` are the bits of those names. */
const ENCODINGS = {
  legacy: (map, pp, opcode, { w, modrm }) => [
    ...PREFIXES[pp],
    ...(w ? [0x48] : []),
    ...[[0x0f], [0x0f, 0x38], [0x0f, 0x3a]][map - 1],
    opcode,
    modrm,
  ],
  vex: (map, pp, opcode, { w, l, modrm }) => [0xc4, 0xe0 | map, (w << 7) | 0x78 | ((l & 1) << 2) | pp, opcode, modrm],
  evex: (map, pp, opcode, { w, l, modrm }) => [0x62, 0xf0 | map, (w << 7) | 0x7c | pp, 0x08 | (l << 5), opcode, modrm],
};
const MAPS = { legacy: [1, 2, 3], vex: [1, 2, 3], evex: [1, 2, 3, 5, 6] };
/** Choices that a name can depend on, in the order in which names are listed. */
const CHOICES = { w: [0, 1], l: [0, 1, 2], m: [0, 1], r: [0, 1, 2, 3, 4, 5, 6, 7] };

/** `name`, or the letters of what it depends on, a colon, and a name for each choice, divided by slashes. */
function entryOf(make) {
  const at = ({ w = 0, l = 0, m = 0, r = 0 }) => nameOf(make({ w, l, modrm: (r << 3) | (m ? 0xc0 : 4) }));
  const points = Object.entries(CHOICES).reduce(
    (all, [letter, values]) => all.flatMap((point) => values.map((value) => ({ ...point, [letter]: value }))),
    [{}],
  );
  const names = new Map(points.map((point) => [JSON.stringify(point), at(point)]));
  // Where one choice gives nothing, the other's name stands for both.
  const found = [...new Set(names.values())].filter((name) => name !== '');
  if (found.length <= 1) return found[0] ?? '';
  const matters = Object.keys(CHOICES).filter((letter) =>
    points.some((point) => {
      const others = CHOICES[letter].map((value) => names.get(JSON.stringify({ ...point, [letter]: value })));
      return new Set(others.filter((name) => name !== '')).size > 1;
    }),
  );
  const chosen = matters.reduce(
    (all, letter) => all.flatMap((point) => CHOICES[letter].map((value) => ({ ...point, [letter]: value }))),
    [{}],
  );
  const listed = chosen.map(
    (choice) =>
      points
        .filter((point) => Object.entries(choice).every(([letter, value]) => point[letter] === value))
        .map((point) => names.get(JSON.stringify(point)))
        .find((name) => name !== '') ?? '',
  );
  return `${matters.join('')}:${listed.join('/')}`;
}

/** Entries divided by spaces; a number stands for as many that are empty. */
const packed = (entries) =>
  entries
    .map((entry) => (entry === '' ? '-' : entry))
    .join(' ')
    .replace(/(?: ?-)+$/, '')
    .replace(/(?:- ?)+/g, (run) => `${run.replaceAll(' ', '').length} `)
    .trimEnd();

const lines = [];
for (const [encoding, maps] of Object.entries(MAPS))
  for (const map of maps)
    for (let pp = 0; pp < 4; pp++) {
      const entries = Array.from({ length: 256 }, (_, opcode) => {
        if (encoding === 'legacy' && map === 1 && (opcode === 0x38 || opcode === 0x3a)) return '';
        return entryOf((choice) => ENCODINGS[encoding](map, pp, opcode, choice));
      });
      const text = packed(entries);
      if (text !== '') lines.push([`${encoding} ${map} ${pp}`, text]);
    }
for (let opcode = 0xd8; opcode <= 0xdf; opcode++) {
  const names = Array.from({ length: 72 }, (_, index) => nameOf([opcode, index < 8 ? index << 3 : 0xc0 + index - 8]));
  lines.push([`x87 ${opcode}`, packed(names)]);
}

const body = lines.map(([key, text]) => `  '${key}': '${text}',`).join('\n');
writeFileSync(
  file,
  `/** Made by scripts/foreign-instructions.js from iced-x86: names of instructions that gvm leaves out. foreign.ts reads them. */\nexport const FOREIGN_NAMES: Readonly<Record<string, string>> = {\n${body}\n};\n`,
);

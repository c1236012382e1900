/** Whole sources in the styles people write, whose macros lean on each other: bytes, relocations and symbols are nasm's. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readObject } from '../../../lang/object/read-object.ts';
import { writeObject } from '../../../lang/object/write-object.ts';
import { flat, has, nasm, object } from '../assembler/tools.ts';

const nasmIsHere = has('nasm');
if (!nasmIsHere) console.warn('nasm is not installed: whole sources are not compared with it');

const sources = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.asm'))
  .map((name) => ({ name, text: readFileSync(join(import.meta.dirname, name), 'utf8') }));

/** Flat output has no externals: what they are used for goes. */
const alone = (text: string) => text.replace(/^ *(?:extern|common|call kmain|call trap)\b.*$/gm, '');

test.skipIf(!nasmIsHere).each(sources)('$name, flat', ({ text }) => {
  expect(flat(`bits 64\n${alone(text)}`)).toBe(Buffer.from(nasm('bin', alone(text))!).toString('hex'));
});

/** What an object says, in words that no numbering of symbols shows. nasm also lists the labels of macro calls. */
function contents(bytes: Uint8Array) {
  const { sections, symbols } = readObject(bytes, 'main.o');
  const nameOf = (number: number) => {
    const { name, section } = symbols[number]!;
    return name !== '' ? name : typeof section === 'number' ? sections[section]!.name : section;
  };
  return {
    sections: sections.map(({ name, type, flags, align, size, data, relocations }) => ({
      ...{ name, type, flags, align, size },
      data: Buffer.from(data).toString('hex'),
      relocations: relocations.map((each) => `${each.offset} ${each.type} ${nameOf(each.symbol)} ${each.addend}`),
    })),
    symbols: symbols
      .filter(({ name }) => name !== '' && !name.startsWith('..@') && !name.endsWith('.asm'))
      .map(({ name, binding, type, section, value, size }) => `${name} ${binding} ${type} ${section} ${value} ${size}`)
      .sort(),
  };
}

test.skipIf(!nasmIsHere).each(sources)('$name, elf64', ({ text }) => {
  expect(contents(writeObject(object(text), { debug: false }))).toEqual(contents(nasm('elf64', text)!));
});

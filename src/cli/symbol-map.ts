/** `-map FILE`: sections and symbols with their addresses (flat output) or their places in a section (objects). */

import * as elf from '../../lang/object/elf64.ts';
import { flatAddresses } from '../../lang/object/flat.ts';
import type { ObjectFile, ObjectSymbol } from '../../lang/object/object-file.ts';

const hex = (value: bigint | number) => BigInt.asUintN(64, BigInt(value)).toString(16).padStart(16, '0');

/** The map as text: a table of sections, then a table of symbols by address and name. */
export function symbolMap(object: ObjectFile, format: 'bin' | 'elf64'): string {
  const starts = format === 'bin' ? flatAddresses(object) : object.sections.map(() => 0n);
  const sections = object.sections.map(({ name, size }, i) => `${hex(starts[i]!)}  ${hex(size)}  ${name}`);
  const symbols = object.symbols
    .filter(({ name, type }) => name !== '' && type !== elf.STT_FILE)
    .map((symbol) => ({ address: addressOf(symbol, starts), text: describe(symbol, object) }))
    .sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : a.text < b.text ? -1 : 1))
    .map(({ address, text }) => `${hex(address)}  ${text}`);
  return `${['-- Sections: address, length, name', ...sections, '', '-- Symbols: address, section, name', ...symbols].join('\n')}\n`;
}

const addressOf = ({ section, value }: ObjectSymbol, starts: readonly bigint[]): bigint =>
  typeof section === 'number' ? starts[section]! + value : section === 'absolute' ? value : 0n;

function describe({ name, section, binding }: ObjectSymbol, object: ObjectFile): string {
  const where = typeof section === 'number' ? object.sections[section]!.name : section;
  return `${where.padEnd(12)}  ${name}${binding === 'local' ? '' : ` (${binding})`}`;
}

/** A finished assembly → an object with numbered symbols, in NASM's order: file, sections, local symbols, global symbols. */

import * as elf from '../object/elf64.ts';
import type { LineTable } from '../object/line-table.ts';
import type { ObjectFile, ObjectSection, ObjectSymbol, Relocation } from '../object/object-file.ts';
import type { Assembly } from './assembly.ts';
import type { Section } from './sections.ts';
import type { AssemblySymbol } from './symbols.ts';
import { type Base, isConstant, soleBase } from './value.ts';

/** The object; call after the `write` pass. */
export function objectOf(assembly: Assembly, name: string, lines: LineTable): ObjectFile {
  const { sections } = assembly;
  const symbols: ObjectSymbol[] = [
    { name, binding: 'local', type: elf.STT_FILE, section: 'absolute', value: 0n, size: 0n },
  ];
  const numbers = new Map<Base, number>();
  sections.forEach((section, index) => {
    numbers.set(section, symbols.length);
    symbols.push({ name: '', binding: 'local', type: elf.STT_SECTION, section: index, value: 0n, size: 0n });
  });
  const all = [...assembly.symbols.all()];
  for (const symbol of all) if (symbol.binding === 'local') addDefined(symbol, symbols, assembly);
  for (const symbol of all) {
    if (symbol.external !== undefined && symbol.value === undefined) {
      if (!symbol.external.used && symbol.common === undefined) continue;
      numbers.set(symbol.external, symbols.length);
      symbols.push(external(symbol));
    } else if (symbol.binding !== 'local') {
      addDefined(symbol, symbols, assembly);
    }
  }
  return {
    name,
    sections: sections.map((section) => objectSection(section, numbers)),
    symbols,
    lines,
    ...(assembly.origin === undefined ? {} : { origin: assembly.origin }),
  };
}

function external(symbol: AssemblySymbol): ObjectSymbol {
  const binding = symbol.binding === 'weak' ? 'weak' : 'global';
  const { common } = symbol;
  const reference = symbol.external?.reference ?? symbol.span;
  return common === undefined
    ? { name: symbol.name, binding, type: symbol.type, section: 'undefined', value: 0n, size: 0n, reference }
    : { name: symbol.name, binding, type: symbol.type, section: 'common', value: common.align, size: common.size };
}

/** Symbols that are no address and no number (a difference of externals) stay in the source. */
function addDefined(symbol: AssemblySymbol, symbols: ObjectSymbol[], assembly: Assembly): void {
  const { value } = symbol;
  if (value === undefined || symbol.name.startsWith('..@')) return;
  const size = symbol.size === undefined ? 0n : (assembly.number(symbol.size, 'the size of a symbol') ?? 0n);
  const { name, binding, type, definition } = symbol;
  const common = { name, binding, type, size, ...(definition === undefined ? {} : { reference: definition }) };
  if (isConstant(value)) {
    symbols.push({ ...common, section: 'absolute', value: BigInt.asUintN(64, value.constant) });
    return;
  }
  const base = soleBase(value);
  const section = assembly.sections.indexOf(base as Section);
  if (section >= 0) symbols.push({ ...common, section, value: value.constant });
}

function objectSection(section: Section, numbers: ReadonlyMap<Base, number>): ObjectSection {
  const { type, flags, align } = section.attributes;
  const relocations = section.relocations.map((each): Relocation => {
    const symbol = each.base === undefined ? -1 : numbers.get(each.base);
    if (symbol === undefined) throw new Error(`the relocation base ${each.base!.name} has no symbol`);
    return { offset: each.offset, type: each.type, symbol, addend: each.addend };
  });
  return {
    name: section.name,
    type,
    flags,
    align,
    size: section.offset,
    data: section.contents(),
    entrySize: 0,
    relocations,
    ...(section.placement === undefined ? {} : { placement: section.placement }),
  };
}

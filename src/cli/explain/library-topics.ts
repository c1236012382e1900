/** Functions of the guest library, from its include files: those for .gasm say where, that for C says how. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { librarySymbols } from '../library-includes.ts';
import type { TopicSource } from './topic-source.ts';

/** System V's registers for arguments, and for a function with `...`. */
const ARGUMENT_REGISTERS = ['rdi', 'rsi', 'rdx', 'rcx', 'r8', 'r9'];

/** The library whose include files are in `folder`. */
export function libraryTopics(folder: string): TopicSource {
  return {
    kind: 'function of the guest library',
    names: () => librarySymbols(folder).map(({ name }) => name),
    explain(name) {
      const { include, comment } = librarySymbols(folder).find((each) => each.name === name)!;
      const prototype = prototypeOf(name, readFileSync(join(folder, 'gvm.h'), 'utf8'));
      const registers = prototype === undefined ? '' : registersOf(prototype);
      // Beside the declaration there is the C prototype once more, and behind it what comes of the call.
      const result = prototype === undefined ? undefined : /\)(?:: |, )(.*)/.exec(comment)?.[1];
      return [
        ...(prototype === undefined && comment === '' ? [] : [`  ${prototype ?? comment}`, '']),
        ...(registers === '' ? [] : [`  arguments  ${registers}`]),
        ...(result === undefined ? [] : [`  result     ${result}`]),
        `  in .gasm   %include "${include}"`,
        ...(prototype === undefined ? [] : ['  in C       #include <gvm.h>']),
      ];
    },
  };
}

/** `int printk(const char *format, ...)`: as the header for C declares it. */
function prototypeOf(name: string, header: string): string | undefined {
  const declaration = new RegExp(`^(?!static)[a-z][\\w\\s*]*[\\s*]${name}\\([^)]*\\)`, 'm').exec(header);
  return declaration?.[0];
}

/** `rdi dev, rsi bar`: which register has which argument. */
function registersOf(prototype: string): string {
  const names = /\((.*)\)$/s
    .exec(prototype)![1]!
    .split(',')
    .map((each) => /(\w+|\.\.\.)$/.exec(each.trim())?.[0] ?? '');
  if (names[0] === 'void') return 'none';
  return names.map((name, index) => (name === '...' ? 'and so on' : `${ARGUMENT_REGISTERS[index]} ${name}`)).join(', ');
}

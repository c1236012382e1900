/** `gvm asm`: its options. What they do is in asm.ts. */

import { asm } from './asm.ts';
import { type Command, definitions, parserOf, sourceOptions } from './command.ts';
import { EXIT } from './exit-status.ts';
import { installedLibrary } from './guest-program.ts';
import type { Output } from './output.ts';

const parser = () =>
  parserOf('asm', 'FILE\n\nAssemble one source, as NASM does.')
    .options(sourceOptions)
    .option('f', {
      alias: 'format',
      choices: ['bin', 'elf64'] as const,
      default: 'bin' as const,
      describe: 'output format',
    })
    .option('o', { alias: 'output', type: 'string', requiresArg: true, describe: 'output file' })
    .option('g', {
      alias: 'debug',
      type: 'boolean',
      default: false,
      describe: 'line information (DWARF) in an object',
    });

export const asmCommand = (output: Output): Command => ({
  summary: 'assemble a source to a flat binary or an ELF64 object',
  main(words) {
    const options = parser().parseSync(words as string[]);
    if (options['help'] === true) return EXIT.OK;
    asm(
      {
        file: String(options._[0]),
        format: options.f,
        output: options.o,
        debug: options.g,
        includes: options.I,
        defines: definitions(options.D),
        library: installedLibrary().includes,
      },
      (text) => output.message(text),
    );
    return EXIT.OK;
  },
});

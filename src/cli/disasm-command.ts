/** `gvm disasm`: its options. What they do is in disasm.ts. */

import { type Command, parserOf } from './command.ts';
import { disasm } from './disasm.ts';
import { EXIT } from './exit-status.ts';
import type { Output } from './output.ts';
import { UsageError } from './usage-error.ts';

const USAGE = `FILE

Print a flat binary or an ELF64 file as NASM source that assembles to the same bytes. A line that does
not (a redundant prefix, an encoding NASM does not choose) is data with the instruction in a comment.`;

const parser = () =>
  parserOf('disasm', USAGE).option('org', {
    type: 'string',
    requiresArg: true,
    describe: 'address of the first byte of a flat file',
  });

function address(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text))
    throw new UsageError(`gvm disasm: --org ${text}: an address is needed, as 0x7c00`);
  return BigInt(text);
}

export const disasmCommand = (output: Output): Command => ({
  summary: 'print a flat binary or an ELF64 file as NASM source',
  main(words) {
    const options = parser().parseSync(words as string[]);
    if (options['help'] === true) return EXIT.OK;
    output.console(new TextEncoder().encode(disasm(String(options._[0]), address(options.org))));
    output.end();
    return EXIT.OK;
  },
});

/** `gvm asm` alone: a bundle of its own, so that an assembler's start loads no machine. */

import { asmCommand } from './asm-command.ts';
import { StandardOutput } from './output.ts';
import { start } from './start.ts';

const output = new StandardOutput();
start(new Map([['asm', asmCommand(output)]]), output);

/** Every command of gvm. */

import { asmCommand } from './asm-command.ts';
import type { Command } from './command.ts';
import { completionCommand } from './completion-command.ts';
import { disasmCommand } from './disasm-command.ts';
import { explainCommand } from './explain/explain-command.ts';
import { hostCommand } from './host-command.ts';
import { lspciCommand, mtreeCommand, regsCommand, walkCommand } from './inspect-commands.ts';
import { StandardOutput } from './output.ts';
import { runCommand } from './run-command.ts';
import { runExtras } from './run-extras.ts';
import { start } from './start.ts';
import { statCommand } from './stat-command.ts';
import { testCommand } from './test/test-command.ts';
import { traceCommand } from './trace-command.ts';

const output = new StandardOutput();
const commands: ReadonlyMap<string, Command> = new Map([
  ['run', runCommand(output, runExtras)],
  ['trace', traceCommand(output)],
  ['stat', statCommand(output)],
  ['host', hostCommand(output)],
  ['walk', walkCommand(output)],
  ['regs', regsCommand(output)],
  ['mtree', mtreeCommand(output)],
  ['lspci', lspciCommand(output)],
  ['asm', asmCommand(output)],
  ['disasm', disasmCommand(output)],
  ['explain', explainCommand(output)],
  ['test', testCommand()],
  ['completion', completionCommand(() => commands)],
]);

start(commands, output);

/** For the build: what a warm-up run has compiled. */
export { compiledForms } from '../hardware/vcpu/interpreter/form.ts';

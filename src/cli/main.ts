/** The command line: finds the command, and turns whatever goes wrong into a message and an exit status. */

import { asmCommand } from './asm-command.ts';
import type { Command } from './command.ts';
import { completionCommand } from './completion-command.ts';
import { disasmCommand } from './disasm-command.ts';
import { EXIT, exitStatusHelp } from './exit-status.ts';
import { explainCommand } from './explain/explain-command.ts';
import { hostCommand } from './host-command.ts';
import { regsCommand, walkCommand } from './inspect-commands.ts';
import { StandardOutput } from './output.ts';
import { runCommand } from './run-command.ts';
import { splitQemuOptions } from './run-options.ts';
import { statCommand } from './stat-command.ts';
import { testCommand } from './test/test-command.ts';
import { traceCommand } from './trace-command.ts';
import { UsageError } from './usage-error.ts';

/** The version in package.json; the build puts it in. */
declare const GVM_VERSION: string;

const output = new StandardOutput();
const commands: ReadonlyMap<string, Command> = new Map([
  ['run', runCommand(output)],
  ['trace', traceCommand(output)],
  ['stat', statCommand(output)],
  ['host', hostCommand(output)],
  ['walk', walkCommand(output)],
  ['regs', regsCommand(output)],
  ['asm', asmCommand(output)],
  ['disasm', disasmCommand(output)],
  ['explain', explainCommand(output)],
  ['test', testCommand()],
  ['completion', completionCommand(() => commands)],
]);

const overview = (): string => `gvm COMMAND

Run a guest driver and its host driver together, on a model of KVM, QEMU and VFIO.

Commands:
${[...commands].map(([name, { summary }]) => `  gvm ${name.padEnd(10)} ${summary}`).join('\n')}

gvm COMMAND --help shows a command's options; gvm --version the version.

${exitStatusHelp}
`;

/** Run the command that `argv` names; returns the exit status. */
function main(argv: readonly string[]): number | Promise<number> {
  // QEMU's options may stand in front of the command.
  const [name] = splitQemuOptions(argv).gvm;
  if (name === '--version') {
    process.stdout.write(`${GVM_VERSION}\n`);
    return EXIT.OK;
  }
  if (name === '--help' || name === 'help') {
    process.stdout.write(overview());
    return EXIT.OK;
  }
  if (name === undefined) throw new UsageError(overview().trimEnd());
  const command = commands.get(name);
  if (command !== undefined) return command.main(argv.toSpliced(argv.indexOf(name), 1));
  throw new UsageError(`gvm: there is no command '${name}'; there are ${[...commands.keys()].join(', ')}`);
}

/** Tell the user what went wrong. */
function fail(error: unknown): number {
  output.end();
  if (error instanceof UsageError) {
    process.stderr.write(`${error.message}\n`);
    return error.status;
  }
  const { stack, message } = error as Error;
  process.stderr.write(
    `gvm: internal error: ${message}\n     This is a defect of gvm; GVM_DEBUG=1 shows where it happened.\n`,
  );
  if (process.env['GVM_DEBUG'] !== undefined) process.stderr.write(`${stack}\n`);
  return EXIT.HOST_FAILED;
}

try {
  const status = main(process.argv.slice(2));
  if (typeof status === 'number') process.exitCode = status;
  else
    status.catch(fail).then((code) => {
      process.exitCode = code;
    });
} catch (error) {
  process.exitCode = fail(error);
}

/** For the build: what a warm-up run has compiled. */
export { compiledForms } from '../hardware/vcpu/interpreter/form.ts';

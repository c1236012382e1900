/** Starts a command: finds it among those there are, and turns whatever goes wrong into a message and an exit status. */

import { didYouMean } from '../../lang/assembler/suggest.ts';
import { saidBy } from '../foreign-value.ts';
import type { Command } from './command.ts';
import { EXIT, exitStatusHelp } from './exit-status.ts';
import { lateErrors } from './late-error.ts';
import { type Output, print } from './output.ts';
import { splitQemuOptions } from './run-options.ts';
import { UsageError } from './usage-error.ts';

/** The version in package.json; the build puts it in. */
declare const GVM_VERSION: string;

type Commands = ReadonlyMap<string, Command>;

const overview = (commands: Commands): string => `gvm COMMAND

Run a guest driver and its host driver together, on a model of KVM, QEMU and VFIO.

Commands:
${[...commands].map(([name, { summary }]) => `  gvm ${name.padEnd(10)} ${summary}`).join('\n')}

gvm COMMAND --help shows a command's options; gvm --version the version.

${exitStatusHelp}
`;

/** Run the command that `argv` names; returns the exit status. */
function main(argv: readonly string[], commands: Commands): number | Promise<number> {
  // QEMU's options may stand in front of the command.
  const [name] = splitQemuOptions(argv).gvm;
  if (name === '--version') {
    print(`${GVM_VERSION}\n`);
    return EXIT.OK;
  }
  if (name === '--help' || name === 'help') {
    print(overview(commands));
    return EXIT.OK;
  }
  if (name === undefined) throw new UsageError(overview(commands).trimEnd());
  const command = commands.get(name);
  if (command !== undefined) return command.main(argv.toSpliced(argv.indexOf(name), 1));
  const names = [...commands.keys()];
  throw new UsageError(
    `gvm: there is no command '${name}'${didYouMean(name, names) || `; there are ${names.join(', ')}`}`,
  );
}

/** Tell the user what went wrong. */
function fail(error: unknown, output: Output): number {
  // Before anything else: what tells of it works with the same objects.
  const spoilt = lateErrors.spoilt();
  output.end();
  if (spoilt !== undefined) {
    output.message(spoilt);
    return EXIT.HOST_FAILED;
  }
  if (error instanceof UsageError) {
    output.message(error.message);
    return error.status;
  }
  const late = lateErrors.describe(error);
  if (late !== undefined) {
    output.message(late);
    return EXIT.HOST_FAILED;
  }
  output.message(
    `gvm: internal error: ${saidBy(error)}
     This is a defect of gvm; GVM_DEBUG=1 shows where it happened.`,
  );
  if (process.env['GVM_DEBUG'] !== undefined) output.message(String((error as Error | undefined)?.stack));
  return EXIT.HOST_FAILED;
}

/** Run the process's command line on `commands`; what it leaves is the exit status. */
export function start(commands: Commands, output: Output): void {
  process.on('uncaughtException', (error) => {
    process.exitCode = fail(error, output);
  });
  let ended = false;
  const end = (status: number): void => {
    ended = true;
    const spoilt = lateErrors.spoilt();
    if (spoilt !== undefined) output.message(spoilt);
    process.exitCode = spoilt === undefined ? status : EXIT.HOST_FAILED;
    if (lateErrors.lingering() !== undefined) setTimeout(() => leave(output), GRACE_MILLISECONDS).unref();
  };
  // A process.exit(0) in a user's file is no good end of the guest.
  process.on('exit', () => {
    const text = ended ? undefined : lateErrors.cutShort(new Error('it ends the process'));
    if (text === undefined) return;
    output.end();
    output.message(text);
    process.exitCode = EXIT.HOST_FAILED;
  });
  try {
    const status = main(process.argv.slice(2), commands);
    if (typeof status === 'number') end(status);
    else status.catch((error) => fail(error, output)).then(end);
  } catch (error) {
    end(fail(error, output));
  }
}

/** How long a user's file may keep the process when its command has ended. */
const GRACE_MILLISECONDS = 3000;

/** Something of the user's goes on, and would for ever. */
function leave(output: Output): void {
  output.message(lateErrors.lingering()!);
  process.exit(EXIT.HOST_FAILED);
}

/** `gvm walk` and `gvm regs`: the machine as it stands when the guest has ended. */

import type { Gva } from '../address.ts';
import type { Vm } from '../linux/kvm/vm.ts';
import { describeWalk } from './address-walk.ts';
import { type Command, definitions, parserOf, sourceOptions } from './command.ts';
import { EXIT } from './exit-status.ts';
import { installedLibrary } from './guest-program.ts';
import { MessagesOnly, type Output } from './output.ts';
import { registerByName, registerLines } from './registers.ts';
import { DEFAULT_MAX_INSNS, run } from './run.ts';
import { splitQemuOptions } from './run-options.ts';
import { UsageError } from './usage-error.ts';

const parser = (name: string, usage: string, most: number, words: number) =>
  parserOf(name, usage, { least: words, most }).options(sourceOptions).option('max-insns', {
    type: 'number',
    default: DEFAULT_MAX_INSNS,
    requiresArg: true,
    describe: 'look when so many guest instructions have run, if the guest has not ended before',
  });

/** Run the program that `argv` names first, then print what `look` sees; the run's exit status. */
function inspect(
  argv: readonly string[],
  output: Output,
  makeParser: () => ReturnType<typeof parser>,
  look: (vm: Vm, words: readonly string[]) => string[],
): number {
  const { qemu, gvm } = splitQemuOptions(argv);
  // An address is a word, which yargs would make a number of.
  const options = makeParser()
    .parserConfiguration({ 'parse-positional-numbers': false })
    .parseSync(gvm as string[]);
  if (options['help'] === true) return EXIT.OK;
  const [file, ...words] = options._.map(String);
  let seen: string[] | undefined;
  const status = run(
    {
      file: file!,
      qemu,
      trace: undefined,
      explain: false,
      maxInsns: options.maxInsns,
      exitMap: 'gvm',
      includes: options.I,
      defines: definitions(options.D),
    },
    installedLibrary(),
    new MessagesOnly(output),
    ({ machine }) =>
      () => {
        const [vm] = machine.kvm.vms;
        if (vm?.vcpus[0] !== undefined) seen = look(vm, words);
      },
  );
  if (seen !== undefined) process.stdout.write(seen.map((line) => `${line}\n`).join(''));
  return status;
}

const WALK = `FILE ADDRESS…

Run a guest program and show where addresses of its memory lead when it has ended: through the guest's
page tables, KVM's memory slots and the EPT, with every entry read. ADDRESS is a number or a register.`;

export const walkCommand = (output: Output): Command => ({
  summary: 'an address through guest tables, memory slots and EPT, entry by entry',
  main: (argv) =>
    inspect(
      argv,
      output,
      () => parser('walk', WALK, Number.POSITIVE_INFINITY, 2),
      (vm, words) =>
        words.flatMap((word, index) => [...(index === 0 ? [] : ['']), ...describeWalk(vm, addressOf(vm, word))]),
    ),
});

function addressOf(vm: Vm, word: string): Gva {
  const register = registerByName(vm.vcpus[0]!.cpu, word);
  if (register === undefined && !/^(0x[0-9a-fA-F]{1,16}|[0-9]{1,20})$/.test(word))
    throw new UsageError(`gvm walk: '${word}' is neither an address nor a register`);
  return BigInt.asUintN(64, register ?? BigInt(word)) as Gva;
}

const REGS = `FILE

Run a guest program and print the processor's registers when it has ended.`;

export const regsCommand = (output: Output): Command => ({
  summary: "the processor's registers when the guest has ended",
  main: (argv) =>
    inspect(
      argv,
      output,
      () => parser('regs', REGS, 1, 1),
      (vm) => registerLines(vm.vcpus[0]!.cpu),
    ),
});

/** `gvm walk`, `gvm regs`, `gvm mtree`, `gvm lspci`: the machine as it stands when the guest has ended, or has come to a place. */

import { memorySlots } from '../linux/kvm/slot-list.ts';
import type { Vm } from '../linux/kvm/vm.ts';
import { infoMtreeFlat } from '../qemu/monitor/info-mtree.ts';
import { describeWalk } from './address-walk.ts';
import { AT_PLACE, addressesOf, breakAt } from './break-point.ts';
import { type Command, definitions, maxInsnsOption, parserOf, sourceOptions } from './command.ts';
import { EXIT } from './exit-status.ts';
import { type GuestProgram, installedLibrary } from './guest-program.ts';
import { lspci } from './lspci.ts';
import type { Machine } from './machine.ts';
import { gluedOptions } from './nasm-options.ts';
import { MessagesOnly, type Output, print } from './output.ts';
import { addressNamed, registerLines } from './registers.ts';
import { run } from './run.ts';
import { splitQemuOptions } from './run-options.ts';

const parser = (name: string, usage: string, most: number, words: number) =>
  parserOf(name, usage, { least: words, most, called: words > 1 ? 'a file and an address' : 'a file' })
    .options(sourceOptions)
    .option('at', { type: 'string', requiresArg: true, describe: `look ${AT_PLACE}` })
    .option('max-insns', {
      ...maxInsnsOption,
      describe: 'look when so many guest instructions have run, if the guest has not ended before',
    });

/** The guest is where the user wanted to look, and needs not go on. */
class Looked extends Error {}

/**
 * Run the program that `argv` names first, then print what is seen; the run's exit status, 0 at a break point. `look` is given the
 * other words, and the program, before anything runs.
 */
function inspect<P extends ReturnType<typeof parser>>(
  argv: readonly string[],
  output: Output,
  makeParser: () => P,
  look: (
    words: readonly string[],
    options: ReturnType<P['parseSync']>,
    program: GuestProgram,
  ) => (machine: Machine) => readonly string[],
): number {
  const { qemu, gvm } = splitQemuOptions(argv);
  const options = makeParser().parseSync(gluedOptions(gvm));
  if (options['help'] === true) return EXIT.OK;
  const [file, ...words] = options._.map(String);
  const { at } = options;
  let seen: readonly string[] | undefined;
  let status: number = EXIT.OK;
  try {
    status = run(
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
      ({ machine, program }) => {
        const lookAt = look(words, options as ReturnType<P['parseSync']>, program);
        const lookNow = () => {
          if (machine.cpus.length > 0) seen = lookAt(machine);
        };
        if (at === undefined) return lookNow;
        breakAt(machine, addressesOf(program, at), () => {
          lookNow();
          throw new Looked();
        });
        return undefined;
      },
    );
    if (at !== undefined && seen === undefined) output.message(`gvm: the guest never came to ${at}`);
  } catch (error) {
    if (!(error instanceof Looked)) throw error;
  }
  if (seen !== undefined) print(seen.map((line) => `${line}\n`).join(''));
  return status;
}

const vmOf = (machine: Machine): Vm => machine.kvm.vms[0]!;

const WALK = `FILE ADDRESS… [--at PLACE]

Run a guest program and show where addresses of its memory lead when it has ended: through the guest's
page tables, KVM's memory slots and the EPT, with every entry read. ADDRESS is a number, a register or
a label (LABEL, LABEL+0x10).`;

export const walkCommand = (output: Output): Command => ({
  summary: 'an address through guest tables, memory slots and EPT, entry by entry',
  main: (argv) =>
    inspect(
      argv,
      output,
      () => parser('walk', WALK, Number.POSITIVE_INFINITY, 2),
      (words, _, program) => {
        const addresses = words.map((word) => addressNamed(word, program));
        return (machine) =>
          addresses.flatMap((address, index) => [
            ...(index === 0 ? [] : ['']),
            ...describeWalk(vmOf(machine), address(machine.cpus[0]!)),
          ]);
      },
    ),
});

const REGS = `FILE [--at PLACE]

Run a guest program and print the processor's registers when it has ended.`;

export const regsCommand = (output: Output): Command => ({
  summary: "the processor's registers when the guest has ended",
  main: (argv) =>
    inspect(
      argv,
      output,
      () => parser('regs', REGS, 1, 1),
      () => (machine) => registerLines(machine.cpus[0]!),
    ),
});

const MTREE = `FILE [--at PLACE]

Run a guest program and print QEMU's address spaces as they are when it has ended, flat, as QEMU's monitor does
(info mtree -f), and the memory slots that KVM was given of them.`;

export const mtreeCommand = (output: Output): Command => ({
  summary: "QEMU's memory map, flat, and KVM's memory slots",
  main: (argv) =>
    inspect(
      argv,
      output,
      () => parser('mtree', MTREE, 1, 1),
      () => (machine) => [...infoMtreeFlat(machine.qemu!.spaces), 'KVM memory slots', ...memorySlots(vmOf(machine))],
    ),
});

const LSPCI = `FILE [-v] [-n] [-x | -xxx] [--at PLACE]

Run a guest program and list the PCI functions of its machine when it has ended, as lspci does. With -x or -xxx each
is followed by its configuration space, in the form that lspci -F reads.`;

export const lspciCommand = (output: Output): Command => ({
  summary: "the guest's PCI functions, as lspci prints them",
  main: (argv) =>
    inspect(
      // lspci's -xxx is one option, and no three.
      argv.map((word) => (word === '-xxx' || word === '-xx' ? '--xxx' : word)),
      output,
      () =>
        parser('lspci', LSPCI, 1, 1)
          .option('v', { type: 'boolean', default: false, describe: 'BARs, windows and capabilities too' })
          .option('n', { type: 'boolean', default: false, describe: 'numbers instead of names' })
          .option('x', { type: 'boolean', default: false, describe: 'the header of configuration space, 64 bytes' })
          .option('xxx', { type: 'boolean', default: false, describe: 'all of configuration space, 256 bytes' }),
      (_, { v: verbose, n: numeric, x, xxx }) =>
        (machine) =>
          lspci(machine.qemu!.rootBus!, { verbose, numeric, bytes: xxx ? 256 : x ? 64 : 0 }),
    ),
});

/** Options of a run: the command line's, completed by the program's own `; gvm:` lines. */

import type { WarningSettings } from '../../lang/assembler/warning-classes.ts';
import type { Vcpu } from '../hardware/vcpu/vcpu.ts';
import { optionArity } from '../qemu/options.ts';
import { sortArguments } from './command-line.ts';
import { type Directives, ownOptions } from './directives.ts';
import type { TierName } from './tier.ts';
import { anchorDevices } from './user-device.ts';
import { folderOf } from './user-file.ts';

/** What a run needs for a person at the terminal. */
export interface Attended {
  /** Makes the processors, so that they are heard of. */
  readonly Cpu?: typeof Vcpu;
}

/** Guest instructions after which a run without --max-insns ends: a few seconds of a guest that loops for ever. */
export const DEFAULT_MAX_INSNS = 200_000_000;

export interface RunOptions {
  readonly file: string;
  /** QEMU's options, single-dashed, in order. */
  readonly qemu: readonly string[];
  readonly trace: string | undefined;
  /** Say which rule a refused request of the host broke. */
  readonly explain: boolean;
  /** `model` or a JSON file: the guest's clock sees what the host's steps cost. */
  readonly costs?: string | undefined;
  /** Guest instructions after which the run ends with status 124. */
  readonly maxInsns: number;
  /** How guest code is executed; the default if absent. */
  readonly tier?: TierName;
  /** `gvm`: the guest's value is the status; `qemu`: QEMU's own exit status, (value << 1) | 1. */
  readonly exitMap: 'gvm' | 'qemu';
  /** Seconds of real time after which the run ends with status 124. */
  readonly timeout?: number | undefined;
  /** Somebody sits before it: Ctrl-C ends the run with a report, and its progress is shown, where that is wanted. */
  readonly attended?: Attended;
  /** -I: folders searched for includes. */
  readonly includes: readonly string[];
  /** Physical devices of the host, MODEL@BUS:SLOT.FUNCTION each. */
  readonly plug?: readonly string[];
  /** -D NAME=VALUE. */
  readonly defines: Readonly<Record<string, string>>;
  /** -w: which warnings the source gives. */
  readonly warnings?: WarningSettings;
  /** Diagnostics of the source as JSON. */
  readonly json?: boolean;
}

/** QEMU's options that gvm passes on; help and version are gvm's own. */
const passedOn = new Map([...optionArity].filter(([name]) => !['help', 'h', 'version'].includes(name)));

/** Split a whole command line into QEMU's options and the rest. */
export const splitQemuOptions = (words: readonly string[]) => sortArguments(words, passedOn);

/**
 * The options with those of the program in front: an option that QEMU takes once is the command line's where both give it,
 * and `-device` adds up.
 */
export function withDirectives(options: RunOptions, { options: lines }: Directives): RunOptions {
  const own: string[] = [];
  const plug: string[] = [];
  let { trace, explain, costs } = options;
  for (const { words, place } of lines) {
    const { qemu, gvm } = splitQemuOptions(words);
    own.push(...anchorDevices(qemu, folderOf(options.file)));
    for (const { name, value } of ownOptions(gvm, place, ['--explain', '--plug', '--trace', '--costs'], 'a program')) {
      if (name === '--explain') explain = true;
      else if (name === '--plug') plug.push(value);
      else if (name === '--trace') trace ??= value;
      else costs ??= beside(options.file, value);
    }
  }
  return {
    ...options,
    plug: [...plug, ...(options.plug ?? [])],
    trace,
    explain,
    costs,
    qemu: [...own, ...options.qemu],
  };
}

/** A file of costs that a program names lies beside it; `model` is no file. */
function beside(program: string, named: string): string {
  return named === 'model' || named.startsWith('/') ? named : `${folderOf(program)}/${named}`;
}

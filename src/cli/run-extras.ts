/**
 * What `gvm run` does beyond running: trace files, causal reports, walks, and running again on save. The bundle of the plain run is
 * without it: the launcher takes the whole one where an option of theirs is given.
 */

import { watch } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { describeWalk } from './address-walk.ts';
import { addressesOf, breakAt } from './break-point.ts';
import { EXIT } from './exit-status.ts';
import type { Output } from './output.ts';
import { addressNamed } from './registers.ts';
import type { ExtraOptions, RunExtras } from './run-command.ts';
import { chooseEvents } from './trace.ts';
import { traceCausally, traceToFile } from './trace-sink.ts';
import type { Watcher } from './watcher.ts';

/** Who gets the events instead of stderr, and who looks at the machine. */
function watchersOf({ trace = '*', traceOut, causal, walk, at }: ExtraOptions, output: Output): readonly Watcher[] {
  const watchers: Watcher[] = [];
  if (causal) watchers.push(traceCausally(chooseEvents(trace), (text) => output.message(text)));
  if (traceOut !== undefined) watchers.push(traceToFile(traceOut, chooseEvents(trace)));
  if (walk.length > 0) watchers.push(walkOf(walk, at, output));
  return watchers;
}

/** `--walk ADDRESS --at PLACE`: the walk is printed when the guest comes there, or has ended, and the run goes on. */
function walkOf(words: readonly string[], at: string | undefined, output: Output): Watcher {
  return {
    observe({ machine, program }) {
      const addresses = words.map((word) => addressNamed(word, program));
      const print = () => {
        const vm = machine.kvm.vms[0];
        if (vm?.vcpus[0] === undefined) return;
        for (const address of addresses)
          for (const line of describeWalk(vm, address(machine.cpus[0]!))) output.line('walk', line);
      };
      if (at === undefined) return print;
      let came = false;
      breakAt(machine, addressesOf(program, at), () => {
        came = true;
        print();
      });
      return () => {
        if (!came) output.message(`gvm: the guest never came to ${at}`);
      };
    },
    finish: () => undefined,
    abandon: () => undefined,
  };
}

/** Files whose change means nothing: what runs write, and what editors keep beside a file. */
const OTHER = /\.(part|swp|swx|golden|html|jsonl?|txt|log)$|~$|^4913$|^\.#/;
/** Milliseconds in which several changes count as one: editors write a file in steps. */
const SETTLE = 80;

/**
 * `--watch`: run `words` in a process of its own, and again whenever a file beside the program, or in a folder of -I, is saved. A run that
 * is still going is ended. Ends with Ctrl-C.
 */
async function rerunOnSave(
  words: readonly string[],
  file: string,
  includes: readonly string[],
  output: Output,
): Promise<number> {
  const { spawn } = process.getBuiltinModule('node:child_process');
  let child: ReturnType<typeof spawn> | undefined;
  const start = () => {
    child?.kill();
    const started = spawn(process.execPath, [process.argv[1]!, 'run', ...words], { stdio: 'inherit' });
    child = started;
    started.on('exit', (status) => {
      if (child === started)
        output.message(`gvm: status ${status ?? 'of a run that was ended'}; waiting for a change of ${basename(file)}`);
    });
  };
  let timer: NodeJS.Timeout | undefined;
  const watchers = [...new Set([dirname(resolve(file)), ...includes.map((folder) => resolve(folder))])].map((folder) =>
    watch(folder, (_, name) => {
      if (name !== null && OTHER.test(name)) return;
      clearTimeout(timer);
      timer = setTimeout(start, SETTLE);
    }),
  );
  start();
  return new Promise((done) => {
    process.on('SIGINT', () => {
      for (const each of watchers) each.close();
      clearTimeout(timer);
      child?.kill();
      done(EXIT.INTERRUPTED);
    });
  });
}

export const runExtras: RunExtras = { watchersOf, rerunOnSave };

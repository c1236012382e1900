/** `gvm stat`: what a run's exits cost. */

import { exitReasonName } from '../hardware/vcpu/exit.ts';
import { modeledCosts } from '../observe/cost-table.ts';
import { HostTime } from '../observe/host-time.ts';
import { comparison, type SortKey, statObject, statTable } from '../observe/stat-text.ts';
import { Statistics, type TableName, tableNames } from '../observe/statistics.ts';
import { type Command, definitions, maxInsnsOption, parserOf, sourceOptions } from './command.ts';
import { EXIT } from './exit-status.ts';
import { installedLibrary } from './guest-program.ts';
import { gluedOptions } from './nasm-options.ts';
import { MessagesOnly, type Output, print } from './output.ts';
import { ProgramLines } from './program-lines.ts';
import { type Prepared, prepare, runPrepared } from './run.ts';
import { splitQemuOptions } from './run-options.ts';
import { tierOption, translationLine } from './tier.ts';

const USAGE = `FILE [--event TABLE] [--vs FILE]

Run a guest program and count its VM exits, as perf kvm stat does: how many, and how long from the exit
to the next entry. The guest's console is not shown. Times are a model: a nanosecond an instruction, and
what is charged for the host's steps; they rank roads, they do not measure them.

Tables: vmexit (exit reason), ioport, mmio (address), device, road (who served it), line (the program's
line that left the guest, itself or by a call of the guest library).`;

const parser = () =>
  parserOf('stat', USAGE)
    .options(sourceOptions)
    .option('event', {
      choices: [...tableNames, 'all'] as const,
      array: true,
      nargs: 1,
      requiresArg: true,
      default: ['vmexit'] as (TableName | 'all')[],
      describe: 'table to print',
    })
    .option('key', { choices: ['sample', 'time'] as const, default: 'sample' as SortKey, describe: 'sort by this' })
    .option('vs', { type: 'string', requiresArg: true, describe: 'run this program too, and compare' })
    .option('json', { type: 'boolean', default: false, describe: 'all tables as one JSON object' })
    .option('max-insns', maxInsnsOption)
    .option('tier', tierOption);

export const statCommand = (output: Output): Command => ({
  summary: 'count VM exits by reason, port, address, device, road and source line',
  main(argv) {
    const { qemu, gvm: words } = splitQemuOptions(argv);
    const options = parser().parseSync(gluedOptions(words));
    if (options['help'] === true) return EXIT.OK;
    const common = {
      qemu,
      trace: undefined,
      explain: false,
      maxInsns: options.maxInsns,
      tier: options.tier,
      exitMap: 'gvm',
      attended: {},
      includes: options.I,
      defines: definitions(options.D),
    } as const;
    const library = installedLibrary();
    const prepared = (file: string) => prepare({ ...common, file }, library, new MessagesOnly(output));
    // Both are read before one runs: whoever has mistyped the other's name would wait for this one to end.
    const one = prepared(String(options._[0]));
    const other = options.vs === undefined ? undefined : prepared(options.vs);
    const first = count(one, output);
    const second = other === undefined ? undefined : count(other, output);
    const tables = options.event.includes('all') ? tableNames : (options.event as TableName[]);
    const text = options.json
      ? `${JSON.stringify({ v: 1, ...statObject(first.statistics, options.key), ...(second === undefined ? {} : { vs: statObject(second.statistics, options.key) }) })}\n`
      : tables
          .map((name) =>
            second === undefined
              ? statTable(name, first.statistics.table(name), options.key)
              : comparison(name, first.statistics.table(name), second.statistics.table(name), options.key),
          )
          .join('\n');
    print(text);
    return first.status === EXIT.OK && second !== undefined ? second.status : first.status;
  },
});

/** Run once, counting. */
function count(prepared: Prepared, output: Output): { readonly statistics: Statistics; readonly status: number } {
  let statistics: Statistics | undefined;
  const status = runPrepared(prepared, new MessagesOnly(output), ({ machine, program }) => {
    const costs = machine.costs ?? modeledCosts;
    const time = new HostTime(costs, machine.costs !== undefined);
    const lines = new ProgramLines(program);
    const counted = new Statistics(exitReasonName, (rip, vcpu) => lines.responsible(rip, machine.cpus[vcpu]!));
    statistics = counted;
    machine.stream.subscribe(costs.charged(), (record) => counted.add(time.stamp(record)));
    return () => {
      for (const { translation } of machine.cpus)
        if (translation !== undefined) output.message(translationLine(translation));
    };
  });
  return { statistics: statistics!, status };
}

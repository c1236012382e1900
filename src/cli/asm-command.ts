/** `gvm asm`: its options, with NASM's letters. What they do is in asm.ts. */

import { MAX_ERRORS } from '../../lang/assembler/diagnostics.ts';
import { type AsmOptions, asm, type DependencyOptions } from './asm.ts';
import { type Command, definitions, parserOf, sourceOptions } from './command.ts';
import { quoteForMake } from './dependencies.ts';
import { EXIT } from './exit-status.ts';
import { installedIncludes } from './guest-program.ts';
import { longOptions } from './nasm-options.ts';
import type { Output } from './output.ts';
import { UsageError } from './usage-error.ts';
import { warningSettings } from './warning-options.ts';

const EPILOGUE = `A value may be glued to NASM's letters (-felf64, -Ifolder, -w-label-orphan). -MG, -MF, -MD, -MT, -MQ and -MP are NASM's, too.
Warnings have NASM's names: -w+x shows, -w-x hides, -Werror=x makes it an error, -Werror every warning.`;

const word = (describe: string) => ({ type: 'string', requiresArg: true, describe }) as const;
const flag = (describe: string) => ({ type: 'boolean', default: false, describe }) as const;
const words = (describe: string) =>
  ({ type: 'string', array: true, nargs: 1, requiresArg: true, default: [] as string[], describe }) as const;

const parser = () =>
  parserOf('asm', 'FILE\n\nAssemble one source, as NASM does.')
    .options(sourceOptions)
    .options({
      U: { alias: 'undefine', ...words('forget a macro of the command line') },
      P: { alias: 'pre-include', ...words('include FILE in front of the source') },
      w: { alias: 'warning', ...words('show, hide or promote a warning') },
    })
    .option('f', {
      alias: 'format',
      choices: ['bin', 'elf64'] as const,
      default: 'bin' as const,
      describe: 'output format',
    })
    .options({
      o: { alias: 'output', ...word('output file') },
      g: { alias: 'debug', type: 'string', describe: 'line information (DWARF) in an object' },
      l: { alias: 'listing', ...word("listing in NASM's format") },
      map: word('sections and symbols with their addresses, to a file'),
      E: { alias: 'preprocess', ...flag('preprocess only, to stdout or the output file') },
      M: { alias: 'depend', ...flag('print what the output depends on, for make') },
      'max-errors': { type: 'number', default: MAX_ERRORS, requiresArg: true, describe: 'stop after so many errors' },
      json: flag('diagnostics as one JSON object on stdout'),
    } as const)
    .options({
      'depend-missing': { ...flag(''), hidden: true },
      'depend-phony': { ...flag(''), hidden: true },
      'depend-file': { ...word(''), hidden: true },
      'depend-beside': { type: 'string', hidden: true },
      'depend-target': { ...word(''), hidden: true },
      'depend-quoted-target': { ...word(''), hidden: true },
      'debug-format': { ...word(''), hidden: true },
      optimize: { type: 'string', hidden: true },
    } as const)
    .epilogue(EPILOGUE);

type Parsed = ReturnType<ReturnType<typeof parser>['parseSync']>;

/** The rule for make, if one is asked for: `-M` and `-MG` print it, `-MD` writes it beside the output. */
function dependencyOptions(options: Parsed): DependencyOptions | undefined {
  const only = options.M || options.dependMissing;
  const beside = options.dependBeside;
  if (!only && beside === undefined) return undefined;
  const quoted = options.dependQuotedTarget;
  return {
    only,
    file: (beside === '' ? undefined : beside) ?? options.dependFile ?? (only ? undefined : besideOutput(options)),
    target: options.dependTarget ?? (quoted === undefined ? undefined : quoteForMake(quoted)),
    missing: options.dependMissing,
    phony: options.dependPhony,
  };
}

/** `-MD` without a name: the output's, ending in .d. */
const besideOutput = (options: Parsed): string => (options.o ?? String(options._[0])).replace(/(\.[^./]*)?$/, '.d');

/** What gvm has one answer to: the debug format and the optimisation, which is NASM's default. */
function refuseOthers({ optimize, debugFormat, g, maxErrors }: Parsed): void {
  if (optimize !== undefined && !/^(x|v|[2-9]\d*|)$/.test(optimize)) {
    throw new UsageError(`gvm asm: -O${optimize}: gvm always takes the shortest form, like NASM's -Ox`);
  }
  const format = debugFormat ?? g;
  if (format !== undefined && !/^(dwarf)?$/.test(format)) {
    throw new UsageError(`gvm asm: there is no debug format '${format}'; there is dwarf`);
  }
  if (!(maxErrors >= 1)) throw new UsageError('gvm asm: --max-errors takes a number, 1 or more');
}

export const asmCommand = (output: Output): Command => ({
  summary: 'assemble a source to a flat binary or an ELF64 object',
  main(words) {
    const options = parser().parseSync(longOptions(words));
    if (options['help'] === true) return EXIT.OK;
    refuseOthers(options);
    const chosen: AsmOptions = {
      file: String(options._[0]),
      format: options.f,
      output: options.o,
      debug: options.g !== undefined,
      listing: options.l,
      map: options.map,
      preprocessOnly: options.E,
      dependencies: dependencyOptions(options),
      includes: options.I,
      defines: definitions(options.D),
      undefines: options.U,
      preIncludes: options.P,
      warnings: warningSettings('asm', options.w),
      maxErrors: options.maxErrors,
      json: options.json,
      library: installedIncludes(),
    };
    const status = asm(chosen, {
      message: (text) => output.message(text),
      print: (content) => output.console(typeof content === 'string' ? new TextEncoder().encode(content) : content),
    });
    output.end();
    return status;
  },
});

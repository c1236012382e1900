/** The assembler's front door: NASM source → relocatable object. */

import { registerNamed } from '../isa/registers.ts';
import { mnemonics } from '../isa/table.ts';
import { LineTable } from '../object/line-table.ts';
import type { ObjectFile } from '../object/object-file.ts';
import type { Body, Expression, Label } from '../syntax/ast.ts';
import { type SourceLine, spanOf } from '../syntax/lexer.ts';
import { stringBytes } from '../syntax/literals.ts';
import type { ParsedLine } from '../syntax/parser.ts';
import { type Origin, SourceFile } from '../syntax/source.ts';
import { Text, type Token } from '../syntax/tokens.ts';
import { Assembly, type Item, type OutputFormat, type Work } from './assembly.ts';
import { CallAssembler } from './call-assembler.ts';
import { CallsWork } from './calls-work.ts';
import { DataWork, ReserveWork, TimesWork } from './data-work.ts';
import { Abandon, type Diagnostic, Diagnostics } from './diagnostics.ts';
import { directive, equ } from './directives.ts';
import { SeesIntoCalls } from './hidden-labels.ts';
import { type BinaryPath, incbin } from './incbin.ts';
import { InstructionWork } from './instruction-work.ts';
import { KnownInstructions, wordingOf } from './known-instructions.ts';
import { isReserved } from './left-out.ts';
import { LineRecorder } from './line-recorder.ts';
import type { Listing } from './listing.ts';
import { objectOf } from './output.ts';
import type { KnownCall } from './preprocessor/call-memory.ts';
import type { PreparedLine } from './preprocessor/prepared-line.ts';
import { PreprocessedText } from './preprocessor/preprocessed-text.ts';
import { Preprocessor } from './preprocessor/preprocessor.ts';
import { cannotFind, type IncludePath } from './preprocessor/preprocessor-options.ts';
import { asWritten, nameInCall } from './shared-names.ts';
import { isShareableStatement, sharedStatement } from './shared-statement.ts';
import { StatementItem } from './statement-item.ts';
import { type InstructionWords, StatementParser } from './statements.ts';
import type { AssemblySymbol } from './symbols.ts';
import type { WarningSettings } from './warning-classes.ts';

export interface AssembleOptions {
  /** Finds `%include` files. */
  readonly includePath: IncludePath;
  /** Finds files for `incbin`; without it there are none. */
  readonly binaryPath?: BinaryPath;
  /** The include file that declares a symbol: told where one is used that nothing declares. */
  readonly whoDeclares?: (symbol: string) => string | undefined;
  /** Value of an environment variable, for `%!NAME`; by default none is set. */
  readonly environment?: (name: string) => string | undefined;
  /** `-D NAME=VALUE`. */
  readonly defines?: Readonly<Record<string, string>>;
  /** `-U NAME`. */
  readonly undefines?: readonly string[];
  /** `-P FILE`: included in front of the source. */
  readonly preIncludes?: readonly string[];
  /** Receives every line and what it became. */
  readonly listing?: Listing;
  /** `org` is allowed in `bin` alone. Default `elf64`. */
  readonly format?: OutputFormat;
  /** `--max-errors`. Default `MAX_ERRORS`. */
  readonly maxErrors?: number;
  /** `-w`; default: what NASM shows. */
  readonly warnings?: WarningSettings;
  /** Whether to note which line each instruction came from. Default true. */
  readonly lineTable?: boolean;
}

export type Assembled =
  | { readonly object: ObjectFile; readonly lines: LineTable; readonly warnings: readonly Diagnostic[] }
  | { readonly diagnostics: readonly Diagnostic[] };

/** Passes after which a layout that still moves is given up; real programs need a handful, the worst seen 45. */
const MAX_PASSES = 200;

const words: Omit<InstructionWords, 'macros'> = {
  isMnemonic: (name) => mnemonicSet().has(name),
  // NASM has no register named rip: [rel x] is how it is said.
  isRegister: (name) => {
    const register = registerNamed(name);
    return register !== undefined && register.class !== 'pointer';
  },
  mnemonics: () => mnemonicSet(),
};

let known: ReadonlySet<string> | undefined;
function mnemonicSet(): ReadonlySet<string> {
  known ??= new Set(mnemonics());
  return known;
}

/**
 * Assembles one source. Errors come as diagnostics (at most `MAX_ERRORS`), never as an exception; warnings come with the object.
 */
export function assemble(
  source: { readonly name: string; readonly text: string },
  options: AssembleOptions,
): Assembled {
  try {
    return assembleOnce(source, options, true);
  } catch (error) {
    if (!(error instanceof SeesIntoCalls)) throw error;
    return assembleOnce(source, options, false);
  }
}

function assembleOnce(
  source: { readonly name: string; readonly text: string },
  options: AssembleOptions,
  remembersCalls: boolean,
): Assembled {
  const diagnostics = new Diagnostics(options.maxErrors, options.warnings);
  try {
    const result = new Program(diagnostics, options).run(new SourceFile(source.name, source.text), remembersCalls);
    if (result !== undefined && !diagnostics.refused) return { ...result, warnings: diagnostics.list };
  } catch (error) {
    if (!(error instanceof Abandon)) throw error;
  }
  return { diagnostics: diagnostics.list };
}

/** The source as the preprocessor leaves it (`-E`). */
export function preprocess(
  source: { readonly name: string; readonly text: string },
  options: AssembleOptions,
):
  | { readonly text: string; readonly warnings: readonly Diagnostic[] }
  | { readonly diagnostics: readonly Diagnostic[] } {
  const diagnostics = new Diagnostics(options.maxErrors, options.warnings);
  try {
    const text = new Program(diagnostics, options).preprocessed(new SourceFile(source.name, source.text));
    if (!diagnostics.refused) return { text, warnings: diagnostics.list };
  } catch (error) {
    if (!(error instanceof Abandon)) throw error;
  }
  return { diagnostics: diagnostics.list };
}

class Program {
  readonly #diagnostics: Diagnostics;
  readonly #options: AssembleOptions;
  readonly #assembly: Assembly;
  readonly #parser: StatementParser;
  readonly #items: Item[] = [];
  readonly #known = new KnownInstructions();
  #parent = '';
  #sharesLines = false;
  #remembersCalls = false;
  #preprocessor: Preprocessor | undefined;
  #calls: CallAssembler | undefined;

  constructor(diagnostics: Diagnostics, options: AssembleOptions) {
    this.#diagnostics = diagnostics;
    this.#options = options;
    this.#assembly = new Assembly(diagnostics, options.format ?? 'elf64', options.whoDeclares);
    this.#parser = new StatementParser({ ...words, macros: () => this.#preprocessor?.macroNames() ?? [] }, diagnostics);
  }

  run(file: SourceFile, remembersCalls: boolean): { object: ObjectFile; lines: LineTable } | undefined {
    // A listing shows every line as it came out.
    this.#sharesLines = this.#options.listing === undefined;
    this.#remembersCalls = remembersCalls && this.#sharesLines;
    this.#read(file);
    this.#assembly.phase = 'settle';
    this.#settle();
    if (this.#diagnostics.failed) return undefined;
    const recorder = this.#options.lineTable === false ? undefined : new LineRecorder(this.#assembly);
    this.#assembly.begin('write');
    for (const item of this.#items) {
      recorder?.record(item);
      this.#write(item);
    }
    if (this.#diagnostics.failed) return undefined;
    const lines = recorder?.table() ?? new LineTable([]);
    return { object: objectOf(this.#assembly, file.name, lines), lines };
  }

  preprocessed(file: SourceFile): string {
    const text = new PreprocessedText();
    this.#assembly.begin('estimate');
    this.#eachLine(file, (line) => {
      text.add(line);
      const name = incbinName(line.tokens);
      if (name !== undefined) this.#options.binaryPath?.(name, file.name);
    });
    return text.text();
  }

  #write(item: Item): void {
    const { listing } = this.#options;
    const { section } = this.#assembly;
    const start = section.offset;
    const firstRelocation = section.relocations.length;
    this.#assembly.place(item);
    if (listing !== undefined && this.#assembly.section === section) {
      listing.placed(item, section, start, firstRelocation, this.#assembly);
    }
  }

  /** Reads the source; each statement is placed as soon as it is read, which is the first pass. */
  #read(file: SourceFile): void {
    this.#assembly.begin('estimate');
    this.#eachLine(file, (line) => {
      const statement = line.shared?.statement;
      if (line.known !== undefined) this.#addCall(line.known);
      else if (statement === undefined) this.#readNew(line);
      else if (statement.isBare && statement.work !== undefined) this.#add(this.#placing(line, statement.work));
      else this.#add(this.#item(line, statement.parsed, statement.work ?? statement.model?.elsewhere()));
    });
  }

  #addCall({ line, serial, serials }: KnownCall): void {
    this.#assembly.hidden.hide(serial, serials);
    const last = this.#items[this.#items.length - 1]?.work;
    const work = last instanceof CallsWork ? last : new CallsWork();
    if (work !== last) this.#add(this.#placing(line, work));
    work.add(line, this.#calls!.bytes, this.#assembly);
  }

  #readNew(line: PreparedLine): void {
    this.#parser.classify(line.tokens);
    const wording = wordingOf(line.tokens);
    const known = wording === undefined ? undefined : this.#known.get(wording);
    if (known !== undefined) {
      this.#add(this.#placing(line, known));
      return;
    }
    const { said } = this.#diagnostics;
    const parsed = this.#parser.parse(line);
    const item = this.#item(line, parsed);
    this.#add(item);
    if (wording !== undefined && item?.work instanceof InstructionWork) this.#known.remember(wording, item.work);
    // Who has something to say about the line says it of every line of its kind.
    if (line.shared !== undefined && this.#diagnostics.said === said && isShareableStatement(parsed)) {
      line.shared.statement = sharedStatement(parsed, item?.work);
    }
  }

  #add(item: Item | undefined): void {
    if (item === undefined) return;
    this.#items.push(item);
    this.#options.listing?.item(item);
    this.#assembly.place(item);
  }

  #placing(line: SourceLine, work: Work): Item {
    return new StatementItem(line, this.#items.length, this.#parent, undefined, work);
  }

  /** The lines that the preprocessor makes of a file and of the files named by `-P`. */
  #eachLine(file: SourceFile, use: (line: PreparedLine) => void): void {
    const {
      includePath,
      environment,
      format = 'elf64',
      defines = {},
      undefines = [],
      preIncludes = [],
      listing,
    } = this.#options;
    const preprocessor = new Preprocessor({ includePath, environment, format }, this.#diagnostics, (tokens, origin) => {
      const expression = this.#parser.expression(tokens, origin);
      return expression === undefined ? undefined : this.#evaluateNow(expression, origin);
    });
    for (const [name, value] of Object.entries(defines)) preprocessor.define(name, value);
    for (const name of undefines) preprocessor.undefine(name);
    const readAll = (each: SourceFile) => {
      preprocessor.open(each);
      for (let line = preprocessor.next(); line !== undefined; line = preprocessor.next()) use(line);
    };
    for (const name of preIncludes) {
      const found = includePath(name, file.name);
      if (found === undefined) this.#diagnostics.fatal(undefined, cannotFind(name, includePath));
      readAll(new SourceFile(found.name, found.text));
    }
    this.#preprocessor = preprocessor;
    preprocessor.observer = listing;
    preprocessor.sharesLines = this.#sharesLines;
    if (this.#remembersCalls) {
      const keepsPieces = this.#options.lineTable !== false;
      this.#calls = new CallAssembler(this.#assembly, this.#parser, this.#diagnostics, keepsPieces);
      preprocessor.rememberCalls(this.#calls);
    }
    readAll(file);
  }

  /** `%if` and `%assign` see numbers alone, no labels. */
  #evaluateNow(expression: Parameters<Assembly['value']>[0], origin: Origin): bigint | undefined {
    const { item } = this.#assembly;
    const span = { origin, start: expression.at.startOffset, end: expression.at.startOffset };
    this.#assembly.item = { index: -1, span, origin, parent: this.#parent, label: undefined, work: undefined };
    const value = this.#assembly.value(expression);
    const isNumber = value.known && value.terms.length === 0;
    if (!isNumber) this.#assembly.error(expression, 'the preprocessor needs a number that is known at this line');
    this.#assembly.item = item;
    return isNumber ? value.constant : undefined;
  }

  /** All statements once more with every symbol there, then only those that may still move, until none does. */
  #settle(): void {
    this.#assembly.begin('settle');
    for (const item of this.#items) this.#assembly.place(item);
    if (!this.#assembly.changed || this.#diagnostics.failed) return;
    const steps = movingParts(this.#items);
    for (let pass = 0; pass < MAX_PASSES; pass++) {
      this.#assembly.begin('settle');
      for (const step of steps) {
        if (typeof step === 'number') this.#assembly.skip(step);
        else this.#assembly.place(step);
      }
      if (!this.#assembly.changed || this.#diagnostics.failed) return;
    }
    this.#diagnostics.error(
      this.#items[0]?.span,
      `the layout does not settle after ${MAX_PASSES} passes: a label depends on itself`,
    );
  }

  #item(line: SourceLine, parsed: ParsedLine, made?: Work): Item | undefined {
    const { origin } = line;
    const { label, body, times } = parsed;
    const index = this.#items.length;
    const symbol = label === undefined ? undefined : this.#define(label, origin, index);
    // A constant that is none, since its name is taken, is told of already.
    const isKnown = body.kind === 'equ' && label !== undefined && symbol === undefined;
    let work = made ?? (isKnown ? undefined : this.#work(body, origin, symbol));
    if (times !== undefined) work = this.#times(line, body, times, work);
    if (symbol === undefined && work === undefined) return undefined;
    return new StatementItem(line, index, this.#parent, body.kind === 'equ' ? undefined : symbol, work);
  }

  #times({ tokens, origin }: SourceLine, body: Body, count: Expression, inner: Work | undefined): Work | undefined {
    if (body.kind === 'none' || body.kind === 'directive') {
      const text = '`times` repeats instructions and data, and there are none behind it';
      this.#diagnostics.error(spanOf(tokens[0]!, tokens.at(-1)!, origin), text);
    }
    return inner === undefined ? undefined : new TimesWork(count, inner);
  }

  #define(label: Label, origin: Origin, index: number): AssemblySymbol | undefined {
    const span = spanOf(label.at, label.at, origin);
    if (isReserved(label.at.image)) {
      this.#diagnostics.error(
        span,
        `\`${label.at.image}\` is a word of NASM's, not a label; as one it is \`$${label.at.image}\``,
      );
      return undefined;
    }
    const local = label.name.startsWith('.') && !label.name.startsWith('..');
    if (!local && !label.name.startsWith('..')) this.#parent = label.name;
    const name = nameInCall(label.name, origin.expansion?.serial);
    if (!local && name.startsWith('..@')) this.#assembly.hidden.define(name, origin.expansion?.serial);
    const symbol = this.#assembly.symbols.mention(local ? this.#parent + name : name, span);
    if (symbol.definition !== undefined) {
      const { file } = symbol.definition.origin;
      const line = file.line(symbol.definition.start);
      this.#diagnostics.error(
        span,
        `label \`${asWritten(label.name)}\` is defined twice`,
        `first defined at ${file.name}:${line}`,
      );
      return undefined;
    }
    if (symbol.external !== undefined) {
      symbol.external = undefined;
      symbol.binding = 'global';
    }
    symbol.definition = span;
    symbol.definedBy = index;
    return symbol;
  }

  #work(body: Body, origin: Origin, symbol: AssemblySymbol | undefined): Work | undefined {
    switch (body.kind) {
      case 'none':
        return undefined;
      case 'instruction':
        return new InstructionWork(body);
      case 'data':
        return new DataWork(body);
      case 'reserve':
        return new ReserveWork(body);
      case 'equ':
        if (symbol !== undefined) return equ(body, symbol);
        this.#diagnostics.error(spanOf(body.at, body.at, origin), '`equ` needs a label in front of it');
        return undefined;
      case 'incbin':
        this.#readHere(body.at, origin);
        return incbin(body, origin, this.#assembly, this.#options.binaryPath ?? (() => undefined));
      case 'directive':
        this.#readHere(body.at, origin);
        return directive(body, origin, {
          assembly: this.#assembly,
          expression: (tokens, from) => this.#parser.expression(tokens, from),
          statement: (tokens, from) => this.#filler(tokens, from),
        });
    }
  }

  /** What is worked out while it is read is worked out at this place. */
  #readHere(at: Token, origin: Origin): void {
    const span = spanOf(at, at, origin);
    this.#assembly.item = { index: -1, span, origin, parent: this.#parent, label: undefined, work: undefined };
  }

  #filler(tokens: readonly Token[], origin: Origin): Work | undefined {
    if (tokens.length === 0) return undefined;
    this.#parser.classify(tokens);
    return this.#work(this.#parser.parse({ tokens, origin }).body, origin, undefined);
  }
}

/** The file that an `incbin` of the line names: to know what a source depends on, without assembling it. */
function incbinName(tokens: readonly Token[]): string | undefined {
  const at = tokens.findIndex(({ image }) => image.toLowerCase() === 'incbin');
  const name = at < 0 ? undefined : tokens[at + 1];
  return name?.tokenType === Text ? new TextDecoder().decode(stringBytes(name.image)) : undefined;
}

/** The statements that passes must look at; between them, the bytes of the others. */
function movingParts(items: readonly Item[]): (Item | number)[] {
  const parts: (Item | number)[] = [];
  let gap = 0;
  for (const item of items) {
    const length = item.label === undefined ? item.work?.fixedLength?.() : undefined;
    if (length !== undefined) {
      gap += length;
      continue;
    }
    if (gap > 0) parts.push(gap);
    gap = 0;
    parts.push(item);
  }
  if (gap > 0) parts.push(gap);
  return parts;
}

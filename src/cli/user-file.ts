/** TypeScript and JavaScript files of the user's own: loaded into this process, and places in them when they fail. */

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, relative, resolve } from 'node:path';
import type { createJiti } from 'jiti';
import { didYouMean } from '../../lang/assembler/suggest.ts';
import { saidBy } from '../foreign-value.ts';
import { putBackBuiltIns, rememberBuiltIns } from './built-ins.ts';
import { UsageError } from './usage-error.ts';

/** A file that cannot be loaded, or does not export what it should: `message` has its place. */
export class UnloadableFile extends UsageError {}

/** What a file may import from gvm: names by module, each asked for when it is imported. */
export type OwnModules = Readonly<Record<string, () => object>>;
/** What every file may import: modules of types alone, of which nothing is left, unless somebody imports them as a whole. */
const TYPES: OwnModules = { 'gvm/device': () => ({}), 'gvm/user': () => ({}) };
const FOR_OTHERS: OwnModules = {
  'gvm/driver': () => {
    throw new Error("'gvm/driver' is the kernel: it is there for host drivers, which insmod loads");
  },
};

/**
 * The default export of the module in `file`. `asked` is how the user named it, for the message where it is missing; `modules` are what
 * it may import besides files and packages.
 */
export function loadUserFile(file: string, asked: string, modules: OwnModules): unknown {
  const path = resolve(file);
  if (!existsSync(path)) throw new UsageError(`gvm: ${asked}: there is no such file`);
  // Errors are to name the lines of the user's file, not of what it was compiled to.
  process.setSourceMapsEnabled(true);
  rememberBuiltIns();
  const jiti = createRequire(import.meta.url)('jiti') as { readonly createJiti: typeof createJiti };
  let exported: object;
  try {
    const load = jiti.createJiti(path, {
      fsCache: false,
      moduleCache: false,
      sourceMaps: true,
      virtualModules: virtualModules({ ...TYPES, ...FOR_OTHERS, ...modules }),
    });
    exported = load(path) as object;
  } catch (error) {
    const changed = changedBuiltIn([file]);
    throw new UnloadableFile(changed?.message ?? `${placeOf(file, error) ?? file}: error: ${firstLine(error)}`);
  }
  const changed = changedBuiltIn([file]);
  if (changed !== undefined) throw new UnloadableFile(changed.message);
  // A module of CommonJS is its default export, an empty file is neither.
  const isModule = Object.hasOwn(exported, '__esModule') || Object.keys(exported).length === 0;
  if (isModule && !Object.hasOwn(exported, 'default')) {
    throw new UnloadableFile(`${file}: error: there is no default export`);
  }
  return (exported as { readonly default: unknown }).default;
}

function virtualModules(modules: OwnModules): Record<string, unknown> {
  const all = {};
  for (const [name, provide] of Object.entries(modules)) {
    Object.defineProperty(all, name, { get: () => strict(name, provide()), enumerable: true });
  }
  return all;
}

/**
 * The module, whose missing names are errors where they are used: as undefined they would be numbers that equal nothing, and flags that
 * are never set. The loader asks the default export for what it does not find among the names.
 */
function strict(module: string, names: object): object {
  const missing = new Proxy(names, {
    get(_, name) {
      if (typeof name !== 'string' || name === 'default' || name === '__esModule' || name === 'then') return undefined;
      const known = Object.keys(names);
      const hint = known.length === 0 ? ': it has types, which only `import type` gets' : didYouMean(name, known);
      throw new ReferenceError(`'${module}' has no ${name}${hint}`);
    },
  });
  return Object.defineProperties({ default: missing }, Object.getOwnPropertyDescriptors(names));
}

/** Which of the files has changed a built-in, and what is said of it; undefined if none has. It is put back. */
export function changedBuiltIn(
  files: readonly string[],
): { readonly file: string; readonly message: string } | undefined {
  const name = putBackBuiltIns();
  if (name === undefined) return undefined;
  const words = new RegExp((name.match(/\w+/g) ?? []).join('.*'));
  const placed = files.map((file) => ({ file, place: placeOfLine(file, words) }));
  // One that does so under another name, or in a file that it imports, has no place.
  const { file, place } = placed.find((each) => each.place !== undefined) ?? placed[0]!;
  return { file, message: `${place ?? file}: error: it changes ${name}, which gvm works with in the same process` };
}

/** What an error says, without the name of its class. */
export const firstLine = (error: unknown): string =>
  saidBy(error)
    .split('\n')[0]!
    .replace(/^.*?Error: /, '')
    .trimEnd();

/** `./mydev.ts:12`: the innermost frame in the file (its columns are the compiler's); or what a syntax error says. */
export function placeOf(file: string, error: unknown): string | undefined {
  const text = stackOf(error);
  const path = resolve(file).replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const frame = new RegExp(`${path}:(\\d+):\\d+`).exec(text);
  if (frame !== null) return `${file}:${frame[1]}`;
  const syntax = /\((\d+):(\d+)\)/.exec(text);
  return syntax === null ? undefined : `${file}:${syntax[1]}:${syntax[2]}`;
}

/** Its stack, if it is an error that tells it. */
function stackOf(error: unknown): string {
  try {
    return error instanceof Error ? `${error.stack}` : '';
  } catch {
    return '';
  }
}

/** The first line of the file that `pattern` fits. */
export function placeOfLine(file: string, pattern: RegExp): string | undefined {
  const line = readFileSync(resolve(file), 'utf8')
    .split('\n')
    .findIndex((text) => pattern.test(text));
  return line < 0 ? undefined : `${file}:${line + 1}`;
}

/** Folder of a program, as its options see it. */
export const folderOf = (program: string): string => relative('.', dirname(resolve(program))) || '.';

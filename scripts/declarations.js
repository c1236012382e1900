/** The types of the package's entries, as declaration files: a user's compiler takes those as they are, whatever options it has. */

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** A file of the sources, as another imports it. */
const IMPORTED = /(?<=from '|import\(["'])(\.{1,2}\/[^'"]+)\.ts(?=["'])/g;

/** Write what the sources `entries` under `root`, without `.ts`, declare, with all that they import, to the same places under `folder`. */
export function writeDeclarations(root, entries, folder) {
  const compiler = createRequire(import.meta.url).resolve('typescript/package.json');
  const options = ['--ignoreConfig', '--strict', '--target', 'es2022', '--module', 'nodenext', '--types', ''];
  const output = ['--declaration', '--emitDeclarationOnly', '--allowImportingTsExtensions'];
  const folders = ['--rootDir', root, '--outDir', folder];
  const sources = entries.map((entry) => join(root, `${entry}.ts`));
  const command = [join(dirname(compiler), 'bin/tsc'), ...options, ...output, ...folders, ...sources];
  execFileSync(process.execPath, command, { stdio: ['ignore', 2, 2] });
  // Where only declarations are, a module goes by the name that its code would have.
  for (const name of readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.ts'))) {
    const file = join(folder, name);
    writeFileSync(file, readFileSync(file, 'utf8').replace(IMPORTED, '$1.js'));
  }
}

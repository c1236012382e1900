/**
 * Builds dist/: the command line as one file (and `gvm run` and `gvm asm`, the commonest commands, as files of their own), the guest library as an archive of objects, so that a run assembles the
 * user's program only, and V8's compiled code of what a run needs, so that start-up parses next to nothing.
 */

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { build } from 'esbuild';
import { bundle as bundleTo } from './bundle.js';
import { writeDeclarations } from './declarations.js';
import { refusalList } from './refusals.js';

const root = join(new URL('.', import.meta.url).pathname, '..');
const dist = join(root, 'dist');
// Made beside the old build and then swapped in, so that a run never meets half of one.
const fresh = join(root, `.dist-${process.pid}`);
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** Puts forms that a warm-up run compiled in the place of the empty prepared-forms.ts. */
const prepared = (names, forms) => ({
  name: 'prepared-forms',
  setup(build) {
    build.onLoad({ filter: /prepared-forms\.ts$/ }, () => {
      const entries = forms.map(
        ({ key, parameters, source }) =>
          `${JSON.stringify(key)}: { parameters: ${JSON.stringify(parameters)}, factory: (${names}) => ${source} }`,
      );
      return {
        contents: `export const preparedFor = ${JSON.stringify(names)};\nexport const preparedForms = {${entries.join(',\n')}};`,
      };
    });
  },
});

/** Puts shapes of lines in the place of the empty prepared-shapes.ts. */
const shaped = (shapes) => ({
  name: 'prepared-shapes',
  setup(build) {
    build.onLoad({ filter: /prepared-shapes\.ts$/ }, () => ({
      contents: `export const preparedShapes = ${JSON.stringify(shapes)};`,
    }));
  },
});

/**
 * yargs measures text with string-width, which builds Unicode tables when it is loaded: 15 ms that only --help needs. So it
 * is loaded when it is first called.
 */
const lazyStringWidth = {
  name: 'lazy-string-width',
  setup(build) {
    build.onResolve({ filter: /^string-width$/ }, async ({ importer, resolveDir, kind, pluginData }) => {
      if (pluginData === 'real') return undefined;
      const { path } = await build.resolve('string-width', { importer, resolveDir, kind, pluginData: 'real' });
      return { path, namespace: 'lazy' };
    });
    build.onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => ({
      contents: `let width; export default (...text) => (width ??= require(${JSON.stringify(path)}).default)(...text);`,
      resolveDir: root,
    }));
  },
};

/** A class whose module is evaluated when the first object of it is made. */
const lazyClass = (filter, name) => ({
  name: `lazy-${name}`,
  setup(build) {
    const namespace = `lazy-${name}`;
    build.onResolve({ filter }, ({ path, resolveDir, namespace: from }) =>
      from === namespace ? undefined : { path: join(resolveDir, path), namespace },
    );
    build.onLoad({ filter: /.*/, namespace }, ({ path }) => ({
      contents: `export function ${name}(...parts) { return new (require(${JSON.stringify(path)}).${name})(...parts); }`,
      resolveDir: root,
    }));
  },
});
/** A short program pays nothing for the translator, and one without iommufd nothing for that. */
const lazyClasses = [
  lazyClass(/\/translator\/translator\.ts$/, 'Translator'),
  lazyClass(/\/iommufd-context\.ts$/, 'IommufdContext'),
];

/** node:assert takes 2 ms to load, and is only called for where something is wrong. */
const lazyAssert = {
  name: 'lazy-assert',
  setup(build) {
    build.onResolve({ filter: /^(node:)?assert$/ }, ({ namespace }) =>
      namespace === 'lazy-assert'
        ? { path: 'node:assert', external: true }
        : { path: 'assert', namespace: 'lazy-assert' },
    );
    build.onLoad({ filter: /.*/, namespace: 'lazy-assert' }, () => ({
      contents: `const real = () => require('node:assert');
        export const strict = (value, message) => { if (!value) real().ok(value, message); };
        strict.fail = (message) => real().fail(message);
        export const strictEqual = (a, b, message) => { if (!Object.is(a, b)) real().strictEqual(a, b, message); };
        export const notStrictEqual = (a, b, message) => { if (Object.is(a, b)) real().notStrictEqual(a, b, message); };`,
    }));
  },
};

/** node:module takes 3 ms to load, and a CommonJS file's `require` is what it would make for this file. */
const lazyRequire = {
  name: 'lazy-require',
  setup(build) {
    build.onResolve({ filter: /^(node:)?module$/ }, () => ({ path: 'module', namespace: 'lazy-require' }));
    build.onLoad({ filter: /.*/, namespace: 'lazy-require' }, () => ({
      contents: `const real = require;
        export const createRequire = (from) => (from === __moduleUrl ? real : process.getBuiltinModule('node:module').createRequire(from));`,
    }));
  },
};

/** yargs asks the terminal for its width when it is loaded, which loads all of Node's streams: it is asked when help is printed. */
const lazyColumns = {
  name: 'lazy-columns',
  setup(build) {
    build.onLoad({ filter: /yargs\/lib\/platform-shims\/esm\.mjs$/ }, ({ path }) => {
      const eager = /stdColumns: (typeof process\.stdout\.columns .*)/;
      const shim = readFileSync(path, 'utf8');
      if (!eager.test(shim)) throw new Error(`${path} no longer reads the width of the terminal: drop lazyColumns`);
      return { contents: shim.replace(eager, 'get stdColumns() { return $1; }') };
    });
  },
};

/** Bundle one entry as CommonJS: that is what a V8 script, and so its code cache, can be made of. */
const bundle = (entry, outfile, plugins = []) =>
  bundleTo(join(root, entry), outfile, {
    format: 'cjs',
    minify: { minify: true },
    plugins: [
      refusalList(join(root, 'src/linux')),
      lazyStringWidth,
      lazyAssert,
      lazyRequire,
      lazyColumns,
      ...lazyClasses,
      ...plugins,
    ],
    define: { GVM_VERSION: JSON.stringify(version), 'import.meta.url': '__moduleUrl' },
    banner: { js: "const __moduleUrl = require('node:url').pathToFileURL(__filename).href;" },
  });

/**
 * A bundle that the launcher starts: a function of what a CommonJS file has at hand, in the file already. Put around 1.5 MB of text at start-up,
 * it would have V8 copy all of it twice.
 */
async function started(entry, outfile, plugins) {
  await bundle(entry, outfile, plugins);
  const code = readFileSync(outfile, 'utf8');
  writeFileSync(outfile, `(function (require, module, exports, __filename, __dirname) {${code}\n})`);
}

/** The page that reports are put into: its markup, with the code and the style that it needs, as one file. */
async function reportPage(outfile) {
  const folder = join(root, 'src/observe/report');
  const common = { bundle: true, write: false, minify: true, target: 'es2022', logLevel: 'warning' };
  const [script, style] = await Promise.all(
    ['client/main.ts', 'style.css'].map((entry) =>
      build({ ...common, entryPoints: [join(folder, entry)], format: 'iife', charset: 'utf8' }),
    ),
  );
  const text = ({ outputFiles }) => outputFiles[0].text.trim().replaceAll('</script', '<\\/script');
  const page = readFileSync(join(folder, 'page.html'), 'utf8')
    .replace('/*@STYLE@*/', () => text(style))
    .replace('/*@SCRIPT@*/', () => text(script));
  writeFileSync(outfile, page);
}

/** The programs, in an order that does not depend on the disk. */
const programs = () =>
  readdirSync(join(root, 'programs'), { recursive: true })
    .filter((name) => name.endsWith('.gasm'))
    .sort()
    .map((name) => join(root, 'programs', name));

const sample = join(root, 'programs/vm-buffer/vm-buffer.gasm');
/** Run a command of the build, so that what it compiles is recorded. */
const warmUp = (args, record) =>
  execFileSync(process.execPath, [join(fresh, 'gvm.js'), ...args], {
    env: { ...process.env, ...record },
    stdio: 'pipe',
  });

rmSync(fresh, { recursive: true, force: true });
mkdirSync(fresh, { recursive: true });
try {
  await bundle('src/cli/librarian.ts', join(fresh, 'librarian.cjs'));
  const { buildLibrary, shapesOf } = createRequire(import.meta.url)(join(fresh, 'librarian.cjs'));
  buildLibrary(join(root, 'lang/library'), join(fresh, 'libgvm.a'));
  const shapes = shaped(shapesOf(join(root, 'lang/library'), programs()));
  rmSync(join(fresh, 'librarian.cjs'));

  // What is built is CommonJS, whatever the package says.
  writeFileSync(join(fresh, 'package.json'), '{ "type": "commonjs" }\n');
  copyFileSync(join(root, 'scripts/launcher.cjs'), join(fresh, 'gvm.js'));
  chmodSync(join(fresh, 'gvm.js'), 0o755);
  await reportPage(join(fresh, 'report.html'));
  const faces = ['qemu/device-api', 'linux/drivers/driver-api', 'linux/uapi/user-api', 'linux/uapi/public'];
  writeDeclarations(join(root, 'src'), faces, join(fresh, 'types'));
  await started('src/cli/run-main.ts', join(fresh, 'gvm-run.cjs'), [shapes]);
  const record = join(fresh, 'forms.json');
  warmUp(['run', sample], { GVM_RECORD_FORMS: record });
  const { names, forms } = JSON.parse(readFileSync(record, 'utf8'));
  rmSync(record);
  await started('src/cli/run-main.ts', join(fresh, 'gvm-run.cjs'), [shapes, prepared(names, forms)]);
  await started('src/cli/asm-main.ts', join(fresh, 'gvm-asm.cjs'), [shapes]);
  await bundle('src/linux/uapi/public.ts', join(fresh, 'gvm-uapi.cjs'));
  await bundle('src/cli/test/expect-golden.ts', join(fresh, 'gvm-testing.cjs'), [prepared(names, forms)]);
  await started('src/cli/main.ts', join(fresh, 'gvm.cjs'), [shapes, prepared(names, forms)]);
  warmUp(['run', sample], { GVM_RECORD_CODE: join(fresh, 'gvm-run.cache') });
  const object = join(fresh, 'sample.o');
  warmUp(['asm', '-f', 'elf64', '-o', object, sample], { GVM_RECORD_CODE: join(fresh, 'gvm-asm.cache') });
  warmUp(['disasm', object], { GVM_RECORD_CODE: join(fresh, 'gvm.cache') });
  rmSync(object);

  rmSync(dist, { recursive: true, force: true });
  renameSync(fresh, dist);
} finally {
  rmSync(fresh, { recursive: true, force: true });
}

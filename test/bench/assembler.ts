/** The assembler beside nasm: the same long sources, whole process against whole process, and the bytes must be equal. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { macroSource, mixedSource, oneMacroSource, slotSource, symbolSource } from './assembly-source.ts';
import { type Figure, median, plainEnvironment } from './measure.ts';

/** Reports what the assembler takes at most, read where the kernel counts it. */
const PEAK = `process.on('exit', () => process.stdout.write(String(process.resourceUsage().maxRSS)));`;

/** Ratios to `nasm -f bin`, taken in turn so that a drifting machine hits both, and the peak of memory. None without nasm. */
export function assemblerFigures(): Figure[] {
  if (spawnSync('nasm', ['-v']).status !== 0) return [];
  const folder = mkdtempSync(join(tmpdir(), 'gvm-assembler-'));
  const sources = [
    { name: '100,000 mixed lines', text: mixedSource(100_000) },
    { name: '5,000 macro calls', text: macroSource(5000) },
    { name: '5,000 calls of one macro', text: oneMacroSource(5000) },
    { name: '5,000 calls, each with other slots', text: slotSource(5000) },
    { name: '5,000 calls that name symbols', text: symbolSource(5000) },
  ];
  const figures = sources.flatMap(({ name, text }) => compare(name, text, folder));
  rmSync(folder, { recursive: true });
  return figures;
}

function compare(name: string, text: string, folder: string): Figure[] {
  const source = join(folder, 'source.asm');
  const [ours, theirs, peak] = ['gvm.bin', 'nasm.bin', 'peak.cjs'].map((file) => join(folder, file)) as [
    string,
    string,
    string,
  ];
  writeFileSync(source, text);
  writeFileSync(peak, PEAK);
  const time = (command: string, args: readonly string[]) => {
    const start = performance.now();
    const { status, stdout } = spawnSync(command, args, {
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
      env: plainEnvironment,
    });
    if (status !== 0) throw new Error(`${command} ${args.join(' ')} fails with ${status}`);
    return { elapsed: performance.now() - start, stdout };
  };
  let most = 0;
  const ratios = Array.from({ length: 5 }, () => {
    const gvm = time(process.execPath, ['-r', peak, 'dist/gvm.js', 'asm', '-f', 'bin', '-o', ours, source]);
    most = Math.max(most, Number(gvm.stdout) / 1024);
    return gvm.elapsed / time('nasm', ['-f', 'bin', '-o', theirs, source]).elapsed;
  });
  if (!readFileSync(ours).equals(readFileSync(theirs))) throw new Error(`${name}: the bytes differ from nasm's`);
  return [
    { name: `gvm asm, ${name}, whole process`, value: `${median(ratios).toFixed(2)} × nasm`, limit: 'at most 1 ×' },
    { name: `gvm asm, ${name}, memory`, value: `${most.toFixed(0)} MiB`, limit: 'at most 300 MiB' },
  ];
}

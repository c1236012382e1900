/** `npm run bench`: figures of speed, as ratios where something stands beside them; also as bench.json. Never a test: machines differ. */

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { assemble } from '../../lang/assembler/assemble.ts';
import { readArchive } from '../../lang/object/archive.ts';
import { toFlat } from '../../lang/object/flat.ts';
import { FlatMachine } from '../hardware/flat-machine.ts';
import { assemblerFigures } from './assembler.ts';
import { boundsFigures } from './bounds.ts';
import { computeFigures, printCompute } from './compute.ts';
import { cpuFigures } from './cpu.ts';
import { type Figure, median, milliseconds, plainEnvironment, printFigures } from './measure.ts';
import { observeFigures } from './observe.ts';
import { printRoad, roadFigures } from './roads.ts';
import { testRunnerFigure } from './test-runner.ts';
import { printV86 } from './v86.ts';
import { vfioFigures } from './vfio.ts';

const library = { archive: readArchive(readFileSync('dist/libgvm.a'), 'libgvm.a'), includes: 'lang/library/include' };

/** Whole process of the command against `node -e 0`, in turn, so that a drifting machine hits both. */
function startUp(): Figure {
  const time = (args: readonly string[]) => {
    const start = performance.now();
    spawnSync(process.execPath, args, { stdio: 'ignore', env: plainEnvironment });
    return performance.now() - start;
  };
  const ratios = Array.from(
    { length: 15 },
    () => time(['dist/gvm.js', 'run', 'programs/vm-buffer/vm-buffer.gasm']) / time(['-e', '0']),
  );
  return {
    name: 'gvm run vm-buffer.gasm, whole process',
    value: `${median(ratios).toFixed(2)} × node -e 0`,
    limit: 'at most 4 ×',
  };
}

function interpreter(): Figure {
  const rounds = 2_000_000;
  const text = readFileSync('test/bench/loop.asm', 'utf8');
  const assembled = assemble(
    { name: 'loop.asm', text },
    { includePath: () => undefined, format: 'bin', defines: { ROUNDS: String(rounds) } },
  );
  if ('diagnostics' in assembled) throw new Error(assembled.diagnostics[0]!.message);
  const flat = toFlat(assembled.object);
  if ('diagnostics' in flat) throw new Error(flat.diagnostics[0]!.message);
  const elapsed = milliseconds(5, () => new FlatMachine(flat.bytes).cpu.run(1e9));
  return {
    name: 'interpreter: adds, loads, stores',
    value: `${((rounds * 8) / elapsed / 1000).toFixed(1)} M insns/s`,
    limit: 'at least 10 M/s',
  };
}

/** All figures, or those of the workloads, or of the one of that name. */
function everything(computeOnly: boolean, workload?: string): void {
  const figures = computeOnly
    ? []
    : [
        startUp(),
        interpreter(),
        ...cpuFigures(),
        ...roadFigures(),
        ...vfioFigures(),
        ...observeFigures(library),
        ...boundsFigures(),
        ...assemblerFigures(),
        testRunnerFigure(),
      ];
  if (!computeOnly) printFigures(figures);
  const compute = computeFigures(workload);
  printCompute(compute);
  writeFileSync('bench.json', `${JSON.stringify({ v: 1, node: process.version, figures, compute }, undefined, 1)}\n`);
}

const [, , what, name, count] = process.argv;
if (what === 'road') printRoad(name!, library);
else if (what === 'v86') await printV86(name!, Number(count));
else if (what === 'roads') printFigures(roadFigures());
else everything(what === 'compute', name);

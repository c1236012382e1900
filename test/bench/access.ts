/**
 * An access of each kind on what stands beside gvm: QEMU on its translator and on KVM, and v86. All run one image, which says when it
 * has made a window of them; the clock is read there, and the lower quartile of the windows counts, as of gvm's own.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { have } from '../oracle/have.ts';
import { lowerQuartile } from './measure.ts';
import { type Accelerator, EXIT_PORT, kvmOpens, qemu } from './qemu.ts';
import { runOnV86, v86Runs } from './v86.ts';

/** Windows of ten milliseconds and more, since QEMU's clock is read in another process. */
const WINDOW = { tcg: 1_000_000, kvm: 5000, v86: 100_000 } as const;
/** v86's first are not translated yet. */
const WINDOWS = { tcg: 20, kvm: 20, v86: 40 } as const;
const WARM_UP = 20;
/** KVM may interpret all but the exit, QEMU's firmware too: the windows that it has come to by then will do, if they are so many. */
const SECONDS = 10;
const ENOUGH = 5;

export type Machine = keyof typeof WINDOW;
/** Write and read of a port, store to and load from a device's memory: as access.asm has them. */
export type AccessKind = 'OUT' | 'IN' | 'STORE' | 'LOAD';

/** Prints the microseconds between the lines that a command prints. */
const STAMPS = `"$@" 2>/dev/null | while read -r; do
  now=\${EPOCHREALTIME//[!0-9]/}
  [ -z "$last" ] || echo $((now - last))
  last=$now
done`;

/** Milliseconds of each window but the first. */
function onQemu(accelerator: Accelerator, image: string): readonly number[] {
  const machine = [...qemu(accelerator, image, 'stdio'), '-serial', 'null', '-device', 'edu,addr=4'];
  const command = ['timeout', '-k', '1', String(SECONDS), ...machine];
  const { stdout } = spawnSync('bash', ['-c', STAMPS, 'bash', ...command], { encoding: 'latin1' });
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((microseconds) => Number(microseconds) / 1000);
}

const windowsOf: Readonly<Record<Machine, (image: string) => readonly number[]>> = {
  tcg: (image) => onQemu('tcg', image),
  kvm: (image) => onQemu('kvm', image),
  v86: (image) =>
    runOnV86(image, WINDOWS.v86)
      .slice(WARM_UP)
      .map(({ clock }) => clock),
};

const isHere: Readonly<Record<Machine, () => boolean>> = {
  tcg: () => have('qemu-system-x86_64'),
  kvm: () => have('qemu-system-x86_64') && kvmOpens(),
  v86: () => v86Runs,
};

/** Nanoseconds of one access with the two or three instructions around it, or why there are none. On v86 only of ports. */
export function accessOn(machine: Machine, kind: AccessKind): number | string {
  if (!have('nasm') || !isHere[machine]()) return 'absent';
  const folder = mkdtempSync(join(tmpdir(), 'gvm-access-'));
  try {
    const image = join(folder, 'image');
    const defines = { KIND: kind, WINDOW: WINDOW[machine], COUNT: WINDOWS[machine], EXIT: EXIT_PORT };
    const words = Object.entries(defines).map(([name, value]) => `-D${name}=${value}`);
    execFileSync('nasm', ['-f', 'bin', ...words, '-o', image, 'test/bench/access.asm']);
    const windows = windowsOf[machine](image);
    if (windows.length < ENOUGH) return `skipped: fewer than ${ENOUGH * WINDOW[machine]} accesses in ${SECONDS} s`;
    return (lowerQuartile(windows) * 1e6) / WINDOW[machine];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * v86, a 32-bit PC whose code is translated to WebAssembly as well: a development dependency, which need not be installed. It runs in
 * a process of its own, started as v86's users start Node, whose CPU time is its own and which ends whatever the emulator still does.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MiB } from '../../src/address.ts';

const TIMEOUT_MS = 120_000;
const NEWLINE = 10;

/** What an image has written to COM1 up to a newline, and the milliseconds since the last one: of CPU in user mode, and by the clock. */
export interface V86Line {
  readonly text: string;
  readonly cpu: number;
  readonly clock: number;
}

/** The file of the package's entry; none if it is not installed. */
function entry(): string | undefined {
  try {
    return createRequire(join(process.cwd(), 'package.json')).resolve('v86');
  } catch {
    return undefined;
  }
}

export const v86Runs: boolean = entry() !== undefined;

/** Run a multiboot image on v86 until it has written so many lines to COM1. */
export function runOnV86(image: string, count: number): readonly V86Line[] {
  const { stdout, status } = spawnSync(process.execPath, [process.argv[1]!, 'v86', image, String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  if (status !== 0) throw new Error(`v86 ended with status ${status} after: ${stdout.slice(-200)}`);
  return JSON.parse(stdout);
}

/** `bench.mjs v86 IMAGE COUNT`, the other end of {@link runOnV86}: prints the lines and ends the process. */
export async function printV86(image: string, count: number): Promise<void> {
  const path = entry()!;
  const { V86 } = (await import(pathToFileURL(path).href)) as typeof import('v86');
  const emulator = new V86({
    wasm_path: join(dirname(path), 'v86.wasm'),
    multiboot: { buffer: Uint8Array.from(readFileSync(image)).buffer },
    memory_size: MiB(64),
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
    autostart: true,
  });
  const lines: V86Line[] = [];
  let text = '';
  let cpu = process.cpuUsage();
  let clock = performance.now();
  emulator.add_listener('serial0-output-byte', (byte) => {
    if (byte !== NEWLINE) {
      text += String.fromCharCode(byte);
      return;
    }
    lines.push({ text, cpu: process.cpuUsage(cpu).user / 1000, clock: performance.now() - clock });
    if (lines.length === count) {
      console.log(JSON.stringify(lines));
      process.exit(0);
    }
    text = '';
    cpu = process.cpuUsage();
    clock = performance.now();
  });
}

/** The host's own KVM, driven by machine.c: what it answers to a script, a line for a line. */

import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { APIC } from '../../../src/linux/kvm/apic-registers.ts';
import type { Ioctl } from '../../../src/linux/uapi/ioctl.ts';
import { have } from '../have.ts';

/** machine.c's descriptors and addresses. */
export const REAL = {
  vm: 101,
  vcpu: 102,
  eventfds: [110, 111, 112],
  ram: 0x2_0000_0000,
  scratch: 0x3_0000_0000,
  buffer: 0x3_1000_0000,
};

/**
 * The module of the KVM that the lists of reasons to differ were made with (Linux 6.18). Another has other reasons, beginning with system
 * management mode; GVM_REAL_KVM=any asks it all the same.
 */
const KNOWN_MODULE = '/sys/module/kvm_pvm';

/** Why there is no KVM to ask; `undefined` if there is one. */
export function realKvmMissing(): string | undefined {
  if (!have('gcc')) return 'no gcc';
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch {
    return '/dev/kvm cannot be opened';
  }
  const known = existsSync(KNOWN_MODULE) || process.env['GVM_REAL_KVM'] === 'any';
  return known ? undefined : 'the host has another KVM than kvm_pvm (GVM_REAL_KVM=any)';
}

/** machine.c, compiled. */
export function buildMachine(): string {
  const machine = join(mkdtempSync(join(tmpdir(), 'gvm-kvm-')), 'machine');
  execFileSync('gcc', ['-O1', '-o', machine, join(import.meta.dirname, 'machine.c')]);
  return machine;
}

/** The answers to `lines`, one each. */
export function askRealKvm(machine: string, lines: readonly string[]): readonly string[] {
  const { stdout, stderr, status, signal } = spawnSync(machine, {
    input: `${lines.join('\n')}\n`,
    encoding: 'latin1',
    maxBuffer: 1 << 28,
    timeout: 60_000 + 100 * lines.length,
  });
  const answers = stdout.split('\n').slice(0, -1);
  if (status !== 0 || answers.length !== lines.length)
    throw new Error(
      `machine.c ended with ${signal ?? status} after ${answers.length} of ${lines.length} lines: ${stderr}\n${lines[answers.length]}`,
    );
  return answers;
}

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** The line for an ioctl on a structure. */
export const lineAt = (fd: number, { number }: Pick<Ioctl, 'number'>, bytes: Uint8Array): string =>
  `at ${fd.toString(16)} ${number.toString(16)} ${hex(bytes)}`;

/** What KVM_GET_LAPIC gave, without the registers that are worked out when they are asked for: where Linux last did so is its own matter. */
export function settledLapic(bytes: string): string {
  const shown = Buffer.from(bytes, 'hex');
  for (const register of [APIC.PROCESSOR_PRIORITY, APIC.TIMER_CURRENT]) shown.fill(0, register, register + 4);
  return hex(shown);
}

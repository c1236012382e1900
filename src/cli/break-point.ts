/** `--at LABEL|FILE:LINE`: a place of the guest's program, and being told when the guest comes there. */

import { didYouMean } from '../../lang/assembler/suggest.ts';
import type { Vcpu } from '../hardware/vcpu/vcpu.ts';
import type { GuestProgram } from './guest-program.ts';
import type { Machine } from './machine.ts';
import { UsageError } from './usage-error.ts';

export const AT_PLACE =
  'when the guest first comes to LABEL, LABEL+0x10, FILE:LINE or an address, instead of at its end';

/** The addresses that `place` means: of a line, where each piece of its code begins. A mistake is a {@link UsageError}. */
export function addressesOf(program: GuestProgram, place: string): readonly bigint[] {
  const [, file, line] = /^(.+):(\d+)$/.exec(place) ?? [];
  if (file !== undefined && line !== undefined) return addressesOfLine(program, file, Number(line), place);
  const address = addressOf(program, place);
  if (typeof address === 'bigint') return [address];
  const { missing } = address;
  throw new UsageError(
    `gvm: --at: the program has no label '${missing}'${didYouMean(missing, program.symbolizer().names())}`,
  );
}

/** The address that a number or a label means, `+0x10` behind it or not; else the label that there is not. */
export function addressOf(program: GuestProgram, word: string): bigint | { readonly missing: string } {
  const [, name = '', offset = '0'] = /^(.+?)(?:\+(0x[0-9a-fA-F]+|\d+))?$/.exec(word) ?? [];
  const base = /^(0x[0-9a-fA-F]{1,16}|\d{1,20})$/.test(name) ? BigInt(name) : program.symbolizer().address(name);
  return base === undefined ? { missing: name } : BigInt.asUintN(64, base + BigInt(offset));
}

function addressesOfLine(program: GuestProgram, file: string, line: number, place: string): readonly bigint[] {
  const rows = program.symbolizer().codeLines();
  const files = [...new Set(rows.map((row) => row.file))];
  const named = files.filter((each) => each === file || each.endsWith(`/${file}`));
  if (named.length === 0)
    throw new UsageError(
      `gvm: --at: the program has no code from '${file}'${didYouMean(file, [...files, ...files.map((name) => name.replace(/^.*\//, ''))])}`,
    );
  const ofFile = rows.filter((row) => named.includes(row.file));
  const addresses = ofFile.filter((row) => row.line === line).map(({ address }) => address);
  if (addresses.length > 0) return addresses;
  const next = ofFile.map((row) => row.line).filter((each) => each > line);
  const hint = next.length === 0 ? '' : `; the next line with code is ${Math.min(...next)}`;
  throw new UsageError(`gvm: --at: there is no code on line ${place}${hint}`);
}

/** Call `reached`, once, when a vCPU is about to execute an instruction at one of the addresses. */
export function breakAt(machine: Machine, addresses: readonly bigint[], reached: () => void): void {
  const wanted = new Set(addresses);
  const cpus: Vcpu[] = [];
  const others = machine.onCpu;
  machine.onCpu = (cpu) => {
    others?.(cpu);
    cpus.push(cpu);
    cpu.breakpoint = (rip) => {
      if (!wanted.has(rip)) return;
      for (const each of cpus) each.breakpoint = undefined;
      reached();
    };
  };
}

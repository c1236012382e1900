/** The interpreter beside QEMU's translator: the same image on both, in the same state. */

import { assemble } from '../../lang/assembler/assemble.ts';
import { toFlat } from '../../lang/object/flat.ts';
import { PROGRAMS, type ProgramName, programImage } from '../oracle/gcc-programs.ts';
import { runOnGvm, runOnTcg, tcgRuns } from '../oracle/tcg-machine.ts';
import type { Figure } from './measure.ts';

const IMAGE = 0x110000;
const HLT_AT = 5;
const HLT = 0xf4;
const RET = 0xc3;
/** Rounds for the model's CPU, and for QEMU's: its start must not show in the figure. */
const ROUNDS = { gvm: 20, tcg: 2000 };

/** Calls the program `rounds` times and ends; the image of {@link IMAGE} follows. */
function prologue(program: number, rounds: number): Uint8Array {
  const text = `bits 64
org 0x101000
mov esp, 0x90000
mov edi, ${program}
mov esi, 0x800000
mov edx, ${rounds}
mov eax, ${IMAGE}
call rax
mov edx, 0xf4
xor eax, eax
out dx, al
times ${IMAGE} - 0x101000 - ($ - $$) db 0`;
  const assembled = assemble({ name: 'prologue', text }, { format: 'bin', includePath: () => undefined });
  if ('diagnostics' in assembled) throw new Error(assembled.diagnostics[0]!.message);
  const flat = toFlat(assembled.object);
  if ('diagnostics' in flat) throw new Error(flat.diagnostics[0]!.message);
  return flat.bytes;
}

/** Millions of instructions a second of both. Nothing without QEMU, nasm and gcc. */
export function tcgFigures(programs: readonly ProgramName[]): Figure[] {
  if (!tcgRuns) return [{ name: 'beside QEMU TCG', value: 'skipped', limit: 'needs qemu-system-x86_64 and nasm' }];
  const image = programImage(['-O2', `-Wl,--defsym=base=${IMAGE}`]);
  // The program returns to the prologue instead of halting.
  if (image[HLT_AT] !== HLT) throw new Error('bare-main.c does not begin with call run, hlt');
  image[HLT_AT] = RET;
  return programs.map((name) => {
    const body = (rounds: number) => Buffer.concat([prologue(PROGRAMS.indexOf(name), rounds), image]);
    const instructionsOf = (rounds: number) => runOnGvm(body(rounds)).instructions;
    const each = instructionsOf(2) - instructionsOf(1);
    const start = process.cpuUsage();
    const { instructions } = runOnGvm(body(ROUNDS.gvm));
    const gvm = instructions / process.cpuUsage(start).user;
    const idle = runOnTcg(body(1)).milliseconds;
    const tcg = (each * (ROUNDS.tcg - 1)) / (runOnTcg(body(ROUNDS.tcg)).milliseconds - idle) / 1000;
    return {
      name: `gcc -O2 ${name}, interpreted, beside QEMU TCG`,
      value: `${gvm.toFixed(0)} : ${tcg.toFixed(0)} M insns/s`,
      limit: `${(gvm / tcg).toFixed(3)} ×`,
    };
  });
}

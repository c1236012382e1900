/** What must not grow: time an instruction with the size of the code, memory with the instructions run, pauses with either. */

import { MiB } from '../../src/address.ts';
import type { Eagerness } from '../../src/hardware/vcpu/translation.ts';
import { FlatMachine } from '../hardware/flat-machine.ts';
import { assembled } from '../hardware/privilege-machine.ts';
import { runOnTcg, tcgRuns } from '../oracle/tcg-machine.ts';
import type { Figure } from './measure.ts';

const CODE = 0x10_0000;
const DATA = 0x300_0000;
const RAM = MiB(64);
/** Nine instructions, the last but one of them jumped over every other time. */
const UNIT = `
        add     rax, rcx
        imul    rdx, rax, 7
        mov     [rbx + 8], rdx
        xor     rsi, [rbx + 8]
        lea     r8, [rdi + rsi * 2]
        add     rcx, 1
        test    cl, 1
        jz      $ + 6
        add     rdi, 3
`;
const INSTRUCTIONS = 9;
const SIZES = [1e3, 1e4, 1e5, 1e6, 1e7] as const;
/** Bytes of code for {@link pauseFigure}: some hundred regions. */
const PAUSES = 3e5;
const MEASURED = 6e6;
/**
 * Translated code is warm when V8 has had time to optimise it, which takes some hundred rounds, and so many measurements in a row were
 * alike, with nothing translated meanwhile; or after the most.
 */
const OPTIMISED_PASSES = 400;
const ALIKE = 4;
const LIKENESS = 1.15;
const MOST_MEASUREMENTS = 40;
const WARM_PASSES = 14;
/** Where the images for QEMU are loaded, the port that ends them, and how many instructions they run. */
const IMAGE = 0x101000;
const END = 0xf4;
const ON_TCG = 4e8;
const EARLY: Eagerness = { threshold: 10, eager: false };

/** A vCPU at the start of `size` bytes of code that it goes through over and over. */
function codeOf(size: number, eagerness: Eagerness | undefined): { cpu: FlatMachine['cpu']; pass: number } {
  const unit = assembled(UNIT, CODE);
  const units = Math.floor(size / unit.length);
  const machine = new FlatMachine(new Uint8Array(0), RAM);
  const { cpu, memory } = machine;
  for (let each = 0; each < units; each++) memory.bytes.set(unit, CODE + each * unit.length);
  const end = CODE + units * unit.length;
  memory.bytes.set(assembled(`jmp ${CODE}`, end), end);
  cpu.setRegister(3, BigInt(DATA));
  if (eagerness !== undefined) cpu.translate(eagerness);
  return { cpu, pass: units * INSTRUCTIONS };
}

/** Nanoseconds of CPU that running so many instructions takes. */
function timed(cpu: FlatMachine['cpu'], instructions: number): number {
  const start = process.cpuUsage();
  cpu.run(instructions);
  const { user, system } = process.cpuUsage(start);
  return (user + system) * 1000;
}

/** Nanoseconds of CPU that an interpreted instruction takes, behind a warm-up. */
function interpreted(size: number): number {
  const { cpu, pass } = codeOf(size, undefined);
  cpu.run(pass);
  const instructions = Math.max(pass, MEASURED);
  return timed(cpu, instructions) / instructions;
}

/** Nanoseconds that a translated instruction takes in the end, and those that its translation took by then, V8's part included. */
function translated(size: number): { steady: number; warmUp: number } {
  const { cpu, pass } = codeOf(size, EARLY);
  const instructions = Math.max(pass, MEASURED);
  const measured: { each: number; regions: number }[] = [];
  const isWarm = (): boolean => {
    if (measured.length * instructions < OPTIMISED_PASSES * pass) return false;
    const last = measured.slice(-ALIKE);
    const times = last.map(({ each }) => each);
    const settled = last[0]?.regions === last.at(-1)?.regions;
    return last.length === ALIKE && settled && Math.max(...times) < LIKENESS * Math.min(...times);
  };
  let total = timed(cpu, pass * WARM_PASSES);
  while (!isWarm() && measured.length < MOST_MEASUREMENTS) {
    const time = timed(cpu, instructions);
    total += time;
    measured.push({ each: time / instructions, regions: cpu.translation?.regions ?? 0 });
  }
  const steady = Math.min(...measured.slice(-ALIKE).map(({ each }) => each));
  return { steady, warmUp: (total - steady * cpu.retired) / pass };
}

/** Nanoseconds that an instruction takes in the end under QEMU's own translator: a run of many passes less one of a tenth. */
function onTcg(size: number): number {
  const unit = assembled(UNIT, CODE);
  const units = Math.floor(size / unit.length);
  const pass = units * INSTRUCTIONS;
  const time = (passes: number): number => {
    const begin = assembled(`mov ebx, ${DATA}\nmov r15d, ${passes}`, IMAGE);
    const end = assembled(
      `dec r15d\njnz $ - ${units * unit.length + 3}\nmov edx, ${END}\nxor eax, eax\nout dx, al`,
      IMAGE,
    );
    const code = Buffer.concat([begin, ...Array.from({ length: units }, () => unit), end]);
    return runOnTcg(code).milliseconds;
  };
  const many = Math.ceil(ON_TCG / pass);
  const few = Math.ceil(many / 10);
  return ((time(many) - time(few)) * 1e6) / ((many - few) * pass);
}

/** MiB of the process after 10^8 and after 10^9 translated instructions. */
function memoryFigure(): Figure {
  const machine = new FlatMachine(assembled(`again: mov [rbx], rax\nadd rax, rcx\nadd ecx, 1\njmp again`, CODE), RAM);
  const { cpu } = machine;
  cpu.setRegister(3, BigInt(DATA));
  cpu.translate(EARLY);
  const after = (instructions: number): number => {
    while (cpu.retired < instructions) cpu.run(1e6);
    return process.memoryUsage().rss / MiB(1);
  };
  const [some, many] = [after(1e8), after(1e9)];
  return {
    name: 'memory of the process after 10⁸ and after 10⁹ instructions',
    value: `${some.toFixed(0)}, ${many.toFixed(0)} MiB`,
    limit: 'flat',
  };
}

/** The guest stands still while a region is translated: of code that becomes hot all at once, how long at most. */
function pauseFigure(): Figure {
  const { cpu, pass } = codeOf(PAUSES, EARLY);
  cpu.run(pass * WARM_PASSES);
  const { regions, longest, milliseconds } = cpu.translation!;
  return {
    name: `longest pause for a translation, of ${regions} regions; mean`,
    value: `${longest.toFixed(0)}; ${(milliseconds / regions).toFixed(1)} ms`,
    limit: 'at most 50 ms',
  };
}

export function boundsFigures(): Figure[] {
  // Before all that leaves machines behind for V8 to clear away.
  const memory = memoryFigure();
  const warm = SIZES.map(translated);
  return [
    pauseFigure(),
    {
      name: 'interpreted, ns an instruction, by 10³, 10⁴ … 10⁷ bytes of code',
      value: SIZES.map((size) => interpreted(size).toFixed(1)).join(', '),
      limit: 'does not grow with the code',
    },
    {
      name: 'translated, in the end; by 10³, 10⁴ … 10⁷ bytes',
      value: warm.map(({ steady }) => steady.toFixed(1)).join(', '),
      limit: 'does not grow with the code',
    },
    {
      name: 'QEMU TCG, the same in the end',
      value: tcgRuns ? SIZES.map((size) => onTcg(size).toFixed(1)).join(', ') : 'absent',
      limit: '',
    },
    {
      name: 'until then, µs for each instruction of the code',
      value: warm.map(({ warmUp }) => (warmUp / 1000).toFixed(0)).join(', '),
      limit: 'does not grow with the code',
    },
    memory,
  ];
}

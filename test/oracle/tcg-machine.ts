/**
 * The images of test/oracle/tcg on the model's CPU and on QEMU's: the same bytes, entered in the same state, and what they
 * write to the serial port.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble } from '../../lang/assembler/assemble.ts';
import { toFlat } from '../../lang/object/flat.ts';
import { hpa, MiB } from '../../src/address.ts';
import { EventStream } from '../../src/event.ts';
import { PhysicalMemory } from '../../src/hardware/physical-memory.ts';
import { EXIT_REASON, exitReasonName, IO_QUALIFICATION } from '../../src/hardware/vcpu/exit.ts';
import { flatCode, flatStack } from '../../src/hardware/vcpu/segments.ts';
import { Vcpu } from '../../src/hardware/vcpu/vcpu.ts';
import { have } from './have.ts';

const FOLDER = 'test/oracle/tcg';
/** As in stub.asm. */
const BODY = 0x101000;
const PML4 = 0x1000;
const STUB_GDT = 0x100080;
const COM1 = 0x3f8;
const LINE_STATUS = COM1 + 5;
const TRANSMITTER_EMPTY = 0x60;
const END = 0xf4;
const LIMIT = 400_000_000;
const RSP = 4;
const TCG_MS = 120_000;
/** isa-debug-exit: 0 written comes out as this. */
const TCG_ENDED = 1;

/** Whether QEMU's own CPU and an assembler of 32-bit code are here. */
export const tcgRuns = have('qemu-system-x86_64') && have('nasm');
/** … and QEMU is the one whose faults are known. */
export const tcgAnswers =
  tcgRuns && execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'latin1' }).includes('version 7.2');

/** The 64-bit part of an image, for {@link BODY}. */
export function tcgBody(name: string): Uint8Array {
  const read = (file: string) => ({ name: file, text: readFileSync(join(FOLDER, file), 'utf8') });
  const result = assemble(read(`${name}.asm`), { format: 'bin', includePath: (file) => read(file) });
  if ('diagnostics' in result) throw new Error(result.diagnostics.map(({ message }) => message).join('; '));
  const flat = toFlat(result.object);
  if ('diagnostics' in flat) throw new Error(flat.diagnostics.map(({ message }) => message).join('; '));
  return flat.bytes;
}

/** What stub.asm has set when it jumps to BODY. */
function enter(body: Uint8Array): { cpu: Vcpu; memory: PhysicalMemory } {
  const memory = new PhysicalMemory(MiB(64));
  const table = (level: number) => PML4 + level * 0x1000;
  memory.writeEntry(hpa(table(0)), BigInt(table(1) | 7));
  for (let giga = 0; giga < 4; giga++) memory.writeEntry(hpa(table(1) + giga * 8), BigInt(table(2 + giga) | 7));
  for (let page = 0; page < 4 * 512; page++)
    memory.writeEntry(hpa(table(2) + page * 8), BigInt(page) * BigInt(MiB(2)) + 0x83n);
  memory.bytes.set(body, BODY);
  // The CPU's own registers: the last frame of RAM, which no image touches.
  const cpu = new Vcpu(memory, hpa(MiB(64) - 4096), new EventStream(() => 0n));
  cpu.setControl(0, 0x80010033n);
  cpu.setControl(3, BigInt(PML4));
  cpu.setControl(4, 0x20n);
  cpu.efer = 0xd01n;
  cpu.setDescriptorTable('gdt', { base: BigInt(STUB_GDT), limit: 23 });
  cpu.setSegment('cs', flatCode(8, 0));
  for (const name of ['ss', 'ds', 'es', 'fs', 'gs'] as const) cpu.setSegment(name, flatStack(0x10, 0));
  cpu.setRegister(RSP, 0x80000n);
  cpu.rip = BigInt(BODY);
  return { cpu, memory };
}

/** Run an image on the model's CPU: what it wrote, and the instructions that it took. */
export function runOnGvm(body: Uint8Array): { text: string; instructions: number } {
  const { cpu } = enter(body);
  let text = '';
  for (;;) {
    const reason = cpu.run(LIMIT);
    if (reason !== EXIT_REASON.IO_INSTRUCTION)
      throw new Error(
        `the image left with ${exitReasonName(reason)} at 0x${cpu.rip.toString(16)} after: ${text.slice(-200)}`,
      );
    const { qualification } = cpu.exit;
    const port = qualification >>> IO_QUALIFICATION.PORT_SHIFT;
    if (port === END) return { text, instructions: cpu.retired };
    if (port === LINE_STATUS) cpu.writeAccumulator(1, TRANSMITTER_EMPTY);
    else if (port === COM1 && (qualification & IO_QUALIFICATION.IN) === 0)
      text += String.fromCharCode(cpu.readAccumulator(1));
    cpu.skipInstruction();
  }
}

/** Run an image on QEMU's CPU: what it wrote, and the milliseconds that QEMU took in all. */
export function runOnTcg(body: Uint8Array): { text: string; milliseconds: number } {
  const folder = mkdtempSync(join(tmpdir(), 'gvm-tcg-'));
  try {
    const stub = join(folder, 'stub');
    execFileSync('nasm', ['-f', 'bin', '-o', stub, join(FOLDER, 'stub.asm')]);
    const image = join(folder, 'image');
    writeFileSync(image, Buffer.concat([readFileSync(stub), body]));
    const machine = ['-M', 'pc', '-accel', 'tcg', '-cpu', 'max', '-m', '64M', '-no-reboot', '-nodefaults'];
    const doors = ['-display', 'none', '-serial', 'stdio', '-device', `isa-debug-exit,iobase=${END},iosize=4`];
    const start = performance.now();
    const { stdout, stderr, status } = spawnSync('qemu-system-x86_64', [...machine, ...doors, '-kernel', image], {
      encoding: 'latin1',
      timeout: TCG_MS,
    });
    const milliseconds = performance.now() - start;
    if (status !== TCG_ENDED) throw new Error(`QEMU ended with ${status}: ${stderr}; after: ${stdout.slice(-200)}`);
    return { text: stdout, milliseconds };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** `gvm run IMAGE --flat ADDR`: a flat 64-bit image on a bare processor, until it halts, and its registers as JSON. */

import { assemble } from '../../lang/assembler/assemble.ts';
import type { WarningSettings } from '../../lang/assembler/warning-classes.ts';
import { toFlat } from '../../lang/object/flat.ts';
import { MAX_INSTRUCTION_BYTES } from '../hardware/vcpu/code-cache.ts';
import { EXIT_REASON, exitReasonName, INTERRUPTION } from '../hardware/vcpu/exit.ts';
import { RF } from '../hardware/vcpu/flags.ts';
import { VECTOR } from '../hardware/vcpu/pending-event.ts';
import { GENERAL_REGISTERS } from '../hardware/vcpu/state.ts';
import { findCpuid, supportedCpuid } from '../linux/kvm/cpuid.ts';
import { EXIT } from './exit-status.ts';
import { BareMachine } from './flat-machine.ts';
import { binaryFiles, includePath, readUserFile } from './guest-program.ts';
import { leftOut } from './left-out.ts';
import { print } from './output.ts';
import { assemblyError, diagnosticsJson, diagnosticsText } from './report-diagnostics.ts';
import { eagernessOf, type TierName } from './tier.ts';
import { UsageError } from './usage-error.ts';

export interface FlatOptions {
  readonly file: string;
  /** Where the image is put, and begins. */
  readonly flat: string;
  /** ADDR:SIZE, each. */
  readonly map: readonly string[];
  readonly stack: string | undefined;
  readonly maxInsns: number;
  readonly tier: TierName;
  readonly includes: readonly string[];
  readonly defines: Readonly<Record<string, string>>;
  readonly warnings?: WarningSettings;
  /** Diagnostics as JSON. */
  readonly json?: boolean;
}

const RSP = 4;
/** RAM below --stack. */
const STACK_BYTES = 0x10000n;
const PAGE = 4096n;
/** Most RAM that --map may ask for, in pages: the model's host has 2 GiB, of which page tables take some. */
const MOST_PAGES = 200_000n;

/** An address or a size as the user writes it. */
function number(text: string, option: string): bigint {
  if (!/^(0x[0-9a-f]+|\d+)$/i.test(text))
    throw new UsageError(`gvm run: ${option} takes a number such as 0x1000, not '${text}'`);
  return BigInt(text);
}

function address(text: string, option: string): bigint {
  const value = number(text, option);
  if (BigInt.asUintN(64, BigInt.asIntN(48, value)) === value) return value;
  throw new UsageError(`gvm run: ${option}: ${text} is not a canonical 64-bit address`);
}

/** Refuse bytes of which the last is not canonical: the hole in the middle of the address space, and its end. */
function inRange(start: bigint, bytes: bigint, what: string): void {
  const last = start + bytes - 1n;
  const sameHalf = start >> 47n === last >> 47n;
  if (bytes > 0n && !sameHalf) throw new UsageError(`gvm run: ${what} reaches addresses that are not canonical`);
}

function range(text: string): { start: bigint; size: bigint } {
  const [start, size, ...more] = text.split(':');
  if (start === undefined || size === undefined || more.length > 0)
    throw new UsageError(`gvm run: --map takes ADDR:SIZE, not '${text}'`);
  const bytes = number(size, '--map');
  if (bytes === 0n) throw new UsageError(`gvm run: --map: ${text} has no bytes`);
  inRange(address(start, '--map'), bytes, `--map: ${text}`);
  return { start: BigInt(start), size: bytes };
}

/** RAM below a stack pointer, down to address 0 at most. */
function below(stack: bigint): { start: bigint; size: bigint } {
  const size = stack < STACK_BYTES ? stack : STACK_BYTES;
  return { start: stack - size, size };
}

/** The bytes to run: an image as it is, or a .gasm or .asm source assembled for `origin`. */
function imageOf(
  options: FlatOptions,
  origin: bigint,
  libraryIncludes: string,
  warn: (text: string) => void,
): Uint8Array {
  const bytes = readUserFile(options.file);
  if (!/\.(gasm|asm)$/.test(options.file)) return bytes;
  const findBytes = binaryFiles(options.includes);
  const assembled = assemble(
    { name: options.file, text: new TextDecoder().decode(bytes) },
    {
      includePath: includePath(options.includes, libraryIncludes),
      binaryPath: (name, from) => findBytes(name, from)?.bytes,
      defines: options.defines,
      format: 'bin',
      ...(options.warnings === undefined ? {} : { warnings: options.warnings }),
    },
  );
  if ('diagnostics' in assembled) throw assemblyError(assembled.diagnostics, options.json);
  const { warnings } = assembled;
  if (warnings.length > 0) warn(options.json ? diagnosticsJson(warnings) : diagnosticsText(warnings));
  const flat = toFlat(assembled.object, origin);
  if ('diagnostics' in flat) throw assemblyError(flat.diagnostics, options.json);
  return flat.bytes;
}

/** Run it; prints one JSON object on stdout. Returns gvm's exit status. */
export function runFlat(options: FlatOptions, libraryIncludes: string, warn: (text: string) => void): number {
  const origin = address(options.flat, '--flat');
  const ranges = options.map.map(range);
  const stack = options.stack === undefined ? undefined : address(options.stack, '--stack');
  if (stack !== undefined) ranges.push(below(stack));
  const image = imageOf(options, origin, libraryIncludes, warn);
  if (image.length === 0) throw new UsageError(`gvm run: ${options.file} is empty`);
  inRange(origin, BigInt(image.length), `--flat: the image's ${image.length} bytes`);
  const pages = ranges.reduce((sum, { size }) => sum + size / PAGE + 2n, BigInt(image.length) / PAGE + 2n);
  if (pages > MOST_PAGES)
    throw new UsageError(`gvm run: --map asks for ${pages} pages; there is room for ${MOST_PAGES}`);
  const machine = new BareMachine(Number(pages));
  for (const { start, size } of ranges) machine.mapRange(start, size);
  machine.write(origin, image);
  machine.cpu.rip = origin;
  const eagerness = eagernessOf(options.tier);
  if (eagerness !== undefined) machine.cpu.translate(eagerness);
  if (stack !== undefined) machine.cpu.setRegister(RSP, stack);
  const end = runToEnd(machine, options.maxInsns);
  print(`${JSON.stringify({ ...end, ...stateOf(machine) })}\n`);
  return end.exit === 'hlt' ? EXIT.OK : end.exit === 'limit' ? EXIT.LIMIT : EXIT.GUEST_CRASHED;
}

const hex = (value: bigint) => `0x${value.toString(16)}`;

function stateOf({ cpu }: BareMachine) {
  const general = GENERAL_REGISTERS.map((name, index) => [name.toUpperCase(), hex(cpu.register(index))]);
  const registers = Object.fromEntries([...general, ['RIP', hex(cpu.rip)], ['RFLAGS', hex(cpu.rflags)]]);
  return { registers, instructions: cpu.retired };
}

const GENERAL_PROTECTION =
  INTERRUPTION.VALID + (INTERRUPTION.HARDWARE_EXCEPTION | INTERRUPTION.HAS_ERROR_CODE | VECTOR.GP);

interface End {
  readonly exit: string;
  readonly [detail: string]: unknown;
}

function runToEnd(machine: BareMachine, limit: number): End {
  const { cpu } = machine;
  for (;;) {
    const reason = cpu.retired < limit ? cpu.run(limit - cpu.retired) : EXIT_REASON.PREEMPTION_TIMER;
    switch (reason) {
      case EXIT_REASON.HLT:
        cpu.skipInstruction();
        return { exit: 'hlt' };
      case EXIT_REASON.PREEMPTION_TIMER:
        return { exit: 'limit' };
      case EXIT_REASON.CPUID:
        answerCpuid(machine);
        break;
      case EXIT_REASON.MSR_READ:
      case EXIT_REASON.MSR_WRITE:
        cpu.rflags |= BigInt(RF);
        cpu.inject(GENERAL_PROTECTION);
        break;
      case EXIT_REASON.TRIPLE_FAULT:
        return exceptionOf(machine);
      default:
        return { exit: exitReasonName(reason).toLowerCase() };
    }
  }
}

/** There are no handlers, so the first exception is the last. */
function exceptionOf({ cpu }: BareMachine): End {
  const { lastException, unsupported } = cpu;
  if (lastException === undefined) return { exit: 'triple_fault' };
  const { vector, errorCode, faultAddress } = lastException;
  const instruction =
    unsupported === undefined || unsupported.rip !== lastException.rip
      ? {}
      : { unsupported: unsupported.text ?? leftOut(cpu.view().read(unsupported.rip, MAX_INSTRUCTION_BYTES)).name };
  return {
    exit: 'exception',
    vector,
    ...(errorCode === undefined ? {} : { error_code: errorCode }),
    ...(vector === VECTOR.PF ? { cr2: hex(faultAddress) } : {}),
    ...instruction,
  };
}

function answerCpuid({ cpu }: BareMachine): void {
  const word = (register: number) => Number(BigInt.asUintN(32, cpu.register(register)));
  const { eax, ebx, ecx, edx } = findCpuid(supportedCpuid, word(0), word(1)) ?? { eax: 0, ebx: 0, ecx: 0, edx: 0 };
  [eax, ecx, edx, ebx].forEach((value, register) => {
    cpu.setRegister(register, BigInt(value));
  });
  cpu.skipInstruction();
}

/**
 * What there is to know of a guest that crashed: the exception, registers, the code around rip with its disassembly, the
 * stack, who called whom, and for a page fault the walk of the faulting address.
 */

import { decode } from '../../lang/isa/decode.ts';
import { format } from '../../lang/isa/format.ts';
import type { RaisedException } from '../hardware/vcpu/diagnosis.ts';
import type { GuestView } from '../hardware/vcpu/inspect.ts';
import { PAGE_FAULT } from '../hardware/vcpu/paging.ts';
import { GENERAL_REGISTERS } from '../hardware/vcpu/state.ts';
import { guestPlace } from './guest-place.ts';
import type { GuestProgram } from './guest-program.ts';
import { leftOut } from './left-out.ts';

type RegisterName = (typeof GENERAL_REGISTERS)[number];
/** In the order in which people read them. */
const ROWS: readonly (readonly RegisterName[])[] = [
  ['rax', 'rbx', 'rcx', 'rdx'],
  ['rsi', 'rdi', 'rbp', 'rsp'],
  ['r8', 'r9', 'r10', 'r11'],
  ['r12', 'r13', 'r14', 'r15'],
];
const RSP = 4;
const BP = 3;
/** Opcode of a call whose target stands in it. */
const CALL_RELATIVE = 0xe8;
const PF = 14;
const NAMES: Readonly<Record<number, string>> = {
  0: '#DE, divide error',
  1: '#DB, debug exception',
  3: '#BP, breakpoint',
  6: '#UD, undefined instruction',
  7: '#NM, no x87',
  8: '#DF, double fault',
  10: '#TS, invalid TSS',
  11: '#NP, segment not present',
  12: '#SS, stack fault',
  13: '#GP, general protection',
  14: '#PF, page fault',
  17: '#AC, misaligned access',
};
/** Instructions shown before and after the one that faulted. */
const BEFORE = 4;
const AFTER = 3;
/** A function is disassembled from its beginning only up to so many bytes. */
const FUNCTION_BYTES = 4096;
const LONGEST = 15;
const STACK_WORDS = 8;
/** How far up the stack return addresses are looked for. */
const TRACE_WORDS = 256;
const TRACE_FRAMES = 12;
const TABLES: Readonly<Record<number, string>> = { 4: 'PML4', 3: 'PDPT', 2: 'PD', 1: 'PT' };

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const wide = (value: bigint): string => BigInt.asUintN(64, value).toString(16).padStart(16, '0');
const spaced = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');

/** The report, as lines. */
export function oopsReport(fault: RaisedException, view: GuestView, program: GuestProgram): readonly string[] {
  return [
    `${NAMES[fault.vector] ?? `vector ${fault.vector}`}${errorText(fault)} in privilege ${fault.privilege}`,
    `  at ${guestPlace(program, fault.rip)}`,
    ...howItCame(fault, view, program),
    ...registers(fault),
    'code:',
    ...code(fault.rip, view, program),
    'stack:',
    ...stack(fault, view),
    ...trace(fault, view, program),
    ...(fault.vector === PF ? pageWalk(fault.faultAddress, view) : []),
  ];
}

/** For an instruction that nobody can have meant to execute: what led there, as far as it can be seen. */
function howItCame(fault: RaisedException, view: GuestView, program: GuestProgram): string[] {
  const { rip, vector, errorCode = 0 } = fault;
  const at = program.symbolizer().symbolize(rip);
  // Between the last line of one function and the first of the next the linker has put int3.
  if (vector === BP && at !== undefined && at.line === undefined && at.offset > 0n)
    return [`  behind the end of ${at.symbol}: it has come there without a ret or jmp`];
  if (vector !== PF || (errorCode & PAGE_FAULT.FETCH) === 0 || at !== undefined) return [];
  const [top] = stackWords(fault, view, 1);
  if (top === undefined || program.symbolizer().symbolize(top) === undefined || !isReturnAddress(top, view))
    return ['  by a ret on a stack where push and pop do not balance, or by a jmp'];
  const call = placeOfCall(top, program);
  const isDirect = view.read(top - 5n, 1)[0] === CALL_RELATIVE;
  if (isDirect) return [`  by a jmp, or by a ret where push and pop do not balance, in what was called at ${call}`];
  return [`  by the call at ${call}`];
}

function errorText({ vector, errorCode, faultAddress }: RaisedException): string {
  if (errorCode === undefined) return '';
  if (vector !== PF) return `, error code ${hex(errorCode)}`;
  const access = errorCode & PAGE_FAULT.FETCH ? 'execution' : errorCode & PAGE_FAULT.WRITE ? 'write' : 'read';
  const why =
    errorCode & PAGE_FAULT.RESERVED
      ? 'a reserved bit is set in a table'
      : errorCode & PAGE_FAULT.PRESENT
        ? 'the page forbids it'
        : 'no page there';
  return `: ${access} at ${hex(faultAddress)}, ${why} (error code ${hex(errorCode)})`;
}

function registers({ registers: values, rip, rflags, cr3 }: RaisedException): string[] {
  const value = (name: RegisterName) => `${name.padStart(3)} ${wide(values[GENERAL_REGISTERS.indexOf(name)]!)}`;
  return [
    ...ROWS.map((row) => `  ${row.map(value).join('  ')}`),
    `  rip ${wide(rip)}  rflags ${wide(rflags)}  cr3 ${hex(cr3)}`,
  ];
}

interface Line {
  readonly at: bigint;
  readonly bytes: Uint8Array;
  readonly text: string;
}

/** One instruction at `at`, as far as its bytes can be read. */
function instructionAt(at: bigint, view: GuestView): Line | undefined {
  const bytes = view.read(at, LONGEST);
  if (bytes.length === 0) return undefined;
  const decoded = decode(bytes, 0, bytes.length, 'long');
  if ('failure' in decoded && decoded.failure === 'unsupported') {
    const { name, bytes: own } = leftOut(bytes);
    return { at, bytes: own, text: `(${name}, left out)` };
  }
  const text = 'failure' in decoded ? (decoded.failure === 'undefined' ? '(undefined)' : undefined) : format(decoded);
  return { at, bytes: bytes.subarray(0, Math.max(1, decoded.length)), text: text ?? '(cut off)' };
}

/** The instructions around rip; those before it by decoding its function from the beginning. */
function code(rip: bigint, view: GuestView, program: GuestProgram): string[] {
  const offset = program.symbolizer().symbolize(rip)?.offset;
  const lines: Line[] = [];
  if (offset !== undefined && offset > 0n && offset < FUNCTION_BYTES) {
    for (let at = rip - offset; at < rip; ) {
      const line = instructionAt(at, view);
      if (line === undefined) break;
      lines.push(line);
      at += BigInt(line.bytes.length);
    }
    const last = lines.at(-1);
    // Data between the symbol and rip can lead the decoding astray.
    if (last !== undefined && last.at + BigInt(last.bytes.length) !== rip) lines.length = 0;
  }
  const shown = lines.slice(-BEFORE);
  for (let at = rip, count = 0; count <= AFTER; count++) {
    const line = instructionAt(at, view);
    if (line === undefined) break;
    shown.push(line);
    at += BigInt(line.bytes.length);
  }
  if (shown.length === 0) return ['  (not mapped)'];
  return shown.map(
    ({ at, bytes, text }) => `${at === rip ? '> ' : '  '}${wide(at)}  ${spaced(bytes).padEnd(30)}  ${text}`,
  );
}

function stackWords({ registers: values }: RaisedException, view: GuestView, count: number): BigUint64Array {
  const bytes = view.read(BigInt.asUintN(64, values[RSP]!), count * 8);
  return new BigUint64Array(bytes.slice(0, bytes.length & ~7).buffer);
}

function stack(fault: RaisedException, view: GuestView): string[] {
  const words = [...stackWords(fault, view, STACK_WORDS)].map(wide);
  if (words.length === 0) return [`  (not mapped at ${hex(BigInt.asUintN(64, fault.registers[RSP]!))})`];
  return [words.slice(0, STACK_WORDS / 2), words.slice(STACK_WORDS / 2)]
    .filter((row) => row.length > 0)
    .map((row) => `  ${row.join(' ')}`);
}

/** Whether the bytes before `address` are a call, which makes it a return address. */
function isReturnAddress(address: bigint, view: GuestView): boolean {
  const bytesBefore = (distance: number) => view.read(address - BigInt(distance), 2);
  if (bytesBefore(5)[0] === CALL_RELATIVE) return true;
  return [2, 3, 4, 6, 7].some((length) => {
    const [opcode, modrm] = bytesBefore(length);
    return opcode === 0xff && ((modrm! >> 3) & 7) === 2;
  });
}

/** The call is before the address that it returns to. */
const placeOfCall = (returnAddress: bigint, program: GuestProgram): string =>
  guestPlace(program, returnAddress - 1n).replace(/^rip 0x[0-9a-f]+ /, '');

function trace(fault: RaisedException, view: GuestView, program: GuestProgram): string[] {
  const frames = [...stackWords(fault, view, TRACE_WORDS)]
    .filter((word) => program.symbolizer().symbolize(word) !== undefined && isReturnAddress(word, view))
    .slice(0, TRACE_FRAMES)
    .map((word) => `  ${placeOfCall(word, program)}`);
  return frames.length === 0 ? [] : ['called from (by the return addresses on the stack):', ...frames];
}

function pageWalk(address: bigint, view: GuestView): string[] {
  const { steps, physical } = view.walk(address);
  const lines = steps.map(({ level, at, entry }) => {
    const what =
      entry === undefined
        ? 'cannot be read'
        : (entry & 1n) === 0n
          ? `${hex(entry)}: not present`
          : `${hex(entry)}: ${rights(entry, level)}`;
    return `  ${TABLES[level]!.padEnd(4)} entry at ${hex(at)} = ${what}`;
  });
  return [
    `page walk of ${hex(address)}:`,
    ...lines,
    ...(physical === undefined ? [] : [`  guest physical ${hex(physical)}`, ...nestedEnd(physical, view)]),
  ];
}

function rights(entry: bigint, level: number): string {
  const bit = (number: number) => ((entry >> BigInt(number)) & 1n) === 1n;
  const words = [bit(1) ? 'writable' : 'read-only', bit(2) ? 'user' : 'supervisor'];
  if (bit(63)) words.push('no execute');
  if (level > 1 && bit(7)) words.push(level === 2 ? '2 MiB page' : '1 GiB page');
  return words.join(', ');
}

function nestedEnd(physical: number, view: GuestView): string[] {
  const walk = view.nested(physical);
  if (walk === undefined) return [];
  return walk.outcome === 'mapped'
    ? [`  EPT: host physical ${hex(walk.host)}`]
    : [`  EPT: ${walk.outcome === 'misconfigured' ? 'misconfigured (MMIO)' : 'not mapped'}`];
}

/**
 * The abstract operations in which every instruction's meaning is written, once.
 *
 * A {@link Meaning} is a staged definition: it runs when an instruction is decoded, not when it executes, and calls
 * operations that *describe* the work. What a value `V` is depends on the tier: for the interpreter a JavaScript
 * expression, for a translator a WebAssembly local. Order matters as in the manual: everything that may fault comes
 * before the first change of a register or flag.
 */

import type { Width } from '../../../lang/isa/instruction.ts';

/** Intel's condition codes (tttn), the low nibble of jcc's opcode. */
export const CONDITION = {
  O: 0,
  NO: 1,
  B: 2,
  AE: 3,
  Z: 4,
  NZ: 5,
  BE: 6,
  A: 7,
  S: 8,
  NS: 9,
  P: 10,
  NP: 11,
  L: 12,
  GE: 13,
  LE: 14,
  G: 15,
} as const;

/** The flags a definition may name one by one. */
export type FlagName = 'CF' | 'PF' | 'AF' | 'ZF' | 'SF' | 'OF' | 'DF' | 'IF';

/** Flags an operation gives besides ZF, SF and PF of its result; each absent one is cleared. */
export interface ExtraFlags<V> {
  readonly carry?: V;
  readonly overflow?: V;
  readonly auxiliary?: V;
}

/** How a port instruction names its port: in dx, in an immediate byte, or as ins and outs do. */
export type PortForm = 'dx' | 'immediate' | 'string';

/** What a repeated instruction does to its elements: copies them, or stores one value. */
export type WholeString = 'move' | 'store';

/** Services of the vCPU that no definition spells out: system registers, privilege, exits. See services.ts. */
export type ServiceName =
  | 'halt'
  | 'cpuid'
  | 'pause'
  | 'flushCaches'
  | 'vmcall'
  | 'monitor'
  | 'monitorWait'
  | 'readTimestamp'
  | 'readTimestampAndProcessor'
  | 'readProcessor'
  | 'readPerformanceCounter'
  | 'randomNumber'
  | 'readMsr'
  | 'writeMsr'
  | 'interrupt'
  | 'breakpoint'
  | 'debugTrap'
  | 'interruptReturn'
  | 'farReturn'
  | 'farJump'
  | 'farCall'
  | 'systemCall'
  | 'systemReturn'
  | 'systemEnter'
  | 'systemExit'
  | 'readControl'
  | 'writeControl'
  | 'readMachineStatus'
  | 'writeMachineStatus'
  | 'clearTaskSwitched'
  | 'readDebug'
  | 'writeDebug'
  | 'invalidatePage'
  | 'invalidatePcid'
  | 'loadGdt'
  | 'loadIdt'
  | 'storeGdt'
  | 'storeIdt'
  | 'loadTask'
  | 'readTask'
  | 'loadLocalTable'
  | 'readLocalTable'
  | 'loadSegment'
  | 'loadStackSegment'
  | 'readSegment'
  | 'verifySegment'
  | 'segmentRights'
  | 'segmentLimit'
  | 'readBase'
  | 'writeBase'
  | 'swapGs'
  | 'clearInterruptFlag'
  | 'setInterruptFlag'
  | 'setAccessCheck'
  | 'pushFlags'
  | 'popFlags'
  | 'enterFrame'
  | 'checkAlignment'
  | 'checkPrivilege';

/** An algebra of operations over values of type V. Widths are bits; a value knows its own. Booleans have width 1. */
export interface Ops<V> {
  /** Effective operand size. */
  readonly width: Width;
  readonly addressWidth: 32 | 64;
  readonly condition: number | undefined;
  readonly repeat: 'none' | 'rep' | 'repne';
  readonly operandCount: number;
  /** Width of operand `k`: its register's, memory reference's or immediate's. */
  widthOf(k: number): Width;
  isMemory(k: number): boolean;
  /** A general register, as against a segment, control or debug register. */
  isGeneral(k: number): boolean;
  isImmediate(k: number): boolean;
  isRelative(k: number): boolean;
  /** Encoding number of operand `k`'s register. */
  registerNumber(k: number): number;

  constant(width: Width, value: bigint): V;
  /** Operand `k`, at its own width or (immediates) at `width`. */
  read(k: number, width?: Width): V;
  /** Operand `k`, of which write permission is checked now, because {@link Ops.write} follows. */
  readForUpdate(k: number): V;
  write(k: number, value: V): void;
  /** Offset that memory operand `k` names, without segment base, cut to `width`, as lea gives it. */
  effectiveAddress(k: number, width: Width): V;
  /** Linear address of memory operand `k`, plus a 64-bit distance. */
  linearAddress(k: number, distance: V): V;
  /** A general register by number (rax 0 … r15). A 32-bit write clears the upper half, narrower ones keep the rest. */
  register(number: number, width: Width): V;
  setRegister(number: number, value: V): void;
  /** Memory at the linear address `address` (64-bit). */
  load(width: Width, address: V): V;
  store(address: V, value: V): void;
  /** Check that a store of `width` at `address` will succeed, before other state changes. */
  probeStore(width: Width, address: V): void;
  /** Stack at the stack pointer; `push` and `pop` move it after the access succeeded. */
  push(value: V): void;
  pop(width: Width): V;
  /** Pop into memory operand `k`, whose address is taken with the stack pointer already moved. */
  popToMemory(k: number): void;
  /** Linear address of the string element that rsi (`source`) or rdi names. */
  stringAddress(which: 'source' | 'destination'): V;

  add(a: V, b: V): V;
  subtract(a: V, b: V): V;
  and(a: V, b: V): V;
  or(a: V, b: V): V;
  xor(a: V, b: V): V;
  not(a: V): V;
  /** Low half of the product. */
  multiply(a: V, b: V): V;
  /** High half of the product. */
  multiplyHigh(a: V, b: V, signed: boolean): V;
  /** Whether the product needs more than its low half. */
  multiplySpills(a: V, b: V, signed: boolean): V;
  /** Quotient and remainder of high:low / divisor; #DE if the divisor is zero or the quotient does not fit. */
  divide(high: V, low: V, divisor: V, signed: boolean): { quotient: V; remainder: V };
  /** Shifts by a count (any width) that is less than the value's width. */
  shiftLeft(a: V, count: V): V;
  shiftRight(a: V, count: V): V;
  shiftRightArithmetic(a: V, count: V): V;
  zeroExtend(width: Width, a: V): V;
  signExtend(width: Width, a: V): V;
  truncate(width: Width, a: V): V;
  /** A boolean as 0 or 1. */
  fromBoolean(width: Width, a: V): V;
  equal(a: V, b: V): V;
  below(a: V, b: V): V;
  less(a: V, b: V): V;
  /** Bit `count` (less than the width) of `a`, as a boolean. */
  bit(a: V, count: V): V;
  signBit(a: V): V;
  not1(a: V): V;
  and1(a: V, b: V): V;
  xor1(a: V, b: V): V;
  select(condition: V, a: V, b: V): V;
  /** Index of the lowest (highest) set bit of a value that is not zero. */
  lowestBit(a: V): V;
  highestBit(a: V): V;
  populationCount(a: V): V;
  byteSwap(a: V): V;
  /** PDEP: the low bits of `a` at the places of `mask`'s set bits. PEXT: the bits of `a` at those places, packed. */
  depositBits(a: V, mask: V): V;
  extractBits(a: V, mask: V): V;
  /** CRC-32C (polynomial 11EDC6F41, reflected) of `value`'s bytes, begun with `crc` (32 bits). */
  crc32c(crc: V, value: V): V;

  flag(name: FlagName): V;
  setFlag(name: FlagName, value: V): void;
  /** As two {@link Ops.setFlag}, in one step. */
  setCarryOverflow(carry: V, overflow: V): void;
  /** The six status flags at their RFLAGS positions (32 bits wide). */
  statusFlags(): V;
  /** Replace those status flags that `mask` names. */
  setStatusFlags(value: V, mask: number): void;
  /** The condition code's truth. */
  holds(condition: number): V;
  /** `carry` says that a carry went in. */
  flagsOfAdd(a: V, b: V, result: V, carry: boolean): void;
  /** `borrow` says that a borrow went in. */
  flagsOfSubtract(a: V, b: V, result: V, borrow: boolean): void;
  flagsOfResult(result: V, extra?: ExtraFlags<V>): void;

  /** Run `then` when `condition` holds, else `otherwise`. */
  when(condition: V, then: () => void, otherwise?: () => void): void;
  /**
   * Repeat `body` until it calls `stop` or rcx runs out; registers are right if an element faults. `whole` names what many
   * elements come to, for a tier that does them at once where nobody can tell.
   */
  repeatString(body: (stopIf: (condition: V) => void) => void, whole?: WholeString): void;

  /** Address of the next instruction. */
  next(): V;
  /** Branch to operand `k`, a relative target. */
  jumpRelative(k: number): void;
  /** #GP(0) unless the 64-bit `target` is canonical; comes before anything that a branch changes. */
  checkTarget(target: V): void;
  jumpTo(target: V): void;
  /** Port input leaves the guest; the accumulator gets the value when the access is completed. */
  portIn(width: 8 | 16 | 32, port: V, form: PortForm): V;
  portOut(port: V, value: V, form: PortForm): void;
  /** #GP(0) unless the program may touch the port: INS and OUTS ask even where they repeat no times. */
  checkPort(width: 8 | 16 | 32, port: V): void;
  /**
   * INS and OUTS leave the guest before their operand in memory is looked at (SDM vol. 3C §25.1.1); nothing happens here when the hypervisor
   * completes one.
   */
  leaveForString(width: 8 | 16 | 32, port: V, direction: 'in' | 'out'): void;
  /** Call a service of the vCPU. It may fault or exit, in which case nothing after it happens. */
  service(name: ServiceName, ...args: V[]): void;
  /** As {@link Ops.service}, for one that yields a 64-bit value. */
  query(name: ServiceName, ...args: V[]): V;
  /** #UD, #DE, #GP(0) …, always. */
  fault(vector: number): void;
}

/** What an instruction does, described in operations. */
export type Meaning = <V>(o: Ops<V>) => void;

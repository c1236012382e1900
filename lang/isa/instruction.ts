/**
 * The shapes that stand between text, bytes and meaning: what the assembler asks the encoder for, and what the decoder
 * hands to the vCPU and to the disassembler. Sizes are in bits throughout.
 */

import type { Register } from './registers.ts';
import type { Row } from './table.ts';
import type { Width } from './width.ts';

export type { Width } from './width.ts';

/** Operating mode of the decoder. Long mode only for now; 32-bit protected mode is a parameter value, not an assumption. */
export type Mode = 'long';

/** A memory operand. `displacement` is sign-extended; with base `rip` it counts from the end of the instruction. */
export interface MemoryReference {
  readonly base: Register | undefined;
  readonly index: Register | undefined;
  readonly scale: 1 | 2 | 4 | 8;
  readonly displacement: bigint;
  /** Segment override that has an effect on the linear address or was written; undefined for the default. */
  readonly segment: Register | undefined;
  /** Bytes the displacement takes in the encoding. */
  readonly displacementBytes: 0 | 1 | 4 | 8;
}

/** One operand of a decoded instruction, implied ones (al of `out dx, al`) included, in NASM's order. */
export type Operand =
  | { readonly kind: 'register'; readonly register: Register }
  | {
      readonly kind: 'memory';
      readonly memory: MemoryReference /** 0 where the operand has no size (lea, invlpg). */;
      readonly width: Width | 0 | 80 | 128;
    }
  /** `value` is extended to the operand size as the instruction does it, and given as an unsigned number of that size. */
  | { readonly kind: 'immediate'; readonly value: bigint; readonly width: Width }
  /** Branch target, counted from the end of the instruction. */
  | { readonly kind: 'relative'; readonly displacement: bigint; readonly width: Width };

/** One decoded instruction. */
export interface Instruction {
  readonly row: Row;
  /** The concrete mnemonic: `jz`, not the row's `jcc`. */
  readonly mnemonic: string;
  /** Condition code 0–15 of jcc, setcc, cmovcc (Intel's tttn); undefined elsewhere. */
  readonly condition: number | undefined;
  /** Length in bytes, 1–15. */
  readonly length: number;
  /** Effective operand size. */
  readonly width: Width;
  readonly addressWidth: 32 | 64;
  readonly lock: boolean;
  /** F3 and F2 where they act as repeat prefixes: `rep` doubles as repe. */
  readonly repeat: 'none' | 'rep' | 'repne';
  readonly operands: readonly Operand[];
}

/** Why bytes are no instruction: they end too early, are undefined (#UD), exceed 15 bytes (#GP), or are known but left out (vector, x87). */
export interface DecodeFailure {
  readonly failure: 'truncated' | 'undefined' | 'too-long' | 'unsupported';
  /** Bytes looked at. */
  readonly length: number;
}

/** One operand as the assembler found it in the source. A value that is not known yet, or is relocatable, is undefined. */
export type SourceOperand =
  | { readonly kind: 'register'; readonly register: Register }
  | {
      readonly kind: 'immediate';
      readonly value: bigint | undefined;
      /** Size word written before it: `byte 5`, `dword x`; for a branch also `short` = 8 and `near` = 32. */
      readonly width?: Width | undefined;
      readonly strict?: boolean | undefined;
    }
  | {
      readonly kind: 'memory';
      /** `byte [..]`, `qword [..]`: undefined when not written. */
      readonly width?: Width | 80 | 128 | undefined;
      readonly base?: Register | undefined;
      readonly index?: Register | undefined;
      readonly scale?: 1 | 2 | 4 | 8 | undefined;
      readonly displacement: bigint | undefined;
      /** Displacement size forced inside the brackets: `[byte rax+1]`, `[dword 8]`, `[qword 8]`. */
      readonly displacementWidth?: 8 | 32 | 64 | undefined;
      /** rip-relative (`rel`, or `default rel` and neither `abs` nor a register). `displacement` is then the target, not a distance. */
      readonly relative?: boolean;
      readonly segment?: Register | undefined;
      /** `[a32 …]`, or implied by the registers. */
      readonly addressWidth?: 32 | 64 | undefined;
      readonly nosplit?: boolean | undefined;
    };

/** What the assembler asks for. */
export interface SourceInstruction {
  readonly mnemonic: string;
  /** `rep`, `repne`, `lock`, `o16`, `o32`, `o64`, `a32`, `a64` … as written, lower case; `far` of `jmp far [rax]` is here too. */
  readonly prefixes: readonly string[];
  readonly operands: readonly SourceOperand[];
}

/** A field whose value is not in the bytes yet. The assembler or the linker puts operand `operand`'s value there. */
export interface Fixup {
  /** Byte offset in the instruction. */
  readonly offset: number;
  readonly bytes: 1 | 2 | 4 | 8;
  /** `relative`: value minus the address of the *end of the instruction*. */
  readonly kind: 'absolute' | 'relative';
  /** Sign-extended by the CPU (so R_X86_64_32S, and range-checked as signed). */
  readonly signed: boolean;
  /** Index of the operand in {@link SourceInstruction.operands}. */
  readonly operand: number;
}

/** A field that holds the value of an operand: an immediate or a displacement. */
export interface ValueField {
  /** Index of the operand in {@link SourceInstruction.operands}. */
  readonly operand: number;
  /** Byte offset in the instruction. */
  readonly offset: number;
  readonly bytes: number;
}

/** Encoded bytes; fields named by `fixups` are zero. */
export interface Encoding {
  readonly bytes: Uint8Array;
  readonly fixups: readonly Fixup[];
  /** What NASM would warn of: a value that was cut to its field (`dword data exceeds bounds`). */
  readonly warnings?: readonly string[];
}

/** Why no row takes these operands. `operand` is the one at fault where one can be told; `forms` the forms the mnemonic has. */
export interface EncodeFailure {
  readonly reason: string;
  readonly operand: number | undefined;
  readonly forms: readonly string[];
}

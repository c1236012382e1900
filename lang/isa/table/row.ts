/**
 * How a row of the instruction table is written. The notation is the SDM's (vol. 2 §3.1.1), as strings, so that the table is
 * plain data; `shape.ts` compiles a row when it is first needed.
 *
 * Operands, comma-separated, in NASM's order:
 *   r8 r16 r32 r64            general register in ModRM.reg, or in the opcode where the encoding says `+r`
 *   rm8 …                     general register or memory in ModRM.rm;  rmr8 … register only;  m8 … m128 memory only
 *   r32na                     … but not eax (xchg eax, eax is no nop)
 *   far16 far32 far64         memory with an offset of that size and a selector
 *   vex32 …                   general register in VEX.vvvv
 *   m                         memory whose size may not be written;  mem: memory whose size does not matter (lea)
 *   moffs8 …                  absolute address inside the instruction
 *   al ax eax rax cl dx …     that register;  a8 av: the accumulator of that width
 *   sreg creg dreg            segment, control, debug register in ModRM.reg
 *   imm                       immediate of the row's width, for 64 bits 32 sign-extended
 *   immv                      immediate of the full width;  imm8 imm16: of that size whatever the width
 *   rotate8                   a byte that may be negative (rorx)
 *   bare8 bare16              the same, where NASM allows no size word before it
 *   simm8 simm32              immediate sign-extended to the row's width, taken where the value fits
 *   uimm32                    immediate zero-extended to 64 bits, taken where the value fits
 *   one                       the constant 1
 *   rel8 rel32                branch target
 *   {di8} {si8} {bx8} {al}…   not written in the source: memory at rdi, rsi, rbx+al, or a register the instruction implies
 * In place of a number: v is 16, 32 or 64; y is 32 or 64; s is 64 or 16. One row then stands for the sizes chosen by the
 * operand-size prefix and REX.W. Memory borrows its size from a register of the same width; `?` at the end: the size need not be
 * written anyway (for rel8: there is no longer form to prefer); `!`: it must be written in spite of that.
 *
 * Encoding:
 *   00                        opcode byte;  0f, 0f38, 0f3a first select the map;  a byte after the opcode is a whole ModRM
 *   66 f2 f3                  mandatory prefix, before the opcode
 *   np                        not after F2 or F3, nor after 66 where that is no operand size: other instructions have those
 *   +r +cc                    register number or condition in the opcode's low bits
 *   /r /0…/7                  ModRM with a register, or with the digit, in its reg field
 *   ib iw id iq iz iv         immediate: 1, 2, 4, 8 bytes; of the row's width up to 4 bytes, or in full
 *   cb cd mo                  branch displacement of 1 or 4 bytes; address-sized offset
 *   o16 o32 o64               only with this operand size;  d64: the size is 64 without REX.W;  f64: 64 whatever the
 *                             prefixes say, as Intel's CPUs do it
 *   a32 a64                   only with this address size
 *   w                         NASM writes REX.W although the CPU ignores it
 *   norexb                    only without REX.B (nop against xchg r8, rax)
 *   vex                       VEX prefix with L = 0, before the map;  REX.W stands for VEX.W
 */

/** One encoding. */
export interface Row {
  /** Canonical mnemonic; `jcc`, `setcc`, `cmovcc` stand for their families. */
  readonly mnemonic: string;
  /** Other names NASM has for the same encoding. */
  readonly aliases: readonly string[];
  readonly operands: string;
  readonly encoding: string;
  /** Flags the instruction may change, by initial: o s z a p c, d, i; `*` for all. */
  readonly flags: string;
  /** Which staged definition of the vCPU says what it does. */
  readonly meaning: string;
  /** Takes a `lock` prefix when its first operand is memory. */
  readonly lock: boolean;
  /** F3/F2 repeat it: `rep` only counts, `repe` also tests ZF. */
  readonly repeat: 'none' | 'rep' | 'repe';
  /** Rows that only the assembler or only the decoder uses: NASM's shorter or odd spellings, the CPU's redundant encodings. */
  readonly only: 'both' | 'encode' | 'decode';
}

/** What a row may say beside its first four columns; the meaning defaults to the mnemonic. */
export interface RowOptions {
  readonly meaning?: string;
  readonly lock?: boolean;
  readonly repeat?: 'rep' | 'repe';
  readonly only?: 'encode' | 'decode';
}

/** Declares a row. `names`: the mnemonic, then aliases, separated by blanks. */
export function row(names: string, operands: string, encoding: string, flags = '', options: RowOptions = {}): Row {
  const [mnemonic = '', ...aliases] = names.split(' ');
  return {
    mnemonic,
    aliases,
    operands,
    encoding,
    flags,
    meaning: options.meaning ?? mnemonic,
    lock: options.lock ?? false,
    repeat: options.repeat ?? 'none',
    only: options.only ?? 'both',
  };
}

/** What the processor remembers for whoever has to say why the guest died. */

/** An instruction that this processor has not, met by the guest; it also raised #UD. */
export interface Unsupported {
  readonly rip: bigint;
  /** Bytes from rip on, the instruction's own and some that follow, as far as they could be fetched. */
  readonly bytes: Uint8Array;
  /** Disassembly, if the instruction table knows it. */
  readonly text: string | undefined;
}

/** An exception that an instruction raised. */
export interface RaisedException {
  readonly vector: number;
  readonly errorCode: number | undefined;
  readonly rip: bigint;
  /** Address that a page fault is about. */
  readonly faultAddress: bigint;
  /** The registers as the instruction found them: rax … r15 signed, RFLAGS, CR3, the privilege level. */
  readonly registers: BigInt64Array;
  readonly rflags: bigint;
  readonly cr3: bigint;
  readonly privilege: number;
}

/** One case as native.c reads and writes it. */

export const DATA = 0x10000f80;
export const DATA_BYTES = 256;
/** Where the data crosses into a page whose protection a case chooses. */
export const SECOND_PAGE = 0x10001000;
export const CODE = 0x20000000;
export const CODE_BYTES = 32;
export const RECORD_BYTES = 16 * 8 + 7 * 8 + CODE_BYTES + DATA_BYTES;

const RFLAGS = 128;
const RIP = 136;
const SIGNAL = 144;
const TRAP = 152;
const ERROR = 160;
const CR2 = 168;
const SECOND = 176;
const CODE_AT = 184;
const DATA_AT = CODE_AT + CODE_BYTES;

/** A view of one record. */
export class CaseRecord {
  readonly bytes: Buffer;

  constructor(bytes: Buffer = Buffer.alloc(RECORD_BYTES)) {
    this.bytes = bytes;
  }

  register(number: number): bigint {
    return this.bytes.readBigUInt64LE(number * 8);
  }
  setRegister(number: number, value: bigint): void {
    this.bytes.writeBigUInt64LE(BigInt.asUintN(64, value), number * 8);
  }
  get rflags(): bigint {
    return this.bytes.readBigUInt64LE(RFLAGS);
  }
  set rflags(value: bigint) {
    this.bytes.writeBigUInt64LE(value, RFLAGS);
  }
  /** Where it faulted; 0 if it did not. */
  get rip(): bigint {
    return this.bytes.readBigUInt64LE(RIP);
  }
  /** The signal it died of; 0 if none. */
  get signal(): number {
    return Number(this.bytes.readBigUInt64LE(SIGNAL));
  }
  get vector(): number {
    return Number(this.bytes.readBigUInt64LE(TRAP));
  }
  get errorCode(): number {
    return Number(this.bytes.readBigUInt64LE(ERROR));
  }
  get cr2(): bigint {
    return this.bytes.readBigUInt64LE(CR2);
  }
  /** What {@link signal}, {@link vector}, {@link errorCode}, {@link rip} and {@link cr2} tell. */
  setFault(fault: { signal: number; vector: bigint; errorCode: bigint; rip: bigint; cr2: bigint }): void {
    this.bytes.writeBigUInt64LE(fault.rip, RIP);
    this.bytes.writeBigUInt64LE(BigInt(fault.signal), SIGNAL);
    this.bytes.writeBigUInt64LE(fault.vector, TRAP);
    this.bytes.writeBigUInt64LE(fault.errorCode, ERROR);
    this.bytes.writeBigUInt64LE(fault.cr2, CR2);
  }
  /** The second page: 0 writable, 1 not present, 2 read-only. */
  get second(): number {
    return this.bytes[SECOND]!;
  }
  set second(value: number) {
    this.bytes[SECOND] = value;
  }
  get code(): Buffer {
    return this.bytes.subarray(CODE_AT, CODE_AT + CODE_BYTES);
  }
  get data(): Buffer {
    return this.bytes.subarray(DATA_AT, DATA_AT + DATA_BYTES);
  }
}

/**
 * The card's EEPROM, 64 words of 16 bits, and the two ways to read it: EERD gives a word at once; EECD is the wires of the
 * chip itself, a Microwire part that takes nine bits (start, opcode 10, address) on DI and then gives words on DO, each bit at
 * a rising edge of SK while CS is up (82540EM manual, 5.3.1 and 13.4.3; National Semiconductor NM93C46).
 */

const WORDS = 64;
const CHECKSUM = 63;
/** All words add up to this. */
const SUM = 0xbaba;
const READ_OPCODE = 6;
const REQUEST_BITS = 9;

const EECD_SK = 0x1;
const EECD_CS = 0x2;
const EECD_DI = 0x4;
const EECD_DO = 0x8;
const EECD_FWE = 0x30;
const EECD_REQ = 0x40;
const EECD_GNT = 0x80;
const EECD_PRES = 0x100;
const EERD_START = 0x01;
const EERD_DONE = 0x10;
const EERD_ADDRESS = 8;

/** Words that say something, by index: the manual's table 5-2. Other words are as named by {@link BLANK}. */
const CONTENT: readonly (readonly [first: number, ...words: number[]])[] = [
  [3, 0x0000, 0xffff, 0x0000, 0x0000, 0x0000],
  [8, 0x3000, 0x1000, 0x6403, 0x0000, 0x8086, 0x0000, 0x8086, 0x3040],
  [16, 0x0008, 0x2000, 0x7e14, 0x0048, 0x1000, 0x00d8, 0x0000, 0x2700],
  [24, 0x6cc9, 0x3150, 0x0722, 0x040b, 0x0984, 0x0000, 0xc000, 0x0706],
  [32, 0x1008, 0x0000, 0x0f04, 0x7fff, 0x4d01],
  [48, 0x0100, 0x4000, 0x121c],
];
const BLANK = 0xffff;
/** Words that hold the PCI device id. */
const DEVICE_ID = [11, 13];

export class Eeprom {
  readonly #words = new Uint16Array(WORDS).fill(BLANK);
  #lines = 0;
  #shifted = 0;
  #bitsIn = 0;
  #bitsOut = 0;
  #reading = false;

  constructor(mac: readonly number[], deviceId: number) {
    for (const [first, ...words] of CONTENT) this.#words.set(words, first);
    for (let i = 0; i < 3; i++) this.#words[i] = mac[2 * i]! | (mac[2 * i + 1]! << 8);
    for (const index of DEVICE_ID) this.#words[index] = deviceId;
    const sum = this.#words.subarray(0, CHECKSUM).reduce((a, b) => a + b, 0);
    this.#words[CHECKSUM] = SUM - sum;
  }

  /** EERD, of which `written` was the last write: with START set, the word it asks for and DONE. */
  eerd(written: number): number {
    if ((written & EERD_START) === 0) return written;
    const rest = written & ~EERD_START;
    const index = rest >>> EERD_ADDRESS;
    const done = (rest | EERD_DONE) >>> 0;
    return index > CHECKSUM ? done : (done | (this.#words[index]! << 16)) >>> 0;
  }

  /** EECD: the wires as driven, DO, and that the EEPROM is there and ours. */
  get eecd(): number {
    const bit = this.#words[(this.#bitsOut >> 4) & (WORDS - 1)]! >> (15 - (this.#bitsOut & 15));
    const out = !this.#reading || (bit & 1) !== 0 ? EECD_DO : 0;
    return EECD_PRES | EECD_GNT | this.#lines | out;
  }

  /** A write to EECD drives the wires. */
  drive(value: number): void {
    const changed = value ^ this.#lines;
    this.#lines = value & (EECD_SK | EECD_CS | EECD_DI | EECD_FWE | EECD_REQ);
    if ((value & EECD_CS) === 0) return;
    if ((changed & EECD_CS) !== 0) {
      this.#shifted = 0;
      this.#bitsIn = 0;
      this.#bitsOut = 0;
      this.#reading = false;
    }
    if ((changed & EECD_SK) === 0) return;
    if ((value & EECD_SK) === 0) this.#bitsOut = (this.#bitsOut + 1) & 0xffff;
    else this.#shiftIn((value & EECD_DI) === 0 ? 0 : 1);
  }

  #shiftIn(bit: number): void {
    this.#shifted = (this.#shifted << 1) | bit;
    this.#bitsIn = (this.#bitsIn + 1) & 0xffff;
    if (this.#bitsIn !== REQUEST_BITS || this.#reading) return;
    // The falling edge that follows brings the first bit.
    this.#bitsOut = (((this.#shifted & (WORDS - 1)) << 4) - 1) & 0xffff;
    this.#reading = ((this.#shifted >> 6) & 7) === READ_OPCODE;
  }
}

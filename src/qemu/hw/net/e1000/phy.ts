/**
 * The card's PHY, an M88E1000, behind the MDIC register: its own 32 registers of 16 bits, which negotiate the link (IEEE
 * 802.3 clause 22; 82540EM manual, 8.9 and 13.4.12; hw/net/e1000.c: set_mdic, set_phy_ctrl).
 */

const PHY = 1;
const PHY_REGISTERS = 32;
const MDIC_DATA = 0xffff;
const MDIC_WRITE = 0x0400_0000;
const MDIC_READ = 0x0800_0000;
const MDIC_READY = 0x1000_0000;
const MDIC_INTERRUPT = 0x2000_0000;
const MDIC_ERROR = 0x4000_0000;

const BMCR = 0;
const BMCR_RESERVED = 0x3f;
const BMCR_ANRESTART = 0x200;
const BMCR_AUTOEN = 0x1000;
const BMCR_LOOPBACK = 0x4000;
const BMCR_RESET = 0x8000;
const BMSR = 1;
const BMSR_LINK = 0x4;
const BMSR_AUTONEGOTIATED = 0x20;
const ANLPAR = 5;
const ANLPAR_ACK = 0x4000;

/** Registers by number: what they are after reset, and whether the driver may write them. */
const REGISTERS: ReadonlyMap<number, { readonly reset: number; readonly writable: boolean }> = new Map(
  (
    [
      [BMCR, 0x1140, true],
      [BMSR, 0x794d, false],
      [2, 0x0141, false],
      [3, 0x0c20, false],
      [4, 0x0de1, true],
      [ANLPAR, 0x01e0, false],
      [6, 0x0000, false],
      [9, 0x0e00, true],
      [10, 0x3c00, false],
      [16, 0x0360, true],
      [17, 0xac00, false],
      [20, 0x0d60, true],
      [21, 0x0000, false],
    ] as const
  ).map(([number, reset, writable]) => [number, { reset, writable }]),
);

export class Phy {
  readonly #registers = new Uint16Array(PHY_REGISTERS);
  readonly #negotiate: () => void;

  /** `negotiate` is called when the driver asks for a new negotiation of the link. */
  constructor(negotiate: () => void) {
    this.#negotiate = negotiate;
  }

  reset(): void {
    for (const [number, { reset }] of REGISTERS) this.#registers[number] = reset;
  }

  /** What is sent comes back. */
  get loopback(): boolean {
    return (this.#registers[BMCR]! & BMCR_LOOPBACK) !== 0;
  }

  linkDown(): void {
    this.#registers[BMSR] = this.#registers[BMSR]! & ~(BMSR_LINK | BMSR_AUTONEGOTIATED);
    this.#registers[ANLPAR] = this.#registers[ANLPAR]! & ~ANLPAR_ACK;
  }

  /** Both ends agree. */
  negotiated(): void {
    this.#registers[BMSR] = this.#registers[BMSR]! | BMSR_LINK | BMSR_AUTONEGOTIATED;
    this.#registers[ANLPAR] = this.#registers[ANLPAR]! | ANLPAR_ACK;
  }

  /** A write of `value` to MDIC, which read `before`: what it reads now, and whether the end of it is to interrupt. */
  mdic(value: number, before: number): { readonly value: number; readonly interrupt: boolean } {
    const answer = this.#transact(value, before);
    return { value: (answer | MDIC_READY) >>> 0, interrupt: (answer & MDIC_INTERRUPT) !== 0 };
  }

  #transact(value: number, before: number): number {
    const number = (value >>> 16) & 0x1f;
    if (((value >>> 21) & 0x1f) !== PHY) return before | MDIC_ERROR;
    const register = REGISTERS.get(number);
    if ((value & MDIC_READ) !== 0) {
      return register === undefined ? value | MDIC_ERROR : (value & ~MDIC_DATA) | this.#registers[number]!;
    }
    if ((value & MDIC_WRITE) === 0) return value;
    if (!register?.writable) return value | MDIC_ERROR;
    this.#write(number, value & MDIC_DATA);
    return value;
  }

  #write(number: number, value: number): void {
    if (number !== BMCR) {
      this.#registers[number] = value;
      return;
    }
    this.#registers[BMCR] = value & ~(BMCR_RESERVED | BMCR_RESET | BMCR_ANRESTART);
    if ((value & BMCR_AUTOEN) !== 0 && (value & BMCR_ANRESTART) !== 0) this.#negotiate();
  }
}

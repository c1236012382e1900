/** Debug registers and debug exceptions: SDM vol. 3B ch. 18.2–18.3. */

/** Bits of DR6 that say why #DB was raised; 3:0 are the breakpoints. */
export const DR6 = {
  /** A debug register was touched while DR7.GD was set. */
  ACCESS: 1 << 13,
  SINGLE_STEP: 1 << 14,
} as const;
/** Bits 31:16 and 11:4 of DR6 read as one where nothing is wired to them. */
const DR6_ONES = 0xffff0ff0;
const DR6_SETTABLE = 0x0000e00f;
const DR7_ONE = 1 << 10;
const DR7_GENERAL_DETECT = 1 << 13;
/** L0–G3. */
const DR7_ENABLES = 0xff;
const DR7_SETTABLE = 0xffff2bff;

/** R/W field of a breakpoint: what it waits for. */
const ON_EXECUTE = 0;
const ON_WRITE = 1;
const ON_PORT = 2;

/** The debug registers of one vCPU. Addresses are signed doubles. */
export class DebugRegisters {
  readonly #addresses = [0n, 0n, 0n, 0n];
  #status = DR6_ONES | 0;
  #control = DR7_ONE;
  /** Breakpoints in force: the guest's, unless the hypervisor has put its own in their place. */
  #watched: readonly bigint[] = this.#addresses;
  #enables = DR7_ONE;
  #borrowed = false;
  /** Bits for DR6 that the instruction at hand, or the one before it, has earned; #DB follows at the next boundary. */
  pending = 0;
  /** What DR6 will say of the #DB that is being raised: it does once the exception reaches the guest, not if that is an exit. */
  reasons = 0;
  /** Some breakpoint is enabled, so each instruction has to be looked at. */
  active = false;

  /** DR`number` (0–3, 6, 7), unsigned. */
  get(number: number): bigint {
    if (number === 6) return BigInt(this.#status >>> 0);
    if (number === 7) return BigInt(this.#control >>> 0);
    return this.#addresses[number]!;
  }

  /** Replace a register; bits that are fixed keep their value. */
  set(number: number, value: bigint): void {
    const low = Number(BigInt.asIntN(32, value));
    if (number === 6) this.#status = (low & DR6_SETTABLE) | DR6_ONES;
    else if (number === 7) {
      this.#control = (low & DR7_SETTABLE) | DR7_ONE;
      if (!this.#borrowed) this.#watch(this.#addresses, this.#control);
    } else this.#addresses[number] = BigInt.asUintN(64, value);
  }

  /**
   * The hypervisor's breakpoints instead of the guest's, which keep their values and do not fire; `undefined` ends it.
   * Fidelity: on VMX each MOV of a debug register would exit meanwhile, for the hypervisor to answer with the guest's values.
   */
  borrow(own: { readonly addresses: readonly bigint[]; readonly control: number } | undefined): void {
    this.#borrowed = own !== undefined;
    this.#watch(own?.addresses ?? this.#addresses, own?.control ?? this.#control);
  }

  #watch(addresses: readonly bigint[], control: number): void {
    this.#watched = addresses;
    this.#enables = control;
    this.active = (control & DR7_ENABLES) !== 0;
  }

  get generalDetect(): boolean {
    return (this.#control & DR7_GENERAL_DETECT) !== 0;
  }

  /** #DB goes to the guest: DR6 gets its reasons, and the handler may touch the debug registers. */
  report(): void {
    this.#status |= this.reasons;
    this.reasons = 0;
    this.#control &= ~DR7_GENERAL_DETECT;
  }

  /** Bits 3:0 for the enabled breakpoints of one of `kinds` that overlap `bytes` bytes at `address`. */
  #hits(address: number, bytes: number, wanted: (kind: number) => boolean): number {
    let hits = 0;
    for (let index = 0; index < 4; index++) {
      if (((this.#enables >> (index * 2)) & 3) === 0 || !wanted((this.#enables >> (16 + index * 4)) & 3)) continue;
      const length = [1, 2, 8, 4][(this.#enables >> (18 + index * 4)) & 3]!;
      const start = Number(BigInt.asIntN(64, this.#watched[index]! & ~BigInt(length - 1)));
      if (address < start + length && start < address + bytes) hits |= 1 << index;
    }
    return hits;
  }

  /** Instruction breakpoints at `address`: bits for DR6. */
  executes(address: number): number {
    return this.active ? this.#hits(address, 1, (kind) => kind === ON_EXECUTE) : 0;
  }

  /** Note a data access: watchpoints report after the instruction. */
  touches(address: number, bytes: number, write: boolean): void {
    this.pending |= this.#hits(address, bytes, (kind) => kind === 3 || (write && kind === ON_WRITE));
  }

  /** Note a port access (CR4.DE). */
  touchesPort(port: number, bytes: number): void {
    this.pending |= this.#hits(port, bytes, (kind) => kind === ON_PORT);
  }

  /** Whether a data breakpoint lies in the page at `page`, which the TLB then must not hold. */
  watches(page: number): boolean {
    return this.active && this.#hits(page, 4096, (kind) => kind === ON_WRITE || kind === 3) !== 0;
  }
}

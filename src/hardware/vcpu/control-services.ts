/** Control and debug registers as instructions reach them, and the invalidation of translations: SDM vol. 3A ch. 2.5, 4.10. */

import { DR6 } from './debug-registers.ts';
import { OUTCOME } from './interpreter/js-code.ts';
import type { ServicesOf } from './interpreter/service-rooms.ts';
import {
  CR0_CD,
  CR0_ET,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR4_DE,
  CR4_PAE,
  CR4_PCIDE,
  CR4_UMIP,
  isCanonical,
  PHYSICAL_ADDRESS_BITS,
} from './paging.ts';
import { VECTOR } from './pending-event.ts';
import { answer, isPrivileged, type Processor, refuse, type Service } from './processor.ts';

/** PE MP EM TS ET NE WP AM NW CD PG. Writes of the others in the low half are ignored (SDM vol. 3A §2.5). */
const CR0_KNOWN = 0xe005_003fn;
/** TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT UMIP FSGSBASE PCIDE SMEP SMAP. The others are reserved here: CPUID has no VME. */
export const CR4_KNOWN = 0x0033_0ffcn;
/** CR3 bit 63, with PCIDs on: keep the translations. This TLB drops them in spite of it, as every processor may. */
const CR3_KEEP = 1n << 63n;
const CR3_ADDRESS = (1n << BigInt(PHYSICAL_ADDRESS_BITS)) - 1n;
const CR3_PCID = 0xfffn;
/** Last kind of INVPCID: all contexts but global pages. */
const INVPCID_KINDS = 3n;

/** Services of one vCPU about its control registers. Register values are signed bigints. */
export class ControlServices implements Record<ServicesOf<'controls'>, Service> {
  readonly #cpu: Processor;
  /** CR2. */
  faultAddress = 0n;
  /** CR8. */
  taskPriority = 0;

  constructor(cpu: Processor) {
    this.#cpu = cpu;
  }

  /** Control register `number`, unsigned; undefined if there is none. */
  get(number: number): bigint | undefined {
    const { mmu } = this.#cpu;
    switch (number) {
      case 0:
        return mmu.guest.cr0;
      case 2:
        return BigInt.asUintN(64, this.faultAddress);
      case 3:
        return mmu.guest.cr3;
      case 4:
        return mmu.guest.cr4;
      case 8:
        return BigInt(this.taskPriority);
      default:
        return undefined;
    }
  }

  /** Set a control register without the checks that MOV makes. */
  set(number: number, value: bigint): void {
    const { mmu } = this.#cpu;
    switch (number) {
      case 0:
        mmu.guest.cr0 = value | CR0_ET;
        mmu.updateAlignment();
        break;
      case 2:
        this.faultAddress = value;
        break;
      case 3:
        mmu.guest.cr3 = value & (CR3_KEEP - 1n);
        break;
      case 4:
        mmu.guest.cr4 = value;
        break;
      default:
        this.taskPriority = Number(value & 15n);
    }
    if (number !== 2 && number !== 8) mmu.flush();
  }

  readControl(number: number): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    const value = this.get(number);
    return value === undefined ? this.#cpu.event.raise(VECTOR.UD) : answer(this.#cpu, value);
  }

  writeControl(number: number, value: bigint): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    const unsigned = BigInt.asUintN(64, value);
    if (this.get(number) === undefined) return this.#cpu.event.raise(VECTOR.UD);
    if (this.#isInvalid(number, unsigned)) return refuse(this.#cpu);
    this.set(number, number === 0 ? unsigned & CR0_KNOWN : unsigned);
    return OUTCOME.STOP;
  }

  #isInvalid(number: number, value: bigint): boolean {
    const { cr3, cr4 } = this.#cpu.mmu.guest;
    switch (number) {
      case 0:
        // Fidelity: leaving paging, which long mode needs, is a fault and not a change of mode.
        return (
          value >> 32n !== 0n ||
          (value & (CR0_PE | CR0_PG)) !== (CR0_PE | CR0_PG) ||
          (value & (CR0_NW | CR0_CD)) === CR0_NW
        );
      case 3: {
        const keep = (cr4 & CR4_PCIDE) !== 0n ? CR3_KEEP : 0n;
        return (value & ~(CR3_ADDRESS | keep)) !== 0n;
      }
      case 4:
        if ((value & ~CR4_KNOWN) !== 0n || (value & CR4_PAE) === 0n) return true;
        return (value & ~cr4 & CR4_PCIDE) !== 0n && (cr3 & CR3_PCID) !== 0n;
      case 8:
        return value > 15n;
      default:
        return false;
    }
  }

  readMachineStatus(): number {
    const { mmu } = this.#cpu;
    if ((mmu.guest.cr4 & CR4_UMIP) !== 0n && mmu.guest.privilege !== 0) return refuse(this.#cpu);
    return answer(this.#cpu, mmu.guest.cr0);
  }

  /** LMSW reaches PE, MP, EM and TS; it can set PE but not clear it. */
  writeMachineStatus(value: number): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    const { cr0 } = this.#cpu.mmu.guest;
    this.set(0, (cr0 & ~0xen) | BigInt(value & 0xf));
    return OUTCOME.STOP;
  }

  clearTaskSwitched(): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    this.#cpu.mmu.guest.cr0 &= ~CR0_TS;
    return 0;
  }

  /** Privilege, DR4 and DR5 as names of DR6 and DR7 (undefined under CR4.DE), and DR7.GD. A number to use, or an outcome. */
  #debugRegister(number: number): number {
    const { event, debug, mmu } = this.#cpu;
    const alias = number === 4 || number === 5;
    if (alias && (mmu.guest.cr4 & CR4_DE) !== 0n) return event.raise(VECTOR.UD);
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    if (debug.generalDetect) {
      debug.reasons = DR6.ACCESS;
      return event.raise(VECTOR.DB);
    }
    return alias ? number + 2 : number;
  }

  readDebug(number: number): number {
    const register = this.#debugRegister(number);
    return register < 0 ? register : answer(this.#cpu, this.#cpu.debug.get(register));
  }

  writeDebug(number: number, value: bigint): number {
    const register = this.#debugRegister(number);
    if (register < 0) return register;
    if (register >= 6 && BigInt.asUintN(64, value) >> 32n !== 0n) return refuse(this.#cpu);
    this.#cpu.debug.set(register, value);
    this.#cpu.mmu.flush();
    return OUTCOME.STOP;
  }

  /** INVLPG; `address` is a signed double, as addresses are in generated code. */
  invalidatePage(address: number): number {
    if (!isPrivileged(this.#cpu)) return refuse(this.#cpu);
    this.#cpu.mmu.invalidatePage(address);
    return OUTCOME.STOP;
  }

  invalidatePcid(kind: bigint, descriptor: bigint, address: bigint): number {
    const { mmu } = this.#cpu;
    const one = kind === 0n || kind === 1n;
    const strayPcid = one && (mmu.guest.cr4 & CR4_PCIDE) === 0n && (descriptor & CR3_PCID) !== 0n;
    const reserved = BigInt.asUintN(64, descriptor) > CR3_PCID;
    if (BigInt.asUintN(64, kind) > INVPCID_KINDS || reserved || strayPcid) return refuse(this.#cpu);
    if (kind === 0n && !isCanonical(Number(address))) return refuse(this.#cpu);
    mmu.flush();
    return OUTCOME.STOP;
  }
}

/** The local APIC's registers: where they lie, and which of their bits are kept (SDM vol. 3A ch. 11; arch/x86/kvm/lapic.c). */

import { DELIVERY } from './apic-message.ts';

/** Offsets of the registers. */
export const APIC = {
  ID: 0x20,
  VERSION: 0x30,
  TASK_PRIORITY: 0x80,
  PROCESSOR_PRIORITY: 0xa0,
  EOI: 0xb0,
  LOGICAL_DESTINATION: 0xd0,
  DESTINATION_FORMAT: 0xe0,
  SPURIOUS: 0xf0,
  ISR: 0x100,
  TMR: 0x180,
  IRR: 0x200,
  ERROR: 0x280,
  COMMAND: 0x300,
  COMMAND_HIGH: 0x310,
  LVT_TIMER: 0x320,
  LVT_THERMAL: 0x330,
  LVT_PERFORMANCE: 0x340,
  LVT0: 0x350,
  LVT1: 0x360,
  LVT_ERROR: 0x370,
  TIMER_INITIAL: 0x380,
  TIMER_CURRENT: 0x390,
  TIMER_DIVIDE: 0x3e0,
} as const;

/** Reads as 0. */
const ARBITRATION_PRIORITY = 0x90;

/** MSR_IA32_APICBASE. */
export const APIC_BASE_DEFAULT = 0xfee00000;
export const APIC_BASE_BOOT_CPU = 1n << 8n;
export const APIC_BASE_ENABLE = 1n << 11n;

/** Version 0x14, six entries in the local vector table. */
export const APIC_VERSION = 0x50014;
export const LVT_MASKED = 1 << 16;
export const LVT_MODE_EXTINT = DELIVERY.EXTINT << 8;
export const SOFTWARE_ENABLE = 1 << 8;
export const FLAT_MODEL = 0xf;
/** Bits of a vector's entry that KVM keeps, delivery status and remote IRR among them, which silicon would not (LVT_MASK, LINT_MASK). */
const LVT_ENTRY = LVT_MASKED | (1 << 12) | 0xff;
export const LVT_DELIVERY_MODE = 0x700;
export const LVT_TIMER_PERIODIC = 1 << 17;
export const LVT_LEVEL = 1 << 15;
const LVT_LINE = LVT_ENTRY | LVT_DELIVERY_MODE | (1 << 13) | (1 << 14) | LVT_LEVEL;
/** Which bits of the local vector table may be written (apic_lvt_mask). */
export const LVT_WRITABLE: Readonly<Record<number, number>> = {
  [APIC.LVT_TIMER]: LVT_ENTRY | LVT_TIMER_PERIODIC,
  [APIC.LVT_THERMAL]: LVT_ENTRY | LVT_DELIVERY_MODE,
  [APIC.LVT_PERFORMANCE]: LVT_ENTRY | LVT_DELIVERY_MODE,
  [APIC.LVT0]: LVT_LINE,
  [APIC.LVT1]: LVT_LINE,
  [APIC.LVT_ERROR]: LVT_ENTRY,
};
export const APIC_STATE_BYTES = 1024;
/** How the registers lie: 32 bits at each multiple of 16. */
export const STRIDE = 16;

/** apic_lvt_nmi_mode. */
export const inNmiMode = (entry: number): boolean => (entry & (LVT_DELIVERY_MODE | LVT_MASKED)) === DELIVERY.NMI << 8;

const BITMAPS = [APIC.ISR, APIC.TMR, APIC.IRR];
const WRITE_ONLY: ReadonlySet<number> = new Set([APIC.EOI]);
const registers: ReadonlySet<number> = new Set([
  ARBITRATION_PRIORITY,
  ...Object.values(APIC).filter((register) => !WRITE_ONLY.has(register)),
  ...BITMAPS.flatMap((first) => Array.from({ length: 8 }, (_, word) => first + word * STRIDE)),
]);
/** Whether there is something to read at `register` (kvm_lapic_reg_read: valid_reg_mask). */
export const registerExists = (register: number): boolean => registers.has(register);

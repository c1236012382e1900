/** An interrupt on its way to local APICs, and which of them it is for (arch/x86/kvm/irq_comm.c, lapic.c). */

export const DELIVERY = { FIXED: 0, LOWEST: 1, SMI: 2, NMI: 4, INIT: 5, STARTUP: 6, EXTINT: 7 } as const;
export const SHORTHAND = { NONE: 0, SELF: 1, ALL: 2, ALL_BUT_SELF: 3 } as const;

/** struct kvm_lapic_irq. */
export interface ApicMessage {
  readonly vector: number;
  /** One of {@link DELIVERY}. */
  readonly deliveryMode: number;
  readonly logical: boolean;
  readonly destination: number;
  readonly levelTriggered: boolean;
  /** False: INIT level de-assert, which does nothing. */
  readonly assert: boolean;
  /** One of {@link SHORTHAND}. */
  readonly shorthand: number;
}

/** Who messages are for: a local APIC. */
export interface ApicTarget {
  readonly hardwareEnabled: boolean;
  readonly softwareEnabled: boolean;
  readonly priority: number;
  matches(message: ApicMessage, source: ApicTarget | undefined): boolean;
  /** 1 if it took the message, else 0. */
  accept(message: ApicMessage): number;
}

/** Low and high half of an MSI's address, and its data, as a message (kvm_set_msi_irq). */
export const messageOfMsi = (addressLow: number, addressHigh: number, data: number): ApicMessage => ({
  vector: data & 0xff,
  deliveryMode: (data >> 8) & 7,
  logical: (addressLow & 4) !== 0,
  destination: ((addressLow >>> 12) & 0xff) | (addressHigh & 0xffffff00),
  levelTriggered: (data & (1 << 15)) !== 0,
  assert: true,
  shorthand: SHORTHAND.NONE,
});

/**
 * kvm_irq_delivery_to_apic: how many local APICs took the message; 0 if it was coalesced or refused, -1 if it was for none.
 */
export function deliver(lapics: readonly ApicTarget[], source: ApicTarget | undefined, message: ApicMessage): number {
  let result = -1;
  let lowest: ApicTarget | undefined;
  for (const lapic of lapics) {
    if (!lapic.hardwareEnabled || !lapic.matches(message, source)) continue;
    if (message.deliveryMode !== DELIVERY.LOWEST) result = Math.max(result, 0) + lapic.accept(message);
    else if (lapic.softwareEnabled && (lowest === undefined || lapic.priority < lowest.priority)) lowest = lapic;
  }
  return lowest === undefined ? result : lowest.accept(message);
}

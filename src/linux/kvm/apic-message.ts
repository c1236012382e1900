/** An interrupt on its way to local APICs, and which of them it is for (arch/x86/kvm/irq_comm.c, lapic.c). */

export const DELIVERY = {
  FIXED: 0,
  LOWEST: 1,
  SMI: 2,
  REMOTE_READ: 3,
  NMI: 4,
  INIT: 5,
  STARTUP: 6,
  EXTINT: 7,
} as const;
/** Other fields of an interrupt command. */
export const APIC_DESTINATION_LOGICAL = 1 << 11;
const APIC_ASSERT = 1 << 14;
const APIC_LEVEL = 1 << 15;
export const APIC_SHORTHAND = 3 << 18;
const BROADCAST = 0xff;
export const SHORTHAND = { NONE: 0, SELF: 1, ALL: 2, ALL_BUT_SELF: 3 } as const;

/** struct kvm_lapic_irq. */
export interface ApicMessage {
  readonly vector: number;
  /** One of {@link DELIVERY}. */
  readonly deliveryMode: number;
  readonly logical: boolean;
  readonly destination: number;
  readonly levelTriggered: boolean;
  /** An MSI's redirection hint: for one of those that it names, as with lowest priority. */
  readonly redirected?: boolean;
  /** False: INIT level de-assert, which does nothing. */
  readonly assert: boolean;
  /** One of {@link SHORTHAND}. */
  readonly shorthand: number;
}

/** Who messages are for: a local APIC. */
export interface ApicTarget {
  readonly hardwareEnabled: boolean;
  readonly softwareEnabled: boolean;
  readonly logicalModels: number;
  matches(message: ApicMessage, source: ApicTarget | undefined): boolean;
  /** 1 if it took the message, else 0. */
  accept(message: ApicMessage): number;
}

/**
 * The low half of an MSI's address, and its data, as a message (kvm_set_msi_irq). The high half means nothing without
 * KVM_CAP_X2APIC_API.
 */
export const messageOfMsi = (addressLow: number, data: number): ApicMessage => ({
  vector: data & 0xff,
  deliveryMode: (data >> 8) & 7,
  logical: (addressLow & 4) !== 0,
  destination: (addressLow >>> 12) & 0xff,
  levelTriggered: (data & (1 << 15)) !== 0,
  redirected: (addressLow & 8) !== 0,
  assert: true,
  shorthand: SHORTHAND.NONE,
});

/** An interrupt command, as a local APIC's register and a hypercall have it, as a message (kvm_apic_send_ipi, __pv_send_ipi). */
export const messageOfCommand = (command: number, destination: number): ApicMessage => ({
  vector: command & 0xff,
  deliveryMode: (command >> 8) & 7,
  logical: (command & APIC_DESTINATION_LOGICAL) !== 0,
  destination,
  levelTriggered: (command & APIC_LEVEL) !== 0,
  assert: (command & APIC_ASSERT) !== 0,
  shorthand: (command & APIC_SHORTHAND) >> 18,
});

/**
 * kvm_irq_delivery_to_apic: how many local APICs took the message; 0 if it was coalesced, refused or addressed to one that is
 * not there, -1 if nobody knows an address of its kind.
 */
export function deliver(lapics: readonly ApicTarget[], source: ApicTarget | undefined, message: ApicMessage): number {
  const lowest = message.deliveryMode === DELIVERY.LOWEST || message.redirected === true;
  if (lowest && message.shorthand === SHORTHAND.NONE && message.destination === BROADCAST && !message.logical)
    return deliver(lapics, source, { ...message, deliveryMode: DELIVERY.FIXED, redirected: false });
  let result = addressable(lapics, message) ? 0 : -1;
  const candidates: ApicTarget[] | undefined = lowest ? [] : undefined;
  for (const lapic of lapics) {
    if (!lapic.hardwareEnabled || !lapic.matches(message, source)) continue;
    if (candidates === undefined) result = Math.max(result, 0) + lapic.accept(message);
    else if (lapic.softwareEnabled) candidates.push(lapic);
  }
  if (candidates === undefined || candidates.length === 0) return result;
  // Of those it could go to the vector chooses one, whatever they do (vector_hashing, kvm_vector_to_index).
  return candidates[message.vector % candidates.length]!.accept(message);
}

/** kvm_apic_map_get_dest_lapic: whether the map of local APICs knows who such a destination is for, if only that it is nobody. */
export function addressable(lapics: readonly ApicTarget[], { shorthand, destination, logical }: ApicMessage): boolean {
  if (shorthand !== SHORTHAND.NONE || destination === BROADCAST) return false;
  if (!logical) return true;
  let models = 0;
  for (const lapic of lapics) if (lapic.hardwareEnabled) models |= lapic.logicalModels;
  return models === 1 || models === 2;
}

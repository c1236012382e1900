/**
 * INIT and start-up messages: the local APIC takes them at once, and its vCPU looks at them before it runs the next time
 * (arch/x86/kvm/lapic.c: kvm_apic_accept_events).
 */

import { KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_RUNNABLE } from '../uapi/kvm.ts';
import type { Cpu } from './cpu.ts';
import type { Lapic } from './lapic.ts';
import { resetCpu } from './reset.ts';

const PAGE_SHIFT = 12;
const SELECTOR_SHIFT = 8;

/** What has arrived and was not looked at yet (`pending_events` of struct kvm_lapic). */
export class ApicEvents {
  /** KVM_APIC_INIT. */
  init = false;
  /** KVM_APIC_SIPI. */
  startup = false;
  /** The page that the last start-up message named. */
  sipiVector = 0;

  get pending(): boolean {
    return this.init || this.startup;
  }

  /** What came before an INIT no longer counts. */
  initArrived(): void {
    this.init = true;
    this.startup = false;
  }

  startupArrived(vector: number): void {
    this.startup = true;
    this.sipiVector = vector;
  }
}

/** What of a vCPU these events change. */
interface Receiver {
  readonly isBoot: boolean;
  readonly cpu: Cpu;
  readonly lapic: Lapic | undefined;
  readonly apicEvents: ApicEvents;
  mpState: number;
}

/** Carry out what is pending: the boot processor begins anew at the reset vector, another waits for a start-up message, and then begins where that says. */
export function acceptApicEvents(vcpu: Receiver): void {
  const { apicEvents, cpu } = vcpu;
  if (apicEvents.init) {
    apicEvents.init = false;
    resetCpu(cpu, true);
    vcpu.lapic?.reset(true);
    vcpu.mpState = vcpu.isBoot ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_INIT_RECEIVED;
  }
  if (!apicEvents.startup) return;
  apicEvents.startup = false;
  if (vcpu.mpState !== KVM_MP_STATE_INIT_RECEIVED) return;
  const { sipiVector } = apicEvents;
  const cs = cpu.segment('cs');
  cpu.setSegment('cs', { ...cs, selector: sipiVector << SELECTOR_SHIFT, base: BigInt(sipiVector << PAGE_SHIFT) });
  cpu.rip = 0n;
  vcpu.mpState = KVM_MP_STATE_RUNNABLE;
}

/**
 * The in-kernel interrupt controllers of one VM: PIC pair, I/O APIC, the local APICs of its vCPUs, and the GSI table that
 * leads to them (arch/x86/kvm/irq_comm.c, virt/kvm/irqchip.c, eventfd.c: kvm_notify_acked_irq).
 */

import type { EventStream } from '../../event.ts';
import type { Clock } from '../core/clock.ts';
import { EFAULT, EINVAL, ENOMEM } from '../uapi/errno.ts';
import {
  KVM_IRQCHIP_IOAPIC,
  KVM_IRQCHIP_PIC_MASTER,
  KVM_IRQCHIP_PIC_SLAVE,
  kvm_ioapic_state,
  type kvm_irqchip,
  kvm_pic_state,
} from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { type ApicMessage, addressable, deliver, messageOfMsi } from './apic-message.ts';
import type { IoBus, IoDevice } from './io-bus.ts';
import { IOAPIC_BASE, IOAPIC_LENGTH, Ioapic } from './ioapic.ts';
import { DEFAULT_ROUTES, defaultRouting, type Route, type RoutingTable, routingMemory } from './irq-routing.ts';
import type { Lapic } from './lapic.ts';
import { PicPair } from './pic.ts';
import { kvmAckIrq, kvmMsiSetIrq, kvmSetIrq } from './trace-irq.ts';

/** KVM_USERSPACE_IRQ_SOURCE_ID and KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID; others are given out. */
export const USERSPACE_SOURCE = 0;
export const RESAMPLE_SOURCE = 1;
const SOURCES = 64;
const CHIP_NAMES = ['PIC master', 'PIC slave', 'IOAPIC'] as const;

/** Told when the guest has served an interrupt of a GSI (struct kvm_irq_ack_notifier). */
export interface AckNotifier {
  readonly gsi: number;
  acknowledged(): void;
}

/** Told when the guest has masked or unmasked an input that a GSI leads to (struct kvm_irq_mask_notifier). */
export interface MaskNotifier {
  readonly gsi: number;
  masked(masked: boolean): void;
}

/** What the controllers need of the VM. */
export interface IrqchipHost {
  readonly stream: EventStream;
  readonly clock: Clock;
  readonly pioBus: IoBus;
  readonly mmioBus: IoBus;
  readonly memory: { kmalloc(what: string): boolean };
  lapics(): readonly Lapic[];
  /** The PIC asks for the boot processor. */
  picRaised(): void;
}

export class Irqchip {
  readonly #host: IrqchipHost;
  readonly pic: PicPair;
  readonly ioapic: Ioapic;
  #routing = defaultRouting();
  readonly #notifiers: AckNotifier[] = [];
  readonly #maskNotifiers: MaskNotifier[] = [];
  readonly #sources = new Set([USERSPACE_SOURCE, RESAMPLE_SOURCE]);

  /** The controllers, for {@link register} to put on the buses. */
  constructor(host: IrqchipHost) {
    this.#host = host;
    this.pic = new PicPair(host.stream, {
      acknowledged: (chip, pin) => this.#acknowledged(chip, pin),
      masked: (chip, pin, masked) => this.#masked(chip, pin, masked),
      raised: () => host.picRaised(),
      heard: () => host.lapics().some((lapic) => lapic.listensToPic),
    });
    this.ioapic = new Ioapic(host.stream, host.clock, {
      send: (message) => this.send(message),
      acknowledged: (pin) => this.#acknowledged(KVM_IRQCHIP_IOAPIC, pin),
      watched: (pin) => this.#watched(KVM_IRQCHIP_IOAPIC, pin),
      masked: (pin, masked) => this.#masked(KVM_IRQCHIP_IOAPIC, pin, masked),
    });
  }

  /** kvm_pic_init, kvm_ioapic_init, kvm_setup_default_irq_routing: the chips go onto the buses. 0; or -errno, and they are off again. */
  register(): number {
    const { pioBus, mmioBus, memory } = this.#host;
    if (!memory.kmalloc('struct kvm_pic')) return -ENOMEM;
    const done: (() => void)[] = [];
    const put = (bus: IoBus, address: number, length: number, device: IoDevice): number => {
      const error = bus.register(address, length, device);
      if (error === 0) done.push(() => void bus.unregister(device));
      return error;
    };
    const error =
      put(pioBus, 0x20, 2, this.pic.ports(0)) ||
      put(pioBus, 0xa0, 2, this.pic.ports(1)) ||
      put(pioBus, 0x4d0, 2, this.pic.levelPorts()) ||
      (memory.kmalloc('struct kvm_ioapic') ? 0 : -ENOMEM) ||
      put(mmioBus, IOAPIC_BASE, IOAPIC_LENGTH, this.ioapic) ||
      routingMemory(memory, DEFAULT_ROUTES);
    if (error < 0) for (const undo of done) undo();
    return error;
  }

  set routing(table: RoutingTable) {
    this.#routing = table;
  }

  /** kvm_set_irq: number of processors that took it, 0 coalesced, -1 ignored. */
  setIrq(source: number, gsi: number, level: boolean): number {
    if (kvmSetIrq.on) kvmSetIrq(this.#host.stream, { gsi, level: level ? 1 : 0, source });
    let result = -1;
    for (const route of this.#routing.routes(gsi)) {
      const reached = this.#set(route, source, level);
      if (reached >= 0) result = reached + Math.max(result, 0);
    }
    return result;
  }

  /**
   * kvm_arch_set_irq_inatomic: a GSI that leads to a message and nothing else, for which the map of local APICs knows whom it is for, is
   * served without kvm_set_irq, and does not fall again. False: not so here.
   */
  sendAtOnce(gsi: number): boolean {
    const [route, ...others] = this.#routing.routes(gsi);
    if (route?.kind !== 'msi' || others.length > 0) return false;
    const message = this.#messageOf(route.low, route.data);
    if (!addressable(this.#host.lapics(), message)) return false;
    this.send(message);
    return true;
  }

  /** kvm_set_msi: number of processors, 0 coalesced, -1 for nobody. */
  sendMsi(low: number, data: number): number {
    return this.send(this.#messageOf(low, data));
  }

  /** kvm_set_msi_irq. */
  #messageOf(low: number, data: number): ApicMessage {
    if (kvmMsiSetIrq.on) kvmMsiSetIrq(this.#host.stream, { address: BigInt(low >>> 0), data });
    return messageOfMsi(low, data);
  }

  /** kvm_irq_delivery_to_apic. */
  send(message: ApicMessage, source?: Lapic): number {
    return deliver(this.#host.lapics(), source, message);
  }

  /** The local APICs that are switched on (kvm_apic_present). */
  presentLapics(): readonly Lapic[] {
    return this.#host.lapics().filter((lapic) => lapic.hardwareEnabled);
  }

  /** kvm_request_irq_source_id: a number of one's own, so that several can drive one line; -EFAULT when all 64 are taken. */
  requestSource(): number {
    for (let source = 0; source < SOURCES; source++) {
      if (this.#sources.has(source)) continue;
      this.#sources.add(source);
      return source;
    }
    return -EFAULT;
  }

  /** kvm_free_irq_source_id. */
  freeSource(source: number): void {
    this.#sources.delete(source);
  }

  /** kvm_register_irq_ack_notifier: the newest hears first. Returns how to leave. */
  addNotifier(notifier: AckNotifier): () => void {
    this.#notifiers.unshift(notifier);
    return () => {
      const at = this.#notifiers.indexOf(notifier);
      if (at >= 0) this.#notifiers.splice(at, 1);
    };
  }

  /** kvm_register_irq_mask_notifier. */
  addMaskNotifier(notifier: MaskNotifier): void {
    this.#maskNotifiers.push(notifier);
  }

  /** A tick of the PIT, for the local APICs whose LINT0 is an NMI (i8254.c: pit_do_work). */
  nmiWatchdog(): void {
    const lapics = this.#host.lapics();
    if (lapics.some((lapic) => lapic.takesNmiOfLint0)) for (const lapic of lapics) lapic.deliverLint0();
  }

  /** KVM_GET_IRQCHIP: the 512 bytes of `chip`, or -EINVAL. */
  state(chip: number): Uint8Array | number {
    switch (chip) {
      case KVM_IRQCHIP_PIC_MASTER:
      case KVM_IRQCHIP_PIC_SLAVE:
        return kvm_pic_state.encode(this.pic.state(chip));
      case KVM_IRQCHIP_IOAPIC:
        return kvm_ioapic_state.encode(this.ioapic.state());
      default:
        return -EINVAL;
    }
  }

  /** KVM_SET_IRQCHIP: 0 or -EINVAL. */
  setState({ chip_id, chip }: StructOf<typeof kvm_irqchip>): number {
    const view = new DataView(chip.buffer, chip.byteOffset, chip.length);
    switch (chip_id) {
      case KVM_IRQCHIP_PIC_MASTER:
      case KVM_IRQCHIP_PIC_SLAVE:
        this.pic.setState(chip_id, kvm_pic_state.read(view));
        return 0;
      case KVM_IRQCHIP_IOAPIC:
        this.ioapic.setState(kvm_ioapic_state.read(view));
        return 0;
      default:
        return -EINVAL;
    }
  }

  #set(route: Route, source: number, level: boolean): number {
    if (route.kind === 'pin') {
      if (route.chip === KVM_IRQCHIP_IOAPIC) return this.ioapic.setIrq(route.pin, source, level);
      return this.pic.setIrq(route.chip * 8 + route.pin, source, level);
    }
    // A message has no level: only its rise is sent.
    return level ? this.sendMsi(route.low, route.data) : -1;
  }

  #watched(chip: number, pin: number): boolean {
    const gsi = this.#routing.gsiOf(chip, pin);
    return this.#notifiers.some((notifier) => notifier.gsi === gsi);
  }

  /** kvm_fire_mask_notifiers. */
  #masked(chip: number, pin: number, masked: boolean): void {
    if (this.#maskNotifiers.length === 0) return;
    const gsi = this.#routing.gsiOf(chip, pin);
    for (const notifier of this.#maskNotifiers) if (notifier.gsi === gsi) notifier.masked(masked);
  }

  /** kvm_notify_acked_irq. */
  #acknowledged(chip: number, pin: number): void {
    if (kvmAckIrq.on)
      kvmAckIrq(this.#host.stream, { chip: CHIP_NAMES[chip]!, pin: chip === KVM_IRQCHIP_PIC_SLAVE ? pin + 8 : pin });
    const gsi = this.#routing.gsiOf(chip, pin);
    if (gsi < 0) return;
    for (const notifier of [...this.#notifiers]) if (notifier.gsi === gsi) notifier.acknowledged();
  }
}

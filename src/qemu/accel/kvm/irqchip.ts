/**
 * KVM's interrupt controllers as QEMU uses them: made before the first vCPU, routed as on a PC, driven by lines and messages
 * (accel/kvm/kvm-all.c: kvm_irqchip_create, kvm_set_irq, kvm_irqchip_send_msi; hw/i386/kvm/ioapic.c: kvm_pc_setup_irq_routing).
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import {
  KVM_CREATE_IRQCHIP,
  KVM_IRQ_LINE,
  KVM_IRQFD,
  KVM_IRQFD_FLAG_DEASSIGN,
  KVM_IRQFD_FLAG_RESAMPLE,
  KVM_SET_GSI_ROUTING,
  KVM_SIGNAL_MSI,
  kvm_irq_level,
  kvm_irq_routing,
  kvm_irq_routing_entry,
  kvm_irqfd,
  kvm_msi,
} from '../../../linux/uapi/kvm.ts';
import { Abort, ConfigurationError } from '../../error.ts';
import type { System } from '../../system.ts';
import { kvmIrqchipCommitRoutes } from '../../trace-events.ts';

const PIC_MASTER = 0;
const PIC_SLAVE = 1;
const IOAPIC = 2;
const ROUTING_IRQCHIP = 1;
const IOAPIC_PINS = 24;

/** One row of the routing table: the pin of a chip that a GSI leads to. */
interface Route {
  readonly gsi: number;
  readonly chip: number;
  readonly pin: number;
}

/** GSI 2 is the cascade and leads nowhere; GSI 0, the timer, is pin 2 of the IOAPIC. */
const pcRoutes: readonly Route[] = [
  ...[0, 1, 3, 4, 5, 6, 7].map((gsi) => ({ gsi, chip: PIC_MASTER, pin: gsi })),
  ...[8, 9, 10, 11, 12, 13, 14, 15].map((gsi) => ({ gsi, chip: PIC_SLAVE, pin: gsi - 8 })),
  ...Array.from({ length: IOAPIC_PINS }, (_, gsi) => ({ gsi, chip: IOAPIC, pin: gsi === 0 ? 2 : gsi })).filter(
    ({ gsi }) => gsi !== 2,
  ),
];

export class KvmIrqchip {
  readonly #system: System;
  readonly #vm: number;

  /** KVM_CREATE_IRQCHIP and the table of routes. Refusals are ConfigurationErrors. */
  constructor(system: System, vm: number) {
    this.#system = system;
    this.#vm = vm;
    const result = system.ioctl(vm, KVM_CREATE_IRQCHIP);
    if (result < 0) throw new ConfigurationError(`Create kernel irqchip failed: ${strerror(-result)}`);
    this.#commitRoutes(pcRoutes);
  }

  /** kvm_irqchip_commit_routes: the whole table at once. */
  #commitRoutes(routes: readonly Route[]): void {
    const entries = new Uint8Array(routes.length * kvm_irq_routing_entry.size);
    routes.forEach(({ gsi, chip, pin }, i) => {
      const u = new Uint8Array(32);
      new DataView(u.buffer).setUint32(0, chip, true);
      new DataView(u.buffer).setUint32(4, pin, true);
      entries.set(kvm_irq_routing_entry.encode({ gsi, type: ROUTING_IRQCHIP, u }), i * kvm_irq_routing_entry.size);
    });
    const header = { nr: routes.length };
    if (kvmIrqchipCommitRoutes.on) kvmIrqchipCommitRoutes(this.#system.stream, {});
    const result = this.#system.ioctlStruct(this.#vm, KVM_SET_GSI_ROUTING, kvm_irq_routing, header, entries);
    if (result < 0) throw new ConfigurationError(`KVM_SET_GSI_ROUTING failed: ${strerror(-result)}`);
  }

  /** kvm_set_irq. */
  setGsi(irq: number, level: boolean): void {
    const line = { irq, level: level ? 1 : 0 };
    const result = this.#system.ioctlStruct(this.#vm, KVM_IRQ_LINE, kvm_irq_level, line);
    if (result < 0) throw new Abort(`kvm_set_irq: ${strerror(-result)}`);
  }

  /** kvm_irqchip_add_irqfd_notifier_gsi: KVM raises `gsi` when `fd` is signalled, and signals `resamplefd` at its end. 0 or -errno. */
  addIrqfd(fd: number, gsi: number, resamplefd?: number): number {
    const resample = resamplefd === undefined ? {} : { flags: KVM_IRQFD_FLAG_RESAMPLE, resamplefd };
    return this.#system.ioctlStruct(this.#vm, KVM_IRQFD, kvm_irqfd, { fd, gsi, ...resample });
  }

  /** kvm_irqchip_remove_irqfd_notifier_gsi. */
  removeIrqfd(fd: number, gsi: number): void {
    this.#system.ioctlStruct(this.#vm, KVM_IRQFD, kvm_irqfd, { fd, gsi, flags: KVM_IRQFD_FLAG_DEASSIGN });
  }

  /** kvm_irqchip_send_msi. A message that no CPU takes is lost, as on the bus. */
  signalMsi(address: number, data: number): void {
    const message = { address_lo: address % 2 ** 32, address_hi: Math.floor(address / 2 ** 32), data };
    this.#system.ioctlStruct(this.#vm, KVM_SIGNAL_MSI, kvm_msi, message);
  }
}

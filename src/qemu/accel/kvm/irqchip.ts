/**
 * KVM's interrupt controllers as QEMU uses them: made before the first vCPU, routed as on a PC, driven by lines and messages
 * (accel/kvm/kvm-all.c: kvm_irqchip_create, kvm_set_irq, kvm_irqchip_send_msi; hw/i386/kvm/ioapic.c: kvm_pc_setup_irq_routing).
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import {
  KVM_CREATE_IRQCHIP,
  KVM_CREATE_PIT2,
  KVM_IRQ_LINE_STATUS,
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
  kvm_pit_config,
} from '../../../linux/uapi/kvm.ts';
import { Abort, assertion, ConfigurationError, Fatal } from '../../error.ts';
import type { System } from '../../system.ts';
import {
  kvmIrqchipAddMsiRoute,
  kvmIrqchipCommitRoutes,
  kvmIrqchipReleaseVirq,
  kvmIrqchipUpdateMsiRoute,
  kvmX86AddMsiRoute,
  kvmX86RemoveMsiRoute,
  x86GsiInterrupt,
} from '../../trace-events.ts';

const PIC_MASTER = 0;
const PIC_SLAVE = 1;
const IOAPIC = 2;
const ROUTING_IRQCHIP = 1;
const ROUTING_MSI = 2;
const IOAPIC_PINS = 24;
const ISA_IRQS = 16;

/** One row of the routing table: the pin of a chip that a GSI leads to. */
interface Route {
  readonly gsi: number;
  readonly chip: number;
  readonly pin: number;
}

/** A message-signalled interrupt: what is written where. */
interface Message {
  readonly address: number;
  readonly data: number;
}

/** A route that is a message. */
interface MessageRoute extends Message {
  readonly gsi: number;
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
  readonly #messages: MessageRoute[] = [];

  /** KVM_CREATE_IRQCHIP and the table of routes; QEMU goes no further without. */
  constructor(system: System, vm: number) {
    this.#system = system;
    this.#vm = vm;
    const result = system.ioctl(vm, KVM_CREATE_IRQCHIP);
    if (result < 0) throw new Fatal(`Create kernel irqchip failed: ${strerror(-result)}`);
    this.commitRoutes();
  }

  /** KVM's interval timer, which raises GSI 0 (hw/i386/kvm/i8254.c: kvm_pit_realizefn, whose message names the wrong chip). */
  createPit(): void {
    const result = this.#system.ioctlStruct(this.#vm, KVM_CREATE_PIT2, kvm_pit_config, {});
    if (result < 0) throw new ConfigurationError(`Create kernel PIC irqchip failed: ${strerror(-result)}`);
  }

  /** kvm_irqchip_commit_routes: the whole table at once. */
  commitRoutes(): void {
    const rows = [
      ...pcRoutes.map(({ gsi, chip, pin }) => ({ gsi, type: ROUTING_IRQCHIP, u: wordsOf(chip, pin) })),
      ...this.#messages.map(({ gsi, address, data }) => {
        const high = Math.floor(address / 2 ** 32);
        return { gsi, type: ROUTING_MSI, u: wordsOf(address % 2 ** 32, high, data) };
      }),
    ];
    const entries = new Uint8Array(rows.length * kvm_irq_routing_entry.size);
    for (const [i, row] of rows.entries())
      entries.set(kvm_irq_routing_entry.encode(row), i * kvm_irq_routing_entry.size);
    const header = { nr: rows.length };
    if (kvmIrqchipCommitRoutes.on) kvmIrqchipCommitRoutes(this.#system.stream, {});
    const result = this.#system.ioctlStruct(this.#vm, KVM_SET_GSI_ROUTING, kvm_irq_routing, header, entries);
    if (result !== 0) throw new Abort(assertion('accel/kvm/kvm-all.c:1773: kvm_irqchip_commit_routes', 'ret == 0'));
  }

  /** gsi_handler: a line of the ISA bus is told as the 8259s' and as the I/O APIC's, and KVM forwards each to both. */
  setGsi(irq: number, level: boolean): void {
    if (x86GsiInterrupt.on) x86GsiInterrupt(this.#system.stream, { irqn: irq, level: Number(level) });
    if (irq < ISA_IRQS) this.#setIrq(irq, level);
    this.#setIrq(irq, level);
  }

  /** kvm_set_irq. */
  #setIrq(irq: number, level: boolean): void {
    const line = { irq, level: level ? 1 : 0 };
    const result = this.#system.ioctlStruct(this.#vm, KVM_IRQ_LINE_STATUS, kvm_irq_level, line);
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

  /** kvm_irqchip_add_msi_route: a GSI of its own that stands for the message of `vector`; KVM knows it once it is committed. */
  addMessageRoute(dev: string, vector: number, { address, data }: Message): number {
    const used = new Set([...pcRoutes, ...this.#messages].map(({ gsi }) => gsi));
    let gsi = 0;
    while (used.has(gsi)) gsi++;
    if (kvmIrqchipAddMsiRoute.on) kvmIrqchipAddMsiRoute(this.#system.stream, { dev, vector, virq: gsi });
    this.#messages.push({ gsi, address, data });
    if (kvmX86AddMsiRoute.on) kvmX86AddMsiRoute(this.#system.stream, { virq: gsi });
    return gsi;
  }

  /** kvm_irqchip_update_msi_route. */
  updateMessageRoute(gsi: number, { address, data }: Message): void {
    if (kvmIrqchipUpdateMsiRoute.on) kvmIrqchipUpdateMsiRoute(this.#system.stream, { virq: gsi });
    const at = this.#messages.findIndex((route) => route.gsi === gsi);
    if (at >= 0) this.#messages[at] = { gsi, address, data };
  }

  /** kvm_irqchip_release_virq: the table is committed with the next change. */
  releaseRoute(gsi: number): void {
    const at = this.#messages.findIndex((route) => route.gsi === gsi);
    if (at >= 0) this.#messages.splice(at, 1);
    if (kvmX86RemoveMsiRoute.on) kvmX86RemoveMsiRoute(this.#system.stream, { virq: gsi });
    if (kvmIrqchipReleaseVirq.on) kvmIrqchipReleaseVirq(this.#system.stream, { virq: gsi });
  }

  /** kvm_irqchip_send_msi. A message that no CPU takes is lost, as on the bus. */
  signalMsi(address: number, data: number): void {
    const message = { address_lo: address % 2 ** 32, address_hi: Math.floor(address / 2 ** 32), data };
    this.#system.ioctlStruct(this.#vm, KVM_SIGNAL_MSI, kvm_msi, message);
  }
}

/** The union of a routing entry, from its words. */
function wordsOf(...words: readonly number[]): Uint8Array {
  const union = new Uint8Array(32);
  for (const [i, word] of words.entries()) new DataView(union.buffer).setUint32(4 * i, word, true);
  return union;
}

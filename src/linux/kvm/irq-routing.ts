/**
 * The GSI routing table: what happens when interrupt number GSI is raised — inputs of the PIC and of the I/O APIC, or a
 * message (virt/kvm/irqchip.c, arch/x86/kvm/irq_comm.c).
 */

import type { Kernel } from '../core/kernel.ts';
import { copyFromUser, refusePointer } from '../core/uaccess.ts';
import { EINVAL, ENOMEM } from '../uapi/errno.ts';
import {
  KVM_IRQ_ROUTING_IRQCHIP,
  KVM_IRQ_ROUTING_MSI,
  KVM_IRQCHIP_IOAPIC,
  KVM_MSI_VALID_DEVID,
  type kvm_irq_routing,
  kvm_irq_routing_entry,
} from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { IOAPIC_PINS } from './ioapic.ts';

/** KVM_MAX_IRQ_ROUTES, and one more than the highest GSI. */
export const MAX_ROUTES = 4096;
const PIC_PINS = 8;

/** One consequence of a GSI. `chip` is KVM_IRQCHIP_*; `pin` counts within it. */
export type Route =
  | { readonly kind: 'pin'; readonly chip: number; readonly pin: number }
  | { readonly kind: 'msi'; readonly low: number; readonly data: number };

type Entry = StructOf<typeof kvm_irq_routing_entry>;

const pinKey = (chip: number, pin: number) => chip * IOAPIC_PINS + pin;

/** struct kvm_irq_routing_table. */
export class RoutingTable {
  readonly #routes = new Map<number, Route[]>();
  readonly #gsis = new Map<number, number>();

  /** What a GSI leads to, in the order in which kvm_set_irq takes it: that of the entries. */
  routes(gsi: number): readonly Route[] {
    return this.#routes.get(gsi) ?? [];
  }

  /** setup_routing_entry: false if the GSI leads to the chip already, or would share an MSI. */
  add(gsi: number, route: Route): boolean {
    const others = this.#routes.get(gsi) ?? [];
    if (others.some((other) => other.kind === 'msi' || route.kind === 'msi' || other.chip === route.chip)) return false;
    this.#routes.set(gsi, [...others, route]);
    if (route.kind === 'pin') this.#gsis.set(pinKey(route.chip, route.pin), gsi);
    return true;
  }

  /** kvm_irq_map_chip_pin: the GSI that was the last to be routed to `pin` of `chip`; -1 if none. */
  gsiOf(chip: number, pin: number): number {
    return this.#gsis.get(pinKey(chip, pin)) ?? -1;
  }
}

/** kvm_setup_default_irq_routing: GSI 0–15 to the I/O APIC and the PIC, 16–23 to the I/O APIC. */
export function defaultRouting(): RoutingTable {
  const table = new RoutingTable();
  for (let gsi = 0; gsi < IOAPIC_PINS; gsi++) {
    table.add(gsi, { kind: 'pin', chip: KVM_IRQCHIP_IOAPIC, pin: gsi });
    if (gsi < 2 * PIC_PINS) table.add(gsi, { kind: 'pin', chip: gsi < PIC_PINS ? 0 : 1, pin: gsi % PIC_PINS });
  }
  return table;
}

/** Entries of the default table. */
export const DEFAULT_ROUTES = 2 * PIC_PINS + IOAPIC_PINS;

/** kvm_set_irq_routing allocates a table, and each of its `entries`: 0 or -ENOMEM. */
export function routingMemory(memory: { kmalloc(what: string): boolean }, entries: number): number {
  if (!memory.kmalloc('struct kvm_irq_routing_table')) return -ENOMEM;
  for (let entry = 0; entry < entries; entry++)
    if (!memory.kmalloc('struct kvm_kernel_irq_routing_entry')) return -ENOMEM;
  return 0;
}

/** KVM_SET_GSI_ROUTING: the new table, or -EINVAL, -EFAULT, -ENOMEM. `entries` is where they lie in user space. */
export function readRouting(
  kernel: Kernel,
  { nr, flags }: StructOf<typeof kvm_irq_routing>,
  entries: number,
): RoutingTable | number {
  if (nr > MAX_ROUTES) return kernel.refuse(EINVAL, `at most ${MAX_ROUTES} routes`);
  if (flags !== 0) return kernel.refuse(EINVAL, 'the routing table has no flags');
  if (nr > 0 && !kernel.kmalloc('struct kvm_irq_routing_entry[]')) return -ENOMEM;
  const bytes = new Uint8Array(nr * kvm_irq_routing_entry.size);
  if (copyFromUser(kernel, bytes, entries) < 0) return refusePointer(kernel, entries, bytes.length);
  const memory = routingMemory(kernel, nr);
  if (memory < 0) return memory;
  const view = new DataView(bytes.buffer);
  const table = new RoutingTable();
  for (let index = 0; index < nr; index++) {
    const entry = kvm_irq_routing_entry.read(view, index * kvm_irq_routing_entry.size);
    const route = routeOf(kernel, entry);
    if (typeof route === 'number') return route;
    if (!table.add(entry.gsi, route))
      return kernel.refuse(EINVAL, `GSI ${entry.gsi} goes to a chip twice, or shares an MSI`);
  }
  return table;
}

/** kvm_set_routing_entry. */
function routeOf(kernel: Kernel, { gsi, type, flags, u }: Entry): Route | number {
  if (gsi >= MAX_ROUTES) return kernel.refuse(EINVAL, `GSIs are below ${MAX_ROUTES}`);
  const words = new DataView(u.buffer, u.byteOffset);
  if (type === KVM_IRQ_ROUTING_IRQCHIP) {
    const chip = words.getUint32(0, true);
    const pin = words.getUint32(4, true);
    if (flags !== 0) return kernel.refuse(EINVAL, 'a route to a chip has no flags');
    if (chip > KVM_IRQCHIP_IOAPIC) return kernel.refuse(EINVAL, `there is no interrupt chip ${chip}`);
    if (pin >= (chip === KVM_IRQCHIP_IOAPIC ? IOAPIC_PINS : PIC_PINS))
      return kernel.refuse(EINVAL, `interrupt chip ${chip} has no pin ${pin}`);
    return { kind: 'pin', chip, pin };
  }
  if (type !== KVM_IRQ_ROUTING_MSI) return kernel.refuse(EINVAL, `there is no routing type ${type}`);
  if (flags & ~KVM_MSI_VALID_DEVID) return kernel.refuse(EINVAL, 'unknown flags of an MSI route');
  return { kind: 'msi', low: words.getUint32(0, true), data: words.getUint32(8, true) };
}

/**
 * INTx of an assigned device (hw/vfio/pci.c: vfio_intx_enable, vfio_intx_enable_kvm, vfio_intx_interrupt, vfio_intx_eoi).
 *
 * The fast way: the host kernel signals an eventfd that is an irqfd of KVM, and KVM signals another at the guest's end of
 * interrupt, which unmasks the device; QEMU sees nothing of it. It needs KVM's interrupt controllers, and a board that leads the
 * pin to a line. The slow way: QEMU's main loop reads the eventfd and raises the pin. The device then stays masked until the
 * guest touches a BAR, which counts as the end of interrupt: so its mapped BARs are taken away meanwhile, and trapped.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import { VFIO_PCI_INTX_IRQ_INDEX } from '../../../linux/uapi/vfio.ts';
import type { KvmIrqchip } from '../../accel/kvm/irqchip.ts';
import type { MainLoop } from '../../main-loop.ts';
import type { QemuTimer } from '../../timer.ts';
import type { VfioDevice } from './device.ts';
import {
  vfioIntxDisable,
  vfioIntxDisableKvm,
  vfioIntxEnable,
  vfioIntxEnableKvm,
  vfioIntxEoi,
  vfioIntxInterrupt,
  vfioIntxUpdate,
} from './trace-events.ts';

const NANOSECONDS_A_MILLISECOND = 1_000_000;
const NONE = -1;

/** The function whose pin it is. */
export interface IntxPin {
  /** pci_irq_assert, pci_irq_deassert. */
  setLevel(level: boolean): void;
  /** vfio_mmap_set_enabled. */
  setMmapsEnabled(enabled: boolean): void;
  /** pci_device_route_intx_to_irq of pin `pin` (0 is INTA); undefined if it leads nowhere. */
  route(pin: number): number | undefined;
}

/** Properties that INTx depends on. */
export interface IntxOptions {
  /** `x-intx-mmap-timeout-ms`: how long without interrupts until BARs are mapped again; 0: they never are, once taken away. */
  readonly mmapTimeout: number;
  /** KVM's controllers, which can take the interrupt without QEMU. */
  readonly irqchip: KvmIrqchip | undefined;
  /** `x-no-kvm-intx`: they shall not. */
  readonly noKvm: boolean;
}

export class VfioIntx {
  readonly #device: VfioDevice;
  readonly #mainLoop: MainLoop;
  readonly #irqchip: KvmIrqchip | undefined;
  readonly #noKvm: boolean;
  readonly #wire: IntxPin;
  readonly #mmapTimer: QemuTimer;
  readonly #mmapTimeout: number;
  #eventfd = NONE;
  /** While KVM has the interrupt: the eventfd by which it unmasks the device. */
  #unmaskfd = NONE;
  #pin = 0;
  #route: number | undefined;
  #pending = false;

  constructor(device: VfioDevice, mainLoop: MainLoop, { irqchip, noKvm, mmapTimeout }: IntxOptions, pin: IntxPin) {
    this.#device = device;
    this.#mainLoop = mainLoop;
    this.#irqchip = irqchip;
    this.#noKvm = noKvm;
    this.#mmapTimeout = mmapTimeout * NANOSECONDS_A_MILLISECOND;
    this.#wire = pin;
    this.#mmapTimer = mainLoop.timers.timer(() => this.#mmapAgain());
  }

  /** vfio_intx_enable. `pin` 1 is INTA. Undefined, or why not. */
  enable(pin: number): string | undefined {
    const system = this.#device.system;
    this.#pin = pin - 1;
    if (this.#irqchip !== undefined) this.#route = this.#wire.route(this.#pin);
    const eventfd = system.eventNotifier();
    this.#mainLoop.setFdHandler(eventfd, () => this.#interrupt());
    const refused = this.#device.signalTo(VFIO_PCI_INTX_IRQ_INDEX, eventfd);
    if (refused !== undefined) {
      this.#mainLoop.setFdHandler(eventfd, undefined);
      system.syscalls.close(eventfd);
      return refused;
    }
    this.#eventfd = eventfd;
    this.#enableKvm();
    if (vfioIntxEnable.on) vfioIntxEnable(system.stream, { name: this.#device.name });
    return undefined;
  }

  /** vfio_intx_disable: nothing if it is not enabled. */
  disable(): void {
    if (this.#eventfd < 0) return;
    this.#mmapTimer.cancel();
    this.#disableKvm();
    this.#device.disableIrq(VFIO_PCI_INTX_IRQ_INDEX);
    this.#setPending(false);
    this.#wire.setMmapsEnabled(true);
    this.#mainLoop.setFdHandler(this.#eventfd, undefined);
    this.#device.system.syscalls.close(this.#eventfd);
    this.#eventfd = NONE;
    if (vfioIntxDisable.on) vfioIntxDisable(this.#device.system.stream, { name: this.#device.name });
  }

  /** vfio_intx_routing_notifier, vfio_intx_update. */
  routeChanged(): void {
    if (this.#eventfd < 0 || this.#irqchip === undefined) return;
    const route = this.#wire.route(this.#pin);
    if (route === this.#route) return;
    if (vfioIntxUpdate.on) {
      const moved = { name: this.#device.name, from: this.#route ?? NONE, to: route ?? NONE };
      vfioIntxUpdate(this.#device.system.stream, moved);
    }
    this.#disableKvm();
    this.#route = route;
    if (route === undefined) return;
    this.#enableKvm();
    // An end of interrupt may have been missed meanwhile.
    this.eoi();
  }

  /** After every trapped access to a BAR. Hot: usually nothing is pending. */
  eoi(): void {
    if (!this.#pending) return;
    if (vfioIntxEoi.on) vfioIntxEoi(this.#device.system.stream, { name: this.#device.name });
    this.#setPending(false);
    this.#device.unmask(VFIO_PCI_INTX_IRQ_INDEX);
  }

  /** The device has interrupted (and the kernel has masked it). */
  #interrupt(): void {
    const system = this.#device.system;
    if (!system.testAndClear(this.#eventfd)) return;
    if (vfioIntxInterrupt.on) {
      const pin = String.fromCharCode('A'.charCodeAt(0) + this.#pin);
      vfioIntxInterrupt(system.stream, { name: this.#device.name, pin });
    }
    this.#setPending(true);
    this.#wire.setMmapsEnabled(false);
    if (this.#mmapTimeout > 0) this.#mmapTimer.modify(this.#mainLoop.timers.now + this.#mmapTimeout);
  }

  /** vfio_intx_mmap_enable: no interrupt for a while, so the guest may have its BARs directly again. */
  #mmapAgain(): void {
    if (this.#pending) this.#mmapTimer.modify(this.#mainLoop.timers.now + this.#mmapTimeout);
    else this.#wire.setMmapsEnabled(true);
  }

  #setPending(pending: boolean): void {
    this.#pending = pending;
    this.#wire.setLevel(pending);
  }

  /** vfio_intx_enable_kvm: from a known state, with the device masked. */
  #enableKvm(): void {
    const device = this.#device;
    const { system } = device;
    if (this.#noKvm || this.#irqchip === undefined || this.#route === undefined) return;
    this.#mainLoop.setFdHandler(this.#eventfd, undefined);
    device.mask(VFIO_PCI_INTX_IRQ_INDEX);
    this.#setPending(false);
    const unmaskfd = system.eventNotifier();
    const added = this.#irqchip.addIrqfd(this.#eventfd, this.#route, unmaskfd);
    const refused =
      added < 0
        ? `failed to setup resample irqfd: ${strerror(-added)}`
        : device.unmaskBy(VFIO_PCI_INTX_IRQ_INDEX, unmaskfd);
    if (refused !== undefined) {
      system.error(`warning: vfio ${device.name}: ${refused}`);
      if (added >= 0) this.#irqchip.removeIrqfd(this.#eventfd, this.#route);
      system.syscalls.close(unmaskfd);
      this.#mainLoop.setFdHandler(this.#eventfd, () => this.#interrupt());
      device.unmask(VFIO_PCI_INTX_IRQ_INDEX);
      return;
    }
    this.#unmaskfd = unmaskfd;
    device.unmask(VFIO_PCI_INTX_IRQ_INDEX);
    if (vfioIntxEnableKvm.on) vfioIntxEnableKvm(system.stream, { name: device.name });
  }

  /** vfio_intx_disable_kvm: QEMU listens again; what KVM missed fires anew. */
  #disableKvm(): void {
    const device = this.#device;
    if (this.#unmaskfd < 0) return;
    device.mask(VFIO_PCI_INTX_IRQ_INDEX);
    this.#setPending(false);
    this.#irqchip!.removeIrqfd(this.#eventfd, this.#route!);
    device.system.syscalls.close(this.#unmaskfd);
    this.#unmaskfd = NONE;
    this.#mainLoop.setFdHandler(this.#eventfd, () => this.#interrupt());
    device.unmask(VFIO_PCI_INTX_IRQ_INDEX);
    if (vfioIntxDisableKvm.on) vfioIntxDisableKvm(device.system.stream, { name: device.name });
  }
}

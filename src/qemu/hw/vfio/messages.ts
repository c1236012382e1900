/**
 * Messages of an assigned device, MSI and MSI-X (hw/vfio/pci.c: vfio_msi_enable, vfio_msix_enable, vfio_msix_vector_do_use). The host
 * signals an eventfd for each; it is an irqfd of KVM whose GSI stands for the message that the guest has written, or, without KVM's
 * controllers or while the vector is masked, one that QEMU's main loop reads and turns into a message of the emulated function.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import { VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX } from '../../../linux/uapi/vfio.ts';
import type { KvmIrqchip } from '../../accel/kvm/irqchip.ts';
import type { MainLoop } from '../../main-loop.ts';
import type { Msi } from '../pci/msi.ts';
import type { Msix } from '../pci/msix.ts';
import type { VfioDevice } from './device.ts';
import {
  vfioMsiDisable,
  vfioMsiEnable,
  vfioMsiInterrupt,
  vfioMsixDisable,
  vfioMsixEnable,
  vfioMsixPbaDisable,
  vfioMsixPbaEnable,
  vfioMsixVectorDoUse,
  vfioMsixVectorRelease,
} from './trace-events.ts';

const NONE = -1;

/** VFIOMSIVector. */
interface Vector {
  /** QEMU's main loop reads it. */
  readonly interrupt: number;
  /** The GSI that KVM knows its message by, or NONE. */
  gsi: number;
  /** KVM's irqfd of that GSI, or NONE. */
  irqfd: number;
}

interface Message {
  readonly address: number;
  readonly data: number;
}

/** KVM's controllers, and the properties that keep messages from them. */
export interface MessageOptions {
  readonly irqchip: KvmIrqchip | undefined;
  /** `x-no-kvm-msi`. */
  readonly noKvmMsi: boolean;
  /** `x-no-kvm-msix`. */
  readonly noKvmMsix: boolean;
}

export class VfioMessages {
  readonly #device: VfioDevice;
  readonly #mainLoop: MainLoop;
  readonly #irqchip: KvmIrqchip | undefined;
  readonly #options: MessageOptions;
  readonly #enableIntx: () => void;
  #kind: 'none' | 'msi' | 'msix' = 'none';
  #vectors: (Vector | undefined)[] = [];
  /** How many vectors the host has been asked for, or will be. */
  #wired = 0;
  /** defer_kvm_irq_routing: routes are committed, and the host asked, when all vectors are known. */
  #deferred = false;
  /** Vectors that fired behind the guest's mask. */
  readonly #pending = new Set<number>();

  /** `enableIntx` gives the pin back when messages are off. */
  constructor(device: VfioDevice, mainLoop: MainLoop, options: MessageOptions, enableIntx: () => void) {
    this.#device = device;
    this.#mainLoop = mainLoop;
    this.#irqchip = options.irqchip;
    this.#options = options;
    this.#enableIntx = enableIntx;
  }

  /** vfio_msi_enable: all vectors that the guest allows, at once. */
  enableMsi(msi: Msi): void {
    const { system, name } = this.#device;
    let count = msi.allocated;
    while (count > 0) {
      this.#wired = count;
      this.#batch(() => {
        for (let number = 0; number < count; number++) {
          const vector = this.#open(number, (fired) => {
            if (vfioMsiInterrupt.on) this.#tellInterrupt(fired, msi.message(fired));
            msi.notify(fired);
          });
          if (!this.#options.noKvmMsi) this.#addRoute(vector, number, msi.message(number));
        }
      });
      this.#kind = 'msi';
      const result = this.#enableVectors(VFIO_PCI_MSI_IRQ_INDEX, () => false);
      if (result === 0) break;
      system.error(
        result < 0
          ? `vfio: Error: Failed to setup MSI fds: ${strerror(-result)}`
          : `vfio: Error: Failed to enable ${count} MSI vectors, retry with ${result}`,
      );
      this.#closeAll();
      count = Math.max(result, 0);
    }
    if (count === 0) system.error('vfio: Error: Failed to enable MSI');
    else if (vfioMsiEnable.on) vfioMsiEnable(system.stream, { name, count });
  }

  /** vfio_update_msi: the guest has changed the message while it is enabled. */
  updateMsi(msi: Msi): void {
    this.#vectors.forEach((vector, number) => {
      if (vector !== undefined && vector.gsi >= 0) this.#updateRoute(vector, msi.message(number));
    });
  }

  /** vfio_msix_enable: the physical device has MSI-X on from now on, and gets vectors as the guest unmasks them. */
  enableMsix(msix: Msix): void {
    const { name, system } = this.#device;
    this.#kind = 'msix';
    this.#batch(() =>
      msix.setNotifiers({
        use: (number, address, data) => this.#useVector(msix, number, { address, data }),
        release: (number) => this.#releaseVector(number),
      }),
    );
    if (this.#wired > 0) this.#enableMsixVectors((number) => msix.isMasked(number));
    else {
      this.#useVector(msix, 0, undefined);
      this.#releaseVector(0);
    }
    if (vfioMsixEnable.on) vfioMsixEnable(system.stream, { name });
  }

  /** vfio_msi_disable, vfio_msix_disable: INTx is back. Nothing if neither is enabled. */
  disable(msix: Msix | undefined): void {
    const { name, system } = this.#device;
    const kind = this.#kind;
    if (kind === 'none') return;
    if (kind === 'msix') {
      msix?.setNotifiers(undefined);
      this.#vectors.forEach((vector, number) => {
        if (vector !== undefined) this.#releaseVector(number);
      });
    }
    this.#device.disableIrq(kind === 'msi' ? VFIO_PCI_MSI_IRQ_INDEX : VFIO_PCI_MSIX_IRQ_INDEX);
    this.#closeAll();
    this.#enableIntx();
    if (kind === 'msi' && vfioMsiDisable.on) vfioMsiDisable(system.stream, { name });
    if (kind === 'msix' && vfioMsixDisable.on) vfioMsixDisable(system.stream, { name });
  }

  /** vfio_prepare_kvm_msi_virq_batch, vfio_commit_kvm_msi_virq_batch: the table of routes goes to KVM once, not for each vector. */
  #batch(addRoutes: () => void): void {
    this.#deferred = true;
    addRoutes();
    this.#deferred = false;
    const routed = this.#vectors.filter((vector) => vector !== undefined && vector.gsi >= 0);
    if (routed.length > 0) this.#irqchip?.commitRoutes();
    for (const vector of routed) this.#connect(vector!);
  }

  /** vfio_msix_vector_do_use: without a message QEMU itself reads the eventfd. */
  #useVector(msix: Msix, number: number, message: Message | undefined): void {
    const device = this.#device;
    if (vfioMsixVectorDoUse.on) vfioMsixVectorDoUse(device.system.stream, { name: device.name, vector: number });
    const vector = this.#vectors[number] ?? this.#open(number, (fired) => this.#msixInterrupt(msix, fired));
    if (message !== undefined && vector.gsi >= 0) this.#updateRoute(vector, message);
    else if (message !== undefined && !this.#options.noKvmMsix) {
      this.#addRoute(vector, number, message);
      if (!this.#deferred && vector.gsi >= 0) {
        this.#irqchip?.commitRoutes();
        this.#connect(vector);
      }
    }
    // The host allocates a vector when it is first used, and has to be told of all anew.
    if (number >= this.#wired) {
      this.#wired = number + 1;
      if (!this.#deferred) {
        device.disableIrq(VFIO_PCI_MSIX_IRQ_INDEX);
        this.#enableMsixVectors((other) => other !== number && msix.isMasked(other));
      }
    } else {
      const refused = device.signalTo(VFIO_PCI_MSIX_IRQ_INDEX, listenerOf(vector), number);
      if (refused !== undefined) device.report(refused);
    }
    this.#pending.delete(number);
    if (this.#pending.size > 0) return;
    msix.showPending(false);
    if (vfioMsixPbaDisable.on) vfioMsixPbaDisable(device.system.stream, { name: device.name });
  }

  /** vfio_msix_vector_release: masked, so that a message has to wait: QEMU keeps it as pending. */
  #releaseVector(number: number): void {
    const device = this.#device;
    if (vfioMsixVectorRelease.on) vfioMsixVectorRelease(device.system.stream, { name: device.name, vector: number });
    const vector = this.#vectors[number];
    if (vector !== undefined && vector.irqfd >= 0) {
      device.signalTo(VFIO_PCI_MSIX_IRQ_INDEX, vector.interrupt, number);
    }
  }

  /** vfio_msi_interrupt of MSI-X: behind a mask the message waits, and the guest has to see that it does. */
  #msixInterrupt(msix: Msix, number: number): void {
    const { system, name } = this.#device;
    if (msix.isMasked(number)) {
      this.#pending.add(number);
      msix.showPending(true);
      if (vfioMsixPbaEnable.on) vfioMsixPbaEnable(system.stream, { name });
    }
    if (vfioMsiInterrupt.on) this.#tellInterrupt(number, msix.message(number));
    msix.notify(number);
  }

  #tellInterrupt(vector: number, { address: addr, data }: Message): void {
    vfioMsiInterrupt(this.#device.system.stream, { name: this.#device.name, vector, addr, data });
  }

  #open(number: number, fired: (number: number) => void): Vector {
    const { system } = this.#device;
    const interrupt = system.eventNotifier();
    const vector: Vector = { interrupt, gsi: NONE, irqfd: NONE };
    this.#vectors[number] = vector;
    this.#mainLoop.setFdHandler(interrupt, () => {
      if (system.testAndClear(interrupt)) fired(number);
    });
    return vector;
  }

  /** vfio_add_kvm_msi_virq. */
  #addRoute(vector: Vector, number: number, message: Message): void {
    if (this.#irqchip !== undefined) vector.gsi = this.#irqchip.addMessageRoute('vfio-pci', number, message);
  }

  /** vfio_update_kvm_msi_virq. */
  #updateRoute(vector: Vector, message: Message): void {
    this.#irqchip?.updateMessageRoute(vector.gsi, message);
    this.#irqchip?.commitRoutes();
  }

  /** vfio_connect_kvm_msi_virq: left to QEMU if KVM cannot. */
  #connect(vector: Vector): void {
    const { system } = this.#device;
    const irqchip = this.#irqchip!;
    vector.irqfd = system.eventNotifier();
    if (irqchip.addIrqfd(vector.irqfd, vector.gsi) >= 0) return;
    system.syscalls.close(vector.irqfd);
    irqchip.releaseRoute(vector.gsi);
    vector.irqfd = NONE;
    vector.gsi = NONE;
  }

  #enableMsixVectors(masked: (number: number) => boolean): void {
    const result = this.#enableVectors(VFIO_PCI_MSIX_IRQ_INDEX, masked);
    // As ioctl(2) returns it.
    if (result !== 0) this.#device.system.error(`vfio: failed to enable vectors, ${Math.max(result, -1)}`);
  }

  /** vfio_enable_vectors: 0, -errno, or how many there could be. Masked vectors go to QEMU, which keeps them pending. */
  #enableVectors(index: number, masked: (number: number) => boolean): number {
    const fds = Array.from({ length: this.#wired }, (_, number) => {
      const vector = this.#vectors[number];
      if (vector === undefined) return NONE;
      return masked(number) ? vector.interrupt : listenerOf(vector);
    });
    return this.#device.signalAll(index, fds);
  }

  /** vfio_msi_disable_common. */
  #closeAll(): void {
    const { syscalls } = this.#device.system;
    for (const vector of this.#vectors) {
      if (vector === undefined) continue;
      if (vector.irqfd >= 0) {
        this.#irqchip?.removeIrqfd(vector.irqfd, vector.gsi);
        this.#irqchip?.releaseRoute(vector.gsi);
        syscalls.close(vector.irqfd);
      }
      this.#mainLoop.setFdHandler(vector.interrupt, undefined);
      syscalls.close(vector.interrupt);
    }
    this.#vectors = [];
    this.#wired = 0;
    this.#pending.clear();
    this.#kind = 'none';
  }
}

/** Who hears of it: KVM, or QEMU. */
const listenerOf = ({ irqfd, interrupt }: Vector): number => (irqfd >= 0 ? irqfd : interrupt);

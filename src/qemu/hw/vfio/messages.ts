/**
 * Messages of an assigned device, MSI and MSI-X (hw/vfio/pci.c: vfio_msi_enable, vfio_msix_enable, vfio_msix_vector_do_use). The host
 * signals an eventfd for each; it is an irqfd of KVM whose GSI stands for the message that the guest has written, or, without KVM's
 * controllers or while the vector is masked, one that QEMU's main loop reads and turns into a message of the emulated function.
 */

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
  vfioMsixVectorDoUse,
  vfioMsixVectorRelease,
} from './trace-events.ts';

const NONE = -1;

/** VFIOMSIVector. */
interface Vector {
  /** QEMU's main loop reads it. */
  readonly interrupt: number;
  /** KVM's irqfd and its GSI, while there are. */
  kvm: { readonly eventfd: number; readonly gsi: number } | undefined;
}

export class VfioMessages {
  readonly #device: VfioDevice;
  readonly #mainLoop: MainLoop;
  readonly #irqchip: KvmIrqchip | undefined;
  #kind: 'none' | 'msi' | 'msix' = 'none';
  readonly #vectors: (Vector | undefined)[] = [];

  constructor(device: VfioDevice, mainLoop: MainLoop, irqchip: KvmIrqchip | undefined) {
    this.#device = device;
    this.#mainLoop = mainLoop;
    this.#irqchip = irqchip;
  }

  get enabled(): boolean {
    return this.#kind !== 'none';
  }

  /** vfio_msi_enable: all vectors that the guest allows, at once. */
  enableMsi(msi: Msi): void {
    this.#kind = 'msi';
    const { stream } = this.#device.system;
    let count = msi.allocated;
    while (count > 0) {
      for (let number = 0; number < count; number++) {
        const { address, data } = msi.message(number);
        this.#addKvm(
          this.#open(number, () => msi.notify(number)),
          address,
          data,
        );
      }
      const result = this.#enableVectors(VFIO_PCI_MSI_IRQ_INDEX, () => false);
      if (result === 0) break;
      this.#device.system.error(
        result < 0
          ? 'vfio: Error: Failed to setup MSI fds'
          : `vfio: Error: Failed to enable ${count} MSI vectors, retry with ${result}`,
      );
      this.#closeAll();
      count = Math.max(result, 0);
    }
    if (vfioMsiEnable.on) vfioMsiEnable(stream, { name: this.#device.name, count });
  }

  /** vfio_update_msi: the guest has changed the message while it is enabled. */
  updateMsi(msi: Msi): void {
    this.#vectors.forEach((vector, number) => {
      if (vector?.kvm === undefined) return;
      const { address, data } = msi.message(number);
      this.#irqchip?.updateMessageRoute(vector.kvm.gsi, address, data);
    });
  }

  /** vfio_msix_enable: the physical device has MSI-X on from now on, and gets vectors as the guest unmasks them. */
  enableMsix(msix: Msix): void {
    this.#kind = 'msix';
    const { name, system } = this.#device;
    this.#useVector(msix, 0, undefined);
    this.#releaseVector(0);
    msix.setNotifiers({
      use: (vector, address, data) => this.#useVector(msix, vector, { address, data }),
      release: (vector) => this.#releaseVector(vector),
    });
    if (vfioMsixEnable.on) vfioMsixEnable(system.stream, { name });
  }

  /** vfio_msi_disable, vfio_msix_disable; nothing if neither is enabled. */
  disable(msix: Msix | undefined): void {
    const { name, system } = this.#device;
    const kind = this.#kind;
    if (kind === 'none') return;
    this.#kind = 'none';
    msix?.setNotifiers(undefined);
    this.#device.disableIrq(kind === 'msi' ? VFIO_PCI_MSI_IRQ_INDEX : VFIO_PCI_MSIX_IRQ_INDEX);
    this.#closeAll();
    if (kind === 'msi' && vfioMsiDisable.on) vfioMsiDisable(system.stream, { name });
    if (kind === 'msix' && vfioMsixDisable.on) vfioMsixDisable(system.stream, { name });
  }

  /** vfio_msix_vector_do_use: without a message QEMU itself reads the eventfd. */
  #useVector(
    msix: Msix,
    number: number,
    message: { readonly address: number; readonly data: number } | undefined,
  ): void {
    const device = this.#device;
    if (vfioMsixVectorDoUse.on) vfioMsixVectorDoUse(device.system.stream, { name: device.name, vector: number });
    const vector = this.#vectors[number] ?? this.#open(number, () => msix.notify(number));
    if (vector.kvm !== undefined && message !== undefined) {
      this.#irqchip?.updateMessageRoute(vector.kvm.gsi, message.address, message.data);
    } else if (message !== undefined) this.#addKvm(vector, message.address, message.data);
    // The host allocates a vector when it is first used, and has to be told of all anew.
    if (number >= this.#wired) {
      device.disableIrq(VFIO_PCI_MSIX_IRQ_INDEX);
      this.#wired = number + 1;
      const result = this.#enableVectors(VFIO_PCI_MSIX_IRQ_INDEX, (other) => other !== number && msix.isMasked(other));
      if (result !== 0) device.system.error(`vfio: failed to enable vectors, ${result}`);
    } else device.signalTo(VFIO_PCI_MSIX_IRQ_INDEX, vector.kvm?.eventfd ?? vector.interrupt, number);
  }

  /** vfio_msix_vector_release: masked, so that a message has to wait: QEMU keeps it as pending. */
  #releaseVector(number: number): void {
    const device = this.#device;
    if (vfioMsixVectorRelease.on) vfioMsixVectorRelease(device.system.stream, { name: device.name, vector: number });
    const vector = this.#vectors[number];
    if (vector?.kvm !== undefined) device.signalTo(VFIO_PCI_MSIX_IRQ_INDEX, vector.interrupt, number);
  }

  /** How many vectors the host has been asked for. */
  #wired = 0;

  #open(number: number, notify: () => void): Vector {
    const { system, name } = this.#device;
    const interrupt = system.eventNotifier();
    const vector: Vector = { interrupt, kvm: undefined };
    this.#vectors[number] = vector;
    this.#mainLoop.setFdHandler(interrupt, () => {
      if (!system.testAndClear(interrupt)) return;
      if (vfioMsiInterrupt.on) vfioMsiInterrupt(system.stream, { name, vector: number });
      notify();
    });
    return vector;
  }

  /** vfio_add_kvm_msi_virq: left to QEMU if KVM cannot. */
  #addKvm(vector: Vector, address: number, data: number): void {
    const irqchip = this.#irqchip;
    if (irqchip === undefined) return;
    const eventfd = this.#device.system.eventNotifier();
    const gsi = irqchip.addMessageRoute(address, data);
    if (irqchip.addIrqfd(eventfd, gsi) < 0) {
      irqchip.releaseRoute(gsi);
      this.#device.system.syscalls.close(eventfd);
      return;
    }
    vector.kvm = { eventfd, gsi };
  }

  /** vfio_enable_vectors: 0, -errno, or how many there could be. Masked vectors go to QEMU, which keeps them pending. */
  #enableVectors(index: number, masked: (number: number) => boolean): number {
    const count = Math.max(this.#vectors.length, index === VFIO_PCI_MSIX_IRQ_INDEX ? this.#wired : 0);
    const fds = Array.from({ length: count }, (_, number) => {
      const vector = this.#vectors[number];
      if (vector === undefined) return NONE;
      return masked(number) ? vector.interrupt : (vector.kvm?.eventfd ?? vector.interrupt);
    });
    return this.#device.signalAll(index, fds);
  }

  #closeAll(): void {
    const { syscalls } = this.#device.system;
    for (const vector of this.#vectors.splice(0)) {
      if (vector === undefined) continue;
      if (vector.kvm !== undefined) {
        this.#irqchip?.removeIrqfd(vector.kvm.eventfd, vector.kvm.gsi);
        this.#irqchip?.releaseRoute(vector.kvm.gsi);
        syscalls.close(vector.kvm.eventfd);
      }
      this.#mainLoop.setFdHandler(vector.interrupt, undefined);
      syscalls.close(vector.interrupt);
    }
    this.#wired = 0;
  }
}

/**
 * INTx of an assigned device, the slow way: an eventfd that QEMU's main loop reads (hw/vfio/pci.c: vfio_intx_enable,
 * vfio_intx_interrupt, vfio_intx_eoi). The device stays masked until the guest touches a BAR, which counts as the EOI.
 *
 * Fidelity: without an interrupt controller the pin leads nowhere yet; the handshake with the kernel is complete.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import { VFIO_PCI_INTX_IRQ_INDEX } from '../../../linux/uapi/vfio.ts';
import { ConfigurationError } from '../../error.ts';
import type { MainLoop } from '../../main-loop.ts';
import { vfioIntxDisable, vfioIntxEnable, vfioIntxEoi, vfioIntxInterrupt } from '../../trace-events.ts';
import type { VfioDevice } from './device.ts';

export class VfioIntx {
  readonly #device: VfioDevice;
  readonly #mainLoop: MainLoop;
  #eventfd = -1;
  #pin = 0;
  #pending = false;

  constructor(device: VfioDevice, mainLoop: MainLoop) {
    this.#device = device;
    this.#mainLoop = mainLoop;
  }

  /** vfio_intx_enable. `pin` 1 is INTA. */
  enable(pin: number): void {
    const system = this.#device.system;
    this.#pin = pin;
    const eventfd = system.eventNotifier();
    this.#mainLoop.setFdHandler(eventfd, () => this.#interrupt());
    const result = this.#device.signalTo(VFIO_PCI_INTX_IRQ_INDEX, eventfd);
    if (result < 0) {
      this.#mainLoop.setFdHandler(eventfd, undefined);
      system.syscalls.close(eventfd);
      throw new ConfigurationError(`failed to setup INTx fd: ${strerror(-result)}`);
    }
    this.#eventfd = eventfd;
    if (vfioIntxEnable.on) vfioIntxEnable(system.stream, { name: this.#device.name });
  }

  /** vfio_intx_disable: nothing if it is not enabled. */
  disable(): void {
    if (this.#eventfd < 0) return;
    this.#device.disableIrq(VFIO_PCI_INTX_IRQ_INDEX);
    this.#pending = false;
    this.#mainLoop.setFdHandler(this.#eventfd, undefined);
    this.#device.system.syscalls.close(this.#eventfd);
    this.#eventfd = -1;
    if (vfioIntxDisable.on) vfioIntxDisable(this.#device.system.stream, { name: this.#device.name });
  }

  /** The device has interrupted (and the kernel has masked it). */
  #interrupt(): void {
    const system = this.#device.system;
    if (!system.testAndClear(this.#eventfd)) return;
    if (vfioIntxInterrupt.on) {
      const pin = String.fromCharCode('A'.charCodeAt(0) + this.#pin - 1);
      vfioIntxInterrupt(system.stream, { name: this.#device.name, pin });
    }
    this.#pending = true;
  }

  /** After every BAR access. Hot: usually nothing is pending. */
  eoi(): void {
    if (!this.#pending) return;
    if (vfioIntxEoi.on) vfioIntxEoi(this.#device.system.stream, { name: this.#device.name });
    this.#pending = false;
    this.#device.unmask(VFIO_PCI_INTX_IRQ_INDEX);
  }
}

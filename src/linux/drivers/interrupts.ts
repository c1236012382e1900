/**
 * SET_IRQS and interrupt delivery as mtty does them (mtty_set_irqs, mtty_trigger_interrupt in samples/vfio-mdev/mtty.c):
 * one eventfd for INTx, one for MSI, and whichever was wired last is signalled. Masking is accepted and does nothing.
 */

import { type Eventfd, eventfdFromFd } from '../core/eventfd.ts';
import type { Kernel } from '../core/kernel.ts';
import type { StructOf } from '../uapi/struct.ts';
import {
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_REQ_IRQ_INDEX,
  type vfio_irq_set,
} from '../uapi/vfio.ts';

/** The interrupt wiring of one device. */
export class Interrupts {
  readonly #kernel: Kernel;
  readonly #driver: string;
  #intx: Eventfd | undefined;
  #msi: Eventfd | undefined;
  /** The eventfd by which user space is asked for the device; only a driver with `request` keeps it. */
  #request: Eventfd | undefined;
  readonly #requests: boolean;
  /** Index last wired; undefined until the first SET_IRQS with an eventfd. */
  #index: number | undefined;

  /** `driver` begins the log lines: `mtty_set_irqs: disable INTx`. `requests`: it asks for its device back, as mtty does not. */
  constructor(kernel: Kernel, driver: string, requests = false) {
    this.#kernel = kernel;
    this.#driver = driver;
    this.#requests = requests;
  }

  /** A validated SET_IRQS; `fds` are its eventfd numbers, if it has any. 0, -EBADF or -EINVAL for a bad eventfd. */
  set(header: StructOf<typeof vfio_irq_set>, fds: Int32Array): number {
    const trigger = (header.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) === VFIO_IRQ_SET_ACTION_TRIGGER;
    switch (header.index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
        return trigger ? this.#wireIntx(header.flags, fds[0]) : 0;
      case VFIO_PCI_MSI_IRQ_INDEX:
        return trigger ? this.#wireMsi(header.flags, fds[0]) : 0;
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return this.#note('MSIX_IRQ');
      case VFIO_PCI_ERR_IRQ_INDEX:
        return this.#note('ERR_IRQ');
      case VFIO_PCI_REQ_IRQ_INDEX:
        return this.#requests ? this.#wireRequest(header.flags, fds[0]) : this.#note('REQ_IRQ');
      default:
        return 0;
    }
  }

  /** Signal the eventfd wired last, once. Without one nothing happens but a log line. */
  trigger(): void {
    const msi = this.#index === VFIO_PCI_MSI_IRQ_INDEX;
    const eventfd = msi ? this.#msi : this.#intx;
    if (eventfd === undefined) {
      // Fidelity: before the first SET_IRQS the sample passes NULL to eventfd_signal, and the kernel oopses.
      this.#kernel.printk(`${this.#driver}_trigger_interrupt: ${msi ? 'MSI' : 'Intx'} eventfd not found`);
      return;
    }
    eventfd.signal(1n);
  }

  /** vfio_device_ops.request: ask user space for the device, if it wants to be asked. */
  request(): void {
    this.#request?.signal(1n);
  }

  /** VFIO_PCI_REQ_IRQ_INDEX of vfio-pci: an eventfd, or -1 and none (vfio_pci_set_req_trigger). */
  #wireRequest(flags: number, fd: number | undefined): number {
    if (!(flags & VFIO_IRQ_SET_DATA_EVENTFD) || fd === undefined || fd < 0) {
      this.#request = undefined;
      return 0;
    }
    const eventfd = eventfdFromFd(this.#kernel, fd);
    if (typeof eventfd === 'number') return eventfd;
    this.#request = eventfd;
    return 0;
  }

  #wireIntx(flags: number, fd: number | undefined): number {
    if (flags & VFIO_IRQ_SET_DATA_NONE) {
      // The sample drops its reference but keeps the pointer, so a later interrupt still goes to the old eventfd.
      return this.#note('disable INTx');
    }
    if (!(flags & VFIO_IRQ_SET_DATA_EVENTFD) || fd === undefined || fd <= 0) return 0;
    const eventfd = eventfdFromFd(this.#kernel, fd);
    if (typeof eventfd === 'number') return eventfd;
    this.#intx = eventfd;
    this.#index = VFIO_PCI_INTX_IRQ_INDEX;
    return 0;
  }

  #wireMsi(flags: number, fd: number | undefined): number {
    if (flags & VFIO_IRQ_SET_DATA_NONE) {
      this.#index = VFIO_PCI_INTX_IRQ_INDEX;
      return this.#note('disable MSI');
    }
    if (!(flags & VFIO_IRQ_SET_DATA_EVENTFD) || fd === undefined || fd <= 0 || this.#msi !== undefined) return 0;
    const eventfd = eventfdFromFd(this.#kernel, fd);
    if (typeof eventfd === 'number') return eventfd;
    this.#msi = eventfd;
    this.#index = VFIO_PCI_MSI_IRQ_INDEX;
    return 0;
  }

  #note(what: string): number {
    this.#kernel.printk(`${this.#driver}_set_irqs: ${what}`);
    return 0;
  }
}

/**
 * SET_IRQS of vfio-platform (drivers/vfio/platform/vfio_platform_irq.c of Linux 6.1): one interrupt an index. A level-triggered line
 * masks itself before it is signalled, and user space, or KVM's resampling by an eventfd, unmasks it.
 */

import { type Eventfd, eventfdFromFd } from '../../core/eventfd.ts';
import type { IrqResource, PlatformDevice } from '../../platform/bus.ts';
import { EBUSY, EINVAL, ENOMEM, ENOTTY } from '../../uapi/errno.ts';
import type { StructOf } from '../../uapi/struct.ts';
import {
  VFIO_IRQ_INFO_AUTOMASKED,
  VFIO_IRQ_INFO_EVENTFD,
  VFIO_IRQ_INFO_MASKABLE,
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  type vfio_irq_set,
} from '../../uapi/vfio.ts';
import { onSignal, type Virqfd } from '../virqfd.ts';
import { vfioPlatformIrq } from './events.ts';

type Header = StructOf<typeof vfio_irq_set>;

/** `struct vfio_platform_irq`. */
interface PlatformIrq {
  readonly resource: IrqResource;
  trigger: Eventfd | undefined;
  masked: boolean;
  /** Eventfds that mask and unmask when they are signalled. */
  mask: Virqfd | undefined;
  unmask: Virqfd | undefined;
}

/** The interrupts of one open device. */
export class PlatformInterrupts {
  readonly #platform: PlatformDevice;
  readonly #irqs: readonly PlatformIrq[];

  constructor(platform: PlatformDevice) {
    this.#platform = platform;
    this.#irqs = platform.description.interrupts.map((resource) => ({
      resource,
      trigger: undefined,
      masked: false,
      mask: undefined,
      unmask: undefined,
    }));
  }

  get count(): number {
    return this.#irqs.length;
  }

  /** VFIO_IRQ_INFO flags of an index that exists. */
  flags(index: number): number {
    const level = this.#irqs[index]?.resource.level === true;
    return VFIO_IRQ_INFO_EVENTFD | (level ? VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED : 0);
  }

  /** Every interrupt off: the last close (vfio_platform_irq_cleanup). */
  shutDown(): void {
    for (const irq of this.#irqs) {
      irq.mask?.disable();
      irq.unmask?.disable();
      irq.mask = undefined;
      irq.unmask = undefined;
      this.#release(irq);
      irq.masked = false;
    }
  }

  /** vfio_platform_set_irqs_ioctl: `header` was validated; `data` follows it. 0 or -errno. */
  set(header: Header, data: Uint8Array): number {
    const irq = this.#irqs[header.index];
    const action = header.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    if (irq !== undefined) {
      if (action === VFIO_IRQ_SET_ACTION_TRIGGER) return this.#setTrigger(irq, header, data);
      if (action === VFIO_IRQ_SET_ACTION_MASK) return this.#setMask(irq, header, data, true);
      if (action === VFIO_IRQ_SET_ACTION_UNMASK) return this.#setMask(irq, header, data, false);
    }
    return this.#platform.kernel.refuse(ENOTTY, `SET_IRQS takes one action, not 0x${action.toString(16)}`);
  }

  #setTrigger(irq: PlatformIrq, { flags, start, count }: Header, data: Uint8Array): number {
    const none = (flags & VFIO_IRQ_SET_DATA_NONE) !== 0;
    if (count === 0 && none) return this.#wire(irq, undefined);
    if (start !== 0 || count !== 1) return this.#onlyOne();
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
      // The interrupt is taken away even if what shall replace it is no eventfd.
      this.#release(irq);
      const fd = new DataView(data.buffer, data.byteOffset).getInt32(0, true);
      const eventfd = fd < 0 ? undefined : eventfdFromFd(this.#platform.kernel, fd);
      return typeof eventfd === 'number' ? eventfd : this.#wire(irq, eventfd);
    }
    if (none || data[0] !== 0) this.#handle(irq);
    return 0;
  }

  /** vfio_platform_set_irq_mask, vfio_platform_set_irq_unmask. */
  #setMask(irq: PlatformIrq, { flags, start, count }: Header, data: Uint8Array, masked: boolean): number {
    const { kernel } = this.#platform;
    if (!irq.resource.level) return kernel.refuse(EINVAL, 'an edge-triggered interrupt is not maskable');
    if (start !== 0 || count !== 1) return this.#onlyOne();
    if ((flags & VFIO_IRQ_SET_DATA_EVENTFD) === 0) {
      if (flags & VFIO_IRQ_SET_DATA_NONE || data[0] !== 0) this.#maskLine(irq, masked);
      return 0;
    }
    const which = masked ? 'mask' : 'unmask';
    const fd = new DataView(data.buffer, data.byteOffset).getInt32(0, true);
    if (fd < 0) {
      irq[which]?.disable();
      irq[which] = undefined;
      return 0;
    }
    const eventfd = eventfdFromFd(this.#platform.kernel, fd);
    if (typeof eventfd === 'number') return eventfd;
    if (irq[which] !== undefined) return kernel.refuse(EBUSY, `another eventfd ${which}s the interrupt`);
    if (!kernel.kmalloc('struct virqfd')) return -ENOMEM;
    irq[which] = onSignal(
      eventfd,
      () => this.#maskLine(irq, masked),
      () => {
        irq[which] = undefined;
      },
    );
    return 0;
  }

  /** vfio_set_trigger: undefined takes the interrupt away. */
  #wire(irq: PlatformIrq, trigger: Eventfd | undefined): number {
    this.#release(irq);
    if (trigger === undefined) return 0;
    const { interrupts } = this.#platform;
    irq.trigger = trigger;
    interrupts.setLine(irq.resource.line, () => this.#handle(irq));
    if (irq.masked) interrupts.maskLine(irq.resource.line, true);
    return 0;
  }

  #release(irq: PlatformIrq): void {
    if (irq.trigger === undefined) return;
    irq.trigger = undefined;
    this.#platform.interrupts.setLine(irq.resource.line, undefined);
  }

  /** vfio_automasked_irq_handler, vfio_irq_handler. */
  #handle(irq: PlatformIrq): void {
    const { interrupts, kernel, name } = this.#platform;
    if (irq.resource.level) {
      if (irq.masked) return;
      irq.masked = true;
      interrupts.maskLine(irq.resource.line, true);
    }
    if (vfioPlatformIrq.on) {
      vfioPlatformIrq(kernel.stream, { device: name, index: this.#irqs.indexOf(irq), automasked: irq.resource.level });
    }
    irq.trigger?.signal();
  }

  /** A line that is high when it is unmasked interrupts again. */
  #maskLine(irq: PlatformIrq, masked: boolean): void {
    if (irq.masked === masked) return;
    irq.masked = masked;
    if (irq.trigger !== undefined) this.#platform.interrupts.maskLine(irq.resource.line, masked);
  }

  #onlyOne(): number {
    return this.#platform.kernel.refuse(EINVAL, 'an index of a platform device is one interrupt: start 0, count 1');
  }
}

/**
 * SET_IRQS of vfio-pci: where interrupts go, and the masking of INTx (drivers/vfio/pci/vfio_pci_intrs.c). INTx masks itself
 * before it signals: the line is shared and level-triggered, and only user space can quiet the device.
 */

import { type Eventfd, eventfdFromFd } from '../../core/eventfd.ts';
import type { PciDevice } from '../../pci/device.ts';
import { allocateMessages, type MessageVectors, messageCount } from '../../pci/interrupts.ts';
import { EBUSY, EINVAL, ENOMEM, ENOTTY } from '../../uapi/errno.ts';
import { PCI_COMMAND_INTX_DISABLE, PCI_STATUS, PCI_STATUS_INTERRUPT } from '../../uapi/pci.ts';
import type { StructOf } from '../../uapi/struct.ts';
import {
  VFIO_IRQ_SET_ACTION_MASK,
  VFIO_IRQ_SET_ACTION_TRIGGER,
  VFIO_IRQ_SET_ACTION_TYPE_MASK,
  VFIO_IRQ_SET_ACTION_UNMASK,
  VFIO_IRQ_SET_DATA_BOOL,
  VFIO_IRQ_SET_DATA_EVENTFD,
  VFIO_IRQ_SET_DATA_NONE,
  VFIO_PCI_ERR_IRQ_INDEX,
  VFIO_PCI_INTX_IRQ_INDEX,
  VFIO_PCI_MSI_IRQ_INDEX,
  VFIO_PCI_MSIX_IRQ_INDEX,
  VFIO_PCI_NUM_IRQS,
  VFIO_PCI_REQ_IRQ_INDEX,
  type vfio_irq_set,
} from '../../uapi/vfio.ts';
import { onSignal, type Virqfd } from '../virqfd.ts';
import { vfioIntx, vfioMsi } from './events.ts';

type Header = StructOf<typeof vfio_irq_set>;

/** How the device interrupts now. */
type Mode =
  | { readonly kind: 'none' }
  | { readonly kind: 'intx'; trigger: Eventfd | undefined; masked: boolean; unmask: Virqfd | undefined }
  | {
      readonly kind: 'messages';
      readonly index: number;
      readonly vectors: MessageVectors;
      readonly triggers: (Eventfd | undefined)[];
    };

export class PciInterrupts {
  readonly #pci: PciDevice;
  #mode: Mode = { kind: 'none' };
  /** User space set INTX_DISABLE in its COMMAND: the line stays masked, whatever is unmasked. */
  #disabled = false;
  #request: Eventfd | undefined;

  constructor(pci: PciDevice) {
    this.#pci = pci;
  }

  /** How many interrupts an index has; 0 for one that the device lacks. */
  count(index: number): number {
    switch (index) {
      case VFIO_PCI_INTX_IRQ_INDEX:
      case VFIO_PCI_REQ_IRQ_INDEX:
        return 1;
      case VFIO_PCI_MSI_IRQ_INDEX:
        return messageCount(this.#pci, false);
      case VFIO_PCI_MSIX_IRQ_INDEX:
        return messageCount(this.#pci, true);
      default:
        // ERR reports errors of PCI Express, which a conventional device has not.
        return 0;
    }
  }

  get usesMsi(): boolean {
    return this.#mode.kind === 'messages' && this.#mode.index === VFIO_PCI_MSI_IRQ_INDEX;
  }

  /** The device is to be given back: tell who asked to be told (vfio_pci_core_request). */
  requestReturn(): void {
    this.#request?.signal();
  }

  /** Every interrupt off: the last close. */
  shutDown(): void {
    this.#disable();
    this.#disabled = false;
    this.#request = undefined;
  }

  /** COMMAND.INTX_DISABLE as user space sees it. */
  setDisabled(disabled: boolean): void {
    this.#disabled = disabled;
    if (this.#mode.kind !== 'intx') return;
    if (disabled) this.#maskLine(true);
    else if (!this.#mode.masked) this.#maskLine(false);
  }

  /** vfio_pci_set_irqs_ioctl: `header` was validated; `data` follows it. 0, -errno, or the number of messages there are. */
  set(header: Header, data: Uint8Array): number {
    const { kernel } = this.#pci;
    const action = header.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK;
    if (header.index === VFIO_PCI_INTX_IRQ_INDEX) {
      if (action === VFIO_IRQ_SET_ACTION_TRIGGER) return this.#triggerIntx(header, data);
      if (action === VFIO_IRQ_SET_ACTION_MASK) return this.#maskIntx(header, data, true);
      if (action === VFIO_IRQ_SET_ACTION_UNMASK) return this.#maskIntx(header, data, false);
    } else if (action === VFIO_IRQ_SET_ACTION_TRIGGER) {
      if (header.index === VFIO_PCI_REQ_IRQ_INDEX) return this.#triggerRequest(header, data);
      if (header.index !== VFIO_PCI_ERR_IRQ_INDEX) return this.#triggerMessages(header, data);
    }
    return kernel.refuse(
      ENOTTY,
      `interrupt index ${header.index} of ${VFIO_PCI_NUM_IRQS} has no action 0x${action.toString(16)}`,
    );
  }

  #triggerIntx({ flags, start, count }: Header, data: Uint8Array): number {
    const { kernel } = this.#pci;
    const none = (flags & VFIO_IRQ_SET_DATA_NONE) !== 0;
    if (this.#mode.kind === 'intx' && count === 0 && none) {
      this.#disable();
      return 0;
    }
    if (this.#mode.kind === 'messages' || start !== 0 || count !== 1) {
      return kernel.refuse(EINVAL, 'INTx is one interrupt, and cannot be had beside MSI or MSI-X: disable these first');
    }
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
      const trigger = this.#eventfdOf(data, 0);
      if (typeof trigger === 'number') return trigger;
      if (this.#mode.kind === 'intx') this.#mode.trigger = trigger;
      else if (!kernel.kmalloc('struct vfio_pci_irq_ctx')) return -ENOMEM;
      else this.#enableIntx(trigger);
      return 0;
    }
    if (this.#mode.kind !== 'intx') return kernel.refuse(EINVAL, 'INTx is not enabled');
    if (none || data[0] !== 0) this.#mode.trigger?.signal();
    return 0;
  }

  /** MASK and UNMASK of INTx. */
  #maskIntx({ flags, start, count }: Header, data: Uint8Array, masked: boolean): number {
    const { kernel } = this.#pci;
    const mode = this.#mode;
    if (mode.kind !== 'intx' || start !== 0 || count !== 1) {
      return kernel.refuse(EINVAL, 'INTx is not enabled, or is more than one interrupt');
    }
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
      if (masked) return kernel.refuse(ENOTTY, 'an eventfd can unmask INTx, but not mask it');
      const fd = fdAt(data, 0);
      if (fd < 0) {
        mode.unmask?.disable();
        mode.unmask = undefined;
        return 0;
      }
      if (mode.unmask !== undefined) return kernel.refuse(EBUSY, 'another eventfd unmasks INTx');
      const eventfd = this.#eventfdOf(data, 0);
      if (typeof eventfd !== 'object') return eventfd ?? 0;
      if (!kernel.kmalloc('struct virqfd')) return -ENOMEM;
      mode.unmask = onSignal(
        eventfd,
        () => this.#setMasked(false),
        () => {
          mode.unmask = undefined;
        },
      );
      return 0;
    }
    if (flags & VFIO_IRQ_SET_DATA_NONE || data[0] !== 0) this.#setMasked(masked);
    return 0;
  }

  #triggerMessages({ flags, index, start, count }: Header, data: Uint8Array): number {
    const { kernel } = this.#pci;
    const mode = this.#mode;
    const active = mode.kind === 'messages' && mode.index === index ? mode : undefined;
    if (active !== undefined && count === 0 && flags & VFIO_IRQ_SET_DATA_NONE) {
      this.#disable();
      return 0;
    }
    if (mode.kind !== 'none' && active === undefined) {
      return kernel.refuse(EINVAL, 'another kind of interrupt is enabled: disable it first');
    }
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) return this.#wireMessages(index, start, count, data, active);
    if (active === undefined || start + count > active.triggers.length) {
      return kernel.refuse(EINVAL, `of interrupt index ${index} so many are not enabled`);
    }
    for (let i = 0; i < count; i++) {
      const wanted =
        (flags & VFIO_IRQ_SET_DATA_NONE) !== 0 || ((flags & VFIO_IRQ_SET_DATA_BOOL) !== 0 && data[i] !== 0);
      if (wanted) active.triggers[start + i]?.signal();
    }
    return 0;
  }

  /** vfio_msi_enable at the first call, vfio_msi_set_block at each. */
  #wireMessages(
    index: number,
    start: number,
    count: number,
    data: Uint8Array,
    active: Extract<Mode, { kind: 'messages' }> | undefined,
  ): number {
    const { kernel } = this.#pci;
    const wired: (Eventfd | undefined)[] = [];
    for (let i = 0; i < count; i++) {
      const eventfd = this.#eventfdOf(data, i);
      if (typeof eventfd === 'number') return eventfd;
      wired.push(eventfd);
    }
    let mode = active;
    if (mode === undefined) {
      if (!kernel.kmalloc('struct vfio_pci_irq_ctx')) return -ENOMEM;
      const vectors = allocateMessages(this.#pci, start + count, index === VFIO_PCI_MSIX_IRQ_INDEX);
      if (typeof vectors === 'number') return vectors;
      mode = { kind: 'messages', index, vectors, triggers: Array.from({ length: start + count }, () => undefined) };
      this.#mode = mode;
    }
    if (start + count > mode.triggers.length) {
      return kernel.refuse(EINVAL, `${mode.triggers.length} messages were set up at first: disable them to have more`);
    }
    for (const [i, eventfd] of wired.entries()) this.#wire(mode, start + i, eventfd);
    return 0;
  }

  #wire(mode: Extract<Mode, { kind: 'messages' }>, number: number, eventfd: Eventfd | undefined): void {
    const { name, kernel } = this.#pci;
    mode.triggers[number] = eventfd;
    const signal = () => {
      if (vfioMsi.on) vfioMsi(kernel.stream, { device: name, index: mode.index, vector: number });
      eventfd?.signal();
    };
    mode.vectors.handle(number, eventfd === undefined ? undefined : signal);
  }

  /** vfio_pci_set_ctx_trigger_single. */
  #triggerRequest({ flags, start, count }: Header, data: Uint8Array): number {
    const { kernel } = this.#pci;
    if (start !== 0 || count > 1) return kernel.refuse(EINVAL, 'the request interrupt is one');
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
      const eventfd = count === 0 ? undefined : this.#eventfdOf(data, 0);
      if (typeof eventfd === 'number') return eventfd;
      this.#request = eventfd;
    } else if (count === 0) this.#request = undefined;
    else if (flags & VFIO_IRQ_SET_DATA_NONE || data[0] !== 0) this.#request?.signal();
    return 0;
  }

  #enableIntx(trigger: Eventfd | undefined): void {
    this.#mode = { kind: 'intx', trigger, masked: this.#disabled, unmask: undefined };
    this.#maskLine(this.#disabled);
    this.#pci.hardware.slot.interrupts.setLine(this.#line, () => this.#intxHandler());
  }

  /** vfio_intx_handler: mask first, so that the level does not interrupt for ever. */
  #intxHandler(): void {
    const mode = this.#mode;
    if (mode.kind !== 'intx') return;
    // The line may be shared: is it this device?
    if ((this.#pci.readConfig(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT) === 0) return;
    mode.masked = true;
    this.#maskLine(true);
    if (vfioIntx.on) vfioIntx(this.#pci.kernel.stream, { device: this.#pci.name });
    mode.trigger?.signal();
  }

  #setMasked(masked: boolean): void {
    const mode = this.#mode;
    if (mode.kind !== 'intx' || mode.masked === masked) return;
    mode.masked = masked;
    if (masked || !this.#disabled) this.#maskLine(masked);
  }

  /** pci_intx: a device of PCI 2.3 masks by itself. What it still wants is sent again when it is unmasked. */
  #maskLine(masked: boolean): void {
    this.#pci.setCommand(masked ? PCI_COMMAND_INTX_DISABLE : 0, masked ? 0 : PCI_COMMAND_INTX_DISABLE);
  }

  #disable(): void {
    const mode = this.#mode;
    this.#mode = { kind: 'none' };
    if (mode.kind === 'intx') {
      mode.unmask?.disable();
      this.#pci.hardware.slot.interrupts.setLine(this.#line, undefined);
    }
    if (mode.kind === 'messages') mode.vectors.free();
  }

  get #line(): number {
    return this.#pci.hardware.slot.line;
  }

  /** The eventfd at position `i` of the data; undefined for -1; -EBADF or -EINVAL. */
  #eventfdOf(data: Uint8Array, i: number): Eventfd | undefined | number {
    const fd = fdAt(data, i);
    if (fd < 0) return fd === -1 ? undefined : this.#pci.kernel.refuse(EINVAL, `${fd} is no descriptor: -1 means none`);
    return eventfdFromFd(this.#pci.kernel, fd);
  }
}

const fdAt = (data: Uint8Array, i: number): number => new DataView(data.buffer, data.byteOffset).getInt32(4 * i, true);

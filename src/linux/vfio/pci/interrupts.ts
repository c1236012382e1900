/**
 * SET_IRQS of vfio-pci: where interrupts go, and the masking of INTx (drivers/vfio/pci/vfio_pci_intrs.c). INTx masks itself
 * before it signals: the line is shared and level-triggered, and only user space can quiet the device.
 */

import { type Eventfd, eventfdFromFd } from '../../core/eventfd.ts';
import type { PciDevice } from '../../pci/device.ts';
import { allocateMessages, type MessageVectors, messageCount } from '../../pci/interrupts.ts';
import { EBUSY, EINVAL, ENOMEM, ENOTTY, ERANGE } from '../../uapi/errno.ts';
import {
  PCI_COMMAND,
  PCI_COMMAND_INTX_DISABLE,
  PCI_COMMAND_MEMORY,
  PCI_STATUS,
  PCI_STATUS_INTERRUPT,
} from '../../uapi/pci.ts';
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

/** Of so many requests for a device one is told in the log. */
const REMINDER = 10;

/** INTx is how the device interrupts. */
interface Intx {
  readonly kind: 'intx';
  trigger: Eventfd | undefined;
  /** By its interrupt, by user space, or because COMMAND said so. */
  masked: boolean;
  unmask: Virqfd | undefined;
}

/** Or MSI or MSI-X. */
interface Messages {
  readonly kind: 'messages';
  readonly index: number;
  readonly vectors: MessageVectors;
  readonly triggers: (Eventfd | undefined)[];
}

type Mode = { readonly kind: 'none' } | Intx | Messages;

export class PciInterrupts {
  readonly #pci: PciDevice;
  #mode: Mode = { kind: 'none' };
  /** User space set INTX_DISABLE in its COMMAND: the line stays masked, whatever is unmasked. */
  #disabled = false;
  #request: Eventfd | undefined;
  #msiQmax = 0;

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

  /** Logarithm of how many messages MSI was last enabled with: more user space cannot grant the device in its configuration. */
  get msiQmax(): number {
    return this.#msiQmax;
  }

  /** vfio_pci_core_request: the host wants the device back, and asks for the `count`-th time. */
  requestReturn(count: number): void {
    const { kernel, device, name } = this.#pci;
    const who = `${device.driverString} ${name}`;
    if (this.#request !== undefined) {
      if (count % REMINDER === 0) kernel.printk(`${who}: Relaying device request to user (#${count})`);
      this.#request.signal();
    } else if (count === 0) {
      kernel.printk(`${who}: No device request channel registered, blocked until released by user`);
    }
  }

  /** vfio_pci_intx_mask before the device sleeps: whether it was this that masked it. */
  maskIntx(): boolean {
    const mode = this.#mode;
    if (mode.kind !== 'intx' || mode.masked) return false;
    this.#mask();
    return true;
  }

  unmaskIntx(): void {
    this.#unmask();
  }

  /** Every interrupt off: the last close. */
  shutDown(): void {
    this.#disable();
    this.#disabled = false;
    this.#request = undefined;
  }

  /** COMMAND.INTX_DISABLE as user space sees it. The line follows it, enabled or not; cleared, it unmasks what anybody masked. */
  setDisabled(disabled: boolean): void {
    if (disabled === this.#disabled) return;
    this.#disabled = disabled;
    if (disabled) this.#mask();
    else this.#unmask();
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
    if (none || data[0] !== 0) this.#sendIntx(this.#mode);
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
      if (!kernel.kmalloc('struct virqfd')) return -ENOMEM;
      const eventfd = eventfdFromFd(kernel, fd);
      if (typeof eventfd === 'number') return eventfd;
      if (mode.unmask !== undefined) return kernel.refuse(EBUSY, 'another eventfd unmasks INTx');
      mode.unmask = onSignal(
        eventfd,
        () => this.#unmask(),
        () => {
          mode.unmask = undefined;
        },
      );
      return 0;
    }
    if (flags & VFIO_IRQ_SET_DATA_NONE || data[0] !== 0) {
      if (masked) this.#mask();
      else this.#unmask();
    }
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
    if (flags & VFIO_IRQ_SET_DATA_EVENTFD) {
      return active === undefined
        ? this.#enableMessages(index, start, count, data)
        : this.#wireBlock(active, start, count, data);
    }
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

  /** vfio_msi_enable, with as many messages as the first call names. */
  #enableMessages(index: number, start: number, count: number, data: Uint8Array): number {
    const { kernel } = this.#pci;
    const most = start + count;
    if (!kernel.kmalloc('struct vfio_pci_irq_ctx')) return -ENOMEM;
    // pci_alloc_irq_vectors, of one at least.
    if (most === 0) return kernel.refuse(ERANGE, 'no message is not a number of messages to enable');
    const msix = index === VFIO_PCI_MSIX_IRQ_INDEX;
    const vectors = this.#withMemory(() => allocateMessages(this.#pci, most, msix));
    if (typeof vectors === 'number') return vectors;
    const mode: Messages = {
      kind: 'messages',
      index,
      vectors,
      triggers: Array.from({ length: most }, () => undefined),
    };
    this.#mode = mode;
    if (!msix) this.#msiQmax = Math.ceil(Math.log2(most));
    const error = this.#wireBlock(mode, start, count, data);
    if (error < 0) this.#disable();
    return error;
  }

  /** vfio_msi_set_block: where one cannot be wired, those before it are not any more either. */
  #wireBlock(mode: Messages, start: number, count: number, data: Uint8Array): number {
    if (start >= mode.triggers.length || start + count > mode.triggers.length) {
      return this.#pci.kernel.refuse(
        EINVAL,
        `${mode.triggers.length} messages were set up at first: disable them to have more`,
      );
    }
    for (let i = 0; i < count; i++) {
      this.#wire(mode, start + i, undefined);
      const eventfd = this.#eventfdOf(data, i);
      if (typeof eventfd === 'number') {
        for (let wired = 0; wired < i; wired++) this.#wire(mode, start + wired, undefined);
        return eventfd;
      }
      if (eventfd !== undefined) this.#wire(mode, start + i, eventfd);
    }
    return 0;
  }

  /** vfio_msi_set_vector_signal. A reset may have cleared the entry of MSI-X, which user space cannot reach: it is written anew. */
  #wire(mode: Messages, number: number, eventfd: Eventfd | undefined): void {
    const { name, kernel } = this.#pci;
    mode.triggers[number] = eventfd;
    const signal = () => {
      if (vfioMsi.on) vfioMsi(kernel.stream, { device: name, index: mode.index, vector: number });
      eventfd?.signal();
    };
    this.#withMemory(() => mode.vectors.handle(number, eventfd === undefined ? undefined : signal));
  }

  /** vfio_pci_memory_lock_and_enable: the MSI-X table is there for the kernel, whether or not user space has memory decoded. */
  #withMemory<T>(act: () => T): T {
    const command = this.#pci.readConfig(PCI_COMMAND, 2);
    this.#pci.setCommand(PCI_COMMAND_MEMORY, 0);
    const result = act();
    this.#pci.writeConfig(PCI_COMMAND, 2, command);
    return result;
  }

  /** vfio_pci_set_ctx_trigger_single. */
  #triggerRequest({ flags, start, count }: Header, data: Uint8Array): number {
    const { kernel } = this.#pci;
    if (start !== 0 || count > 1) return kernel.refuse(EINVAL, 'the request interrupt is one');
    if (flags & VFIO_IRQ_SET_DATA_NONE) {
      if (this.#request === undefined) return kernel.refuse(EINVAL, 'no eventfd was given to ask by');
      if (count === 0) this.#request = undefined;
      else this.#request.signal();
      return 0;
    }
    if (count === 0) return kernel.refuse(EINVAL, 'data for no interrupt at all');
    if (flags & VFIO_IRQ_SET_DATA_BOOL) {
      if (data[0] !== 0) this.#request?.signal();
      return 0;
    }
    // Of the negative numbers only -1 takes it away.
    if (fdAt(data, 0) < -1) return 0;
    const eventfd = this.#eventfdOf(data, 0);
    if (typeof eventfd === 'number') return eventfd;
    this.#request = eventfd;
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
    // The line may be shared: is it this device?
    if (mode.kind !== 'intx' || mode.masked || !this.#interrupts) return;
    mode.masked = true;
    this.#maskLine(true);
    this.#tellIntx(mode);
  }

  /** The device interrupts, heard or not. */
  get #interrupts(): boolean {
    return (this.#pci.readConfig(PCI_STATUS, 2) & PCI_STATUS_INTERRUPT) !== 0;
  }

  #tellIntx(mode: Intx): void {
    if (vfioIntx.on) vfioIntx(this.#pci.kernel.stream, { device: this.#pci.name });
    this.#sendIntx(mode);
  }

  /** vfio_send_intx_eventfd. */
  #sendIntx(mode: Intx): void {
    if (!this.#disabled) mode.trigger?.signal();
  }

  /** vfio_pci_intx_mask. */
  #mask(): void {
    const mode = this.#mode;
    if (mode.kind === 'intx') {
      if (mode.masked) return;
      mode.masked = true;
    }
    this.#maskLine(true);
  }

  /** vfio_pci_intx_unmask: what waits is sent again, and the line left masked, without an interrupt between. */
  #unmask(): void {
    const mode = this.#mode;
    if (mode.kind === 'intx') {
      if (!mode.masked || this.#disabled) return;
      if (this.#interrupts) {
        this.#tellIntx(mode);
        return;
      }
      mode.masked = false;
    }
    this.#maskLine(false);
  }

  /** pci_intx: a device of PCI 2.3 masks by itself. */
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

  /** The eventfd at position `i` of the data; undefined for a negative number; -EBADF or -EINVAL. */
  #eventfdOf(data: Uint8Array, i: number): Eventfd | undefined | number {
    const fd = fdAt(data, i);
    return fd < 0 ? undefined : eventfdFromFd(this.#pci.kernel, fd);
  }
}

const fdAt = (data: Uint8Array, i: number): number => new DataView(data.buffer, data.byteOffset).getInt32(4 * i, true);

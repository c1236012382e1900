/**
 * Interrupts of an assigned platform device (hw/vfio/platform.c: vfio_init_intp, vfio_start_irqfd_injection, vfio_intp_interrupt,
 * vfio_platform_eoi). With KVM's controllers each is an irqfd, a level-triggered one with a resamplefd that unmasks it. Without,
 * QEMU's main loop raises the line; one interrupt at a time, the others wait in a queue, and the end is the guest's next access to
 * any of the device's regions.
 */

import { strerror } from '../../../linux/uapi/errno.ts';
import { VFIO_IRQ_INFO_AUTOMASKED } from '../../../linux/uapi/vfio.ts';
import { Abort, ConfigurationError } from '../../error.ts';
import type { QemuTimer } from '../../timer.ts';
import type { Machine } from '../machine.ts';
import type { VfioDevice } from './device.ts';
import {
  vfioIntpInterruptSetPending,
  vfioPlatformEoi,
  vfioPlatformIntpInjectPending,
  vfioPlatformIntpInterrupt,
  vfioPlatformIntpMmapEnable,
  vfioPlatformPopulateInterrupts,
  vfioPlatformStartEdgeIrqfd,
  vfioPlatformStartLevelIrqfd,
} from './platform-trace-events.ts';
import type { VfioRegion } from './region.ts';

/** mmap-timeout-ms, in nanoseconds. */
const MMAP_TIMEOUT = 1_100_000_000;

/** VFIOINTp: one interrupt index. */
interface Intp {
  readonly pin: number;
  readonly automasked: boolean;
  readonly interrupt: number;
  /** The eventfd that unmasks, for an automasked one. */
  readonly unmask: number | undefined;
  line: number;
  state: 'inactive' | 'pending' | 'active';
}

export class VfioIntps {
  readonly #machine: Machine;
  readonly #device: VfioDevice;
  readonly #regions: readonly VfioRegion[];
  readonly #intps: Intp[] = [];
  readonly #pending: Intp[] = [];
  readonly #timer: QemuTimer;

  /** `regions` are trapped while an interrupt is handled. */
  constructor(machine: Machine, device: VfioDevice, regions: readonly VfioRegion[]) {
    this.#machine = machine;
    this.#device = device;
    this.#regions = regions;
    this.#timer = machine.mainLoop.timers.timer(() => this.#mmapAgain());
  }

  /** The interrupt half of vfio_populate_device. */
  populate(): void {
    for (let pin = 0; pin < this.#device.irqCount; pin++) this.#intps.push(this.#init(pin));
  }

  #init(pin: number): Intp {
    const device = this.#device;
    const { system } = device;
    const info = device.irqInfo(pin);
    if (typeof info === 'number') throw new ConfigurationError(`failed to get device irq info: ${strerror(-info)}`);
    if (vfioPlatformPopulateInterrupts.on) {
      vfioPlatformPopulateInterrupts(system.stream, { pin, count: info.count, flags: info.flags });
    }
    const automasked = (info.flags & VFIO_IRQ_INFO_AUTOMASKED) !== 0;
    const interrupt = system.eventNotifier();
    const unmask = automasked ? system.eventNotifier() : undefined;
    return { pin, automasked, interrupt, unmask, line: -1, state: 'inactive' };
  }

  /** Each interrupt gets a line of the board: sysbus_connect_irq. */
  connect(nextLine: () => number): void {
    for (const intp of this.#intps) {
      intp.line = nextLine();
      this.#start(intp);
    }
  }

  /** vfio_start_irqfd_injection; vfio_start_eventfd_injection where KVM has no controllers. */
  #start(intp: Intp): void {
    const device = this.#device;
    const { stream } = device.system;
    const { irqchip } = this.#machine.kvm;
    if (irqchip === undefined || irqchip.addIrqfd(intp.interrupt, intp.line, intp.unmask) < 0) {
      this.#machine.mainLoop.setFdHandler(intp.interrupt, () => this.#interrupted(intp));
      this.#wired(device.signalTo(intp.pin, intp.interrupt));
      return;
    }
    this.#wired(device.signalTo(intp.pin, intp.interrupt));
    if (intp.unmask === undefined) {
      if (vfioPlatformStartEdgeIrqfd.on) vfioPlatformStartEdgeIrqfd(stream, { index: intp.pin, fd: intp.interrupt });
      return;
    }
    this.#wired(device.unmaskBy(intp.pin, intp.unmask));
    if (vfioPlatformStartLevelIrqfd.on) {
      vfioPlatformStartLevelIrqfd(stream, { index: intp.pin, fd: intp.interrupt, resamplefd: intp.unmask });
    }
  }

  /** error_reportf_err, and abort(3). */
  #wired(refused: string | undefined): void {
    if (refused === undefined) return;
    this.#device.system.error(`vfio ${this.#device.name}: ${refused}`);
    throw new Abort();
  }

  /** vfio_intp_interrupt. */
  #interrupted(intp: Intp): void {
    const { system } = this.#device;
    const fields = { pin: intp.pin, fd: intp.interrupt };
    const busy = this.#intps.some(({ state }) => state !== 'inactive');
    if (!system.testAndClear(intp.interrupt)) return;
    if (busy) {
      intp.state = 'pending';
      if (vfioIntpInterruptSetPending.on) vfioIntpInterruptSetPending(system.stream, { pin: intp.pin });
      this.#pending.push(intp);
      return;
    }
    if (vfioPlatformIntpInterrupt.on) vfioPlatformIntpInterrupt(system.stream, fields);
    this.#inject(intp);
  }

  #inject(intp: Intp): void {
    intp.state = 'active';
    this.#setMmapsEnabled(false);
    this.#machine.kvm.irqchip?.setGsi(intp.line, true);
    this.#timer.modify(this.#machine.mainLoop.timers.now + MMAP_TIMEOUT);
  }

  /** vfio_platform_eoi: after every trapped access. Hot: usually nothing is active. */
  eoi(): void {
    for (const intp of this.#intps) {
      if (intp.state !== 'active') continue;
      const { stream } = this.#device.system;
      if (vfioPlatformEoi.on) vfioPlatformEoi(stream, { pin: intp.pin, fd: intp.interrupt });
      intp.state = 'inactive';
      this.#machine.kvm.irqchip?.setGsi(intp.line, false);
      if (intp.automasked) this.#device.unmask(intp.pin);
      const next = this.#pending.shift();
      if (next !== undefined) {
        if (vfioPlatformIntpInjectPending.on) {
          vfioPlatformIntpInjectPending(stream, { pin: next.pin, fd: next.interrupt });
        }
        this.#inject(next);
      }
      return;
    }
  }

  /** vfio_mmap_set_enabled. */
  #setMmapsEnabled(enabled: boolean): void {
    for (const region of this.#regions) region.setMmapsEnabled(enabled);
  }

  /** vfio_intp_mmap_enable. */
  #mmapAgain(): void {
    const active = this.#intps.find(({ state }) => state === 'active');
    if (active === undefined) {
      this.#setMmapsEnabled(true);
      return;
    }
    if (vfioPlatformIntpMmapEnable.on) vfioPlatformIntpMmapEnable(this.#device.system.stream, { pin: active.pin });
    this.#timer.modify(this.#machine.mainLoop.timers.now + MMAP_TIMEOUT);
  }
}

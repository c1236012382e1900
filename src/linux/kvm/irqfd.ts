/**
 * KVM_IRQFD: an eventfd that raises an interrupt in the guest (virt/kvm/eventfd.c). The kernel takes the counter itself; no
 * user space is in between.
 */

import { type Eventfd, eventfdFromFd } from '../core/eventfd.ts';
import type { Kernel } from '../core/kernel.ts';
import { EBUSY, EINVAL, ENOMEM } from '../uapi/errno.ts';
import { KVM_IRQFD_FLAG_DEASSIGN, KVM_IRQFD_FLAG_RESAMPLE, type kvm_irqfd } from '../uapi/kvm.ts';
import type { StructOf } from '../uapi/struct.ts';
import { POLLHUP, POLLIN } from '../uapi/syscalls.ts';
import { type Irqchip, RESAMPLE_SOURCE, USERSPACE_SOURCE } from './irqchip.ts';

type Arguments = StructOf<typeof kvm_irqfd>;

interface Irqfd {
  readonly eventfd: Eventfd;
  readonly gsi: number;
  readonly resampler: Eventfd | undefined;
  leave: () => void;
}

/** All irqfds of one GSI that want to hear of its end of interrupt (kvm_kernel_irqfd_resampler). */
interface Resampler {
  readonly users: Set<Irqfd>;
  readonly leave: () => void;
}

export class Irqfds {
  readonly #kernel: Kernel;
  /** `undefined` while the VM has no in-kernel interrupt controllers. */
  readonly #irqchip: () => Irqchip | undefined;
  readonly #irqfds: Irqfd[] = [];
  readonly #resamplers = new Map<number, Resampler>();

  constructor(kernel: Kernel, irqchip: () => Irqchip | undefined) {
    this.#kernel = kernel;
    this.#irqchip = irqchip;
  }

  /** KVM_IRQFD: 0, -EINVAL, -EBADF, -EBUSY or -ENOMEM. */
  set(args: Arguments): number {
    const { flags } = args;
    if (flags & ~(KVM_IRQFD_FLAG_DEASSIGN | KVM_IRQFD_FLAG_RESAMPLE))
      return this.#kernel.refuse(EINVAL, `unknown irqfd flags 0x${flags.toString(16)}`);
    return flags & KVM_IRQFD_FLAG_DEASSIGN ? this.#deassign(args) : this.#assign(args);
  }

  /** kvm_irqfd_release: the VM's fd is closed. */
  release(): void {
    for (const irqfd of [...this.#irqfds]) this.#shutDown(irqfd);
  }

  #assign(args: Arguments): number {
    const irqchip = this.#irqchip();
    if (irqchip === undefined)
      return this.#kernel.refuse(EINVAL, 'an irqfd needs in-kernel interrupt controllers (KVM_CREATE_IRQCHIP)');
    if (!this.#kernel.kmalloc('struct kvm_kernel_irqfd')) return -ENOMEM;
    const eventfd = eventfdFromFd(this.#kernel, args.fd);
    if (typeof eventfd === 'number') return eventfd;
    const resampler = args.flags & KVM_IRQFD_FLAG_RESAMPLE ? eventfdFromFd(this.#kernel, args.resamplefd) : undefined;
    if (typeof resampler === 'number') return resampler;
    const irqfd: Irqfd = { eventfd, gsi: args.gsi, resampler, leave: () => {} };
    if (resampler !== undefined) {
      const firstOfGsi = !this.#resamplers.has(args.gsi);
      if (firstOfGsi && !this.#kernel.kmalloc('struct kvm_kernel_irqfd_resampler')) return -ENOMEM;
      this.#resampler(irqchip, args.gsi).users.add(irqfd);
    }
    if (this.#irqfds.some((other) => other.eventfd === eventfd)) {
      this.#leaveResampler(irqfd);
      return this.#kernel.refuse(EBUSY, `the eventfd of fd ${args.fd} is an irqfd already`);
    }
    this.#irqfds.push(irqfd);
    irqfd.leave = eventfd.addWaiter((events) => this.#woken(irqchip, irqfd, events));
    // What was signalled before is told; the counter keeps it.
    if (eventfd.counter > 0n) inject(irqchip, irqfd);
    return 0;
  }

  #deassign(args: Arguments): number {
    const eventfd = eventfdFromFd(this.#kernel, args.fd);
    if (typeof eventfd === 'number') return eventfd;
    for (const irqfd of [...this.#irqfds])
      if (irqfd.eventfd === eventfd && irqfd.gsi === args.gsi) this.#shutDown(irqfd);
    return 0;
  }

  /** irqfd_wakeup. */
  #woken(irqchip: Irqchip, irqfd: Irqfd, events: number): void {
    if (events & POLLIN) {
      irqfd.eventfd.consume();
      if (!irqchip.sendAtOnce(irqfd.gsi)) inject(irqchip, irqfd);
    }
    if (events & POLLHUP) this.#shutDown(irqfd);
  }

  /** irqfd_resampler_ack: the line falls once; each device, the newest first, is asked whether it still wants it. */
  #resampler(irqchip: Irqchip, gsi: number): Resampler {
    const known = this.#resamplers.get(gsi);
    if (known !== undefined) return known;
    const users = new Set<Irqfd>();
    const leave = irqchip.addNotifier({
      gsi,
      acknowledged: () => {
        irqchip.setIrq(RESAMPLE_SOURCE, gsi, false);
        for (const { resampler } of [...users].reverse()) resampler!.signal();
      },
    });
    const made = { users, leave };
    this.#resamplers.set(gsi, made);
    return made;
  }

  #shutDown(irqfd: Irqfd): void {
    const at = this.#irqfds.indexOf(irqfd);
    if (at < 0) return;
    this.#irqfds.splice(at, 1);
    irqfd.leave();
    // eventfd_ctx_remove_wait_queue: what nobody has taken is lost.
    if (irqfd.eventfd.counter > 0n) irqfd.eventfd.take();
    this.#leaveResampler(irqfd);
  }

  /** irqfd_resampler_shutdown. */
  #leaveResampler(irqfd: Irqfd): void {
    const resampler = this.#resamplers.get(irqfd.gsi);
    if (irqfd.resampler === undefined || resampler === undefined) return;
    resampler.users.delete(irqfd);
    if (resampler.users.size > 0) return;
    resampler.leave();
    this.#resamplers.delete(irqfd.gsi);
    this.#irqchip()?.setIrq(RESAMPLE_SOURCE, irqfd.gsi, false);
  }
}

/** irqfd_inject. */
function inject(irqchip: Irqchip, irqfd: Irqfd): void {
  if (irqfd.resampler === undefined) {
    irqchip.setIrq(USERSPACE_SOURCE, irqfd.gsi, true);
    irqchip.setIrq(USERSPACE_SOURCE, irqfd.gsi, false);
  } else irqchip.setIrq(RESAMPLE_SOURCE, irqfd.gsi, true);
}

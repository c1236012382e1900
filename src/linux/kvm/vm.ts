/**
 * `struct kvm`: one virtual machine — its memory slots, MMU, I/O buses, vCPUs and in-kernel devices, and the process it
 * belongs to (include/linux/kvm_host.h, virt/kvm/kvm_main.c: kvm_create_vm, kvm_destroy_vm).
 */

import type { Hpa } from '../../address.ts';
import type { Kernel } from '../core/kernel.ts';
import type { AddressSpace } from '../core/mm.ts';
import type { Cpu, CpuFactory } from './cpu.ts';
import { IoBus } from './io-bus.ts';
import { Ioeventfds } from './ioeventfd.ts';
import { Memslots } from './memslots.ts';
import { MAX_GFN, Mmu } from './mmu.ts';

/** What the VM knows of its vCPUs; `cpu` is the modeled hardware. */
export interface VmVcpu {
  readonly id: number;
  readonly cpu: Cpu;
  /** The VM ends: give the vCPU's page frames back. */
  destroy(): void;
}

/** What the VM knows of its KVM_CREATE_DEVICE devices. */
export interface VmDevice {
  readonly name: string;
  destroy(): void;
}

export class Vm {
  readonly kernel: Kernel;
  readonly mm: AddressSpace;
  readonly makeCpu: CpuFactory;
  readonly memslots: Memslots;
  readonly mmu: Mmu;
  readonly pioBus = new IoBus();
  readonly mmioBus = new IoBus();
  readonly fastMmioBus = new IoBus();
  readonly ioeventfds: Ioeventfds;
  /** In order of creation. */
  readonly vcpus: VmVcpu[] = [];
  readonly devices: VmDevice[] = [];
  /** The page all vCPUs map behind their port data (coalesced_mmio_ring). */
  readonly ringFrame: Hpa;
  /** kvm_arch: where VMX's identity map would go; user space chooses before the first vCPU. */
  identityMapAddress = 0xfffbc000n;
  /**
   * How many guest instructions all vCPUs together may retire. When they have, the VM's process gets SIGXCPU and KVM_RUN
   * returns -EINTR. The host's own limit: no ioctl reaches it.
   */
  instructionLimit: number;
  readonly #onDestroy: (vm: Vm) => void;
  readonly #stopNotifier: () => void;
  #references = 1;

  /** `ringFrame` is a zeroed page that the VM owns from here on. */
  constructor(options: {
    kernel: Kernel;
    makeCpu: CpuFactory;
    ringFrame: Hpa;
    instructionLimit: number;
    onDestroy: (vm: Vm) => void;
  }) {
    const { kernel } = options;
    const { mm } = kernel.current;
    this.kernel = kernel;
    this.mm = mm;
    this.makeCpu = options.makeCpu;
    this.ringFrame = options.ringFrame;
    this.instructionLimit = options.instructionLimit;
    this.#onDestroy = options.onDestroy;
    this.memslots = new Memslots({
      accessOk: (address, length) => mm.accessOk(address, length),
      refuse: (errno, because) => kernel.refuse(errno, because),
      maxGfn: MAX_GFN,
      listener: {
        flushSlot: () => this.mmu.zapAll(),
        updated: (generation) => this.mmu.memslotsUpdated(generation),
      },
    });
    this.ioeventfds = new Ioeventfds(kernel, this);
    this.mmu = new Mmu(kernel, mm, this.memslots, () => this.flushTranslations());
    this.#stopNotifier = mm.onInvalidate((start, length) => this.mmu.invalidateRange(start, length));
  }

  /** Guest instructions retired so far, all vCPUs; those that KVM completed for the CPU count too. */
  get retired(): number {
    let total = 0;
    for (const { cpu } of this.vcpus) total += cpu.retired;
    return total;
  }

  /** kvm_get_kvm: a driver that was given the kvm pointer keeps the VM alive. */
  get(): this {
    this.#references++;
    return this;
  }

  /** kvm_put_kvm: the last one destroys the VM. */
  put(): void {
    if (--this.#references === 0) this.#destroy();
  }

  /** kvm_flush_remote_tlbs: no vCPU keeps a translation made from EPT. */
  flushTranslations(): void {
    for (const { cpu } of this.vcpus) cpu.invalidateEpt();
  }

  /** The host has written guest memory in the frame that holds `host`. */
  memoryChanged(host: Hpa): void {
    for (const { cpu } of this.vcpus) cpu.memoryChanged(host);
  }

  #destroy(): void {
    this.#stopNotifier();
    for (const bus of [this.pioBus, this.mmioBus, this.fastMmioBus]) bus.destroy();
    for (const vcpu of this.vcpus) vcpu.destroy();
    for (const device of this.devices) device.destroy();
    this.mmu.destroy();
    this.kernel.pages.free(this.ringFrame);
    this.#onDestroy(this);
  }
}

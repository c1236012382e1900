/**
 * `struct kvm`: one virtual machine — its memory slots, MMU, I/O buses, vCPUs and in-kernel devices, and the process it
 * belongs to (include/linux/kvm_host.h, virt/kvm/kvm_main.c: kvm_create_vm, kvm_destroy_vm).
 */

import type { Hpa } from '../../address.ts';
import { EPTP_NONE } from '../../hardware/ept.ts';
import { isEpollFile } from '../core/epoll.ts';
import type { Kernel } from '../core/kernel.ts';
import type { AddressSpace } from '../core/mm.ts';
import { EEXIST, EFAULT, ENOMEM } from '../uapi/errno.ts';
import { CoalescedZones } from './coalesced-io.ts';
import type { Cpu, CpuFactory } from './cpu.ts';
import type { DirtyRing } from './dirty-ring.ts';
import { DirtyTracking } from './dirty-tracking.ts';
import { MOST_POLLING } from './halt-polling.ts';
import { IoBus } from './io-bus.ts';
import { Ioeventfds } from './ioeventfd.ts';
import { Ioregions } from './ioregion.ts';
import { Irqchip } from './irqchip.ts';
import { Irqfds } from './irqfd.ts';
import type { Lapic } from './lapic.ts';
import { logsDirtyPages, type Memslot, Memslots } from './memslots.ts';
import { MAX_GFN, Mmu } from './mmu.ts';
import type { MsrFilter } from './msr-filter.ts';
import { PageTrack } from './page-track.ts';
import { PIT_GSI, Pit } from './pit.ts';

import { XCHE_BASE, XCHE_LENGTH, Xche } from './xche.ts';

/** What the VM knows of its vCPUs; `cpu` is the modeled hardware. */
export interface VmVcpu {
  readonly id: number;
  readonly cpu: Cpu;
  /** What the CPU was last given; 0 has the next entry give it one. */
  eptPointer: number;
  /** Let the CPU log the pages it makes dirty, or not. */
  logModifications(on: boolean): void;
  /** Mark the pages in the CPU's modification log dirty, and empty it. */
  flushModificationLog(): void;
  /** The VM ends: give the vCPU's page frames back. */
  destroy(): void;
  /** Follow {@link Vm.msrFilter}. */
  interceptMsrs(): void;
  readonly lapic: Lapic | undefined;
  readonly dirtyRing: DirtyRing | undefined;
  /** KVM_REQ_EVENT. */
  requestEvent(): void;
}

/** What the VM knows of its KVM_CREATE_DEVICE devices. */
export interface VmDevice {
  readonly name: string;
  destroy(): void;
}

/** Parameters of kvm_intel, as the CPU has the features. */
export interface EptFeatures {
  /** Accessed and dirty bits in EPT (eptad). Without them aging a page takes its permissions away. */
  readonly accessedDirty: boolean;
  /** Page-modification logging (pml); needs the dirty bits. */
  readonly modificationLog: boolean;
}

export class Vm {
  readonly kernel: Kernel;
  readonly mm: AddressSpace;
  readonly makeCpu: CpuFactory;
  readonly memslots: Memslots;
  readonly mmu: Mmu;
  readonly features: EptFeatures;
  readonly dirtyTracking: DirtyTracking;
  readonly pageTrack: PageTrack;
  readonly pioBus: IoBus;
  readonly mmioBus: IoBus;
  readonly fastMmioBus: IoBus;
  readonly virtioCcwBus: IoBus;
  readonly ioeventfds: Ioeventfds;
  readonly coalesced: CoalescedZones;
  readonly irqfds: Irqfds;
  readonly ioregions: Ioregions;
  /** KVM_CREATE_XCHE's device, once made. */
  xche: Xche | undefined;
  /** The in-kernel interrupt controllers, once made. */
  irqchip: Irqchip | undefined;
  pit: Pit | undefined;
  /** KVM_SET_CLOCK: nanoseconds from the host's clock to kvmclock. */
  clockOffset = 0;
  /** KVM_X86_SET_MSR_FILTER. */
  msrFilter: MsrFilter | undefined;
  /** KVM_CAP_X86_USER_SPACE_MSR: KVM_MSR_EXIT_REASON_* for which an MSR is user space's. */
  userSpaceMsrs = 0;
  /** KVM_CAP_DIRTY_LOG_RING: bytes of each vCPU's ring of dirty pages, which stands for the bitmaps then; 0 for none. */
  #dirtyRingBytes = 0;
  /** remote_tlb_flush_requests: times that the translations of all vCPUs were to be dropped. */
  flushes = 0;
  /** In order of creation. */
  readonly vcpus: VmVcpu[] = [];
  readonly devices: VmDevice[] = [];
  readonly #lapics: Lapic[] = [];
  /** The page all vCPUs map behind their port data (coalesced_mmio_ring). */
  readonly ringFrame: Hpa;
  /** KVM_SET_BOOT_CPU_ID. */
  bootCpuId = 0;
  /** KVM_CAP_HALT_POLL, or what the module says: for so many nanoseconds at most a halted vCPU looks for an interrupt itself. */
  haltPollLimit = MOST_POLLING;
  /** KVM_CAP_EXIT_ON_EMULATION_FAILURE. */
  exitOnEmulationFailure = false;
  /** kvm_arch: where VMX's identity map would go; user space chooses before the first vCPU. */
  identityMapAddress = 0xfffbc000n;
  /**
   * How many guest instructions all vCPUs together may retire. When they have, the VM's process gets SIGXCPU and KVM_RUN
   * returns -EINTR. The host's own limit: no ioctl reaches it.
   */
  instructionLimit: number;
  /** The vCPU whose KVM_RUN the host is in; `undefined` while user space runs (kvm_get_running_vcpu). */
  runningVcpu: VmVcpu | undefined;
  /** … but it is out in user space for a moment. */
  inUserSpace = false;
  #dirtyWithoutVcpu = false;
  readonly #onDestroy: (vm: Vm) => void;
  readonly #stopNotifiers: readonly (() => void)[];
  #references = 1;

  /** `ringFrame` is a zeroed page that the VM owns from here on. */
  constructor(options: {
    kernel: Kernel;
    makeCpu: CpuFactory;
    ringFrame: Hpa;
    instructionLimit: number;
    features: EptFeatures;
    onDestroy: (vm: Vm) => void;
  }) {
    const { kernel } = options;
    const { mm } = kernel.current;
    this.kernel = kernel;
    this.mm = mm;
    this.pioBus = new IoBus(kernel);
    this.mmioBus = new IoBus(kernel);
    this.fastMmioBus = new IoBus(kernel);
    this.virtioCcwBus = new IoBus(kernel);
    this.makeCpu = options.makeCpu;
    this.features = options.features;
    this.ringFrame = options.ringFrame;
    this.instructionLimit = options.instructionLimit;
    this.#onDestroy = options.onDestroy;
    this.memslots = new Memslots({
      accessOk: (address, length) => mm.accessOk(address, length),
      host: kernel,
      refuse: (errno, because) => kernel.refuse(errno, because),
      maxGfn: MAX_GFN,
      listener: {
        flushSlot: (slot) => {
          this.pageTrack.flushSlot(slot);
          this.mmu.zapAll();
        },
        updated: (generation) => {
          this.mmu.memslotsUpdated(generation);
          for (const vcpu of this.vcpus) vcpu.logModifications(this.logsModifications);
        },
        loggingChanged: (slot) => this.dirtyTracking.loggingChanged(slot),
      },
    });
    this.ioeventfds = new Ioeventfds(kernel, this);
    this.irqfds = new Irqfds(kernel, () => this.irqchip);
    this.ioregions = new Ioregions(kernel, mm, this);
    this.coalesced = new CoalescedZones(kernel, this, kernel.memory.page(this.ringFrame));
    this.mmu = new Mmu({
      kernel,
      mm,
      memslots: this.memslots,
      accessedDirty: this.features.accessedDirty,
      flush: () => this.flushTranslations(),
      unload: () => this.#unloadTables(),
      markDirty: (slot, gfn) => this.logDirty(slot, gfn, this.#atWork),
    });
    this.dirtyTracking = new DirtyTracking(this.mmu, this.memslots, this.features.modificationLog);
    this.pageTrack = new PageTrack(this.mmu);
    this.#stopNotifiers = [
      mm.onInvalidate((start, length) => this.mmu.invalidateRange(start, length)),
      mm.onAge((start, length) => this.mmu.ageRange(start, length)),
    ];
  }

  /** The vCPU on whose behalf the host works, if it does so on one's. */
  get #atWork(): VmVcpu | undefined {
    return this.inUserSpace ? undefined : this.runningVcpu;
  }

  /** Guest instructions retired so far, all vCPUs; those that KVM completed for the CPU count too. */
  get retired(): number {
    const { vcpus } = this;
    // Hot: asked before every entry; most machines have one, and an iterator is slower than an index.
    if (vcpus.length === 1) return vcpus[0]!.cpu.retired;
    let total = 0;
    for (let i = 0; i < vcpus.length; i++) total += vcpus[i]!.cpu.retired;
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
    this.flushes++;
    for (const { cpu } of this.vcpus) cpu.invalidateEpt();
  }

  #unloadTables(): void {
    for (const vcpu of this.vcpus) {
      vcpu.eptPointer = 0;
      vcpu.cpu.setEptPointer(EPTP_NONE);
    }
  }

  /** KVM_CREATE_IRQCHIP: 0, -ENOMEM, or -ENOSPC of a bus. */
  createIrqchip(): number {
    const irqchip = new Irqchip({
      stream: this.kernel.stream,
      clock: this.kernel.clock,
      pioBus: this.pioBus,
      memory: this.kernel,
      mmioBus: this.mmioBus,
      lapics: () => this.#lapics,
      picRaised: () => this.vcpus[0]?.requestEvent(),
    });
    const error = irqchip.register();
    if (error === 0) this.irqchip = irqchip;
    return error;
  }

  /** KVM_CREATE_PIT2: 0 or -ENOMEM, whatever it was that failed. A PIT without interrupt controllers interrupts nobody. */
  createPit(speaker: boolean): number {
    if (!this.kernel.kmallocAll('struct kvm_pit', 'struct kthread_worker')) return -ENOMEM;
    const source = this.irqchip?.requestSource() ?? 0;
    if (source < 0) return this.kernel.refuse(ENOMEM, 'all 64 sources of interrupts are taken');
    const { irqchip } = this;
    const pit = new Pit(this.kernel.clock, {
      connected: irqchip !== undefined,
      setLine: (level) => irqchip?.setIrq(source, PIT_GSI, level),
      nmiWatchdog: () => irqchip?.nmiWatchdog(),
    });
    if (pit.register(this.pioBus, speaker) < 0) {
      this.irqchip?.freeSource(source);
      return -ENOMEM;
    }
    irqchip?.addNotifier({ gsi: PIT_GSI, acknowledged: () => pit.acknowledged() });
    irqchip?.addMaskNotifier({ gsi: PIT_GSI, masked: (masked) => pit.masked(masked) });
    this.pit = pit;
    return 0;
  }

  /** KVM_CREATE_XCHE: 0, -EEXIST, -EFAULT (no source of interrupts left), -ENOSPC or -ENOMEM. */
  createXche(): number {
    if (this.xche !== undefined) return this.kernel.refuse(EEXIST, 'the VM has its xche');
    if (!this.kernel.kmalloc('struct kvm_xche')) return -ENOMEM;
    const source = this.irqchip?.requestSource() ?? 0;
    if (source < 0) return this.kernel.refuse(EFAULT, 'all 64 sources of interrupts are taken');
    const xche = new Xche();
    const error = this.pioBus.register(XCHE_BASE, XCHE_LENGTH, xche);
    if (error === 0) this.xche = xche;
    else this.irqchip?.freeSource(source);
    return error;
  }

  /** kvm_vm_release: user space has closed the VM's fd; what it had the VM listen to is over. */
  release(): void {
    this.irqfds.release();
    this.ioregions.release();
  }

  /** The vCPU is in use from here on. */
  addVcpu(vcpu: VmVcpu): void {
    this.vcpus.push(vcpu);
    if (vcpu.lapic !== undefined) this.#lapics.push(vcpu.lapic);
  }

  /** Another thread of the current process has something to do: a set of files that it waits for is ready. */
  userSpaceReady(): boolean {
    const { files } = this.kernel.current;
    return files.open().some((fd) => {
      const file = files.get(fd)!;
      return isEpollFile(file) && file.privateData.wait().length > 0;
    });
  }

  get dirtyRingBytes(): number {
    return this.#dirtyRingBytes;
  }
  set dirtyRingBytes(bytes: number) {
    this.#dirtyRingBytes = bytes;
    this.memslots.keepsBitmaps = bytes === 0;
  }

  /** Some slot logs dirty pages and the CPU can tell them by itself. */
  get logsModifications(): boolean {
    return this.features.modificationLog && this.memslots.logging;
  }

  /** kvm_arch_sync_dirty_log. */
  flushModificationLogs(): void {
    for (const vcpu of this.vcpus) vcpu.flushModificationLog();
  }

  /** mark_page_dirty_in_slot: frame `gfn` of `slot`, if that logs, goes into its bitmap or into the ring of `vcpu`. */
  logDirty(slot: Memslot, gfn: number, vcpu: VmVcpu | undefined): void {
    if (slot.dirty !== undefined) slot.dirty.mark(gfn - slot.baseGfn);
    else if (logsDirtyPages(slot)) vcpu?.dirtyRing?.push(slot, gfn);
  }

  /**
   * mark_page_dirty: KVM has written frame `gfn` of `slot` itself. Linux 6.1 takes note only in the context of a vCPU; a
   * driver that writes from a system call loses the mark, and the kernel warns, once.
   */
  markDirty(slot: Memslot, gfn: number): void {
    if (!logsDirtyPages(slot)) return;
    const vcpu = this.#atWork;
    if (vcpu !== undefined) this.logDirty(slot, gfn, vcpu);
    else if (!this.#dirtyWithoutVcpu) {
      this.#dirtyWithoutVcpu = true;
      this.kernel.warn('virt/kvm/kvm_main.c', 'mark_page_dirty_in_slot', 'kvm');
    }
  }

  #destroy(): void {
    for (const stop of this.#stopNotifiers) stop();
    this.pit?.destroy();
    for (const bus of [this.pioBus, this.mmioBus, this.fastMmioBus, this.virtioCcwBus]) bus.destroy();
    for (const vcpu of this.vcpus) vcpu.destroy();
    for (const device of this.devices) device.destroy();
    this.mmu.destroy();
    this.memslots.destroy();
    this.kernel.pages.free(this.ringFrame);
    this.#onDestroy(this);
  }
}

/**
 * The machine a guest sees: `pc` with its buses (hw/i386/pc_piix.c, pc.c).
 *
 * RAM from 0 with a hole below 4 GiB for devices, one root PCI bus behind an i440FX, ISA ports beside it, COM1.
 * Fidelity: of the PIIX3 in slot 1 there is the ISA bridge (interrupt routing, reset port), not IDE, USB or power management.
 */

import { GiB, type Hva, hva, PAGE_SIZE } from '../../address.ts';
import { strerror } from '../../linux/uapi/errno.ts';
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '../../linux/uapi/syscalls.ts';
import { KvmIoListener } from '../accel/kvm/io-listener.ts';
import type { KvmState } from '../accel/kvm/kvm-all.ts';
import { KvmMemoryListener } from '../accel/kvm/memory-listener.ts';
import type { IommufdBackend } from '../backends/iommufd.ts';
import type { MemoryBackend } from '../backends/memory-backend.ts';
import type { DeviceFault } from '../device-fault.ts';
import { ConfigurationError } from '../error.ts';
import { GuestErrors } from '../guest-errors.ts';
import { MainLoop } from '../main-loop.ts';
import { type AddressSpace, unassignedMemory } from '../memory/address-space.ts';
import { type MemoryRegion, type MemoryRegionOps, sizes } from '../memory/region.ts';
import { MemoryTopology } from '../memory/topology.ts';
import { Network } from '../net/network.ts';
import type { System } from '../system.ts';
import { AcpiPciHotplug } from './acpi/pci-hotplug.ts';
import { Serial } from './char/serial.ts';
import type { CharBackend } from './char/stdio.ts';
import { addDmaControllers } from './dma/i8257.ts';
import { addMsiWindow } from './intc/msi-window.ts';
import { Piix3 } from './isa/piix3.ts';
import { Port92 } from './isa/port92.ts';
import { addSilentPorts } from './isa/silent-ports.ts';
import { OldIoports } from './old-ioport.ts';
import { PciBus } from './pci/pci-bus.ts';
import { I440fx, PciHost } from './pci/pci-host.ts';

/** The guest, or the host's user, ended QEMU; `code` is the status it ends with. */
export interface GuestEnd {
  readonly reason: 'debug-exit' | 'shutdown' | 'reset' | 'halted' | 'internal-error' | 'run-failed' | 'interrupted';
  readonly code: number;
}

/** QEMU could not go on: it aborted, or a user's own device did what no device can do. */
export interface HostFailure {
  readonly reason: 'aborted' | 'device-fault';
  readonly code: number;
  readonly fault?: DeviceFault;
}

/** Why QEMU ends. */
export type MachineEnd = GuestEnd | HostFailure;

const PORTS = 0x1_0000;
/** Ports of the chips that KVM has, which it serves itself: what comes here fits none of them. */
const IN_KERNEL = [
  [0x20, 'kvm-pic', 2],
  [0x4d0, 'kvm-elcr', 1],
  [0xa0, 'kvm-pic', 2],
  [0x4d1, 'kvm-elcr', 1],
  [0x40, 'kvm-pit', 4],
] as const;
const IO_APIC = 0xfec0_0000;
const COM1 = 0x3f8;
const COM1_IRQ = 4;
/** Where RAM stops below 4 GiB when there is more (pc_memory_init with the i440FX). */
const LOW_RAM_LIMIT = GiB(3.5);

/** unassigned_io_ops: a port nobody claims reads all ones. */
const unassignedPorts: MemoryRegionOps = {
  read: () => -1,
  write: () => undefined,
  valid: sizes(0, 0),
  impl: sizes(0, 0),
};

export class Machine {
  readonly system: System;
  readonly kvm: KvmState;
  readonly topology: MemoryTopology;
  readonly mainLoop: MainLoop;
  readonly network: Network;
  /** What `-object iommufd` made, by id. */
  readonly iommufds = new Map<string, IommufdBackend>();
  readonly guestErrors: GuestErrors;
  /** The guest's physical memory and its ports. */
  readonly memory: AddressSpace;
  readonly io: AddressSpace;
  readonly isaIo: MemoryRegion;
  /** Ports registered with the API of QEMU before 1.0. */
  readonly ioports: OldIoports;
  readonly ramSize: number;
  readonly #ram: Hva;
  readonly #backends: ReadonlyMap<string, MemoryBackend>;
  readonly rootBus: PciBus;
  /** The i440FX at 00:00.0. */
  readonly hostBridge: I440fx;
  readonly #buses: PciBus[] = [];
  readonly #resets: (() => void)[] = [];
  #unnamed = 0;
  #end: MachineEnd | undefined;
  #hotplug: AcpiPciHotplug | undefined;
  #port92: Port92 | undefined;

  /**
   * pc_init1: RAM, KVM's listener, PCI host. `ram` is its size, or a backend among `backends` that it is to be. Refusals are
   * ConfigurationErrors.
   */
  constructor(
    system: System,
    kvm: KvmState,
    ram: number | MemoryBackend,
    backends: ReadonlyMap<string, MemoryBackend> = new Map(),
  ) {
    this.system = system;
    this.kvm = kvm;
    this.#backends = backends;
    const ramSize = typeof ram === 'number' ? ram : ram.size;
    this.ramSize = ramSize;
    this.mainLoop = new MainLoop(system);
    this.network = new Network(system, this.mainLoop.timers);
    this.guestErrors = new GuestErrors(system);
    this.topology = new MemoryTopology(system.memory, system.stream);
    const memory = this.topology.container('system', 2 ** 64);
    this.isaIo = this.topology.unassigned('io', PORTS, unassignedPorts);
    this.ioports = new OldIoports(this.topology, this.isaIo);
    this.memory = this.topology.addressSpace('memory', memory);
    this.io = this.topology.addressSpace('I/O', this.isaIo);
    this.guestErrors.watch(this.memory, (address) => this.rootBus.switchedOffAt(address, false));
    this.guestErrors.watch(this.io, (port) => this.rootBus.switchedOffAt(port, true));
    this.memory.register(new KvmMemoryListener(system, kvm));
    this.io.register(new KvmIoListener(system, kvm));
    this.#ram = typeof ram === 'number' ? this.#allocateRam() : this.claimMemory('machine', ram.id).at;
    const pci = this.topology.container('pci', 2 ** 64);
    // One change: the bridge's pieces of RAM stand in front of RAM itself.
    this.topology.begin();
    const block = this.#mapRam(memory);
    memory.addSubregion(0, pci, -1);
    this.rootBus = new PciBus('pci.0', { memory: pci, io: this.isaIo, dma: this.memory });
    this.#buses.push(this.rootBus);
    new PciHost(this.topology, system.stream, this.isaIo, this.rootBus);
    this.hostBridge = new I440fx(system.stream, this.rootBus, ramSize, {
      topology: this.topology,
      system: memory,
      ram: block,
      pci,
    });
    this.topology.commit();
    const { irqchip } = kvm;
    new Piix3(system.stream, this.topology, this.rootBus, {
      setIrq: (irq, level) => irqchip?.setGsi(irq, level),
      reset: () => this.exit({ reason: 'reset', code: 0 }),
    });
    if (irqchip !== undefined) addMsiWindow(this.topology, memory, irqchip);
  }

  #allocateRam(): Hva {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS;
    const ram = this.system.syscalls.mmap(this.ramSize, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (ram < 0) throw new ConfigurationError(`cannot set up guest memory 'pc.ram': ${strerror(-ram)}`);
    return hva(ram);
  }

  /** pc_memory_init: one block of RAM, seen through one or two windows; the block. */
  #mapRam(memory: MemoryRegion): MemoryRegion {
    const ram = this.topology.ram('pc.ram', this.ramSize, this.#ram);
    const low = Math.min(this.ramSize, LOW_RAM_LIMIT);
    this.topology.transaction(() => {
      memory.addSubregion(0, this.topology.alias('ram-below-4g', ram, 0, low));
      if (this.ramSize > low) {
        memory.addSubregion(GiB(4), this.topology.alias('ram-above-4g', ram, low, this.ramSize - low));
      }
    });
    return ram;
  }

  /** The ranges of RAM the guest sees, as e820 tells them. */
  get ramRanges(): readonly { readonly start: number; readonly size: number }[] {
    const low = Math.min(this.ramSize, LOW_RAM_LIMIT);
    const ranges = [{ start: 0, size: low }];
    if (this.ramSize > low) ranges.push({ start: GiB(4), size: this.ramSize - low });
    return ranges;
  }

  /** Where in this process the RAM at guest address `address` below 4 GiB lies; undefined if `size` bytes do not fit. */
  hostAddress(address: number, size: number): Hva | undefined {
    const low = Math.min(this.ramSize, LOW_RAM_LIMIT);
    return address >= 0 && address + size <= low ? hva(this.#ram + address) : undefined;
  }

  /** The memory called `id`, which is `claimant`'s from now on. */
  claimMemory(claimant: string, id: string): MemoryBackend {
    const backend = this.#backends.get(id);
    if (backend === undefined) {
      throw new ConfigurationError(`Device '${id}' not found`, `${claimant} wants a -object memory-backend-…,id=${id}`);
    }
    if (backend.mapped) throw new ConfigurationError(`can't use already busy memdev: ${id}`);
    backend.mapped = true;
    return backend;
  }

  /**
   * pc_basic_device_init and pc_superio_init: the ports that nothing stands behind, the interval timer, if KVM has one, the DMA
   * controllers and port 92.
   */
  addBasicDevices(): void {
    const { topology, isaIo } = this;
    addSilentPorts(topology, isaIo);
    const { irqchip } = this.kvm;
    if (irqchip !== undefined) {
      for (const [base, name, size] of IN_KERNEL)
        isaIo.addSubregion(base, topology.unassigned(name, size, unassignedMemory));
      this.memory.root.addSubregion(IO_APIC, topology.unassigned('kvm-ioapic', PAGE_SIZE, unassignedMemory));
      irqchip.createPit();
    }
    for (const controller of addDmaControllers(topology, isaIo)) this.onReset(() => controller.reset());
    const port92 = new Port92(topology, isaIo, () => this.exit({ reason: 'reset', code: 0 }));
    this.onReset(() => port92.reset());
    this.#port92 = port92;
  }

  /** Firmware leaves the gate of address line 20 open. */
  openA20(): void {
    this.#port92?.openGate();
  }

  /** COM1 with `backend` at the end of the line. */
  addSerial(backend: CharBackend): void {
    const { irqchip } = this.kvm;
    const setIrq = (level: boolean) => irqchip?.setGsi(COM1_IRQ, level);
    new Serial(this.topology, this.isaIo, COM1, backend, {
      timers: this.mainLoop.timers,
      stream: this.system.stream,
      setIrq,
    });
  }

  /** ACPI's registers for PCI hot-plug, made when they are first asked for. */
  get hotplug(): AcpiPciHotplug {
    this.#hotplug ??= new AcpiPciHotplug(this.topology, this.system.stream, this.rootBus);
    return this.#hotplug;
  }

  hasPciBus(name: string): boolean {
    return this.#buses.some((bus) => bus.name === name);
  }

  /** The PCI bus called `name`; the root bus for undefined. */
  pciBus(name: string | undefined): PciBus {
    const bus = name === undefined ? this.rootBus : this.#buses.find((one) => one.name === name);
    if (bus === undefined) throw new ConfigurationError(`Bus '${name}' not found`);
    return bus;
  }

  addPciBus(bus: PciBus): void {
    this.#buses.push(bus);
  }

  /** Name of a bus whose bridge has no id: `pci.1`. */
  autoBusName(type: string): string {
    return `${type}.${++this.#unnamed}`;
  }

  /** qemu_register_reset: called in order of registration, before the buses are reset. */
  onReset(handler: () => void): void {
    this.#resets.push(handler);
  }

  /** qemu_system_reset, at power-on. */
  reset(): void {
    for (const handler of this.#resets) handler();
    this.rootBus.reset();
  }

  /** A device or a vCPU ends QEMU; the first one to ask gives the reason. */
  exit(end: MachineEnd): void {
    this.#end ??= end;
  }

  get end(): MachineEnd | undefined {
    return this.#end;
  }
}
